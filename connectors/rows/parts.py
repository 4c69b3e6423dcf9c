"""Parts: what an XLSX workbook keeps beside its sheets: their names, shared texts, and which styles show dates."""

from __future__ import annotations

import posixpath
import re
import sys
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from typing import NamedTuple
from xml.parsers import expat

from connectors.rows.package import member
from connectors.rows.table import bad_table, no_workbook
from schemas.errors import Refused

MAX_SHARED_BYTES = 44 << 20
"""Memory for the texts that cells share."""

MAX_ELEMENTS = 8_000_000
"""Elements of one part; 50,000 rows of the longest contract have some 6 millions."""

MAX_IDLE_ELEMENTS = 250_000
"""Elements of one part, one behind the other, that bring nothing: neither a text nor a row with something in it."""

MAX_IDLE_BYTES = 32 << 20
"""Bytes of such elements, and of what stands between them."""

MAX_DEPTH = 64
"""Elements inside each other; a sheet has six."""

MAX_LETTERS = 1 << 20
"""Characters of one row, or of one shared text; a cell of Excel's has 32,767."""

MAX_TOKEN = 256 << 10
"""Bytes of one tag; expat reads an unfinished one again with each piece that follows."""

MAX_STYLES = 100_000
"""Styles and formats of a workbook; Excel itself allows 65,490 styles."""

_POINTER = 8
_CHUNK = 1 << 16

_BOOK = "xl/workbook.xml"
_RELATIONS = "xl/_rels/workbook.xml.rels"

_DATES = frozenset([*range(14, 23), *range(27, 37), *range(45, 48), *range(50, 59)])
"""Numbers of the built-in formats that show a date or a time (ECMA-376, part 1, 18.8.30)."""

_NOT_OF_DATES = re.compile(r'"[^"]*"|\\.|_.|\*.|\[[^\[\]]*\]')
_ESCAPED = re.compile(r"_x([0-9A-Fa-f]{4})_")

Shared = list[str]


class Book(NamedTuple):
    """What must be known of a workbook before a sheet is read."""

    sheet: str  # name of the member
    texts: Shared
    dates: tuple[bool, ...]  # by number of the style: whether it shows a date
    since_1904: bool  # whether days are counted from 1904, not 1900


class Part:
    """What is made of the elements of one member."""

    def __init__(self) -> None:
        """Begin outside of every text."""
        self.elements = 0
        self.idle_bytes = 0  # since something was gained
        self._most = MAX_IDLE_ELEMENTS  # elements until something must have been gained again
        self.depth = 0
        self.spent = 0  # letters of the present row or text
        self.letters: list[str] = []  # of the text that is being read
        self.reading = False
        self.phonetic = False  # how something is pronounced is no part of it

    def begun(self, name: str, about: Mapping[str, str]) -> None:
        """Take note of an element that has begun, by its local name."""

    def ended(self, name: str) -> None:
        """Take note of an element that has ended, by its local name."""

    def start(self, name: str, about: Mapping[str, str]) -> None:
        """Take an element that begins, from the parser."""
        self.elements += 1
        self.depth += 1
        if self.elements > self._most or self.depth > MAX_DEPTH:
            raise no_workbook() if self.elements > MAX_ELEMENTS or self.depth > MAX_DEPTH else _too_empty()
        name = local(name)
        if name == "rPh":
            self.phonetic = True
        self.begun(name, about)

    def end(self, name: str) -> None:
        """Take an element that ends, from the parser."""
        self.depth -= 1
        self.reading = False
        name = local(name)
        if name == "rPh":
            self.phonetic = False
        self.ended(name)

    def text(self, text: str) -> None:
        """Take letters between elements."""
        if self.reading:
            self.letters.append(text)
            self.spent += len(text)  # as `spend`, without a call for each piece of text
            if self.spent > MAX_LETTERS:
                raise _too_long()

    def spend(self, letters: int) -> None:
        """Take note of letters of the present row or text; raises Refused when they are too many."""
        self.spent += letters
        if self.spent > MAX_LETTERS:
            raise _too_long()

    def gained(self) -> None:
        """Take note that something was found, and that the next row or text begins."""
        self.idle_bytes = self.spent = 0
        self._most = min(self.elements + MAX_IDLE_ELEMENTS, MAX_ELEMENTS)


def pieces(package: zipfile.ZipFile, name: str, part: Part) -> Iterator[None]:
    """Tell a part of the elements of a member, and pause after each piece; raises Refused for what is no such XML."""
    parser = expat.ParserCreate("utf-8")
    parser.buffer_text = True
    parser.StartElementHandler = part.start
    parser.EndElementHandler = part.end
    parser.CharacterDataHandler = part.text
    parser.StartDoctypeDeclHandler = _no_doctype
    given = 0
    with member(package, name) as content:
        while True:
            try:
                piece = content.read(_CHUNK)
                parser.Parse(piece, not piece)
            except (expat.ExpatError, zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError):
                raise no_workbook() from None
            yield
            if not piece:
                return
            given += len(piece)
            part.idle_bytes += len(piece)
            if given - parser.CurrentByteIndex > MAX_TOKEN:
                raise no_workbook()
            if part.idle_bytes > MAX_IDLE_BYTES:
                raise _too_empty()


