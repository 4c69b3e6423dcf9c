"""The lease on SQLite and PostgreSQL: two aggregate workers, one writes; one that wakes too late writes nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress

import pytest

from connectors.feed_partition import FeedPartition
from connectors.feed_store import FeedStore
from schemas.errors import Unavailable
from streams.fold import CellChange, CutClosed, Effect, Message, View

SHORT, LONG = 0.3, 60.0


@pytest.fixture
def stores(feed_url: str) -> Iterator[tuple[FeedStore, FeedStore]]:
    """The feed store as two workers have it open."""
    with closing(FeedStore(feed_url, 1)) as one, closing(FeedStore(feed_url, 1)) as other:
        yield one, other


class Cuts:
    """A fold that closes a cut with each message: one cell, the number of the message."""

    hot = b""

    def fold(self, view: View, messages: Sequence[Message]) -> Sequence[Effect]:
        return [CutClosed(m.offset + 1, (CellChange("T|2018|A", 1, (m.offset,), {}),)) for m in messages]


def messages(*offsets: int) -> list[Message]:
    return [Message(offset, b"") for offset in offsets]


def work(store: FeedStore, holder: str, secs: float = LONG) -> FeedPartition:
    return FeedPartition(store, 0, Cuts(), store.lease(holder, secs))


def until(taken: Callable[[], FeedPartition], secs: float = 20.0) -> FeedPartition:
    """Try again as the worker does, until somebody else's lease is over."""
    end = time.monotonic() + secs
    while time.monotonic() < end:
        with suppress(Unavailable):
            return taken()
        time.sleep(0.05)
    return taken()


def figure(store: FeedStore) -> tuple[int, ...]:
    (cell,) = store.cells("T")
    return cell.measures


def test_the_second_worker_stands_by_while_the_first_works(stores: tuple[FeedStore, FeedStore]) -> None:
    first = work(stores[0], "a")
    first.step(messages(0))
    with pytest.raises(Unavailable, match="lease-held"):
        work(stores[1], "b")
    first.step(messages(1))
    assert figure(stores[1]) == (1,)


def test_when_one_dies_the_other_goes_on_after_its_lease(stores: tuple[FeedStore, FeedStore]) -> None:
    work(stores[0], "a", SHORT).step(messages(0, 1))  # and is never heard of again
    second = until(lambda: work(stores[1], "b"))
    assert second.position == 2
    second.step(messages(2))
    assert figure(stores[0]) == (2,)


def test_one_that_wakes_after_its_lease_can_write_nothing(stores: tuple[FeedStore, FeedStore]) -> None:
    zombie = work(stores[0], "a", SHORT)
    zombie.step(messages(0))
    second = until(lambda: work(stores[1], "b"))
    with pytest.raises(Unavailable, match="lease-lost"):
        zombie.step(messages(1))  # the same position as the other has: the lease alone stops it
    second.step(messages(1, 2))
    with pytest.raises(Unavailable, match="lease-lost"):
        zombie.step(messages(1, 2))
    with pytest.raises(Unavailable, match="lease-lost"):
        zombie.tend()
    assert ([cut.tick for cut in stores[0].cuts(9)], figure(stores[0])) == ([3, 2, 1], (2,))


def test_the_position_guards_even_where_nobody_asks_for_a_lease(stores: tuple[FeedStore, FeedStore]) -> None:
    with stores[0].begin(0) as step:
        step.advance(0, 1)
    with pytest.raises(Unavailable, match="lease-lost"), stores[1].begin(0) as step:
        step.advance(0, 2)


def test_one_that_sleeps_and_is_not_missed_goes_on(stores: tuple[FeedStore, FeedStore]) -> None:
    lone = work(stores[0], "a", SHORT)
    time.sleep(2 * SHORT)
    lone.step(messages(0))
    assert figure(stores[0]) == (0,)


def test_a_worker_that_is_started_again_takes_its_own_lease_back_at_once(stores: tuple[FeedStore, FeedStore]) -> None:
    before = work(stores[0], "a")
    work(stores[1], "a").step(messages(0))
    with pytest.raises(Unavailable, match="lease-lost"):
        before.step(messages(0))


def test_who_closes_lets_the_other_on_at_once_but_only_from_a_lease_that_is_its_own(
    stores: tuple[FeedStore, FeedStore],
) -> None:
    first = work(stores[0], "a")
    first.close()
    second = work(stores[1], "b")
    first.close()
    second.step(messages(0))
    with pytest.raises(Unavailable, match="lease-held"):
        work(stores[0], "a")


def test_tending_keeps_the_lease_while_nothing_arrives(stores: tuple[FeedStore, FeedStore]) -> None:
    first = work(stores[0], "a", 1.0)
    end = time.monotonic() + 2.0
    while time.monotonic() < end:
        first.tend()
        with pytest.raises(Unavailable, match="lease-held"):
            work(stores[1], "b")
        time.sleep(0.1)


def test_generations_have_a_lease_each(feed_url: str) -> None:
    with closing(FeedStore(feed_url, 1)) as one, closing(FeedStore(feed_url, 2)) as other:
        work(one, "a").step(messages(0))
        work(other, "b").step(messages(0))
