"""The rules once more: what is one happening, and where it counts, family by family, from the documents alone.

Written from the words of the conventions and of the pages of tables and events, not from the folds, and it imports
nothing of the product. A family more is one more `Rule`; a table more is one function, and its id in `TABLES`.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import yaml

TABLES = ("F01", "F06", "F11")
"""The tables that are counted again; of the others nothing is said."""

PERSONS_TOO = ("F11",)
"""Tables that show persons beside acts: a person with several acts in one cell counts once."""

_NETS = {"F01": ("ARR", "DEP", "NET")}
"""Table -> codes of its first dimension: at the last one stands the first one's figure less the second one's."""

_SEX = {1: "M", 2: "F"}


@dataclass(frozen=True)
class Country:
    """What the count must know of a country, from its files."""

    zone: ZoneInfo
    alpha3: str
    precedence: Mapping[tuple[str, str], int]  # (family, agency) -> place; less is better
    areas: Mapping[str, str]  # code of a country in an event -> in the feed
    universes: Mapping[str, Mapping[str, list[str]]]  # table -> field -> codes that are counted

    @classmethod
    def read(cls, convention: Path, countries: Path) -> Country:
        """Read a convention's file and the list of countries."""
        agreed = yaml.safe_load(convention.read_text(encoding="utf-8"))
        places = {
            (family, agency): place
            for family, agencies in agreed["precedence"].items()
            for place, agency in enumerate(agencies)
        }
        with countries.open(encoding="utf-8", newline="") as rows:
            areas = {row["code"]: row["alpha2"] for row in csv.DictReader(rows)}
        universes = {table: agreed["tables"][table]["universe"] for table in TABLES}
        return cls(ZoneInfo(agreed["timezone"]), agreed["country_alpha3"], places, areas, universes)

    def day(self, at: int) -> date:
        """Return the local day of an instant in ms since 1970."""
        return datetime.fromtimestamp(at / 1000, self.zone).date()


class Said(NamedTuple):
    """What an accepted report says."""

    day: date  # local
    person: Mapping[str, Any]
    event: Mapping[str, Any]


class Rule(NamedTuple):
    """What is one happening of a family, and where it counts."""

    same: tuple[str, ...]  # fields of the event in which its reports agree
    minutes: int | None  # it ends where the next report comes later than this; None: with the local day
    document: bool  # whether its reports show the same document
    cells: Callable[[Said, Country], Iterator[str]]


def _f01(direction: str, way: str) -> Callable[[Said, Country], Iterator[str]]:
    """Arrivals and departures: each move counts once, in its month; one inside a district is none."""

    def cells(said: Said, country: Country) -> Iterator[str]:
        event = said.event
        other = event[f"{way}_country"]
        if other != country.alpha3 or event[f"{way}_district"] != event["district"]:
            area = country.areas[other]
            yield "|".join(("F01", _month(said.day), direction, area, event["region"], event["locality"]))

    return cells


def _f06(said: Said, country: Country) -> Iterator[str]:
    """Border crossings: each one that was let through counts once, in its month."""
    event, nationalities = said.event, said.person["citizenship"]
    if event["result"] in country.universes["F06"]["result"]:
        citizen = "C" if country.alpha3 in nationalities else "F"
        purpose = event["purpose"] or "_Z"
        yield "|".join(("F06", _month(said.day), event["direction"], citizen, country.areas[nationalities[0]],
                        event["section"], event["mode"], purpose, event["checkpoint"]))  # fmt: skip


def _f11(said: Said, country: Country) -> Iterator[str]:
    """Permits: each decision counts once, in its quarter."""
    event, person = said.event, said.person
    if event["permit_type"] in country.universes["F11"]["permit_type"]:
        quarter = f"{said.day.year}-Q{(said.day.month + 2) // 3}"
        yield "|".join(("F11", quarter, event["permit_type"], event["action"], "F" if event["first_issue"] else "R",
                        country.areas[person["citizenship"][0]], event["region"], _SEX.get(person["sex"], "U"),
                        _ages(person, said.day)))  # fmt: skip


RULES: Mapping[str, Rule] = {
    "border.crossing": Rule(("direction", "checkpoint"), 10, True, _f06),
    "permit.decision": Rule(("permit_no", "action"), None, False, _f11),
    "residence.registered": Rule(("district",), None, False, _f01("ARR", "from")),
    "residence.deregistered": Rule(("district",), None, False, _f01("DEP", "to")),
}


def derived(figures: Mapping[str, int]) -> dict[str, int]:
    """Return the figures that a reader derives from others: the nets."""
    nets: dict[str, int] = {}
    for cell, figure in figures.items():
        table, period, first, rest = cell.split("|", 3)
        plus, minus, net = _NETS.get(table, ("", "", ""))
        if first in (plus, minus):
            name = "|".join((table, period, net, rest))
            nets[name] = nets.get(name, 0) + (figure if first == plus else -figure)
    return nets


def _month(day: date) -> str:
    return f"{day.year}-{day.month:02d}"


def _ages(person: Mapping[str, Any], day: date) -> str:
    """Return the five-year group of the completed years; whose day of birth is not known was born on 1 July."""
    born = person.get("birth_date")
    birth = date(person["birth_year"], 7, 1) if born is None else date.fromisoformat(born)
    years = day.year - birth.year
    if (birth.month, birth.day) > (day.month, day.day):
        years -= 1
    if years < 0:
        return "UNK"
    low = years - years % 5
    if low == 0:
        return "Y_LT5"
    return "Y_GE85" if low >= 85 else f"Y{low}-{low + 4}"
