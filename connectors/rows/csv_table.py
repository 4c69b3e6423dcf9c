"""CSV: the rows of a file of delimited text (RFC 4180), line by line, in UTF-8 or Windows-1251.

Encoding and delimiter are found out, because no CSV says them: text that is mostly no UTF-8 is Windows-1251; the
delimiter is that of `;`, `,` and tab which makes most columns of the first line.
"""

from __future__ import annotations

import codecs
import csv
from collections.abc import Iterator
from typing import BinaryIO

from connectors.avro_file import Bounds
from connectors.reasons import WHOLE, reason
from connectors.rows.table import Blank, Cells, bad_table
from connectors.strict_json import too_large
from schemas.errors import Refused

DELIMITERS = ";,\t"
MAX_LINES = 100
"""Lines of one row at most: beyond, a quotation mark was opened and never closed."""

_CHUNK = 1 << 20
_BLANK = b" \t\r\n"


def cells_of(file: BinaryIO, bounds: Bounds) -> Iterator[tuple[int, Cells | Refused]]:
    """Yield each row's line number (from 1) and its cells, or why it has none; raises Refused for the whole file."""
    encoding = _encoding(file)
    lines = _Lines(file, encoding, bounds)
    rows = csv.reader(lines, delimiter=_delimiter(lines), strict=True)
    while True:
        number = lines.begin()
        try:
            cells = next(rows)
        except StopIteration:
            return
        except csv.Error:
            if lines.ended:
                raise bad_table("A quotation mark that is opened is closed: row {n}.", n=number) from None
            rule = "Quotation marks stand around a whole cell, and twice within one (RFC 4180)."
            yield number, Refused((reason("bad-row", WHOLE, rule),))
            continue
        if lines.undecoded:
            yield number, Refused((reason("bad-row", WHOLE, "The text is UTF-8 or Windows-1251 throughout."),))
        elif lines.size > bounds.event_bytes:
            yield number, Refused((too_large(bounds.event_bytes),))
        else:
            yield number, list(cells)


def _encoding(file: BinaryIO) -> str:
    """Return how the text is encoded, and stand at its beginning; raises Refused for what is no such text."""
    begin = file.tell()
    decoder = codecs.getincrementaldecoder("utf-8-sig")(errors="replace")
    wrong = right = 0
    while chunk := file.read(_CHUNK):
        if b"\0" in chunk:  # UTF-16, or no text at all
            raise bad_table("A table is CSV in UTF-8 or Windows-1251.")
        text = decoder.decode(chunk)
        replaced = text.count("\ufffd")
        wrong += replaced
        right += len(text) - len(text.encode("ascii", "ignore")) - replaced
    file.seek(begin)
    if file.read(3) != codecs.BOM_UTF8:
        file.seek(begin)
        if wrong > right:
            return "cp1251"
    return "utf-8"


class _Lines:
    """The lines of a file, as the csv module asks for them; knows how much of them the present row has taken."""

    def __init__(self, file: BinaryIO, encoding: str, bounds: Bounds) -> None:
        self._file = file
        self._encoding = encoding
        self._most = bounds.event_bytes
        self._blank = Blank(bounds)
        self._first: bytes | None = None
        self._number = 0
        self.begin()

    def begin(self) -> int:
        """Begin a row; return the number of its first line."""
        self.lines = self.size = 0
        self.undecoded = self.ended = False
        while (line := self.peek()) and not line.strip(_BLANK):
            self._next()
            self._blank.add()
        return self._number + 1

    def peek(self) -> bytes:
        """Return the next line without taking it; empty at the end."""
        if self._first is None:
            self._first = self._file.readline(self._most + 2)
        return self._first

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = self._next()
        self.lines += 1
        self.size += len(line)
        if self.lines > MAX_LINES or self.size > self._most * 2:
            raise bad_table("A row has at most {n} lines: a quotation mark may never have been closed.", n=MAX_LINES)
        try:
            return line.decode(self._encoding)
        except UnicodeDecodeError:
            self.undecoded = True
            return line.decode(self._encoding, "replace")

    def _next(self) -> bytes:
        line = self.peek()
        self._first = None
        if not line:
            self.ended = True
            raise StopIteration
        self._number += 1
        part = line
        while len(part) > self._most and not part.endswith(b"\n"):  # nothing is kept of what is too long
            part = self._file.readline(self._most + 2)
        return line


def _delimiter(lines: _Lines) -> str:
    lines.begin()
    line = lines.peek()
    return max(DELIMITERS, key=lambda each: line.count(each.encode()))
