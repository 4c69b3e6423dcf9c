"""The published table of the demo: persons entering by port, month and mode, and the single crossings it is made of.

Source: U.S. Bureau of Transportation Statistics, Border Crossing/Entry Data, 2018, public domain
(examples/bts/README.md). Four of its measures count persons; the others count vehicles and containers and are left out.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from random import Random
from typing import NamedTuple
from zoneinfo import ZoneInfo

from schemas.errors import Misconfigured

FOLDER = Path(__file__).parents[2] / "examples" / "bts"
FILE = FOLDER / "border_crossing_entry_2018.csv"
DIRECTION = "IN"
MODES = {
    "Pedestrians": "PEDESTRIAN",
    "Personal Vehicle Passengers": "CAR",
    "Bus Passengers": "BUS",
    "Train Passengers": "TRAIN",
}
SECTIONS = {"US-Canada Border": "US_CA", "US-Mexico Border": "US_MX"}
ENOUGH_PERSONS = 100_000
"""Persons of the default choice: the smallest ports whose sum reaches it."""


class Port(NamedTuple):
    """A place where the border is crossed; its code identifies it, its name does not (two are called Eastport)."""

    code: str
    name: str
    state: str
    section: str


class Cell(NamedTuple):
    """A combination of codes under which the published table states one number of persons."""

    direction: str
    section: str
    mode: str
    checkpoint: str
    period: str  # "2018-03"


class Crossing(NamedTuple):
    """One person's entry: when (seconds since 1970-01-01T00:00Z), where and how."""

    at: int
    port: Port
    mode: str
    period: str


@dataclass(frozen=True, slots=True)
class Published:
    """The published table, or a part of it: its ports by code and its non-zero cells."""

    ports: Mapping[str, Port]
    persons: Mapping[Cell, int]

    def totals(self) -> dict[str, int]:
        """Return the persons of each port, the smallest port first."""
        sums = dict.fromkeys(self.ports, 0)
        for cell, count in self.persons.items():
            sums[cell.checkpoint] += count
        return dict(sorted(sums.items(), key=lambda pair: (pair[1], pair[0])))

    def only(self, codes: Iterable[str]) -> Published:
        """Return the part of the table that the given ports make up."""
        kept = set(codes)
        return Published(
            {code: port for code, port in self.ports.items() if code in kept},
            {cell: count for cell, count in self.persons.items() if cell.checkpoint in kept},
        )

    def scaled(self, scale: float) -> Published:
        """Return the table with every cell multiplied and rounded up, so that no cell becomes empty."""
        if not 0 < scale <= 1000:
            raise Misconfigured("demo-scale", "--scale is a number above 0 and at most 1000, e.g. 0.1.")
        return Published(self.ports, {cell: math.ceil(count * scale) for cell, count in self.persons.items()})


def read(file: Path = FILE) -> Published:
    """Read the published file; raises Misconfigured when it is missing or not of the known form."""
    if not file.is_file():
        raise Misconfigured("demo-input-missing", f"{file} is not there: run the demo in a checkout of the repository.")
    ports: dict[str, Port] = {}
    persons: dict[Cell, int] = {}
    with file.open(encoding="utf-8", newline="") as rows:
        for number, row in enumerate(csv.DictReader(rows), start=2):
            try:
                port, cell, count = _row(row)
            except (KeyError, ValueError) as error:
                raise Misconfigured(
                    "demo-input-form", f"{file.name}, line {number}: not a row of the table."
                ) from error
            ports[port.code] = port
            if cell is not None and count:
                persons[cell] = persons.get(cell, 0) + count
    return Published(ports, persons)


def _row(row: Mapping[str, str]) -> tuple[Port, Cell | None, int]:
    port = Port(row["Port Code"], row["Port Name"], row["State"], SECTIONS[row["Border"]])
    mode = MODES.get(row["Measure"])
    if mode is None:
        return port, None, 0
    month, _, year = row["Date"].split(" ")[0].split("/")
    return port, Cell(DIRECTION, port.section, mode, port.code, f"{int(year)}-{int(month):02d}"), int(row["Value"])


def choose(published: Published, ports: str | None = None) -> Published:
    """Return the part to be sent: `ports` is a number of smallest ports, a list of codes ("3321,3408"), or None.

    None takes the smallest ports whose sum reaches `ENOUGH_PERSONS`. Raises Misconfigured for a code nobody knows.
    """
    totals = {code: count for code, count in published.totals().items() if count}
    if ports is None:
        return published.only(_reaching(totals, ENOUGH_PERSONS))
    codes = [code.strip() for code in ports.split(",") if code.strip()]
    if len(codes) == 1 and codes[0] not in totals and codes[0].isdigit() and 0 < int(codes[0]) <= len(totals):
        return published.only(list(totals)[: int(codes[0])])
    unknown = [code for code in codes if code not in totals]
    if unknown or not codes:
        rule = f"--ports takes 1 to {len(totals)} for the smallest ports, or port codes of {FILE.name} joined by commas"
        raise Misconfigured("demo-ports", f"{rule}; without persons or unknown: {', '.join(unknown) or 'all'}.")
    return published.only(codes)


def _reaching(totals: Mapping[str, int], enough: int) -> Iterator[str]:
    reached = 0
    for code, count in totals.items():
        if reached >= enough:
            return
        reached += count
        yield code


def crossings(published: Published, zone: ZoneInfo, chance: Random) -> Iterator[Crossing]:
    """Yield one crossing for each person of the table, in order of time, spread evenly over the local month.

    One month is in memory at a time.
    """
    months: dict[str, list[tuple[Cell, int]]] = {}
    for cell, count in sorted(published.persons.items()):
        months.setdefault(cell.period, []).append((cell, count))
    for period in sorted(months):
        begin, end = month_bounds(period, zone)
        found = [
            Crossing(begin + int(chance.random() * (end - begin)), published.ports[cell.checkpoint], cell.mode, period)
            for cell, count in months[period]
            for _ in range(count)
        ]
        found.sort(key=lambda crossing: crossing.at)
        yield from found


def month_bounds(period: str, zone: ZoneInfo) -> tuple[int, int]:
    """Return the instants at which a month ("2018-03") begins and ends in a time zone, seconds since 1970."""
    year, month = int(period[:4]), int(period[5:])
    begin = datetime(year, month, 1, tzinfo=zone)
    end = datetime(year + month // 12, month % 12 + 1, 1, tzinfo=zone)
    return int(begin.timestamp()), int(end.timestamp())
