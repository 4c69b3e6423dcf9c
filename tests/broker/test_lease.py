"""Two aggregate workers on a real Kafka, the feed store in SQLite and in PostgreSQL: one dies or hangs, one goes on."""

from __future__ import annotations

import random
import signal
from pathlib import Path

import pytest
from sqlalchemy import select

from connectors.feed_store.opening import open_engine
from connectors.feed_store.tables import LEASE
from ops.settings import Feed
from tests.broker.workers import Agents, Inbox, agents, compare, crossings

pytestmark = [pytest.mark.broker, pytest.mark.long, pytest.mark.timeout(600)]


def holder(made: Agents) -> str:
    """Return the name of the aggregate worker that has the lease, as `Agents` knows it."""
    engine = open_engine(made.settings.feed_url)
    try:
        with engine.connect() as connection:
            query = select(LEASE.c.holder).where(LEASE.c.generation == made.settings.generation)
            return str(connection.execute(query).scalar_one()).rpartition(".")[2]
    finally:
        engine.dispose()


async def test_one_is_killed_one_hangs_and_wakes_too_late_and_every_cut_is_exact(
    inbox: Inbox, tmp_path: Path, feed_url: str
) -> None:
    chance = random.Random(8)
    async with agents(inbox, tmp_path, feed=Feed(url=feed_url)) as made:
        for agent, member in (("deduplicate", 0), ("reconcile", 0), ("aggregate", 0), ("aggregate", 1)):
            made.start(agent, member)
        await inbox.fill(list(crossings(chance, 100)), chance)
        await compare(made, inbox)

        killed = holder(made)
        made.kill(killed)
        await inbox.fill(list(crossings(chance, 50)), chance)
        await compare(made, inbox)
        hanging = holder(made)
        assert hanging != killed

        made.start("aggregate", int(killed[-1]))
        asleep = made.processes.pop(hanging)
        asleep.send_signal(signal.SIGSTOP)
        try:
            await inbox.fill(list(crossings(chance, 50)), chance)
            await compare(made, inbox)
            assert holder(made) == killed
        finally:
            asleep.send_signal(signal.SIGCONT)
        await inbox.fill(list(crossings(chance, 50)), chance)
        await compare(made, inbox)
        asleep.kill()
        asleep.wait()
