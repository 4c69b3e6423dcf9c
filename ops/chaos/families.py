"""What agencies report: one function a family, which makes up what happened to a person.

A family more is one more function and its line in `KINDS`; where its tables are counted again, its rule is one more in
`ops.chaos.tables`. Codes are those of the convention of Belarus.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random
from typing import Any, NamedTuple

from ops.chaos.people import Someone
from schemas import conventions

CONVENTION = conventions.DEFAULT
"""Under it a run is made: there, each family of `KINDS` is reported by two agencies at least."""

HOME = "BLR"
REGIONS = ("BY-BR", "BY-VI", "BY-HO", "BY-HR", "BY-HM", "BY-MI", "BY-MA")
PLACES = (
    ("BREST-TERESPOL", "PL", "ROAD"), ("PESCHATKA", "PL", "ROAD"), ("BREST-RAIL", "PL", "RAIL"),
    ("BENYAKONI", "LT", "ROAD"), ("KAMENNY-LOG", "LT", "ROAD"), ("URBANY", "LV", "FOOT"), ("MINSK-2", "AIR", "AIR"),
)  # fmt: skip
"""Checkpoint, section of the border, means of travel."""

Fields = dict[str, Any]


class Kind(NamedTuple):
    """A family as senders know it."""

    share: int  # of so many in a hundred happenings
    says: Callable[[Someone, Random], Fields]
    same: tuple[str, ...]  # what all who saw the same happening agree in
    apart_secs: int  # how far apart they put it in time, at most
    coded: str  # a field that only codes of a list may stand in


def crossing(who: Someone, chance: Random) -> Fields:
    """Return a crossing of the border, mostly at the place that is on the person's way."""
    usual = PLACES[who.number % len(PLACES)]
    checkpoint, section, mode = usual if chance.random() < 0.9 else chance.choice(PLACES)
    return {
        "direction": chance.choice(("IN", "OUT")),
        "checkpoint": checkpoint,
        "section": section,
        "mode": mode,
        "purpose": chance.choice((None, "WORK", "VISIT", "TRANSIT")),
        "result": chance.choice(("PASSED",) * 19 + ("REFUSED",)),
        "mrz_ok": True,
    }


def decision(who: Someone, chance: Random) -> Fields:
    """Return a decision about one of the person's permits."""
    region = REGIONS[who.number % len(REGIONS)]
    which = who.number % 3 if chance.random() < 0.8 else chance.randrange(3)
    action = chance.choice(("ISSUED", "EXTENDED", "AMENDED", "AMENDED", "ANNULLED"))
    return {
        "permit_type": ("TEMP_RES", "SPECIAL_WORK", "PERM_RES")[which],
        "action": action,
        "first_issue": action == "ISSUED" and chance.random() < 0.5,
        "reason": chance.choice(("FAM", "EMP", "EDU")),
        "region": region if chance.random() < 0.9 else chance.choice(REGIONS),
        "occupation": chance.choice((None, "2", "7")),
        "activity": chance.choice((None, "F")),
        "valid_from": f"{chance.randint(2018, 2019)}-03-05",
        "valid_to": chance.choice((None, "2020-03-04")),
        "permit_no": f"{region}-{who.number:07d}-{which}",
    }


def arrival(who: Someone, chance: Random) -> Fields:
    """Return a registration at a place of residence."""
    return _move(who, chance, "from")


def departure(who: Someone, chance: Random) -> Fields:
    """Return a deregistration."""
    return _move(who, chance, "to")


def _move(who: Someone, chance: Random, way: str) -> Fields:
    """Return a move, one in three inside the country, some of these inside one district."""
    region = (who.number + chance.choice((0, 0, 0, 1))) % len(REGIONS)
    inside = chance.random() < 0.35
    return {
        f"{way}_country": HOME if inside else chance.choice((who.citizenship[0], "RUS", "POL", "XXX")),
        f"{way}_district": f"{chance.randint(1, 7)}20{chance.randint(1, 2)}" if inside else None,
        "region": REGIONS[region],
        "district": f"{region + 1}20{chance.randint(1, 2)}",
        "locality": chance.choice("UUR"),
        "reason": chance.choice(("FAM", "EMP", "OTH")),
    }


KINDS: Mapping[str, Kind] = {
    "border.crossing": Kind(46, crossing, ("direction", "checkpoint"), 15 * 60, "mode"),
    "permit.decision": Kind(24, decision, ("permit_no", "action"), 4 * 3600, "permit_type"),
    "residence.registered": Kind(16, arrival, ("district",), 4 * 3600, "region"),
    "residence.deregistered": Kind(14, departure, ("district",), 4 * 3600, "reason"),
}