def _too_empty() -> Refused:
    return bad_table("A workbook has no stretches of {n} empty cells.", n=MAX_IDLE_ELEMENTS)


def _too_long() -> Refused:
    return bad_table("A row of a workbook has at most {n} characters.", n=MAX_LETTERS)


def _no_doctype(*_: object) -> None:
    raise no_workbook()


def local(name: str) -> str:
    """Return a name without the prefix of its namespace."""
    return name.rpartition(":")[2] if ":" in name else name  # asked twice for every element


def unescaped(text: str) -> str:
    """Return a text with the characters that XML cannot hold (ECMA-376, part 1, 22.9.2.19)."""
    return _ESCAPED.sub(_character, text) if "_x" in text else text


def _character(found: re.Match[str]) -> str:
    number = int(found[1], 16)
    return found[0] if 0xD800 <= number < 0xE000 else chr(number)  # half a character is none


def about_book(package: zipfile.ZipFile, sheet: str | None) -> Book:
    """Return what the workbook says of its sheets; `sheet`: the name of that which is wanted; None: the visible one."""
    book, relations = _elements(package, _BOOK), _elements(package, _RELATIONS)
    ways = {each.get("Id", ""): each for name, each in relations if name == "Relationship"}
    wanted = [
        each.get("id", "")
        for name, each in book
        if name == "sheet" and (each.get("name") == sheet if sheet else each.get("state", "visible") == "visible")
    ]
    if len(wanted) != 1:
        raise bad_table("A workbook has one visible sheet, or the mapping names the one that is meant.")
    way = ways.get(wanted[0])
    if way is None:
        raise no_workbook()
    kinds = {local(each.get("Type", "").replace("/", ":")): _target(each) for each in ways.values()}
    texts, styles = _Texts(), _Styles()
    for kind, part in (("sharedStrings", texts), ("styles", styles)):
        if kind in kinds:
            for _ in pieces(package, kinds[kind], part):
                pass
    old = any(name == "workbookPr" and each.get("date1904") in {"1", "true"} for name, each in book)
    return Book(_target(way), texts.found, styles.dates(), old)


def _target(way: Mapping[str, str]) -> str:
    return posixpath.normpath(posixpath.join("/xl", way.get("Target", ""))).lstrip("/")


class _All(Part):
    """All elements of a small member: name and attributes, without the prefixes of namespaces."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str]]] = []

    def begun(self, name: str, about: Mapping[str, str]) -> None:
        self.found.append((name, {local(key): value for key, value in about.items()}))
        if len(self.found) > MAX_STYLES:
            raise no_workbook()


def _elements(package: zipfile.ZipFile, name: str) -> list[tuple[str, dict[str, str]]]:
    part = _All()
    for _ in pieces(package, name, part):
        pass
    return part.found


class _Texts(Part):
    """The texts that cells share."""

    def __init__(self) -> None:
        super().__init__()
        self.found: Shared = []
        self._cost = 0

    def begun(self, name: str, about: Mapping[str, str]) -> None:
        if name == "t":
            self.reading = not self.phonetic

    def ended(self, name: str) -> None:
        if name == "si":
            text = unescaped("".join(self.letters))
            self.letters.clear()
            self._cost += sys.getsizeof(text) + _POINTER
            if self._cost > MAX_SHARED_BYTES:
                raise bad_table("A workbook has at most {n} bytes of texts.", n=MAX_SHARED_BYTES)
            self.found.append(text)
            if text:
                self.gained()


class _Styles(Part):
    """Which styles show a date."""

    def __init__(self) -> None:
        super().__init__()
        self._formats: dict[str, str] = {}
        self._cells: list[str] = []
        self._of_cells = False

    def begun(self, name: str, about: Mapping[str, str]) -> None:
        if name == "cellXfs":
            self._of_cells = True
        elif name == "xf" and self._of_cells:
            self._cells.append(about.get("numFmtId", "0"))
        elif name == "numFmt":
            self._formats[about.get("numFmtId", "")] = about.get("formatCode", "")[:255]
        if len(self._cells) + len(self._formats) > MAX_STYLES:
            raise no_workbook()

    def ended(self, name: str) -> None:
        if name == "cellXfs":
            self._of_cells = False

    def dates(self) -> tuple[bool, ...]:
        """Return for each style whether it shows a date."""
        known = {each: self._dated(each) for each in set(self._cells)}
        return tuple(known[each] for each in self._cells)

    def _dated(self, number: str) -> bool:
        if number not in self._formats:
            return number.isdecimal() and len(number) < 9 and int(number) in _DATES
        bare = _NOT_OF_DATES.sub("", self._formats[number]).partition(";")[0]
        return any(letter in "dmyhs" for letter in bare.lower())
