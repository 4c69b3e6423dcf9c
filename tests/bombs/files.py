"""Bombs among files: workbooks that say little and mean much, for the file door and for preflight."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping
from functools import partial
from io import BytesIO
from random import Random

from tests.bombs.blast import Bomb
from tests.bombs.doors import FAMILY, dropped, http
from tests.connectors.workbooks import packed, parts, sheet

HEADER = ("record_no", "revision", "op", "recorded_at")
TITLES = "".join(f'<c t="inlineStr"><is><t>{each}</t></is></c>' for each in HEADER)
OPENED, CLOSED = f'<worksheet><sheetData><row r="1">{TITLES}</row>', "</sheetData></worksheet>"
MANY = 2_000_000  # elements
_NOISE = 30_000  # bytes of one comment


def noisy(content: str) -> str:
    """Return XML with comments behind it that pack badly, so that the whole is not packed suspiciously well."""
    noise = Random(1).randbytes(len(content) // 110).hex()
    return content + "".join(f"<!--{noise[at : at + _NOISE]}-->" for at in range(0, len(noise), _NOISE))


def of_sheet(content: Callable[[], str], **others: Callable[[], str]) -> bytes:
    """Return a workbook with this XML behind the header of its sheet, and with other parts."""
    shared = {name: make() for name, make in others.items() if name == "shared"}
    files = parts(OPENED + noisy(content()) + CLOSED, **shared)
    files |= {name: make() for name, make in others.items() if name != "shared"}
    return packed(files)


def lying(kind: int, mebibytes: int) -> bytes:
    """Return a workbook whose sheet is packed so, and said to unpack to 1 MiB."""
    made = BytesIO()
    with zipfile.ZipFile(made, "w", kind) as package:
        for name, content in parts("").items():
            with package.open(name, "w") as part:
                for _ in range(mebibytes if "sheet1" in name else 0):
                    part.write(bytes(1 << 20))
                part.write(content.encode())
    found = bytearray(made.getvalue())
    entry = found.rfind(b"PK\x01\x02", 0, found.rfind(b"xl/worksheets/sheet1.xml"))
    found[entry + 24 : entry + 28] = (1 << 20).to_bytes(4, "little")  # its size, unpacked
    return bytes(found)


def with_members(size: int, members: int) -> bytes:
    """Return a workbook with so many further members of so many MiB of nothing."""
    made = BytesIO(packed(parts(sheet([HEADER]))))
    with zipfile.ZipFile(made, "a", zipfile.ZIP_DEFLATED) as package:
        for number in range(members):
            package.writestr(f"xl/media/{number}", bytes(size << 20))
    return made.getvalue()


ENTITIES = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10 if n else "laughter"}">' for n in range(12))
LAUGHTER = f"<!DOCTYPE worksheet [{ENTITIES}]>{OPENED}<row><c><v>&e11;</v></c></row>{CLOSED}"


def styles() -> str:
    """Return styles whose formats are all of brackets that are never closed."""
    formats = "".join(f'<numFmt numFmtId="{n}" formatCode="{n}{"[" * 250}"/>' for n in range(164, 45_000))
    cells = "".join(f'<xf numFmtId="{n}"/>' for n in range(164, 45_000))
    return f"<styleSheet><numFmts>{formats}</numFmts><cellXfs>{cells}</cellXfs></styleSheet>"


CORNER = '<row r="1048576"><c r="XFD1048576"><v>1</v></c></row>'
CELL = '<c t="s"><v>0</v></c>'


def long() -> str:
    """Return a text that nobody wants to hold."""
    return "x" * 80_000_000


SHEETS: Mapping[str, Callable[[], bytes]] = {
    "zeros": lambda: with_members(64, 1),
    "members": lambda: with_members(0, 1500),
    "bzip2": lambda: lying(zipfile.ZIP_BZIP2, 120),
    "LZMA": lambda: lying(zipfile.ZIP_LZMA, 120),
    "depth": lambda: of_sheet(lambda: "<a>" * MANY),
    "corners": lambda: of_sheet(lambda: CORNER),
    "rows without cells": lambda: of_sheet(lambda: "<row/>" * MANY),
    "cells without values": lambda: of_sheet(lambda: f"<row>{'<c/>' * 900}</row>" * (MANY // 901)),
    "text of a cell": lambda: of_sheet(lambda: f'<row><c t="inlineStr"><is><t>{long()}</t></is></c></row>'),
    "text of no cell": lambda: of_sheet(lambda: f"<v>{long()}</v>"),
    "space between rows": lambda: of_sheet(lambda: " " * len(long())),
    "attribute": lambda: of_sheet(lambda: f'<row a="{long()}"/>'),
    "attributes": lambda: of_sheet(lambda: "<row " + " ".join(f"a{n}=''" for n in range(2_000_000)) + "/>"),
    "comment": lambda: of_sheet(lambda: f"<!--{long()}-->"),
    "entities": lambda: packed(parts("") | {"xl/worksheets/sheet1.xml": LAUGHTER}),
    "sheets": lambda: of_sheet(
        str, **{"xl/workbook.xml": lambda: f"<workbook><sheets>{noisy('<sheet/>' * MANY)}</sheets></workbook>"}
    ),
    "styles": lambda: of_sheet(lambda: CORNER, **{"xl/styles.xml": styles}),
    "shared texts": lambda: of_sheet(str, shared=lambda: f"<sst>{noisy('<si/>' * MANY)}</sst>"),
    "shared text": lambda: of_sheet(str, shared=lambda: f"<sst><si><t>{noisy(long())}</t></si></sst>"),
    "runs of no text": lambda: of_sheet(str, shared=lambda: f"<sst><si>{noisy('<r/>' * MANY)}</si></sst>"),
    "one text again and again": lambda: of_sheet(
        lambda: f"<row>{CELL * 900}</row>" * 100, shared=lambda: f"<sst><si><t>{'x' * 30_000}</t></si></sst>"
    ),
}

_XLSX = {"Content-Type": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"}
_DOORS = {
    "file": dropped("a.xlsx"),
    "preflight": http(f"/v1/preflight/{FAMILY}", packed(parts(sheet([HEADER]))), _XLSX),
}

WORKBOOKS: Mapping[str, Bomb] = (
    {f"workbook, {name}": Bomb(_DOORS["file"], "bad-table", make) for name, make in SHEETS.items()}
    | {
        f"preflight, workbook, {name}": Bomb(_DOORS["preflight"], "bad-table", SHEETS[name])
        for name in ("bzip2", "depth", "cells without values", "shared texts", "one text again and again")
    }
    | {"preflight, workbook, too long": Bomb(_DOORS["preflight"], "too-large", lambda: Random(1).randbytes(13 << 20))}
)

FILES: Mapping[str, Bomb] = {
    f"file, {name}": Bomb(dropped(f"a.{suffix}"), told, make)
    for name, suffix, told, make in (
        ("JSON, elements", "json", "too-many", lambda: b"[" + b"1," * 639_000 + b"1]"),
        ("JSON, too long", "json", "too-large", lambda: b"[" + b"1," * (40 << 20) + b"1]"),
        ("JSON, in depth", "json", "not-json", lambda: b"[" * (15 << 20)),
        ("blank lines", "jsonl", "bad-table", lambda: b"\n" * 60_000_000),
        ("one line", "jsonl", "too-large", lambda: b"[" * 80_000_000),
        ("one line of CSV", "csv", "bad-table", partial(bytes, 100_000_000)),
    )
}
