"""Ages: completed years and the five-year groups of the feed (Eurostat AGE; conventions, section 9.1)."""

from __future__ import annotations

from datetime import date
from functools import lru_cache

UNKNOWN = "UNK"
_EPOCH = date(1970, 1, 1).toordinal()


def completed_years(birth: int, day: int) -> int | None:
    """Return the age in completed years on a day (days since 1970-01-01) of a person born on `birth` (yyyymmdd).

    Where only the year is known (yyyy0000) the person counts as born on 1 July. None: unknown, or not yet born.
    """
    if not birth:
        return None
    year, month, of_month = birth // 10_000, birth // 100 % 100 or 7, birth % 100 or 1
    on = date.fromordinal(day + _EPOCH)
    age = on.year - year - ((on.month, on.day) < (month, of_month))
    return age if age >= 0 else None


@lru_cache(maxsize=256)
def _group(age: int) -> str:
    if age < 5:
        return "Y_LT5"
    if age >= 85:
        return "Y_GE85"
    first = age // 5 * 5
    return f"Y{first}-{first + 4}"


def age_group(birth: int, day: int) -> str:
    """Return the five-year group of the age on a day: Y_LT5, Y5-9 ... Y80-84, Y_GE85, or UNK."""
    age = completed_years(birth, day)
    return UNKNOWN if age is None else _group(age)
