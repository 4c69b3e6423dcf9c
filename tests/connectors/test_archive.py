"""The archive's files: what was written is read, whatever a crash or a changed byte does to them."""

from __future__ import annotations

import random
import re
import signal
import subprocess
import sys
from pathlib import Path

import fastavro
import pytest

from connectors.archive import Archive, Archived
from connectors.topic_log import messages as read_all
from schemas.errors import Broken, MigexError, Misconfigured, Unavailable
from streams.crash_points import CrashPoint
from streams.fold import Message

TOPIC = "migex.inbox.v1"
POINTS = (CrashPoint.ARCHIVE_BEFORE_FILE, CrashPoint.ARCHIVE_AFTER_FILE, CrashPoint.ARCHIVE_AFTER_MANIFEST)


def messages(first: int, count: int) -> list[Archived]:
    return [
        Archived(n, 1_700_000_000_000 + n, random.Random(n).randbytes(n % 300)) for n in range(first, first + count)
    ]


def archive(directory: Path, cluster: str = "c") -> Archive:
    return Archive(directory, cluster, TOPIC)


def write(directory: Path, files: int = 3, size: int = 40) -> Archive:
    made = archive(directory)
    with made.writing():
        for number in range(files):
            made.append(0, messages(number * size, size))
    return made


def content(directory: Path) -> dict[str, bytes]:
    return {p.relative_to(directory).as_posix(): p.read_bytes() for p in directory.rglob("*") if p.is_file()}


def test_what_was_archived_is_read_from_any_offset(tmp_path: Path) -> None:
    made = write(tmp_path)
    sent = [Message(each.offset, each.value) for each in messages(0, 120)]
    assert made.end(0) == 120
    assert list(read_all(made, None, TOPIC, 120, 0)) == sent
    assert list(read_all(made, None, TOPIC, 50, 0)) == sent[:50]
    assert made.read(0, 55) == sent[55:80]
    assert [made.load(0, segment) for segment in made.segments(0)] == [messages(n, 40) for n in (0, 40, 80)]


def test_any_avro_reader_reads_a_file(tmp_path: Path) -> None:
    write(tmp_path, files=1)
    with (tmp_path / TOPIC / "p0" / f"{0:020d}-{39:020d}.avro").open("rb") as file:
        rows = [tuple(row.values()) for row in fastavro.reader(file) if isinstance(row, dict)]
    assert rows == messages(0, 40)


def test_the_same_messages_give_the_same_bytes(tmp_path: Path) -> None:
    write(tmp_path / "one")
    write(tmp_path / "two")
    assert content(tmp_path / "one") == content(tmp_path / "two")


def test_only_their_owner_may_read_the_files(tmp_path: Path) -> None:
    write(tmp_path)
    assert {p.stat().st_mode & 0o077 for p in (tmp_path / TOPIC / "p0").iterdir()} == {0}


@pytest.mark.parametrize("first", [39, 41, 200])
def test_what_leaves_a_hole_or_overlaps_is_not_archived(tmp_path: Path, first: int) -> None:
    made = write(tmp_path, files=1)
    before = content(tmp_path)
    with pytest.raises(Broken, match="archive-gap"):
        made.append(0, messages(first, 10))
    assert content(tmp_path) == before


def test_what_neither_archive_nor_topic_holds_is_an_error(tmp_path: Path) -> None:
    made = write(tmp_path)
    with pytest.raises(Broken, match="archive-missing"):
        made.read(0, 120)
    with pytest.raises(Broken, match="archive-missing"):
        archive(tmp_path / "empty").read(0, 0)
    with pytest.raises(Broken, match="archive-missing"):
        list(read_all(made, None, TOPIC, 121, 0))


def test_an_archive_of_another_cluster_or_topic_is_refused(tmp_path: Path) -> None:
    write(tmp_path)
    with pytest.raises(Misconfigured, match="archive-foreign"):
        archive(tmp_path, "another").segments(0)
    assert Archive(tmp_path, None, TOPIC).end(0) == 120, "whoever has no Kafka reads any"
    (tmp_path / TOPIC).rename(tmp_path / "other")
    with pytest.raises(Misconfigured, match="archive-foreign"):
        Archive(tmp_path, "c", "other").segments(0)


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    with archive(tmp_path).writing(), pytest.raises(Unavailable, match="archive-busy"), archive(tmp_path).writing():
        pass


