"""The archive: the inbox's old end as Avro container files, which stand for what the topic no longer holds (law L6).

`<directory>/<topic>/p<partition>/<first>-<last>.avro`, read by any Avro tool, and beside them `manifest.jsonl`: a line
for each file with its SHA-256 and the SHA-256 of the line before, so that no file and no line can be changed, left out
or swapped unseen. The same messages give the same bytes. A file counts once the manifest names it; the manifest is
replaced by rename, so a process that dies anywhere leaves the archive as it was or one file longer.
"""

from __future__ import annotations

import fcntl
import os
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import fastavro
import msgspec

from schemas.errors import Broken, Misconfigured, Unavailable
from streams.crash_points import CrashPoint, Reach, never
from streams.directories import keep_names
from streams.fold import Message

SCHEMA = fastavro.parse_schema(
    {
        "type": "record",
        "name": "Archived",
        "namespace": "migex.archive",
        "doc": "One message of one partition.",
        "fields": [
            {"name": "offset", "type": "long", "doc": "Its offset in the topic; ascending by one."},
            {"name": "timestamp", "type": "long", "doc": "Its Kafka timestamp, ms since 1970."},
            {"name": "value", "type": "bytes", "doc": "Its value: a frame (schemas/frame.py)."},
        ],
    }
)
CODEC = "deflate"  # the one codec besides null that every Avro reader must know

_BLOCK_BYTES = 256 << 10
_MANIFEST = "manifest.jsonl"
_NO_LINE = sha256(b"").hexdigest()


class Archived(NamedTuple):
    """One message as it is archived."""

    offset: int
    timestamp: int  # ms
    value: bytes


class Segment(msgspec.Struct, frozen=True):
    """One file of the archive, as a line of the manifest says it."""

    file: str
    first: int
    last: int
    newest: int  # the greatest timestamp in it, ms
    bytes: int
    sha256: str
    previous: str  # SHA-256 of the line before


class _Head(msgspec.Struct, frozen=True):
    """The first line of a manifest: an offset means nothing in another topic or cluster."""

    cluster: str
    topic: str
    partition: int


