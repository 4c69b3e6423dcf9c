"""A run of chaos sees it when a worker writes to the feed store that has lost the lease."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from ops.chaos.house import House, Lease, Second, Side
from ops.chaos.writers import Sight, intruded
from ops.settings import Settings

ZOMBIE = Side("aggregate", Settings())
OTHER = Side("aggregate", Settings())
TAKEN = Lease(5, OTHER, 100)


@pytest.mark.parametrize(
    ("before", "written", "after", "seen"),
    [
        (TAKEN, 100, TAKEN, False),  # it says what it wrote while it had the lease
        (TAKEN, 101, Lease(5, OTHER, 140), True),
        (TAKEN, 0, TAKEN, False),  # it says nothing
        (TAKEN, 101, Lease(6, ZOMBIE, 101), False),  # it got the lease back
        (Lease(7, OTHER, 150), 140, Lease(7, OTHER, 150), False),  # it had it again in between
        (None, 101, TAKEN, False),  # nobody knows who had it
    ],
)
def test_writing_without_the_lease_is_seen(before: Lease | None, written: int, after: Lease | None, seen: bool) -> None:
    assert intruded(Sight(before, written, after), TAKEN, stood=100) == seen


async def test_who_has_the_lease_is_read_from_the_store(tmp_path: Path) -> None:
    house = House(Settings(home=tmp_path), nodes=1)
    assert await house.lease() is None
    house.home.mkdir()
    second = house.seconds["aggregate"] = Second(house.settings, "aggregate")
    with sqlite3.connect(house.home / "feed.db") as store:
        store.execute("CREATE TABLE lease (generation, holder, term)")
        store.execute("CREATE TABLE position (generation, source_partition, next_offset)")
    assert await house.lease() is None
    with sqlite3.connect(house.home / "feed.db") as store:
        store.execute("INSERT INTO lease VALUES (1, ?, 3)", (f"{second.settings.host}.aggregate-0",))
        store.execute("INSERT INTO lease VALUES (2, 'somebody.aggregate-0', 3)")
    assert await house.lease() == Lease(3, second, 0)
    with sqlite3.connect(house.home / "feed.db") as store:
        store.execute("UPDATE lease SET holder = ? WHERE generation = 1", (f"{house.settings.host}.aggregate-0",))
        store.execute("INSERT INTO position VALUES (1, 0, 17)")
    found = await house.lease()
    assert found is not None
    assert (found.holder.name, found.position) == ("aggregate", 17)


async def test_it_is_seen_whether_somebody_is_in_the_middle_of_a_write(tmp_path: Path) -> None:
    house = House(Settings(home=tmp_path), nodes=1)
    house.home.mkdir()
    writer = sqlite3.connect(house.home / "feed.db", isolation_level=None)
    writer.execute("CREATE TABLE cell (value)")
    assert not await house.writing()
    writer.execute("BEGIN IMMEDIATE")
    assert await house.writing()
    writer.execute("COMMIT")
    assert not await house.writing()
    writer.close()
