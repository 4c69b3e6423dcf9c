"""Border crossings as an agency sends them, in JSON: the contract's example, its blanks filled in."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

import orjson

from schemas.codelists import CodeLists
from schemas.contracts import FAMILIES

CROSSING = FAMILIES["border.crossing"]
AGENCY = "gpk"
PROBES_A_MONTH = 100
"""So that the part of the table that is asked for stays small."""

_FIRST_YEAR, _YEARS = 1995, 23  # before the year of the load
PROBES = _YEARS * 12 * PROBES_A_MONTH
"""How many probes there are."""

_BLANKS = (  # beside the document's number
    ("header", "record_no"),
    ("header", "occurred_at"),
    ("person", "surname"),
    ("person", "birth_date"),
    ("event", "direction"),
    ("event", "checkpoint"),
    ("event", "mode"),
    ("event", "purpose"),
)


class Cell(NamedTuple):
    """Where a crossing is counted; nationality and section are the same for all."""

    period: str
    direction: str
    checkpoint: str
    mode: str
    purpose: str


class Crossings:
    """Makes events."""

    def __init__(self, lists: CodeLists) -> None:
        """The codes are those of the lists, so that the door takes them."""
        checkpoints, modes, purposes = ([row["code"] for row in lists[n].rows] for n in ("CHECKPOINT", "MODE", "PURP"))
        self._cells = list(product(("IN", "OUT"), checkpoints, modes, purposes))
        self._template = _template()

    def probe(self, number: int) -> tuple[Cell, bytes]:
        """Return a crossing that is alone in its cell, and the cell; raises IndexError when there are no more."""
        months, place = divmod(number, PROBES_A_MONTH)
        years, month = divmod(months, 12)
        period = f"{_FIRST_YEAR + years}-{month + 1:02}"
        if number >= PROBES:
            raise IndexError(number)
        codes = self._cells[place * 7 % len(self._cells)]
        event = self._filled(f"probe-{number}", f"{period}-15T12:00:00+03:00", 10_000_000 + number, codes)
        return Cell(period, *codes), event

    def _filled(self, record_no: str, at: str, person: int, codes: Sequence[str]) -> bytes:
        chance = person * 2_654_435_761 % 2**32  # spreads persons over birth dates
        birth = f"{1930 + chance % 60}-{1 + chance // 60 % 12:02}-{1 + chance // 720 % 28:02}"
        return (self._template % (record_no, at, _letters(person), birth, f"AB{person:07}", *codes)).encode()


def _letters(number: int) -> str:
    """Return a name that is a person's own."""
    name = ""
    for _ in range(7):
        number, letter = divmod(number, 26)
        name += chr(65 + letter)
    return name


def _template() -> str:
    """Return the contract's example with a `%s` for each blank, in their order."""
    event = copy.deepcopy(CROSSING.example)
    event["person"]["document"]["number"] = "%s"
    event["header"]["recorded_at"] = "2018-12-31T10:00:00+03:00"
    event["event"] |= {"queued_at": None, "document_expires": None}
    for part, name in _BLANKS:
        event[part][name] = "%s"
    return orjson.dumps(event).decode()
