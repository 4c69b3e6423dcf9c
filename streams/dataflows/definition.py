"""What a table is: its dimensions, its measures, and the facts that a person's history states in it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import msgspec

from schemas.codelists import CodeLists
from schemas.contracts import FAMILIES
from schemas.conventions import Convention
from streams.reconcile.happenings import Code, Happening, Report


@dataclass(frozen=True, slots=True)
class Dimension:
    """One classification of a table; `internal` ones are kept in the cells and summed out of what is published."""

    id: str
    codelist: str | None = None
    internal: bool = False


@dataclass(frozen=True, slots=True)
class Measure:
    """One number of a cell; `unit` is a UNIT_MEASURE code: PS persons, ACT acts."""

    id: str
    unit: str


class Net(NamedTuple):
    """Rows that are derived when a table is read: at `code` of a dimension stands `plus` less `minus`."""

    dimension: str
    code: str
    plus: str
    minus: str


class Fact(msgspec.Struct, frozen=True, gc=False):
    """What a history states that counts once in a table; a struct is made in a third of a named tuple's time."""

    cell: str  # TABLE|PERIOD|DIMENSION|...
    record: bytes  # the record that states it; the representative where several report one happening
    measures: tuple[int, ...]

    @property
    def table(self) -> str:
        """The table's id."""
        return self.cell.partition("|")[0]


class Counted(NamedTuple):
    """The codes of a core field that a table counts."""

    field: str
    place: int  # among the core's codes
    codes: frozenset[Code]


class LeftOut(NamedTuple):
    """Which rule leaves a report out of a table: a code of `connectors/fates.csv`, and the field of `universe`."""

    code: str
    field: str | None = None


@dataclass(frozen=True)
class Rules:
    """What a table may ask besides the history: the recipient's convention and the code lists."""

    convention: Convention
    lists: CodeLists

    @cached_property
    def _precedence(self) -> dict[tuple[int, int], int]:
        return {
            (FAMILIES[family].id, agency.id): place
            for agency in self.convention.agencies.values()
            for family, place in agency.precedence.items()
        }

    def counted(self, table: str, family: int) -> Sequence[Counted]:
        """Return what the convention lets a table count of a family's reports (`universe`)."""
        return self._counted[table, family]

    @cached_property
    def _counted(self) -> dict[tuple[str, int], tuple[Counted, ...]]:
        return {
            (table.id, family.id): tuple(
                Counted(field, family.core_index[field], frozenset(codes))
                for field, codes in table.universe.items()
                if field in family.core_index
            )
            for table in self.convention.tables.values()
            for family in FAMILIES.values()
        }

    def rank(self, family: int, agency: int) -> int:
        """Return the precedence of an agency's reports of a family; less is better, agencies without one come last."""
        return self._precedence.get((family, agency), 1 << 30)


FactsOf = Callable[[Sequence[Happening], Rules], Iterable[Fact]]
"""`facts(history, rules)`: the happenings of one person in event-time order -> the facts they state (law L7)."""

OutsideOf = Callable[[Report, Rules], str | None]
"""Why a rule of the table's own leaves a report out, as a code of `connectors/fates.csv`; None: no such rule does."""


@dataclass(frozen=True, slots=True)
class Dataflow:
    """A statistical table's definition; `freq` is a CL_FREQ code: M, Q, S, A."""

    id: str
    freq: str
    families: frozenset[int]  # permanent numbers of the event families it reads
    dimensions: tuple[Dimension, ...]
    measures: tuple[Measure, ...]
    facts: FactsOf  # asked for what `left_out` lets through only
    by_happening: bool = False  # a happening states the same facts whatever else happened to the person
    net: Net | None = None
    outside: OutsideOf | None = None

    def stated(self, history: Sequence[Happening], rules: Rules) -> Iterable[Fact]:
        """Return the facts that one person's history states here: of the reports that no rule leaves out."""
        families, left_out = self.families, self.left_out
        counted = [
            happening
            for happening in history
            if (report := happening.reports[0]).family in families and left_out(report, rules) is None
        ]
        return self.facts(counted, rules) if counted else ()

    def left_out(self, report: Report, rules: Rules) -> LeftOut | None:
        """Return the rule that leaves a report of these families out; None: it counts.

        The one place where that is decided, so that who asks about a record is told the very rule that counted.
        """
        codes = report.core.codes
        for field, place, counted in rules.counted(self.id, report.family):
            if codes[place] not in counted:
                return LeftOut("outside-universe", field)
        code = self.outside(report, rules) if self.outside is not None else None
        return None if code is None else LeftOut(code)


def cell(table: str, period: str, *codes: object) -> str:
    """Return a cell's key; an absent code is `_Z` (SDMX: not applicable)."""
    return "|".join([table, period, *["_Z" if code is None else str(code) for code in codes]])
