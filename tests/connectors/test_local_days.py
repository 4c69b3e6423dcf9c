"""Local days: the same day as the zone itself says, at every instant."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.local_days import LocalDays

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ZONES = ["Europe/Minsk", "America/New_York", "Asia/Kathmandu", "Pacific/Apia", "UTC"]
DAYS = {name: LocalDays(ZoneInfo(name)) for name in ZONES}


def by_the_zone(name: str, at: int) -> int:
    local = (EPOCH + timedelta(milliseconds=at)).astimezone(ZoneInfo(name))
    return local.toordinal() - EPOCH.toordinal()


@pytest.mark.parametrize("name", ZONES)
@given(at=st.integers(-2_208_988_800_000, 4_102_444_800_000))
def test_any_instant(name: str, at: int) -> None:
    assert DAYS[name](at) == by_the_zone(name, at)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("Europe/Minsk", "1924-05-01T22:10:00+00:00"),  # local mean time ends amid an hour
        ("Europe/Minsk", "2011-03-27T00:00:00+00:00"),
        ("America/New_York", "2018-11-04T06:00:00+00:00"),
        ("Pacific/Apia", "2011-12-30T10:00:00+00:00"),  # a day is left out
    ],
)
def test_around_a_change_of_the_offset(name: str, change: str) -> None:
    middle = round((datetime.fromisoformat(change) - EPOCH) / timedelta(milliseconds=1))
    for at in range(middle - 90_000_000, middle + 90_000_000, 599_999):
        assert DAYS[name](at) == by_the_zone(name, at)