class Archive:
    """The archive of one topic of one cluster."""

    def __init__(self, directory: Path, cluster: str | None, topic: str, reach: Reach = never) -> None:
        """Nothing is read or made yet; `cluster` None: of whichever cluster, to read where there is no Kafka."""
        self._root = directory / topic
        self._cluster = cluster
        self._topic = topic
        self._reach = reach
        self._known: dict[int, tuple[int, list[Segment]]] = {}  # partition -> size of the manifest, what it says

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Keep other writers out meanwhile; raises Unavailable("archive-busy") when there is one."""
        self._root.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (self._root / "writer.lock").open("wb") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Unavailable("archive-busy", f"Another process writes to the archive {self._root}.") from None
            yield

    def segments(self, partition: int) -> list[Segment]:
        """Return a partition's files, oldest first; see `_chained` for what is raised."""
        path = self._place(partition) / _MANIFEST
        try:
            size = path.stat().st_size
        except FileNotFoundError:
            return []
        if self._known.get(partition, (0,))[0] != size:
            self._known[partition] = size, self._chained(partition, path)
        return self._known[partition][1]

    def end(self, partition: int) -> int:
        """Return the offset behind the last archived message; 0 when there is none."""
        segments = self.segments(partition)
        return segments[-1].last + 1 if segments else 0

    def seal(self, partition: int) -> str:
        """Return the SHA-256 of the manifest's last line, in which everything before it is chained."""
        path = self._place(partition) / _MANIFEST
        return _digest(path.read_bytes().splitlines()[-1]) if path.exists() else _NO_LINE

    def append(self, partition: int, messages: Sequence[Archived]) -> Segment:
        """Add a file of these messages; the caller holds `writing`.

        Raises Broken("archive-gap") unless they follow what is archived without a hole.
        """
        first, last = messages[0].offset, messages[-1].offset
        end = self.end(partition)
        if [message.offset for message in messages] != list(range(end, end + len(messages))):
            raise Broken(
                "archive-gap", f"Partition {partition} is archived up to {end}; {first} to {last} do not follow."
            )
        place = self._place(partition)
        place.mkdir(parents=True, exist_ok=True, mode=0o700)
        name, data = f"{first:020d}-{last:020d}.avro", self._container(partition, messages)
        self._reach(CrashPoint.ARCHIVE_BEFORE_FILE)
        _replace(place / name, data)
        self._reach(CrashPoint.ARCHIVE_AFTER_FILE)
        path = place / _MANIFEST
        lines = path.read_bytes() if path.exists() else self._head(partition)
        previous = _digest(lines.splitlines()[-1])
        segment = Segment(name, first, last, _newest(messages), len(data), _digest(data), previous)
        _replace(path, lines + msgspec.json.encode(segment) + b"\n")
        self._reach(CrashPoint.ARCHIVE_AFTER_MANIFEST)
        return segment

    def sweep(self, partition: int) -> None:
        """Remove what a writer left that died before the manifest named it; the caller holds `writing`."""
        named = {_MANIFEST, *(segment.file for segment in self.segments(partition))}
        place = self._place(partition)
        for path in place.iterdir() if place.exists() else ():
            if path.name not in named:
                path.unlink()

    def load(self, partition: int, segment: Segment) -> list[Archived]:
        """Return the messages of a file; raises Broken("archive-damaged") naming it when it is not as written."""
        path = self._place(partition) / segment.file
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            raise _damaged(path, "it is missing") from None
        if _digest(data) != segment.sha256:
            raise _damaged(path, "its bytes are not those that the manifest's digest was made of")
        messages = [Archived(**message) for message in fastavro.reader(BytesIO(data))]
        said = (segment.first, segment.last, segment.newest, segment.bytes)
        if said != (messages[0].offset, messages[-1].offset, _newest(messages), len(data)):
            raise _damaged(path, "the manifest says otherwise of it than it holds")
        return messages

    def read(self, partition: int, offset: int) -> list[Message]:
        """Return the messages from an offset to the end of the file that holds it.

        Raises Broken("archive-missing") when no file holds the offset, "archive-damaged" when that file is not whole.
        """
        segments = self.segments(partition)
        if segments and offset <= segments[-1].last:  # the first file begins at 0, and none misses
            segment = segments[bisect_right(segments, offset, key=lambda s: s.first) - 1]
            loaded = self.load(partition, segment)[offset - segment.first :]
            return [Message(message.offset, message.value) for message in loaded]
        raise Broken(
            "archive-missing",
            f"Neither {self._topic} nor the archive {self._place(partition)} holds offset {offset} of partition "
            f"{partition}: set MIGEX_ARCHIVE__DIRECTORY to the archive that does.",
        )

    def _chained(self, partition: int, path: Path) -> list[Segment]:
        """Read a manifest; raises Misconfigured("archive-foreign"), or Broken("archive-damaged") naming the line."""
        lines = path.read_bytes().splitlines()
        if not self._is_own(partition, lines[:1]):
            raise Misconfigured(
                "archive-foreign",
                f"{path} is not of partition {partition} of {self._topic} of Kafka cluster {self._cluster}: set "
                "MIGEX_ARCHIVE__DIRECTORY to the archive of this cluster.",
            )
        segments: list[Segment] = []
        for number, line in enumerate(lines[1:], start=2):
            try:
                segment = msgspec.json.decode(line, type=Segment)
            except (msgspec.DecodeError, UnicodeDecodeError):
                raise _damaged(path, f"line {number} cannot be read") from None
            due = segments[-1].last + 1 if segments else 0
            if segment.previous != _digest(lines[number - 2]) or segment.first != due:
                raise _damaged(path, f"line {number} does not follow the line before it")
            segments.append(segment)
        return segments

    def _container(self, partition: int, messages: Sequence[Archived]) -> bytes:
        content = sha256()
        for message in messages:
            content.update(b"%d %d %d " % (message.offset, message.timestamp, len(message.value)) + message.value)
        out = BytesIO()
        fastavro.writer(
            out,
            SCHEMA,
            (message._asdict() for message in messages),
            codec=CODEC,
            sync_interval=_BLOCK_BYTES,
            metadata={"migex.topic": self._topic, "migex.partition": str(partition)},
            sync_marker=content.digest()[:16],  # by default it is drawn by chance
        )
        return out.getvalue()

    def _head(self, partition: int) -> bytes:
        return msgspec.json.encode(_Head(self._cluster or "", self._topic, partition)) + b"\n"

    def _is_own(self, partition: int, head: Sequence[bytes]) -> bool:
        try:
            found = msgspec.json.decode(b"".join(head), type=_Head)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return False
        return found == _Head(self._cluster or found.cluster, self._topic, partition)

    def _place(self, partition: int) -> Path:
        return self._root / f"p{partition}"


def _replace(path: Path, data: bytes) -> None:
    """Write a file so that after any crash it has the old content or all of the new one, on disk."""
    temporary = path.with_suffix(".part")
    private = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)  # pseudonymised is still personal
    with os.fdopen(private, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    keep_names(path.parent)


def _newest(messages: Sequence[Archived]) -> int:
    return max(message.timestamp for message in messages)


def _digest(data: bytes) -> str:
    return sha256(data).hexdigest()


def _damaged(path: Path, why: str) -> Broken:
    return Broken("archive-damaged", f"{path}: {why}. Put a copy in its place.")
