"""Checkpoints: a partition's state, published now and then where every host can read it.

A new owner whose own state is missing or older begins with the newest checkpoint and folds the rest of its source. A
checkpoint is an earlier state with its outbox: what was said since is said again, and readers ignore repeats (law L2).

    <root>/g<generation>/<agent>/p<partition>/<position>/    RocksDB's files, and `manifest.json` with their digests
    <root>/g<generation>/<agent>/p<partition>/log-shorter    the mark of a partition whose source lost what was applied

A checkpoint appears and disappears as a whole, by a rename. Two are kept. They share the files that both have by hard
links, so that damage to such a file damages both; then the state is folded from the beginning of its source.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from schemas.errors import Broken, Unavailable
from streams.crash_points import CrashPoint, Reach, never
from streams.directories import keep_names
from streams.rocks import Identity

KEPT = 2
"""Checkpoints of a partition that are kept."""

LOG_SHORTER = "log-shorter"
"""The error's code, and the mark's name, of a partition whose source ends before what was applied of it."""

_MANIFEST = "manifest.json"
_PORTION = 1 << 20
_GONE_OR_UNREADABLE = (errno.ENOENT, errno.EIO)


class _File(msgspec.Struct, frozen=True):
    """One file of a checkpoint."""

    sha256: str
    size: int


_NO_FILE = _File("", -1)


class _Manifest(msgspec.Struct, frozen=True):
    """What a checkpoint says of itself; `made_at` in seconds since 1970."""

    cluster: str
    topic: str
    partition: int
    generation: int
    agent: str
    position: int
    made_at: float
    files: dict[str, _File]

    @property
    def identity(self) -> Identity:
        return Identity(self.cluster, self.topic, self.partition, self.generation, self.agent)


class _Damaged(Exception):
    """A checkpoint that is not what its manifest says."""


class Checkpoints:
    """The published checkpoints of one partition's state."""

    def __init__(
        self,
        root: Path,
        identity: Identity,
        holder: str,
        damaged: Callable[[], None] = lambda: None,
        reach: Reach = never,
    ) -> None:
        """`holder` is a name of this worker that no other one has; `damaged` is called for each damaged checkpoint."""
        self._place = root / f"g{identity.generation}" / identity.agent / f"p{identity.partition}"
        self._identity = identity
        self._holder = holder
        self._damaged = damaged
        self._reach = reach
        self._digests: dict[tuple[int, int, int, int], str] = {}

    def newest(self) -> tuple[int, float]:
        """Return position and instant (seconds since 1970) of the newest one whose manifest can be read; else zeros.

        Raises Misconfigured when it is another one's, Unavailable when the directory cannot be read.
        """
        for position in self._positions():
            try:
                return position, self._manifest(position).made_at
            except (OSError, _Damaged):
                continue
        return 0, 0.0

    def publish(self, taken: Path, position: int) -> float | None:
        """Publish the RocksDB checkpoint `taken` of the state at a position; return the instant, or None.

        None: one as new is there already, from another worker. Takes as long as copying what is new in it. Raises
        OSError when it cannot be written.
        """
        if position <= self.newest()[0]:
            return None
        self._reach(CrashPoint.CHECKPOINT_BEFORE_COPY)
        fresh = self._place / f".new-{position:020}-{self._holder}"
        shutil.rmtree(fresh, ignore_errors=True)  # of an earlier life of this worker
        fresh.mkdir(parents=True)
        try:
            made_at = self._fill(fresh, taken, position)
            self._reach(CrashPoint.CHECKPOINT_BEFORE_PUBLISH)
            fresh.rename(self._place / f"{position:020}")
        except OSError:
            shutil.rmtree(fresh, ignore_errors=True)
            raise
        keep_names(self._place)
        self._reach(CrashPoint.CHECKPOINT_AFTER_PUBLISH)
        self._drop_old(position)
        return made_at

    def restore(self, into: Path, beyond: int) -> int | None:
        """Put the newest sound checkpoint beyond a position in the directory's place; return its position, or None.

        The caller holds the directory. Raises Misconfigured when a checkpoint is another one's, Unavailable when the
        checkpoints cannot be read.
        """
        tried: set[int] = set()
        while position := next((n for n in self._positions() if n > beyond and n not in tried), 0):
            tried.add(position)
            try:
                self._restore(position, into)
            except (OSError, _Damaged) as error:
                if isinstance(error, OSError) and error.errno not in _GONE_OR_UNREADABLE:
                    raise
                self.distrust(position)
                continue
            return position
        return None

    def distrust(self, position: int) -> None:
        """Put a damaged checkpoint where nobody restores it or shares its files; the next one published removes it."""
        try:
            self._at(position).rename(self._place / f".damaged-{position:020}-{self._holder}")
        except FileNotFoundError:  # it was not damaged: its successors pushed it out meanwhile
            return
        self._damaged()

    def mark(self, note: str) -> None:
        """Mark the partition as one whose source lost what was applied: nobody may go on with it."""
        self._place.mkdir(parents=True, exist_ok=True)
        (self._place / LOG_SHORTER).write_text(note + "\n")

    def check_mark(self) -> None:
        """Raise Broken("log-shorter") when the partition is marked."""
        file = self._place / LOG_SHORTER
        if file.exists():
            said = file.read_text().strip()
            raise Broken("log-shorter", f"{said} See the runbook MigexStateAhead; only then remove {file}.")

    def _positions(self) -> list[int]:
        """Return the positions of all that is published, newest first."""
        try:
            return sorted((int(p.name) for p in self._place.iterdir() if p.name.isdigit()), reverse=True)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise Unavailable("checkpoints-away", f"The checkpoints in {self._place} cannot be read.") from error

    def _at(self, position: int) -> Path:
        return self._place / f"{position:020}"

    def _manifest(self, position: int) -> _Manifest:
        try:
            found = msgspec.json.decode((self._at(position) / _MANIFEST).read_bytes(), type=_Manifest)
        except msgspec.MsgspecError:
            raise _Damaged from None
        self._identity.check(found.identity, self._at(position))
        if found.position != position:
            raise _Damaged
        return found

    def _fill(self, fresh: Path, taken: Path, position: int) -> float:
        """Link what an older checkpoint has, copy the rest, write the manifest."""
        made_at = time.time()
        held_at, held = self._held()
        files, digests = {}, {}
        for source in sorted(taken.iterdir()):
            stat = source.stat()
            known = (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns)
            digest = None
            if held.get(source.name, _NO_FILE).size == stat.st_size:  # then it is worth reading what was not read yet
                digest = self._digests.get(known) or _digest(source)
                if digest != held[source.name].sha256 or not self._linked(held_at, source.name, fresh):
                    digest = None
            digests[known] = digest or _copy(source, fresh / source.name)
            files[source.name] = _File(digests[known], stat.st_size)
        self._digests = digests
        manifest = _Manifest(*self._identity, position, made_at, files)
        with (fresh / _MANIFEST).open("wb") as file:
            file.write(msgspec.json.encode(manifest))
            os.fsync(file.fileno())
        keep_names(fresh)
        return made_at

    def _held(self) -> tuple[int, dict[str, _File]]:
        """Return position and files, by name, of the newest checkpoint."""
        position, _ = self.newest()
        try:
            return position, self._manifest(position).files if position else {}
        except (OSError, _Damaged):
            return 0, {}

    def _linked(self, held: int, name: str, fresh: Path) -> bool:
        """Take a file over from the checkpoint at `held`; it is not read again.

        Not from the newest: another worker may have published meanwhile, with other content under the same name.
        """
        try:
            os.link(self._at(held) / name, fresh / name)
        except OSError:  # dropped meanwhile, or a file system without links
            return False
        return True

    def _drop_old(self, newest: int) -> None:
        """Drop all but the newest two, and what others left unfinished before the newest."""
        for position in self._positions()[KEPT:]:
            gone = self._place / f".old-{position:020}-{self._holder}"
            try:
                self._at(position).rename(gone)
            except OSError:  # another one drops it
                continue
        for left in self._place.glob(".*-*-*"):
            if int(left.name.split("-")[1]) < newest:
                shutil.rmtree(left, ignore_errors=True)

    def _restore(self, position: int, into: Path) -> None:
        manifest = self._manifest(position)
        fresh, old = _beside(into)
        self._reach(CrashPoint.RESTORE_BEFORE_COPY)
        fresh.mkdir(parents=True)
        try:
            for name, file in manifest.files.items():
                if _copy(self._at(position) / name, fresh / name) != file.sha256:
                    raise _Damaged
        except (OSError, _Damaged):
            shutil.rmtree(fresh)
            raise
        keep_names(fresh)
        self._reach(CrashPoint.RESTORE_BEFORE_SWAP)
        if into.exists():
            into.rename(old)
        self._reach(CrashPoint.RESTORE_BETWEEN_SWAPS)
        fresh.rename(into)
        keep_names(into.parent)
        self._reach(CrashPoint.RESTORE_AFTER_SWAP)
        shutil.rmtree(old, ignore_errors=True)


def clear(directory: Path) -> None:
    """Put right what a restore into this directory left that was interrupted; the caller holds the directory."""
    fresh, old = _beside(directory)
    if old.exists() and not directory.exists():
        old.rename(directory)
    for left in (fresh, old):
        shutil.rmtree(left, ignore_errors=True)


def set_aside(directory: Path) -> None:
    """Move a damaged state to where nobody opens it, in the place of an earlier one; the caller holds the directory."""
    aside = directory.with_name(directory.name + ".damaged")
    shutil.rmtree(aside, ignore_errors=True)
    directory.rename(aside)
    keep_names(directory.parent)


def _beside(directory: Path) -> tuple[Path, Path]:
    return directory.with_name(directory.name + ".new"), directory.with_name(directory.name + ".old")


def _digest(source: Path) -> str:
    with source.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _copy(source: Path, target: Path) -> str:
    """Copy a file to the disk and return the digest of what was copied."""
    digest = hashlib.sha256()
    with source.open("rb") as read, target.open("wb") as write:
        while portion := read.read(_PORTION):
            digest.update(portion)
            write.write(portion)
        write.flush()
        os.fsync(write.fileno())
    return digest.hexdigest()
