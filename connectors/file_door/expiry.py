"""Expiry: what was given back long enough ago is deleted, for it holds what an agency reported of people.

Only what a door has answered: a folder in `done` or `failed` with the summary in it that is written last. By one rename
it leaves the agency's sight, into `work`, and is deleted there; what a killed door leaves of it the next look deletes.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import stat
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import structlog

from connectors.file_door.folders import DONE, FAILED, WORK, opened
from connectors.file_door.verdict_log import SUMMARY
from streams.crash_points import CrashPoint, Reach, never

LOOK_SECS = 3600.0
"""Seconds between two looks at what was given back."""

_ASIDE = "expired"  # below `work`, where folders of files under way bear families' names; no family is called so
_DAY_SECS = 86400

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Expiry:
    """What is deleted of which agencies' folders, and when."""

    root: Path
    agencies: Collection[str]
    keep_days: int  # 0: for ever
    now: Callable[[], float]  # seconds since 1970
    reach: Reach = never
    chance: Callable[[int], bytes] = os.urandom

    async def run(self, secs: float = LOOK_SECS) -> None:
        """Look now, and every so many seconds, until it is cancelled; what cannot be deleted is tried the next time."""
        while self.keep_days:
            for agency in self.agencies:
                try:
                    deleted = await asyncio.to_thread(self.look, agency)
                except OSError as error:  # its own words name a file, and a file's name may tell of a person
                    _log.error("What has expired is not deleted.", agency=agency, error=error.strerror)
                else:
                    if deleted:
                        _log.info("What had expired is deleted.", agency=agency, folders=deleted)
            await asyncio.sleep(secs)

    def look(self, agency: str) -> int:
        """Delete what an agency was given back too long ago; return how many folders. Raises OSError."""
        before = self.now() - self.keep_days * _DAY_SECS
        with opened(self.root, agency, WORK) as work, suppress(FileExistsError):
            os.mkdir(_ASIDE, mode=0o700, dir_fd=work)
        with opened(self.root, agency, WORK, _ASIDE) as aside:
            for place in (DONE, FAILED):
                self._set_aside(agency, place, before, aside)
            gone = list(_folders(aside))
            for name in gone:
                with suppress(FileNotFoundError):  # another door was faster, here as below
                    shutil.rmtree(name, dir_fd=aside)
        return len(gone)

    def _set_aside(self, agency: str, place: str, before: float, aside: int) -> None:
        with opened(self.root, agency, place) as there:
            families = list(_folders(there))
        for family in families:
            with opened(self.root, agency, place, family) as there:
                for name in _folders(there):
                    if not _was_given_back(there, name, before):
                        continue
                    self.reach(CrashPoint.EXPIRY_BEFORE_RENAME)
                    with suppress(FileNotFoundError):
                        os.rename(name, self.chance(16).hex(), src_dir_fd=there, dst_dir_fd=aside)
                    self.reach(CrashPoint.EXPIRY_AFTER_RENAME)


def _folders(there: int) -> Iterator[str]:
    with os.scandir(there) as entries:
        yield from [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]


def _was_given_back(there: int, name: str, before: float) -> bool:
    """Whether a door gave this folder back before an instant: its summary is written last, and by a door alone."""
    try:
        known = os.stat(f"{name}/{SUMMARY}", dir_fd=there, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return stat.S_ISREG(known.st_mode) and known.st_mtime < before
