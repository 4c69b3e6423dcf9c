"""Package: the ZIP file that an XLSX workbook is, judged by its directory before anything in it is unpacked."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, BinaryIO

from connectors.rows.table import bad_table, no_workbook

MAX_MEMBERS = 1000
"""Files in a workbook; a usual one has a dozen."""

MAX_UNPACKED = 256 << 20
"""Bytes of a workbook, unpacked; 50,000 rows of the longest contract make some 90 MB."""

MAX_RATIO = 100
"""Times that a member grows by unpacking, if it becomes larger than `SMALL`; deflate could 1,032 times."""

SMALL = 1 << 20
_CHUNK = 1 << 20
_ENTRY = b"PK\x01\x02"
_ENCRYPTED = 1
_PACKED = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})
"""How members may be packed (ECMA-376, part 2, annex B): zipfile unpacks bzip2 and LZMA without any bound."""


@contextmanager
def opened(file: BinaryIO) -> Iterator[zipfile.ZipFile]:
    """Give the package in a file; raises Refused when it is none, or would be too large unpacked."""
    if _entries(file) > MAX_MEMBERS:
        raise bad_table("A workbook has at most {n} parts.", n=MAX_MEMBERS)
    try:
        package = zipfile.ZipFile(file)
    except (zipfile.BadZipFile, ValueError, OSError, RuntimeError):
        raise no_workbook() from None
    with package:
        total = 0
        for each in package.infolist():
            total += each.file_size
            if total > MAX_UNPACKED or each.file_size > max(SMALL, each.compress_size * MAX_RATIO):
                raise bad_table(
                    "A workbook has at most {n} bytes, unpacked, and is packed as usual programmes do.", n=MAX_UNPACKED
                )
            if each.compress_type not in _PACKED:
                raise no_workbook()
            if each.flag_bits & _ENCRYPTED:
                raise bad_table("A workbook is not protected by a password.")
        yield package


def member(package: zipfile.ZipFile, name: str) -> IO[bytes]:
    """Open one file of the package; raises Refused when it is not there. No more is read than its directory says."""
    try:
        return package.open(name)
    except (KeyError, RuntimeError, ValueError, OSError, zipfile.BadZipFile):
        raise no_workbook() from None


def _entries(file: BinaryIO) -> int:
    """Count what may be entries of the directory, for zipfile makes an object of each before it can be asked."""
    begin = file.tell()
    count, rest = 0, b""
    while chunk := file.read(_CHUNK):
        count += (rest + chunk).count(_ENTRY)
        rest = chunk[-3:]
    file.seek(begin)
    return count
