"""Claim: a file that one door has taken, by rename; its verdicts beside it, and the rename that gives both back.

All of a claim is one directory below `work`, which becomes visible to the agency by one rename when it is complete. A
lock on a file beside it says that a door is at it: the lock of a door that was killed is free, and whichever door
sees it goes on where that one stopped.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import stat
from collections.abc import Iterator
from contextlib import suppress
from io import BufferedReader
from itertools import count
from pathlib import Path

from connectors.file_door.folders import WORK, Dropped, looks_of, opened
from connectors.file_door.verdict_log import CSV, LINES, SUMMARY
from connectors.reasons import WHOLE, reason
from schemas.errors import Refused
from streams.crash_points import CrashPoint, Reach

MAX_NAME_BYTES = 180
"""Bytes of a file's name that are kept; a file system takes 255, and the claim adds some of its own."""

_LOCK = ".lock"
_TAKEN = (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR)
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # or a named pipe would make us wait for a writer


class Claim:
    """A file that this door has taken; use `take` or `adopt`, and `close` it when done."""

    def __init__(self, root: Path, agency: str, family: str, folder: Path, lock: int) -> None:
        self.agency = agency
        self.family = family
        self.folder = folder
        self.name = folder.name.split("-", 2)[2]
        self._root = root
        self._lock = lock
        self._file: BufferedReader | None = None
        self._looks = (0, 0, 0)

    @property
    def number(self) -> str:
        """What it is called in logs: a file's name may tell of a person."""
        return self.folder.name[: -len(self.name) - 1]

    def file(self) -> BufferedReader:
        """Open the file, or go back to its begin; raises Refused when it is none that may be read."""
        if self._file is None:
            try:
                self._file = os.fdopen(os.open(self.folder / self.name, _READ), "rb")
            except OSError as error:
                if error.errno in {errno.ELOOP, errno.EACCES, errno.EPERM, errno.ENXIO, errno.EISDIR}:
                    raise _not_plain() from None
                raise
            known = os.fstat(self._file.fileno())
            self._looks = looks_of(known)
            if not stat.S_ISREG(known.st_mode) or known.st_nlink != 1:
                raise _not_plain()
        self._file.seek(0)
        return self._file

    @property
    def is_unchanged(self) -> bool:
        """Whether the file still looks as it did when it was opened."""
        return self._file is not None and looks_of(os.fstat(self._file.fileno())) == self._looks

    def finish(self, place: str, reach: Reach) -> Path:
        """Give all back to the agency, below `place`; return where: under the file's name, or with .2, .3, … behind it.

        A directory that holds something is never replaced by a rename (rename(2)).
        """
        into = self._root / self.agency / place / self.family
        into.mkdir(exist_ok=True)
        with opened(self._root, self.agency, place, self.family) as there:
            for number in count(1):
                name = self.name if number == 1 else f"{self.name}.{number}"
                reach(CrashPoint.FILE_BEFORE_FINISH)
                try:
                    os.rename(self.folder, name, dst_dir_fd=there)
                except OSError as error:
                    if error.errno not in _TAKEN:
                        raise
                else:
                    break
        reach(CrashPoint.FILE_AFTER_FINISH)
        _lock_of(self.folder).unlink(missing_ok=True)
        return into / name

    def close(self) -> None:
        """Let go of the file; what is unfinished is another door's from now on, or ours again."""
        if self._file is not None:
            self._file.close()
        os.close(self._lock)


def take(root: Path, file: Dropped, number: str, reach: Reach) -> Claim | None:
    """Take a file under a number that no other has; None: another door was faster, or the agency took it back.

    `number` is two words with a hyphen between them. Raises OSError.
    """
    work = root / file.agency / WORK / file.family
    work.mkdir(mode=0o700, exist_ok=True)
    folder = work / f"{number}-{kept_name(file.name)}"
    lock = _locked(_lock_of(folder))
    if lock is None:
        return None
    claim = Claim(root, file.agency, file.family, folder, lock)
    try:
        folder.mkdir(mode=0o755)
        with opened(root, *file.folders) as source, opened(root, file.agency, WORK, file.family, folder.name) as into:
            reach(CrashPoint.FILE_BEFORE_CLAIM)
            os.rename(file.name, claim.name, src_dir_fd=source, dst_dir_fd=into)
            reach(CrashPoint.FILE_AFTER_CLAIM)
    except OSError as error:
        _give_up(claim)
        if isinstance(error, FileNotFoundError):
            return None
        raise
    return claim


def adopt(root: Path, agency: str) -> Iterator[Claim]:
    """Yield what a door has left behind that is there no more; raises OSError."""
    with opened(root, agency, WORK):
        locks = sorted((root / agency / WORK).glob(f"*/*{_LOCK}"))
    for lock in locks:
        held = _locked(lock)
        if held is None:
            continue
        claim = Claim(root, agency, lock.parent.name, lock.with_name(lock.name.removesuffix(_LOCK)), held)
        if os.path.lexists(claim.folder / claim.name):
            yield claim
        else:  # it died before it had the file, or after it had given it back
            _give_up(claim)


def kept_name(name: str) -> str:
    """Return the name under which a file is kept: as text, not too long, and never that of one of our own files."""
    text = os.fsencode(name).decode(errors="replace")
    while len(text.encode()) > MAX_NAME_BYTES:
        text = text[1:]  # its end says what kind of file it is
    return f"sent-{text}" if text in {CSV, LINES, SUMMARY} else re.sub(r"[\x00-\x1f\x7f]", "_", text)


def _give_up(claim: Claim) -> None:
    """Forget a claim that has no file."""
    with suppress(OSError):
        claim.folder.rmdir()
    _lock_of(claim.folder).unlink(missing_ok=True)
    claim.close()


def _lock_of(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}{_LOCK}")


def _locked(path: Path) -> int | None:
    """Return the descriptor of a lock that we hold now; None: somebody else does, or did until it was done."""
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(lock), os.lstat(path)):
            return lock
    except (BlockingIOError, FileNotFoundError):
        pass
    os.close(lock)
    return None


def _not_plain() -> Refused:
    rule = "What is dropped is a plain file, with one name, which the door may read."
    return Refused((reason("not-a-file", WHOLE, rule),))