def test_any_changed_byte_is_found_and_its_file_named(tmp_path: Path) -> None:
    made = write(tmp_path)
    chance = random.Random(3)
    for path in sorted((tmp_path / TOPIC / "p0").iterdir()):
        whole = path.read_bytes()
        named = (
            path.name if path.suffix == ".avro" else TOPIC
        )  # nothing tells whether its last line or the file is wrong
        for where in sorted(chance.sample(range(len(whole)), min(len(whole), 200))):
            path.write_bytes(whole[:where] + bytes([whole[where] ^ (1 << chance.randrange(8))]) + whole[where + 1 :])
            with pytest.raises(MigexError, match=re.escape(named)):
                list(read_all(archive(tmp_path), None, TOPIC, 120, 0))
        path.write_bytes(whole)
    assert len(list(read_all(made, None, TOPIC, 120, 0))) == 120


def test_a_missing_file_or_line_is_found(tmp_path: Path) -> None:
    made = write(tmp_path)
    place = tmp_path / TOPIC / "p0"
    lines = (place / "manifest.jsonl").read_bytes().splitlines(keepends=True)
    (place / "manifest.jsonl").write_bytes(b"".join(lines[:2] + lines[3:]))
    with pytest.raises(Broken, match=r"manifest\.jsonl: line 3"):
        archive(tmp_path).segments(0)
    (place / "manifest.jsonl").write_bytes(b"".join(lines))
    gone = place / made.segments(0)[1].file
    gone.unlink()
    with pytest.raises(Broken, match=gone.name):
        list(read_all(archive(tmp_path), None, TOPIC, 120, 0))


def test_the_seal_changes_with_whatever_is_archived(tmp_path: Path) -> None:
    made = archive(tmp_path)
    seals = {made.seal(0)}
    for number in range(3):
        made.append(0, messages(number * 40, 40))
        seals.add(made.seal(0))
    assert len(seals) == 4


@pytest.mark.parametrize("nth", [1, 2])
@pytest.mark.parametrize("point", POINTS)
def test_killed_anywhere_it_goes_on_to_the_same_files(tmp_path: Path, point: CrashPoint, nth: int) -> None:
    write(tmp_path / "whole")
    killed = subprocess.run([sys.executable, "-c", _KILLED, str(tmp_path / "own"), point, str(nth)], check=False)
    assert killed.returncode == -signal.SIGKILL
    resumed = archive(tmp_path / "own")
    with resumed.writing():
        resumed.sweep(0)
        end = resumed.end(0)
        assert list(read_all(resumed, None, TOPIC, end, 0)) == [Message(m.offset, m.value) for m in messages(0, end)]
        for first in range(end, 120, 40):
            resumed.append(0, messages(first, 40))
    assert content(tmp_path / "own") == content(tmp_path / "whole")


_KILLED = """
import os, signal, sys
from collections import Counter
from pathlib import Path
from connectors.archive import Archive
from tests.connectors.test_archive import TOPIC, messages

reached = Counter()
def reach(point):
    reached[point] += 1
    if (point, str(reached[point])) == (sys.argv[2], sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)

archive = Archive(Path(sys.argv[1]), "c", TOPIC, reach)
with archive.writing():
    for first in range(0, 120, 40):
        archive.append(0, messages(first, 40))
"""


def test_what_a_dead_writer_left_is_swept(tmp_path: Path) -> None:
    made = write(tmp_path)
    before = content(tmp_path)
    place = tmp_path / TOPIC / "p0"
    (place / f"{120:020d}-{130:020d}.avro").write_bytes(b"the manifest does not name it")
    (place / "manifest.part").write_bytes(b"half")
    with made.writing():
        made.sweep(0)
    assert content(tmp_path) == before
