"""The comparison: no difference between two tables may pass unseen."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops.demo.bts import Cell
from ops.demo.oracle import Expected, at_the_published_level, compare, compare_books
from schemas.errors import Broken


class Stored(NamedTuple):
    table: str
    period: str
    codes: tuple[str, ...]
    measures: tuple[int, ...]


def stored(key: str, count: int) -> Stored:
    table, period, *codes = key.split("|")
    return Stored(table, period, tuple(codes), (count,))


CELLS = {
    Cell("IN", "US_CA", "CAR", "3321", "2018-03"): 7,
    Cell("IN", "US_CA", "BUS", "3321", "2018-03"): 2,
    Cell("IN", "US_MX", "PEDESTRIAN", "2410", "2018-12"): 1,
}
STORED = [
    stored("F06|2018-03|IN|C|US|US_CA|CAR|VISIT|3321", 4),
    stored("F06|2018-03|IN|F|CA|US_CA|CAR|_Z|3321", 3),
    stored("F06|2018-03|IN|F|CA|US_CA|BUS|_Z|3321", 2),
    stored("F06|2018-12|IN|F|MX|US_MX|PEDESTRIAN|WORK|2410", 1),
]
BOOK = {
    "deliveries": 10, "refused": 1, "duplicate": 2, "new_version": 7, "current": 4, "superseded": 2, "cancelled": 1,
    "speaking": 4,
}  # fmt: skip


def expected() -> Expected:
    return Expected(dict(CELLS), {("cbp", "border.crossing"): Counter(BOOK)})


def test_equal_tables_differ_nowhere() -> None:
    assert at_the_published_level(STORED) == CELLS
    assert compare(STORED, expected()) == []


@given(st.integers(0, len(STORED) - 1), st.integers(-9, 9).filter(bool))
def test_any_changed_value_is_seen(place: int, change: int) -> None:
    changed = [*STORED]
    changed[place] = changed[place]._replace(measures=(changed[place].measures[0] + change,))
    assert len(compare(changed, expected())) == 1


@given(st.integers(0, len(STORED) - 1))
def test_a_missing_cell_is_seen(place: int) -> None:
    assert compare(STORED[:place] + STORED[place + 1 :], expected())


@given(
    st.integers(0, len(STORED) - 1),
    st.sampled_from([(0, "OUT"), (3, "US_XX"), (4, "TRAIN"), (6, "3408")]),
)
def test_a_cell_under_another_code_is_seen_on_both_sides(place: int, other: tuple[int, str]) -> None:
    codes = list(STORED[place].codes)
    codes[other[0]] = other[1]
    moved = [*STORED[:place], STORED[place]._replace(codes=tuple(codes)), *STORED[place + 1 :]]
    assert len(compare(moved, expected())) == 2


@given(st.integers(0, len(STORED) - 1))
def test_a_cell_under_another_month_is_seen_on_both_sides(place: int) -> None:
    moved = [*STORED[:place], STORED[place]._replace(period="2018-04"), *STORED[place + 1 :]]
    assert len(compare(moved, expected())) == 2


def test_a_cell_too_many_is_seen() -> None:
    extra = stored("F06|2017-12|IN|F|CA|US_CA|CAR|_Z|3321", 1)
    assert compare([*STORED, extra], expected()) == ["IN|US_CA|CAR|3321|2017-12: published 0, ours 1"]


def test_what_is_no_cell_of_f06_is_refused() -> None:
    with pytest.raises(Broken, match="F06"):
        at_the_published_level([stored("F01|2018-03|ARR|US|US-MT|_Z", 1)])


def test_equal_books_differ_nowhere() -> None:
    assert compare_books({("cbp", "border.crossing"): BOOK}, expected()) == []


@given(st.sampled_from([*BOOK, "conflict", "quarantined", "broken_frames"]), st.integers(-3, 3).filter(bool))
def test_any_changed_count_is_seen(entry: str, change: int) -> None:
    changed = BOOK | {entry: BOOK.get(entry, 0) + change}
    assert any(entry in line for line in compare_books({("cbp", "border.crossing"): changed}, expected()))


def test_a_missing_and_a_foreign_account_are_seen() -> None:
    assert compare_books({}, expected())
    both = {("cbp", "border.crossing"): BOOK, ("carriers", "border.crossing"): {"deliveries": 1}}
    assert compare_books(both, expected())


def test_books_that_do_not_balance_are_seen_even_if_expected() -> None:
    wrong = BOOK | {"duplicate": 3}
    both = Expected(dict(CELLS), {("cbp", "border.crossing"): Counter(wrong)})
    assert compare_books({("cbp", "border.crossing"): wrong}, both) == [
        "cbp border.crossing: deliveries 10 is not refused + duplicate + new_version = 11"
    ]
