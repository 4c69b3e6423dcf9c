"""What a reader of the feed store gets: cells, their changes, cuts, and the books."""

from __future__ import annotations

from typing import NamedTuple

from streams.fold import CellChange

Causes = dict[str, tuple[int, int]]
"""Cause of a change -> facts stated, facts withdrawn: on-time, late, correction, cancellation, link, final."""


class Cell(NamedTuple):
    """One cell of a table as of a cut: the number of its facts and what they add up to."""

    table: str
    period: str
    codes: tuple[str, ...]  # in the order of the table's dimensions
    facts: int  # 0: it is gone
    measures: tuple[int, ...]  # in the order of the table's measures
    cut: int  # the cut of its last change, seconds since 1970-01-01T00:00Z


class Change(NamedTuple):
    """One change of a cell at a cut: from what, to what, and why."""

    table: str
    period: str
    codes: tuple[str, ...]
    cut: int
    facts_before: int  # 0: the cell was not there
    measures_before: tuple[int, ...]  # zeros when it was not there
    facts: int  # 0: the cell is gone
    measures: tuple[int, ...]
    causes: Causes


class Cut(NamedTuple):
    """A complete cut: the instant up to which every accepted record is counted, and how many cells it changed."""

    tick: int  # seconds since 1970-01-01T00:00Z
    cells: int


def split_key(key: str) -> tuple[str, str, str]:
    """Return table, period and the codes (still joined by |) of a cell's key; raises ValueError for another shape."""
    table, period, codes = key.split("|", 2)
    return table, period, codes


def of_change(change: CellChange, cut: int) -> Cell:
    """Return the cell that a change leaves behind at a cut: how a table is made without a store."""
    table, period, codes = split_key(change.key)
    return Cell(table, period, tuple(codes.split("|")), change.facts, change.measures, cut)
