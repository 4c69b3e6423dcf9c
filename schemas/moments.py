"""Instants and days in events: ISO 8601 and nothing else.

pydantic alone would take 0, "0" and "1700000000" for instants of 1970 and 2023, and a bare date for midnight.
"""

from __future__ import annotations

import re
from datetime import date, datetime
from typing import Annotated, Any

from pydantic import AwareDatetime, BeforeValidator
from pydantic_core import PydanticKnownError

_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:\d\d)", re.ASCII)
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


def _instant(value: Any) -> Any:
    if isinstance(value, str):
        if _INSTANT.fullmatch(value):
            return value
        raise ValueError("An instant is written 2018-03-01T10:15:00+03:00 (ISO 8601, with offset).")
    if isinstance(value, datetime):
        return value
    raise PydanticKnownError("datetime_type")


def _day(value: Any) -> Any:
    if isinstance(value, str):
        if _DAY.fullmatch(value):
            return value
        raise ValueError("A day is written 2018-03-01 (ISO 8601).")
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    raise PydanticKnownError("date_type")


Instant = Annotated[AwareDatetime, BeforeValidator(_instant)]
"""A moment with its offset: ISO 8601 text (from JSON), or an aware datetime (from Avro)."""

Day = Annotated[date, BeforeValidator(_day)]
"""A calendar day: ISO 8601 text (from JSON), or a date (from Avro)."""
