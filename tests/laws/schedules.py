"""Inboxes with everything that doors and clocks do to them, for builds of generations."""

from __future__ import annotations

import random
from collections.abc import Sequence

from schemas.frame import encode, tick_frame
from tests.laws import census
from tests.laws.records import Entry
from tests.laws.worlds import Broker


def inbox_of(entries: Sequence[Entry], chance: random.Random, partitions: int) -> list[list[bytes]]:
    """Return an inbox: frames of any size, some of them written again later, and ticks, some with holes or twice."""
    door = Broker(chance, inbox=partitions, log=1)
    batches: list[Sequence[Entry]] = []
    rest = list(entries)
    while rest:
        size = chance.randint(1, 4)
        batches.append(rest[:size])
        rest = rest[size:]
        door.write(batches[-1])
        if chance.random() < 0.3:
            door.write(chance.choice(batches))
        if chance.random() < 0.5:
            door.tick(hole=chance.random() < 0.2)
            if chance.random() < 0.2:  # a clock that was started again within the second
                door.replay.inbox.append(0, encode(tick_frame(door.accepted[-1][0])))
    door.tick()
    return door.replay.inbox.partitions


def common_ticks(inbox: Sequence[Sequence[bytes]]) -> list[int]:
    """Return the ticks that all partitions have: each of them closes a cut."""
    return sorted(set.intersection(*[{tick for tick, _ in map(census.read, partition)} for partition in inbox]) - {0})
