"""Folders: where an agency drops its files and finds the answers; a file's way there says whose it is, nothing in it.

    DIR/AGENCY/in/FAMILY/NAME          dropped by the agency
    DIR/AGENCY/mappings/FAMILY.yaml    how the agency's tables are to be read (connectors.rows.mapping)
    DIR/AGENCY/work/FAMILY/…           taken by a door, nobody else's business
    DIR/AGENCY/done/FAMILY/NAME/       answered row by row: the file, verdicts.csv, verdicts.jsonl, summary.json
    DIR/AGENCY/failed/FAMILY/NAME/     nothing, or not all of it, could be read; the same files say why

No part of these ways may be a symbolic link: it could lead into another agency's folder.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from schemas.contracts import FAMILIES

IN, WORK, DONE, FAILED, MAPPINGS = "in", "work", "done", "failed", "mappings"

UNFINISHED = (".part", ".tmp", ".filepart", ".crdownload", "~")
"""Ends of names that programs give to what they still write; also names that begin with a dot. Never taken."""

MISPLACED = "unknown"
"""The family of a file in a folder that is named after none, or in `in` itself: it is refused."""

_OPEN_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Dropped(NamedTuple):
    """A file that waits in an agency's `in`."""

    agency: str
    folders: tuple[str, ...]  # from the root to the folder it lies in
    name: str
    looks: tuple[int, int, int]  # inode, bytes, instant of its last change in ns: others as long as it is written

    @property
    def family(self) -> str:
        """The event family that its folder is named after; `MISPLACED` where there is none of this name."""
        named = self.folders[-1]
        return named if named in FAMILIES else MISPLACED


def prepare(root: Path, families: Mapping[str, Iterable[str]]) -> None:
    """Make the folders that are missing, for each agency those of its families."""
    for agency, of_agency in families.items():
        for family in of_agency:
            (root / agency / IN / family).mkdir(parents=True, exist_ok=True)
        (root / agency / WORK).mkdir(mode=0o700, exist_ok=True)
        for place in (DONE, FAILED, MAPPINGS):
            (root / agency / place).mkdir(exist_ok=True)


def dropped(root: Path, agency: str) -> Iterator[Dropped]:
    """Yield what waits in an agency's `in`, by name; raises OSError, also where a folder is a link."""
    with opened(root, agency, IN) as inside:
        families, files = _listed(inside)
        yield from (Dropped(agency, (agency, IN), *each) for each in files)
        for family in families:
            with opened(root, agency, IN, family) as of_family:
                _, files = _listed(of_family)
            yield from (Dropped(agency, (agency, IN, family), *each) for each in files)


@contextmanager
def opened(root: Path, *folders: str) -> Iterator[int]:
    """Give the descriptor of a folder below the root; raises OSError where there is none, or a link."""
    here = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for name in folders:
            below = os.open(name, _OPEN_FOLDER, dir_fd=here)
            os.close(here)
            here = below
        yield here
    finally:
        os.close(here)


def looks_of(known: os.stat_result) -> tuple[int, int, int]:
    """Return what changes when a file is written or another one takes its place."""
    return known.st_ino, known.st_size, known.st_mtime_ns


def _listed(folder: int) -> tuple[list[str], list[tuple[str, tuple[int, int, int]]]]:
    """Return the folders in a folder, and the names and looks of all else that is not still being written."""
    folders, files = [], []
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda each: each.name):
            if entry.name.startswith(".") or entry.name.lower().endswith(UNFINISHED):
                continue
            try:
                known = entry.stat(follow_symlinks=False)
            except FileNotFoundError:  # taken back, or taken by another door
                continue
            if stat.S_ISDIR(known.st_mode):
                folders.append(entry.name)
            else:
                files.append((entry.name, looks_of(known)))
    return folders, files
