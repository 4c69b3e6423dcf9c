"""Switching: from one transaction to the next, readers see another generation (law L6)."""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import Connection, func, select, update

from connectors.feed_store.manifest import Manifest, State
from connectors.feed_store.tables import ACT, CUT, GENERATION, LEASE
from schemas.errors import Reason, Refused, Unavailable


def current(connection: Connection) -> int | None:
    """Return the number of the generation that readers see; None before the first worker has begun."""
    query = select(GENERATION.c.number).where(GENERATION.c.state == State.CURRENT)
    found: int | None = connection.execute(query).scalar_one_or_none()
    return found


def switch(connection: Connection, number: int, accepted: str | None) -> dict[str, Any]:
    """Make a generation the current one, and return from which, at which cut, and after which comparison.

    Raises Refused for one that was not built, or was not compared with the current one, or differs from it while no
    reason (`accepted`) is given; Unavailable("generation-behind") while its newest cut is older than what readers have
    seen.
    """
    row = GENERATION.c
    before = current(connection)
    found = connection.execute(select(row.state, row.manifest).where(row.number == number)).one_or_none()
    state = found.state if found else None
    if before is None or found is None or state != State.READY:
        rule = f"Generation {number} is {state or 'not there'}; only one that is ready can be switched to."
        remedy = "`migex generation build` makes it ready."
        raise Refused((Reason("generation-state", "generation", rule, remedy),))
    begun = msgspec.json.decode(found.manifest, type=Manifest)
    compared = _compared(connection, before, number, begun.speaks_from)
    if not accepted:
        _require_equal(compared, before, number)
    # The current one's writer renews its lease in each step: from here on none of its cuts comes in between.
    connection.execute(select(LEASE.c.term).where(LEASE.c.generation == before).with_for_update())
    cut = _newest(connection, number)
    if cut < _newest(connection, before):
        raise Unavailable("generation-behind", f"Generation {number} is not as far as {before} is yet.")
    for each, became in ((before, State.READY), (number, State.CURRENT)):
        connection.execute(update(GENERATION).where(row.number == each).values(state=became))
    return {"from": before, "cut": cut, "compared": compared, "accepted": accepted}


def _newest(connection: Connection, number: int) -> int:
    return connection.execute(select(func.max(CUT.c.tick)).where(CUT.c.generation == number)).scalar() or 0


def _compared(connection: Connection, one: int, other: int, since: int) -> dict[str, Any] | None:
    """Return what the newest comparison of the two found; None: there was none, or only of cuts before `since`."""
    query = select(ACT.c.generation, ACT.c.detail).where(ACT.c.what == "compare", ACT.c.generation.in_((one, other)))
    found = None
    for generation, detail in connection.execute(query.order_by(ACT.c.number)):
        compared: dict[str, Any] = msgspec.json.decode(detail)
        if {generation, compared["other"]} == {one, other} and compared["cut"] >= since:
            found = compared
    return found


def _require_equal(compared: dict[str, Any] | None, before: int, number: int) -> None:
    if compared is None:
        rule = f"Generation {number} has not been compared with {before}."
        remedy = f"`migex generation compare {before} {number}` does it."
        raise Refused((Reason("generation-not-compared", "generation", rule, remedy),))
    if compared["different"]:
        rule = f"Generation {number} differs from {before} in {compared['different']} cells."
        remedy = "Look at them; to switch nevertheless, give the reason with --accept-differences."
        raise Refused((Reason("generation-differs", "generation", rule, remedy),))
