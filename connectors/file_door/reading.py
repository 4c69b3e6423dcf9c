"""Reading: what a dropped file is read by, which is the kind that its name tells and the agency's own mapping.

DIR/AGENCY/mappings/FAMILY.yaml    how the agency's tables of a family are to be read; read with each file anew
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path, PurePath
from typing import BinaryIO

from connectors.avro_file import Bounds
from connectors.file_door.folders import MAPPINGS, opened
from connectors.reasons import WHOLE, reason
from connectors.rows import BY_FIELD, SUFFIXES, Row, TableMapping, load, rows
from connectors.strict_json import MAX_EVENT_BYTES
from schemas.contracts import FAMILIES
from schemas.errors import Misconfigured, Refused

MAX_ROWS = 10_000_000
"""Rows of one file at most."""


def mapping_of(root: Path, agency: str, family: str) -> TableMapping:
    """Return the agency's mapping of a family's tables; without one, columns are called as the contract's fields are.

    Raises Refused when it is wrong, OSError when it cannot be read.
    """
    name = f"{family}.yaml"
    try:
        with opened(root, agency, MAPPINGS) as there:
            known = os.stat(name, dir_fd=there, follow_symlinks=False)
    except FileNotFoundError:
        return BY_FIELD
    if not stat.S_ISREG(known.st_mode):
        raise _wrong("It is a plain file.")
    try:
        mapping = load(root / agency / MAPPINGS / name)
        mapping.check(FAMILIES[family])
    except Misconfigured as error:
        raise _wrong(error.detail) from None
    return mapping


def rows_of(file: BinaryIO, name: str, family: str, mapping: TableMapping, max_bytes: int) -> Iterator[Row]:
    """Yield the events of a file; raises Refused when it turns out to be none as a whole."""
    kind = SUFFIXES.get(PurePath(name).suffix.lower())
    if kind is None:
        rule = "A file is of one of these kinds, and its name ends so: {words}."
        raise Refused((reason("unknown-file-type", WHOLE, rule, words=", ".join(SUFFIXES)),))
    return rows(file, kind, FAMILIES[family], Bounds(max_bytes, MAX_EVENT_BYTES, MAX_ROWS), mapping)


def _wrong(why: str) -> Refused:
    rule = "The mapping of this family can be read, and names fields of its contract. {why}"
    return Refused((reason("bad-mapping", WHOLE, rule, why=why),))
