"""Control totals: how many records agencies say they hold, beside how many the inbox holds of theirs.

A record counts on the local day on which its current version says that it happened; a cancelled one does not count.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import NamedTuple

from schemas.contracts import FAMILIES
from schemas.core import decode
from schemas.header import Op, unpack
from streams.deduplicate import Version

_CONTRACT = FAMILIES["control.total"]
_PLACES = ("checkpoint", "region")
_NAMES = {family.id: name for name, family in FAMILIES.items()}

Where = tuple[str | None, str | None]
"""Checkpoint and region; None: not told apart, or not told."""


class Total(NamedTuple):
    """One control total; days since 1970-01-01."""

    agency: int  # permanent number
    family: str
    first_day: int
    last_day: int
    checkpoint: str | None
    region: str | None
    said: int
    held: int | None  # None: records of the family do not name such a place, so nobody can count them

    @property
    def agrees(self) -> bool:
        """Whether the inbox holds what the agency says."""
        return self.said == self.held


class Ledger:
    """What agencies said and what is held, gathered record by record."""

    def __init__(self) -> None:
        self._said: list[Total] = []
        self._held: defaultdict[tuple[int, str, int], Counter[Where]] = defaultdict(Counter)

    def take(self, version: Version) -> None:
        """Take in the version that speaks for a record."""
        if version.op == Op.CANCEL:
            return
        (header,) = unpack(version.header)
        core, family = decode(version.core), FAMILIES[_NAMES[header.family]]
        codes = dict(zip(family.core_fields, core.codes, strict=False))  # an older contract may have had fewer
        checkpoint, region = (codes.get(name) for name in _PLACES)
        if family is _CONTRACT:
            days = codes["first_day"], codes["last_day"]
            self._said.append(Total(header.agency, codes["family"], *days, checkpoint, region, codes["records"], 0))
        else:
            self._held[header.agency, family.name, core.day][checkpoint, region] += 1

    def totals(self) -> list[Total]:
        """Return every control total with what is held, by agency, family, days and place."""
        counted = [total._replace(held=self._count(total)) for total in self._said]
        return sorted(counted, key=lambda total: (*total[:4], total.checkpoint or "", total.region or ""))

    def _count(self, total: Total) -> int | None:
        wanted = (total.checkpoint, total.region)
        named = [name for name, place in zip(_PLACES, wanted, strict=True) if place is not None]
        family = FAMILIES.get(total.family)
        if family is None or not set(named) <= set(family.core_fields):
            return None
        days = range(total.first_day, total.last_day + 1)
        found = (self._held.get((total.agency, total.family, day), Counter()) for day in days)
        return sum(count for each in found for where, count in each.items() if _within(where, wanted))


def _within(where: Where, wanted: Where) -> bool:
    return all(place is None or place == own for own, place in zip(where, wanted, strict=True))
