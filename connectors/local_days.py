"""Local days: on which day of the convention's time zone an instant lies, without asking the zone each time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

_HOUR = 3_600_000
_DAY = 86_400_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class LocalDays:
    """The local day of instants between the years 2 and 9998."""

    def __init__(self, zone: ZoneInfo) -> None:
        self._zone = zone
        self._of_hour = lru_cache(maxsize=1 << 16)(self._constant)

    def __call__(self, at: int) -> int:
        """Return days since 1970-01-01 for an instant in ms since 1970-01-01T00:00Z."""
        offset = self._of_hour(at // _HOUR)
        return (at + (self._offset(at) if offset is None else offset)) // _DAY

    def _constant(self, hour: int) -> int | None:
        """Return the zone's offset in ms if it is one and the same during the whole hour."""
        first, last = self._offset(hour * _HOUR), self._offset(hour * _HOUR + _HOUR - 1)
        return first if first == last else None

    def _offset(self, at: int) -> int:
        offset = (_EPOCH + timedelta(milliseconds=at)).astimezone(self._zone).utcoffset()
        return 0 if offset is None else offset // timedelta(milliseconds=1)
