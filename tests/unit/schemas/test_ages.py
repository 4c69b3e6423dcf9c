"""Ages: completed years, birth years, and the groups of the feed (conventions, 9.1)."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.ages import age_group, completed_years

days = st.dates(date(1900, 1, 1), date(2200, 12, 31))


def since_epoch(on: date) -> int:
    return (on - date(1970, 1, 1)).days


def number(on: date) -> int:
    return on.year * 10_000 + on.month * 100 + on.day


@pytest.mark.parametrize(
    ("birth", "on", "age"),
    [
        pytest.param(19800517, date(2018, 5, 16), 37, id="the day before the birthday"),
        pytest.param(19800517, date(2018, 5, 17), 38, id="the birthday"),
        pytest.param(20000229, date(2018, 2, 28), 17, id="born on 29 February, the day before"),
        pytest.param(20000229, date(2018, 3, 1), 18, id="born on 29 February, no leap year"),
        pytest.param(20000229, date(2020, 2, 29), 20, id="born on 29 February, a leap year"),
        pytest.param(20180301, date(2018, 3, 1), 0, id="born that day"),
        pytest.param(20180302, date(2018, 3, 1), None, id="not yet born"),
        pytest.param(19800000, date(2018, 6, 30), 37, id="only the year: before the middle of it"),
        pytest.param(19800000, date(2018, 7, 1), 38, id="only the year: from the middle on"),
        pytest.param(20180000, date(2018, 1, 1), None, id="only the year, and it is this one"),
        pytest.param(0, date(2018, 1, 1), None, id="unknown"),
    ],
)
def test_completed_years(birth: int, on: date, age: int | None) -> None:
    assert completed_years(birth, since_epoch(on)) == age


@given(days, days)
def test_completed_years_are_the_birthdays_that_have_been(born: date, on: date) -> None:
    if born > on:
        assert completed_years(number(born), since_epoch(on)) is None
        return
    birthdays = sum(
        (year, born.month, born.day) <= (on.year, on.month, on.day) for year in range(born.year + 1, on.year + 1)
    )
    assert completed_years(number(born), since_epoch(on)) == birthdays


@given(days, st.integers(0, 60_000))
def test_nobody_grows_younger(born: date, later: int) -> None:
    on = since_epoch(born) + later
    earlier, now = completed_years(number(born), on), completed_years(number(born), on + 1)
    assert earlier is not None
    assert now is not None
    assert 0 <= now - earlier <= 1


@pytest.mark.parametrize(
    ("years", "group"),
    [
        (0, "Y_LT5"),
        (4, "Y_LT5"),
        (5, "Y5-9"),
        (9, "Y5-9"),
        (10, "Y10-14"),
        (84, "Y80-84"),
        (85, "Y_GE85"),
        (129, "Y_GE85"),
    ],
)
def test_groups_begin_at_multiples_of_five(years: int, group: str) -> None:
    on = date(2024, 6, 15)
    assert age_group(number(on.replace(year=on.year - years)), since_epoch(on)) == group


def test_each_group_ends_where_the_next_begins() -> None:
    born = date(1950, 1, 1)
    found = [age_group(19500101, since_epoch(born.replace(year=1950 + years))) for years in range(100)]
    assert len(dict.fromkeys(found)) == 18
    assert found == sorted(found, key=list(dict.fromkeys(found)).index)


@pytest.mark.parametrize("birth", [0, 20300101])
def test_who_is_of_no_known_age_is_in_a_group_of_its_own(birth: int) -> None:
    assert age_group(birth, since_epoch(date(2024, 1, 1))) == "UNK"


def test_the_day_before_a_fifth_birthday_is_still_in_the_first_group() -> None:
    fifth = date(2023, 9, 1)
    assert age_group(20180901, since_epoch(fifth - timedelta(days=1))) == "Y_LT5"
    assert age_group(20180901, since_epoch(fifth)) == "Y5-9"
