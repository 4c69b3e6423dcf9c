"""Aggregate's place of work: the fold's state, the cells and the source position in one SQL transaction (law L2)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from connectors.feed_store.lease import Lease
from connectors.feed_store.store import FeedStore
from streams.crash_points import CrashPoint, Reach, never
from streams.fold import CutClosed, Effect, Fold, Message
from streams.partition import Output, following


class FeedPartition:
    """A fold whose state lies in the feed store; the counterpart of `streams.partition.Partition`."""

    def __init__(self, store: FeedStore, partition: int, fold: Fold, lease: Lease, reach: Reach = never) -> None:
        """Take the lease and stand where `partition` of partials was left.

        Raises Unavailable("lease-held") while another worker has the lease.
        """
        self._store = store
        self._partition = partition
        self._fold = fold
        self._lease = lease
        self._reach = reach
        self.saved_at: float | None = None  # the database has its own backups
        lease.take()
        reach(CrashPoint.LEASE_AFTER_TAKE)
        with store.begin(partition, lease) as step:
            self.position = step.position()

    @property
    def outbox(self) -> int:
        """Always 0: what aggregate puts out is in the store at once."""
        return 0

    def step(self, messages: Sequence[Message]) -> tuple[list[Output], Sequence[Effect]]:
        """Fold the messages, write state, cells and position; repeats are skipped.

        Raises Unavailable("lease-lost") when another worker has taken over, Broken when a message lies beyond the
        position.
        """
        fresh = following(messages, self.position, self._partition)
        if not fresh:
            return [], []
        position = fresh[-1].offset + 1
        with self._store.begin(self._partition, self._lease, self._reach) as step:
            effects = self._fold.fold(step.view, fresh)
            self._reach(CrashPoint.FEED_BEFORE_CELLS)
            for effect in effects:
                if isinstance(effect, CutClosed):
                    step.write(effect)
                    self._reach(CrashPoint.FEED_AFTER_CELLS)
            step.advance(self.position, position)
            self._reach(CrashPoint.FEED_AFTER_POSITION)
        self._reach(CrashPoint.FEED_AFTER_COMMIT)
        self.position = position
        return [], effects

    def unsent(self) -> list[Output]:
        """Return nothing: there is no outbox."""
        return []

    def acknowledge(self) -> None:
        """Nothing waits for an acknowledgement."""

    def tend(self) -> None:
        """Keep the lease; raises Unavailable("lease-lost") when another worker has it."""
        self._lease.tend()

    def checkpoint(self) -> Callable[[], None] | None:
        """Return None: whoever takes over has the same database."""
        return None

    def mark(self, end: int) -> None:
        """Note nothing: only the comparison at each start tells."""

    def close(self) -> None:
        """Let another worker have the lease; the store stays open, for it is the worker's."""
        self._lease.free()

    def size(self) -> int:
        """Return 0: the database's own tools tell its size."""
        return 0
