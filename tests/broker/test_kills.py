"""Every process of ours is killed three times while the demonstration's events arrive; all is right at the end."""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from ops import system
from ops.demo import bts, generate, oracle
from ops.demo.schedule import Schedule
from ops.demo.sending import Sending
from ops.demo.watch import Watch
from ops.pids import PidFile
from ops.settings import Settings, with_free_ports
from schemas import conventions

pytestmark = [pytest.mark.broker, pytest.mark.timeout(600)]

VICTIMS = ("gateway", "kafka-door", "clock", "deduplicate", "reconcile", "aggregate")
TIMES = 3
BATCH = 40
SECS_TO_BALANCE = 180.0


@pytest.fixture
def settings(broker: str, tmp_path: Path) -> Iterator[Settings]:
    """A whole system of its own on the demonstration's convention (`broker` checks that Java and Maven are there)."""
    own = with_free_ports(tmp_path / "home", convention=generate.CONVENTION)
    system.up(own, Console(quiet=True))
    yield own
    system.down(own, Console(quiet=True))


class Killer:
    """Kills the victims in turn, in an order of the seed, each when it has been up for a random short while."""

    def __init__(self, settings: Settings, seed: int) -> None:
        self._run = settings.home / "run"
        self._chance = random.Random(seed)
        self.kills: list[str] = []

    async def work(self) -> None:
        for _ in range(TIMES):
            for name in self._chance.sample(VICTIMS, len(VICTIMS)):
                await self._kill(name)

    async def _kill(self, name: str) -> None:
        victim = PidFile(self._run / f"{name}.json")
        while victim.pid() is None:  # noqa: ASYNC110 - the supervisor makes it true, not this loop
            await asyncio.sleep(0.05)
        await asyncio.sleep(self._chance.uniform(0.2, 2.0))
        victim.signal(signal.SIGKILL)
        self.kills.append(name)


async def _publish_under_fire(sending: Sending, planned: Schedule, killer: Killer) -> None:
    """Send batch by batch, and slowly enough that events arrive until the last kill."""
    shots = asyncio.create_task(killer.work())
    batches = list(planned.batches())
    for number, batch in enumerate(batches):
        await sending.deliver(batch.lane, batch.lines)
        while not shots.done() and number * TIMES * len(VICTIMS) > len(killer.kills) * len(batches):
            await asyncio.wait([shots], timeout=0.05)
    await shots
    sending.finish()


def test_every_process_killed_three_times_and_every_cell_and_outcome_is_right(settings: Settings) -> None:
    convention = conventions.load(settings.convention)
    planned = Schedule(bts.choose(bts.read(), "3321,3408,3410").scaled(4), convention, seed=11, batch=BATCH)
    killer = Killer(settings, seed=11)
    sending = Sending(settings, convention, total=0, victims=())
    asyncio.run(_publish_under_fire(sending, planned, killer))
    assert sorted(killer.kills) == sorted(VICTIMS * TIMES)

    watch = Watch(settings, convention)
    try:
        assert asyncio.run(watch.until_balanced(sending.told, lambda _: None, SECS_TO_BALANCE)), watch.books()
        assert oracle.compare(watch.cells(), planned.expected) == []
        assert oracle.compare_books(watch.books(), planned.expected) == []
    finally:
        watch.close()
