"""Generations: the ways of counting whose figures lie in the feed store, and which one readers see (law L6)."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import msgspec
from sqlalchemy import Connection, Engine, delete, func, insert, select, text, tuple_, update

from connectors.feed_store import opening, switching
from connectors.feed_store.manifest import LIVE, Act, Generation, Manifest, Standing, State
from connectors.feed_store.tables import (
    ACT,
    CELL_CHANGE,
    CELL_NOW,
    CUT,
    GENERATION,
    IDENTITY,
    KV,
    LEASE,
    POSITION,
)
from schemas.errors import Misconfigured, Reason, Refused

_ROWS = 10_000  # deleted at a time, so that the running generation's writer waits for milliseconds
_FIRST = text(
    "INSERT INTO generation (number, state, manifest, created_at) VALUES (:number, :state, :manifest, :created_at) "
    "ON CONFLICT DO NOTHING"
)


class Generations:
    """The generations of one feed store."""

    def __init__(self, writing: Engine, reading: Engine, now: Callable[[], float] = time.time) -> None:
        """The engines are the store's; `now` dates acts, and decides nothing."""
        self._writing = writing
        self._reading = reading
        self._now = now

    def all(self) -> list[Generation]:
        """Return every generation there ever was, ascending."""
        with opening.errors_translated(), self._reading.begin() as connection:
            return [_generation(row) for row in connection.execute(select(GENERATION).order_by(GENERATION.c.number))]

    def find(self, number: int) -> Generation | None:
        """Return a generation, or None."""
        return next((each for each in self.all() if each.number == number), None)

    def current(self) -> int | None:
        """Return the number of the one that readers see; None before the first worker has begun."""
        with opening.errors_translated(), self._reading.begin() as connection:
            return switching.current(connection)

    def standing(self, number: int) -> Standing:
        """Return how far a generation is."""
        with opening.errors_translated(), self._reading.begin() as connection:
            query = select(func.min(CUT.c.tick), func.max(CUT.c.tick)).where(CUT.c.generation == number)
            oldest, newest = connection.execute(query).one()
            return Standing(oldest or 0, newest or 0)

    def common_cut(self, one: int, other: int, at: int | None = None) -> int | None:
        """Return the newest cut that both have closed, not after `at`; None: there is none."""
        here, there = CUT, CUT.alias()
        query = select(func.max(here.c.tick)).join(there, here.c.tick == there.c.tick)
        query = query.where(here.c.generation == one, there.c.generation == other)
        if at is not None:
            query = query.where(here.c.tick <= at)
        with opening.errors_translated(), self._reading.begin() as connection:
            found: int | None = connection.execute(query).scalar()
            return found

    def enrol(self, number: int, manifest: Manifest) -> Generation:
        """Return the generation that a worker is to work for; the first one of a store becomes current.

        Raises Misconfigured for one that was dropped or never begun, and for one that counts otherwise than `manifest`.
        """
        with opening.errors_translated(), self._writing.begin() as connection:
            if switching.current(connection) is None:
                connection.execute(_FIRST, self._row(number, State.CURRENT, manifest))
        found = self.find(number)
        if found is None or found.state not in LIVE:
            raise Misconfigured(
                "generation-unknown",
                f"Nobody has begun generation {number}, or it was dropped: `migex generation list` shows all, "
                f"`migex generation build` begins the next.",
            )
        if not found.manifest.counts_as(manifest):
            raise Misconfigured(
                "generation-rules",
                f"Generation {number} was begun with other folds, another convention or other code lists than these. "
                "Put them back (MIGEX_CONVENTION), or count by the new ones in a new generation: "
                "`migex generation build`.",
            )
        return found

    def begin(self, number: int, manifest: Manifest) -> None:
        """Begin another generation; raises Refused when the number was used."""
        with opening.errors_translated(), self._writing.begin() as connection:
            if not connection.execute(_FIRST, self._row(number, State.BUILDING, manifest)).rowcount:
                rule = f"Generation {number} was begun already."
                raise Refused((Reason("generation-used", "generation", rule, "Take another number."),))
            self._act(connection, "build", number, {"previous": manifest.previous})

    def ready(self, number: int) -> None:
        """Note that a generation has been built."""
        row = GENERATION.c
        with opening.errors_translated(), self._writing.begin() as connection:
            built = update(GENERATION).where(row.number == number, row.state == State.BUILDING)
            connection.execute(built.values(state=State.READY))

    def note(self, what: str, number: int, detail: dict[str, Any]) -> None:
        """Note an act."""
        with opening.errors_translated(), self._writing.begin() as connection:
            self._act(connection, what, number, detail)

    def acts(self, number: int | None = None) -> list[Act]:
        """Return what was done, oldest first: with one generation, or with all."""
        query = select(ACT.c.at, ACT.c.what, ACT.c.generation, ACT.c.detail).order_by(ACT.c.number)
        if number is not None:
            query = query.where(ACT.c.generation == number)
        with opening.errors_translated(), self._reading.begin() as connection:
            return [Act(*row[:3], msgspec.json.decode(row[3])) for row in connection.execute(query)]

    def switch(self, number: int, accepted: str | None = None) -> int:
        """Let readers see another generation from now on, and return the cut that they see first; see `switching`."""
        with opening.errors_translated(), self._writing.begin() as connection:
            switched = switching.switch(connection, number, accepted)
            self._act(connection, "switch", number, switched)
            return int(switched["cut"])

    def dropping(self, number: int) -> None:
        """Note that a generation goes: its workers are to end; raises Refused for the current one and for none."""
        row = GENERATION.c
        with opening.errors_translated(), self._writing.begin() as connection:
            goes = update(GENERATION).where(row.number == number, row.state.not_in((State.CURRENT, State.DROPPED)))
            if not connection.execute(goes.values(state=State.DROPPING)).rowcount:
                rule = f"Generation {number} is the current one, or there is none of this number."
                remedy = "Switch to another one first; `migex generation list` shows all."
                raise Refused((Reason("generation-state", "generation", rule, remedy),))

    def forget(self, number: int, rows: int = _ROWS) -> None:
        """Delete the rows of a generation that is being dropped, so many at a time; its number and its acts stay."""
        for table in (CELL_NOW, CELL_CHANGE, CUT, KV, POSITION, IDENTITY, LEASE):
            keys = tuple_(*table.primary_key)
            some = select(*table.primary_key).where(table.c.generation == number).limit(rows)
            gone = rows
            while gone == rows:
                with opening.errors_translated(), self._writing.begin() as connection:
                    gone = connection.execute(delete(table).where(keys.in_(some))).rowcount
        with opening.errors_translated(), self._writing.begin() as connection:
            here = GENERATION.c.number == number
            connection.execute(update(GENERATION).where(here).values(state=State.DROPPED))
            self._act(connection, "drop", number, {})

    def _row(self, number: int, state: State, manifest: Manifest) -> dict[str, Any]:
        written = msgspec.json.encode(manifest).decode()
        return {"number": number, "state": state.value, "manifest": written, "created_at": self._at()}

    def _act(self, connection: Connection, what: str, number: int, detail: dict[str, Any]) -> None:
        nth = (connection.execute(select(func.max(ACT.c.number))).scalar() or 0) + 1
        row = {"number": nth, "at": self._at(), "what": what, "generation": number}
        connection.execute(insert(ACT).values(**row, detail=msgspec.json.encode(detail).decode()))

    def _at(self) -> int:
        return int(self._now() * 1000)


def _generation(row: Any) -> Generation:
    return Generation(row.number, State(row.state), msgspec.json.decode(row.manifest, type=Manifest), row.created_at)
