"""Reference periods: the time a figure speaks of, written as SDMX does: 2018-03, 2018-Q1, 2018-S1, 2018."""

from __future__ import annotations

import re
from datetime import date, timedelta
from functools import lru_cache

MONTHS = {"M": 1, "Q": 3, "S": 6, "A": 12}
"""Months of one period by frequency (SDMX CL_FREQ): month, quarter, half-year, year."""

_EPOCH = date(1970, 1, 1).toordinal()
_FORM = re.compile(r"(?P<year>\d{4})(?:-(?P<month>0[1-9]|1[0-2])|-Q(?P<quarter>[1-4])|-S(?P<half>[12]))?", re.ASCII)


@lru_cache(maxsize=1 << 16)
def period_of(day: int, freq: str) -> str:
    """Return the period in which a day lies; `day` in days since 1970-01-01, `freq` one of `MONTHS`.

    Raises ValueError for another frequency, or a day outside the years 1 to 9999.
    """
    on = date.fromordinal(day + _EPOCH)
    return _named(on.year, (on.month - 1) // _months(freq), freq)


def frequency(period: str) -> str:
    """Return the period's frequency; raises ValueError for text that is no period."""
    return _parse(period)[2]


def first_day(period: str) -> date:
    """Return the period's first day; raises ValueError for text that is no period."""
    year, index, freq = _parse(period)
    return date(year, index * MONTHS[freq] + 1, 1)


def last_day(period: str) -> date:
    """Return the period's last day; raises ValueError for text that is no period."""
    year, index, freq = _parse(period)
    after = (index + 1) * MONTHS[freq]
    if after < 12:
        return date(year, after + 1, 1) - timedelta(days=1)
    return date(year, 12, 31)


def between(period: str, start: str | None, end: str | None) -> bool:
    """Whether the period lies within `start` to `end`, both included and of any frequency; None: open.

    Raises ValueError for text that is no period.
    """
    if start is not None and first_day(period) < first_day(start):
        return False
    return end is None or last_day(period) <= last_day(end)


def previous_year(period: str) -> str:
    """Return the same period of the year before; raises ValueError for text that is no period, and for year 1."""
    year, index, freq = _parse(period)
    if year == 1:
        raise ValueError("Before the year 0001 there is no period.")
    return _named(year - 1, index, freq)


def _months(freq: str) -> int:
    try:
        return MONTHS[freq]
    except KeyError:
        raise ValueError(f"A frequency is one of {', '.join(MONTHS)}.") from None


def _named(year: int, index: int, freq: str) -> str:
    if freq == "A":
        return f"{year:04}"
    if freq == "M":
        return f"{year:04}-{index + 1:02}"
    return f"{year:04}-{freq}{index + 1}"


def _parse(period: str) -> tuple[int, int, str]:
    found = _FORM.fullmatch(period)
    if found is None or found["year"] == "0000":
        raise ValueError("A period is written 2018-03, 2018-Q1, 2018-S1 or 2018.")
    for group, freq in (("month", "M"), ("quarter", "Q"), ("half", "S")):
        if found[group]:
            return int(found["year"]), int(found[group]) - 1, freq
    return int(found["year"]), 0, "A"
