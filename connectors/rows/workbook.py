"""Workbook: the rows of one sheet of an XLSX file (ECMA-376), read as a stream.

Nothing in the file is trusted, and no library that loads a whole sheet is asked: two cells in opposite corners make it
fill the rectangle between them, for which 1.5 KB of file are enough. Here a cell costs what it holds.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import BinaryIO

from connectors.rows.cells import FLAW, Cell, Number
from connectors.rows.package import opened
from connectors.rows.parts import Part, Shared, about_book, pieces, unescaped
from connectors.rows.table import MAX_COLUMNS, Cells, bad_table, no_workbook

MAX_ROW = 1_048_576
"""The last row of a sheet (ECMA-376, part 1, 18.3.1.73)."""

_LAST_SERIAL = 2_958_466
"""The day after 9999-12-31 as a workbook counts days."""

_LETTERS = re.compile(r"[A-Z]{1,3}")


def cells_of(file: BinaryIO, sheet: str | None) -> Iterator[tuple[int, Cells]]:
    """Yield number and cells of each row that is not empty; raises Refused when the file is no such workbook.

    `sheet`: the name of the sheet; None: the only visible one.
    """
    with opened(file) as package:
        book = about_book(package, sheet)
        rows = _Rows(book.texts, _Days(book.since_1904), book.dates)
        for _ in pieces(package, book.sheet, rows):
            yield from rows.taken()


class _Days:
    """Days and times, which a workbook keeps as numbers of days."""

    def __init__(self, since_1904: bool) -> None:
        self._since_1904 = since_1904
        self._epoch = datetime(1904, 1, 1) if since_1904 else datetime(1899, 12, 30)  # noqa: DTZ001  # local time

    def read(self, text: str) -> Cell:
        serial = float(text)
        if not 0 <= serial < _LAST_SERIAL:
            return FLAW
        if not self._since_1904 and serial < 61:  # workbooks know a 29 February 1900, which never was
            if serial >= 60:
                return FLAW
            serial += 1
        return self._epoch + timedelta(milliseconds=round(serial * 86_400_000))


class _Rows(Part):
    """The rows of a sheet, as its elements come."""

    def __init__(self, texts: Shared, days: _Days, dates: tuple[bool, ...]) -> None:
        super().__init__()
        self._days = days
        self._dates = dates
        self._found: list[tuple[int, Cells]] = []
        self._row = 0
        self._cells: Cells = []
        self._column = -1
        self._kind = self._style = ""
        self._readers: Mapping[str, Callable[[str], Cell]] = {
            "s": lambda text: texts[int(text)],
            "str": unescaped,
            "inlineStr": unescaped,
            "b": lambda text: {"1": True, "0": False}[text],
            "d": lambda text: datetime.fromisoformat(text).replace(tzinfo=None),
            "n": self._number,
        }

    def taken(self) -> list[tuple[int, Cells]]:
        """Return the rows that have been completed since this was asked last."""
        found, self._found = self._found, []
        return found

    def begun(self, name: str, about: Mapping[str, str]) -> None:
        """Take note of a row, a cell, or what stands in a cell."""
        if name == "c":
            before, position = self._column, about.get("r")
            self._column = column = before + 1 if position is None else _column(position)
            if column <= before:
                raise no_workbook()
            if column >= MAX_COLUMNS:
                raise bad_table("A table has at most {n} columns.", n=MAX_COLUMNS)
            self._kind, self._style = about.get("t", "n"), about.get("s", "0")
            self.letters.clear()
        elif name in {"v", "t"}:
            self.reading = not self.phonetic
        elif name == "row":
            number = about.get("r", str(self._row + 1))
            if not (number.isdecimal() and len(number) < 8 and self._row < int(number) <= MAX_ROW):
                raise no_workbook()
            self._row, self._cells, self._column = int(number), [], -1

    def ended(self, name: str) -> None:
        """Take the value of a cell, or a row."""
        if name == "c":
            cells = self._cells
            lacking = self._column - len(cells)
            if lacking < 0:  # a cell in a cell
                raise no_workbook()
            if lacking:
                cells += [None] * lacking
            cell = self._cell("".join(self.letters)) if self.letters else None
            cells.append(cell)
            if self._kind == "s" and isinstance(cell, str):
                self.spend(len(cell))
            self.letters.clear()
        elif name == "row" and any(each is not None for each in self._cells):
            self._found.append((self._row, self._cells))
            self.gained()

    def _cell(self, text: str) -> Cell:
        read = self._readers.get(self._kind)
        if read is None:
            return FLAW
        try:
            return read(text)
        except (ValueError, LookupError, InvalidOperation, OverflowError):
            return FLAW

    def _number(self, text: str) -> Cell:
        style = int(self._style)
        dated = 0 <= style < len(self._dates) and self._dates[style]
        return self._days.read(text) if dated else _digits(text)


def _column(position: str) -> int:
    """Return the number of a position's column, from 0."""
    letters = position.rstrip("0123456789")
    if not 1 <= len(position) - len(letters) <= 7:
        raise no_workbook()
    return _named(letters)


@lru_cache(maxsize=MAX_COLUMNS)
def _named(letters: str) -> int:
    if not _LETTERS.fullmatch(letters):
        raise no_workbook()
    number = 0
    for letter in letters:
        number = number * 26 + ord(letter) - 64
    return number - 1


def _digits(text: str) -> Cell:
    if text.isdecimal() and text.isascii():
        return Number(text)
    number = Decimal(text)
    if not number.is_finite() or abs(number.adjusted()) > 30 or len(text) > 40:
        return FLAW
    digits = format(number, "f")
    return Number(digits.rstrip("0").rstrip(".") if "." in digits else digits)
