"""Tables and other files as agencies drop them, with something wrong in cells, rows, text, sheet or package."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping
from io import BytesIO, StringIO
from random import Random
from typing import Any

from connectors.avro_file import Bounds
from connectors.batch import NDJSON
from connectors.rows import BY_FIELD, CSV, XLSX, Row, TableMapping, rows
from connectors.verdicts import Arrival, answer, delivery_id
from schemas.contracts import FAMILIES, Family
from schemas.errors import Refused
from tests.connectors.doors import ADMISSION
from tests.connectors.events import NOW
from tests.connectors.workbooks import packed, parts, sheet
from tests.fuzz import checks, mutants, odd
from tests.fuzz.checks import CountingInbox
from tests.fuzz.mutants import SENDER

BOUNDS = Bounds(body_bytes=300_000, event_bytes=20_000, events=40)
MAPPINGS = (
    BY_FIELD,
    TableMapping(
        columns={"Номер": "header.record_no", odd.JUNK: "header.legal_basis"},
        ignored=["x", ""],
        constants={"header.source_system": "T-1", "header.op": "CREATE"},
        dates=["%d.%m.%Y"],
        moments=["%d.%m.%Y %H:%M"],
        zone="Europe/Minsk",
        separator=",",
    ),
    TableMapping(sheet="Events", zone="Pacific/Apia"),
)
_CELLS = (
    "_xD800_",
    "_x0000_",
    "_x005F_x0041_",
    "#N/A",
    "=1+1",
    "1E+15",
    "43160.5",
    "-1",
    "2958466",
    "1e999",
    "01.03.2018",
)


def cells_of(made: Any, prefix: str = "") -> dict[str, Any]:
    """Return the values of an event by their paths."""
    found: dict[str, Any] = {}
    for name, value in made.items():
        if isinstance(value, dict):
            found |= cells_of(value, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = "|".join(map(str, value)) if isinstance(value, list) else value
    return found


def table(chance: Random, family: str) -> tuple[list[str], list[list[Any]]]:
    """Return titles and rows of a table; most of them as they should be."""
    titles = list(cells_of(mutants.sound(chance, family)))
    whole = [cells_of(mutants.mutant(chance, family)) for _ in range(chance.choice((1, 3, 10, 20)))]
    lines = [[row.get(title) for title in titles] for row in whole]
    for _ in range(chance.choice((0, 0, 1, 3))):
        line = chance.choice(lines)
        place = chance.randrange(len(line) + 1)
        line[place : place + 1] = chance.choice(([], [chance.choice(_CELLS)], [odd.text(chance)] * 3))
    if chance.random() < 0.1:
        titles[chance.randrange(len(titles))] = chance.choice(
            ("", "Номер", odd.text(chance), titles[0], "x", "surname")
        )
    return titles, lines


def comma_separated(chance: Random, family: str) -> bytes:
    """Return what might be a table in CSV."""
    titles, lines = table(chance, family)
    made = StringIO(newline="")
    lined = csv.writer(
        made,
        delimiter=chance.choice(",;\t|"),
        quoting=chance.choice((csv.QUOTE_MINIMAL, csv.QUOTE_ALL)),
        lineterminator=chance.choice(("\n", "\r\n", "\r")),
    )
    lined.writerows([titles, *([_said(each) for each in line] for line in lines)])
    content = made.getvalue().encode(
        chance.choice(("utf-8", "utf-8", "utf-8", "utf-8-sig", "cp1251", "utf-16")), "replace"
    )
    return mutants.torn(chance, content) if chance.random() < 0.3 else content


def _said(value: Any) -> str:
    return "" if value is None else str(value)


def workbook(chance: Random, family: str) -> bytes:
    """Return what might be a table in XLSX."""
    titles, lines = table(chance, family)
    drawn = [[_drawn(each) for each in line] for line in (titles, *lines)]
    files = parts(sheet(drawn), **chance.choice(({}, {}, {"Other": "hidden"}, {"Other": "visible"})))
    if chance.random() < 0.3:
        name = chance.choice(list(files))
        spoilt = mutants.torn(chance, files[name].encode())
        return packed({**files, name: spoilt})
    content = packed(files)
    return mutants.torn(chance, content) if chance.random() < 0.2 else content


def _drawn(value: Any) -> Any:
    """Return a value as a cell can hold it: XML has no controls and no surrogates, but its own way to write them."""
    if isinstance(value, str):
        return "".join(each if each.isprintable() else f"_x{ord(each) & 0xFFFF:04X}_" for each in value)
    return value if value is None or isinstance(value, bool | int | float) else json.dumps(value)


def lines(chance: Random, family: str) -> bytes:
    """Return what might be JSON Lines."""
    made = [odd.written(chance, mutants.mutant(chance, family)) for _ in range(chance.choice((1, 10)))]
    content = b"\n".join(made)
    return mutants.torn(chance, content) if chance.random() < 0.3 else content


MAKERS: Mapping[str, Callable[[Random, str], bytes]] = {CSV: comma_separated, XLSX: workbook, NDJSON: lines}


class Files:
    """What reads agencies' files and has every row answered, as the doors for files do."""

    def __init__(self) -> None:
        """Nothing was read yet."""
        self.inbox = CountingInbox()

    async def csv(self, chance: Random) -> int:
        """Read a table in CSV."""
        return await self._read(chance, CSV)

    async def xlsx(self, chance: Random) -> int:
        """Read a table in XLSX."""
        return await self._read(chance, XLSX)

    async def jsonl(self, chance: Random) -> int:
        """Read JSON Lines."""
        return await self._read(chance, NDJSON)

    async def _read(self, chance: Random, kind: str) -> int:
        family = FAMILIES[chance.choice(list(FAMILIES))]
        content, mapping = MAKERS[kind](chance, family.name), chance.choice(MAPPINGS)
        found, why = _rows(content, kind, family, mapping)
        again, _ = _rows(content, kind, family, mapping)
        assert [each[:2] for each in found] == [each[:2] for each in again]
        assert [each.number for each in found] == sorted({each.number for each in found})
        agency = SENDER[family.name]
        answers = [
            answer(ADMISSION, Arrival(agency, family.name, delivery_id(b"%d" % number, payload), NOW), event)
            for number, payload, event in found
        ]
        await self.inbox.put([each.entry for each in answers])
        said = [each.verdict.encode() for each in answers]
        verdicts = [json.loads(each) for each in said]
        checks.balanced(verdicts, [each.entry for each in answers])
        checks.unmarked(b"".join(said) + why.encode(), verdicts)
        return max(len(found), 1)


def _rows(content: bytes, kind: str, family: Family, mapping: TableMapping) -> tuple[list[Row], str]:
    """Return all rows of a file, and why it ended too early."""
    found: list[Row] = []
    try:
        for row in rows(BytesIO(content), kind, family, BOUNDS, mapping):
            found.append(row)  # one by one, for it may end in a refusal
    except Refused as refusal:
        return found, repr(refusal.reasons)
    return found, ""
