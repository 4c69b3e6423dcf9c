"""The feed store: one writer, aggregate, and any number of readers who never wait for it."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, insert, select

from connectors.feed_store import books as book
from connectors.feed_store import opening, reading
from connectors.feed_store.cells import Cell, Change, Cut
from connectors.feed_store.generations import Generations
from connectors.feed_store.lease import LEASE_SECS, Lease
from connectors.feed_store.manifest import State
from connectors.feed_store.tables import IDENTITY
from connectors.feed_store.writing import Transaction
from schemas.errors import Misconfigured, Reason, Refused
from streams.books import TABLE as BOOKS
from streams.crash_points import CrashPoint, Reach, never

_MAX_TICK = 2**62


class FeedStore:
    """Where the figures lie: the current cells, each of their changes, and the complete cuts, of one generation."""

    def __init__(self, url: str, generation: int) -> None:
        """Open `sqlite:///<file>` or `postgresql://…` and bring its tables up to date.

        Raises Misconfigured for an address that cannot be used, Unavailable when the database does not answer.
        """
        self.generation = generation
        self._engine = opening.open_engine(url)
        self._writing = opening.writing(self._engine)
        self._reading = opening.reading(self._engine)
        self.generations = Generations(self._writing, self._reading)

    def at(self, generation: int) -> FeedStore:
        """Return the same store, open once, as another generation has it."""
        other = copy.copy(self)
        other.generation = generation
        return other

    def shown(self, asked: int | None = None) -> FeedStore:
        """Return the store as readers see it: the generation they ask for, else the current one.

        Before there is a current one it is this store's own. Raises Refused for one that is not there.
        """
        if asked is None:
            return self.at(self.generations.current() or self.generation)
        found = self.generations.find(asked)
        if found is None or found.state in (State.DROPPING, State.DROPPED):
            rule = "There is no such generation, or it was dropped."
            raise Refused((Reason("generation-absent", "generation", rule, "Leave it out to see the current one."),))
        return self.at(asked)

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    def check_identity(self, cluster_id: str, topic: str) -> None:
        """Remember the Kafka cluster and topic of this generation, or raise Misconfigured when they are others.

        A position means nothing on another cluster: to go on there would count records twice or not at all.
        """
        row = IDENTITY.c
        with opening.errors_translated(), self._writing.begin() as connection:
            query = select(row.cluster_id, row.topic).where(row.generation == self.generation)
            known = connection.execute(query).one_or_none()
            if known is None:
                values = {"generation": self.generation, "cluster_id": cluster_id, "topic": topic}
                connection.execute(insert(IDENTITY).values(values))
            elif tuple(known) != (cluster_id, topic):
                raise Misconfigured(
                    "feed-identity",
                    f"The feed store belongs to topic {known.topic} of Kafka cluster {known.cluster_id}, not to "
                    f"{topic} of {cluster_id}. Set MIGEX_FEED__URL to another database, or a new MIGEX_GENERATION.",
                )

    def lease(self, holder: str, secs: float = LEASE_SECS) -> Lease:
        """Return the right to write this generation's figures, not taken yet; see `Lease`."""
        return Lease(self._writing, self.generation, holder, secs)

    @contextmanager
    def begin(self, partition: int, lease: Lease | None = None, reach: Reach = never) -> Iterator[Transaction]:
        """Begin the writer's step for a partition of the partials topic; all of it is committed at the end, or nothing.

        Raises Unavailable when the database is away, another writer holds it, the position was moved by another, or
        the lease, which the step renews, was lost.
        """
        with opening.errors_translated(), self._writing.begin() as connection:
            if lease is not None:
                lease.renew(connection)
            step = Transaction(connection, self.generation, partition)
            yield step
            step.flush()
            reach(CrashPoint.FEED_BEFORE_COMMIT)

    def latest_cut(self) -> Cut | None:
        """Return the latest complete cut, or None before the first."""
        return next(iter(self.cuts(1)), None)

    def cuts(self, newest: int) -> list[Cut]:
        """Return the newest complete cuts, newest first."""
        with self._snapshot() as connection:
            return reading.cuts(connection, self.generation, newest)

    def cut_after(self, tick: int) -> int | None:
        """Return the first complete cut after a tick, or None when there is none yet."""
        with self._snapshot() as connection:
            return reading.cut_after(connection, self.generation, tick)

    def cut_at(self, instant: int | None) -> Cut:
        """Return the newest complete cut not after the instant; raises Refused, see `reading.cut_at`."""
        with self._snapshot() as connection:
            return reading.cut_at(connection, self.generation, instant)

    def cells(
        self, table: str, first: str | None = None, last: str | None = None, cut: int | None = None
    ) -> list[Cell]:
        """Return a table's cells of the periods first to last (both included) as of a cut; None: the latest."""
        return [cell for cell in self.cells_and_gone(table, first, last, cut) if cell.facts]

    def cells_and_gone(
        self, table: str, first: str | None = None, last: str | None = None, cut: int | None = None
    ) -> list[Cell]:
        """Return the same with the cells that are gone: a sum that they were part of changed when they went."""
        with self._snapshot() as connection:
            return reading.cells(connection, self.generation, reading.Span(table, first, last), cut)

    def changes(
        self,
        table: str,
        first: str | None = None,
        last: str | None = None,
        *,
        after: tuple[int, str, str] = (-1, "", ""),
        until: int | None = None,
        limit: int = 1000,
    ) -> list[Change]:
        """Return changes of a table's cells, ascending by (cut, period, codes joined by |), from behind `after` on."""
        span = reading.Span(table, first, last)
        page = reading.Page(after, _MAX_TICK if until is None else until, limit)
        with self._snapshot() as connection:
            return reading.changes(connection, self.generation, span, page)

    def tables(self) -> list[str]:
        """Return the ids of all tables that ever had a cell, the books among them, ascending."""
        with self._snapshot() as connection:
            return reading.tables(connection, self.generation)

    def count(self, table: str) -> int:
        """Return how many cells a table has at the latest cut."""
        with self._snapshot() as connection:
            return reading.count(connection, self.generation, table)

    def periods(self, table: str) -> tuple[str, str] | None:
        """Return the first and the last period of a table at the latest cut, or None when it has no cell."""
        with self._snapshot() as connection:
            return reading.periods(connection, self.generation, table)

    def books(self, cut: int | None = None) -> list[book.BookRow]:
        """Return the books as of a cut, per agency and family."""
        return book.books(self.cells(BOOKS, cut=cut))

    @contextmanager
    def _snapshot(self) -> Iterator[Connection]:
        with opening.errors_translated(), self._reading.begin() as connection:
            yield connection
