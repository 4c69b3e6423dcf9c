"""Periods: their names, ends, and order."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import periods

EPOCH = date(1970, 1, 1)
any_day = st.dates(min_value=date(2, 1, 1))
any_freq = st.sampled_from("MQSA")


def number(day: date) -> int:
    return (day - EPOCH).days


@pytest.mark.parametrize(
    ("freq", "period", "first", "last"),
    [
        ("M", "2018-02", date(2018, 2, 1), date(2018, 2, 28)),
        ("Q", "2018-Q1", date(2018, 1, 1), date(2018, 3, 31)),
        ("S", "2018-S1", date(2018, 1, 1), date(2018, 6, 30)),
        ("A", "2018", date(2018, 1, 1), date(2018, 12, 31)),
    ],
)
def test_a_day_lies_in_one_period_of_each_frequency(freq: str, period: str, first: date, last: date) -> None:
    assert periods.period_of(number(date(2018, 2, 17)), freq) == period
    assert (periods.first_day(period), periods.last_day(period)) == (first, last)
    assert periods.frequency(period) == freq


@given(any_day, any_freq)
def test_a_period_holds_its_day_and_the_next_begins_behind_it(day: date, freq: str) -> None:
    period = periods.period_of(number(day), freq)
    first, last = periods.first_day(period), periods.last_day(period)
    assert first <= day <= last
    assert periods.period_of(number(first), freq) == periods.period_of(number(last), freq) == period
    if last < date.max:
        assert periods.period_of(number(last + timedelta(days=1)), freq) > period


@given(any_day, any_freq)
def test_the_year_before_is_the_same_part_of_the_year(day: date, freq: str) -> None:
    period = periods.period_of(number(day), freq)
    before = periods.first_day(periods.previous_year(period))
    assert before.replace(year=before.year + 1) == periods.first_day(period)


@pytest.mark.parametrize(
    ("period", "start", "end", "inside"),
    [
        ("2018-03", "2018-01", "2018-12", True),
        ("2018-03", "2018-03", "2018-03", True),
        ("2018-03", "2018-Q2", None, False),
        ("2018-Q1", "2018-01", "2018-02", False),
        ("2018-Q1", None, "2018", True),
        ("2018-Q1", None, None, True),
        ("2017-12", "2018", None, False),
    ],
)
def test_between_takes_any_frequencies(period: str, start: str | None, end: str | None, inside: bool) -> None:
    assert periods.between(period, start, end) is inside


@pytest.mark.parametrize(
    "text", ["", "2018-13", "2018-00", "2018-Q5", "2018-Q0", "2018-S3", "18-01", "2018-1", "2018-01-01", "0000", "٢٠١٨"]
)
def test_what_is_no_period_is_told_by_the_rule(text: str) -> None:
    with pytest.raises(ValueError, match="A period is written 2018-03, 2018-Q1, 2018-S1 or 2018"):
        periods.first_day(text)


def test_a_frequency_is_one_of_four() -> None:
    with pytest.raises(ValueError, match="one of M, Q, S, A"):
        periods.period_of(0, "D")


def test_time_ends_with_9999_and_begins_with_1() -> None:
    assert periods.last_day("9999-12") == periods.last_day("9999-Q4") == date.max
    with pytest.raises(ValueError, match="0001"):
        periods.previous_year("0001-01")
