"""Two generations of one inbox are equal to the byte, however built, wherever it was read, however thinned (law L6)."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from itertools import count, pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors.archive import Archive, Archived
from connectors.feed_partition import FeedPartition
from connectors.feed_store.comparison import compare, digest
from connectors.feed_store.store import FeedStore
from streams.aggregate import Aggregate
from streams.fold import Effect, Message
from tests.laws.builds import Build, values_from
from tests.laws.records import Entry
from tests.laws.schedules import common_ticks, inbox_of
from tests.laws.worlds import worlds

SEEDS = st.integers(0, 2**32 - 1)


class InStore:
    """Aggregate at work on the feed store."""

    def __init__(self, store: FeedStore, log: int) -> None:
        self._place = FeedPartition(store, 0, Aggregate(log), store.lease("a"))

    @property
    def position(self) -> int:
        """The next offset to read."""
        return self._place.position

    def step(self, messages: Sequence[Message]) -> Sequence[Effect]:
        """Fold the messages into the store."""
        return self._place.step(messages)[1]


class Site:
    """A feed store for generations without end, and archives."""

    def __init__(self, home: Path) -> None:
        self.store = FeedStore(f"sqlite:///{home / 'feed.db'}", 1)
        self.home = home
        self._numbers = count(1)

    def build(
        self, inbox: Sequence[Callable[[int], Sequence[bytes]]], log: int, seed: int, every_from: int = 0
    ) -> tuple[FeedStore, list[int]]:
        """Build a generation; return the store as it has it, and its cuts."""
        store = self.store.at(next(self._numbers))
        build = Build(inbox, log, random.Random(seed), InStore(store, log), every_from)
        build.run(turns=100)
        return store, [cut.tick for cut in build.closed]

    def archived(self, inbox: Sequence[Sequence[bytes]], chance: random.Random) -> list[Callable[[int], list[bytes]]]:
        """Archive an inbox's old end, cut anywhere into files; return what reads it there, and the rest as it is."""
        archive = Archive(self.home, "cluster", f"inbox-{next(self._numbers)}")
        ends = [_store(archive, number, partition, chance) for number, partition in enumerate(inbox)]
        return [_reading(archive, number, partition, ends[number]) for number, partition in enumerate(inbox)]


def _store(archive: Archive, number: int, partition: Sequence[bytes], chance: random.Random) -> int:
    """Archive a partition up to a random offset, and return it."""
    end = chance.randint(0, len(partition))
    cuts = sorted({0, end, *[chance.randint(0, end) for _ in range(2)]})
    for begin, stop in pairwise(cuts):
        archive.append(number, [Archived(offset, 0, partition[offset]) for offset in range(begin, stop)])
    return end


def _reading(archive: Archive, number: int, partition: Sequence[bytes], end: int) -> Callable[[int], list[bytes]]:
    """Return what reads a partition whose topic begins at `end`: older messages file by file."""

    def read(offset: int) -> list[bytes]:
        if offset < end:
            return [message.value for message in archive.read(number, offset)]
        return list(partition[offset:])

    return read


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """Lie in memory where that can be: the law is about bytes, not about disks."""
    memory = Path("/dev/shm")
    with TemporaryDirectory(dir=memory if memory.is_dir() else None) as home:
        made = Site(Path(home))
        yield made
        made.store.close()


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(entries=worlds(), seed=SEEDS, other=SEEDS)
def test_two_generations_built_in_different_ways_are_equal_to_the_byte(
    site: Site, entries: list[Entry], seed: int, other: int
) -> None:
    chance = random.Random(seed)
    log = 1 + seed // 3 % 3
    inbox = inbox_of(entries, chance, 1 + seed % 3)
    one, cuts = site.build([values_from(partition) for partition in inbox], log, seed)
    since = chance.choice([0, *cuts])
    two, again = site.build(site.archived(inbox, chance), log, other, since)
    assert cuts == common_ticks(inbox)
    assert again == [cut for cut in cuts if cut >= since]
    for cut in again:
        assert [row for row in compare(one, two, cut) if row.different] == []
        assert digest(one, cut) == digest(two, cut)
