"""Whatever the schedule of re-deliveries, zombies, restores and re-framings: at every cut each record counts once."""

from __future__ import annotations

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streams.books import TABLE as BOOKS
from streams.fold import CellChange
from tests.laws import census
from tests.laws.builds import Build, cells_at_each, values_from
from tests.laws.census import Account, Count, Place
from tests.laws.records import Entry
from tests.laws.schedules import common_ticks, inbox_of
from tests.laws.worlds import worlds

SEEDS = st.integers(0, 2**32 - 1)


def seen(cells: dict[str, CellChange]) -> Count:
    """Return what the cells of a cut say, as the census does."""
    books: dict[Account, int] = {}
    crossings: dict[Place, int] = {}
    for key, cell in cells.items():
        table, period, *codes = key.split("|")
        if table == BOOKS:
            account = int(codes[0]), int(codes[1]), codes[2]
            books[account] = books.get(account, 0) + cell.measures[0]
        elif table == "F06":
            place = period, codes[0], codes[-1]
            crossings[place] = crossings.get(place, 0) + cell.facts
    return Count({account: count for account, count in books.items() if count}, crossings)


def check(entries: list[Entry], seed: int, turns: int) -> None:
    """Build a generation under a random schedule, and compare every cut with an independent count of the inbox."""
    chance = random.Random(seed)
    inbox = inbox_of(entries, chance, 1 + seed % 3)
    build = Build([values_from(partition) for partition in inbox], 1 + seed // 3 % 3, chance)
    build.run(turns)
    assert [cut.tick for cut in build.closed] == common_ticks(inbox)
    for tick, cells in cells_at_each(build.closed):
        assert seen(cells) == census.count(census.before(inbox, tick))


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(worlds(numbers=False), SEEDS)
def test_at_every_cut_each_record_counts_once(entries: list[Entry], seed: int) -> None:
    check(entries, seed, turns=150)


@pytest.mark.long
@settings(max_examples=2000, deadline=None, suppress_health_check=list(HealthCheck))
@given(worlds(most=16, numbers=False), SEEDS)
def test_at_every_cut_each_record_counts_once_at_length(entries: list[Entry], seed: int) -> None:
    check(entries, seed, turns=400)
