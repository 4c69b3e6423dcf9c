"""The lease: a generation's figures have one writer at a time, the others stand by.

It keeps two aggregate workers from waiting for each other's locks, and lets one go on soon after the other has died. It
is not what makes the figures right: that is the position, which a step moves only from where it found it (law L2).
"""

from __future__ import annotations

import time
from typing import Any

from sqlalchemy import Connection, CursorResult, Engine, text

from connectors.feed_store import opening
from schemas.errors import Unavailable

LEASE_SECS = 5.0
"""Shorter than the engine's session, so that whoever is given a dead worker's partition need not wait for this too."""

# By the database's own clock: it is the only one that all writers share.
_NOW = {
    "sqlite": "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)",
    "postgresql": "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)",
}
_TAKE = """
INSERT INTO lease (generation, holder, term, expires_at) VALUES (:generation, :holder, 1, {now} + :lasts)
ON CONFLICT (generation) DO UPDATE
SET holder = excluded.holder, term = lease.term + 1, expires_at = excluded.expires_at
WHERE lease.holder = excluded.holder OR lease.expires_at <= {now}
RETURNING term
"""
_RENEW = """
UPDATE lease SET expires_at = {now} + :lasts WHERE generation = :generation AND holder = :holder AND term = :term
"""


class Lease:
    """The right to write one generation's figures, for so many seconds from the last time it was renewed.

    Each time it is taken begins a new term, so that a worker which was started again under its name takes it back at
    once, while what is left of the worker before it can write no more.
    """

    def __init__(self, engine: Engine, generation: int, holder: str, secs: float = LEASE_SECS) -> None:
        """`engine` is the writer's; `holder` names one worker among all hosts, the same after a restart."""
        self._engine = engine
        self._generation = generation
        self._holder = holder
        self._secs = secs
        self._term = 0
        self._renewed = 0.0

    def take(self) -> None:
        """Begin a term; raises Unavailable("lease-held") while somebody else's lasts.

        And Unavailable("feed-busy") while a step of somebody else's does not end, for it holds the lease's row.
        """
        with opening.errors_translated(), self._engine.begin() as connection:
            term = self._execute(connection, _TAKE).scalar_one_or_none()
        if term is None:
            raise Unavailable("lease-held", "Another worker writes to the feed store: this one stands by.")
        self._term, self._renewed = term, time.monotonic()

    def renew(self, connection: Connection) -> None:
        """Make it last from now, inside a step: nobody else can take it before the step ends.

        Raises Unavailable("lease-lost") when another term has begun.
        """
        if not self._execute(connection, _RENEW).rowcount:
            raise Unavailable("lease-lost", "Another worker has taken over the feed store: this one stops.")
        self._renewed = time.monotonic()

    def tend(self) -> None:
        """Renew it when a third of it is over; raises as `renew` does.

        A database that is away or busy is left to the next step.
        """
        if time.monotonic() - self._renewed < self._secs / 3:
            return
        try:
            with opening.errors_translated(), self._engine.begin() as connection:
                self.renew(connection)
        except Unavailable as error:
            if error.code == "lease-lost":
                raise

    def free(self) -> None:
        """Let it end now, if it still is ours, so that the next holder need not wait."""
        try:
            with opening.errors_translated(), self._engine.begin() as connection:
                self._execute(connection, _RENEW, secs=0.0)
        except Unavailable:
            return  # then it ends by itself

    def _execute(self, connection: Connection, statement: str, secs: float | None = None) -> CursorResult[Any]:
        lasts = round((self._secs if secs is None else secs) * 1000)
        values = {"generation": self._generation, "holder": self._holder, "term": self._term, "lasts": lasts}
        return connection.execute(text(statement.format(now=_NOW[connection.dialect.name])), values)
