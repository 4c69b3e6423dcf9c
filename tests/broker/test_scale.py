"""Workers of two hosts share the partitions; they become more and fewer under load, and the figures are exact."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from pathlib import Path

import pytest

from ops.settings import Checkpoints
from tests.broker.workers import AGENTS, PARTITIONS, Agents, Inbox, agents, compare, crossings

pytestmark = [pytest.mark.broker, pytest.mark.timeout(600)]

SHARED = ("deduplicate", "reconcile")
Member = tuple[Agents, int]


class Fleet:
    """The workers of both hosts, and the load that never ends while their number changes."""

    def __init__(self, inbox: Inbox, first: Agents, second: Agents, chance: random.Random) -> None:
        self.inbox = inbox
        self.first = first
        self.members: list[Member] = [(first, 0), (second, 0), (second, 1), (first, 1)]
        self.chance = chance

    async def work_with(self, count: int, secs: float = 180.0) -> None:
        """Start or end workers until there are so many; return when they share all partitions and each has some."""
        for agent in SHARED:
            for number, (host, member) in enumerate(self.members):
                runs = f"{agent}-{member}" in host.processes
                if number < count and not runs:
                    host.start(agent, member)
                elif number >= count and runs:
                    self._end(host, f"{agent}-{member}")
        end = time.monotonic() + secs
        while not all(self._shared(agent, count) for agent in SHARED):
            assert time.monotonic() < end, self.first.log() + self.members[1][0].log()
            await self.load(20)
            await asyncio.sleep(0.3)

    async def load(self, count: int) -> None:
        await self.inbox.fill(list(crossings(self.chance, count)), self.chance)

    def _shared(self, agent: str, count: int) -> bool:
        """Return whether each worker has partitions, and no partition two workers."""
        owned = [set(host.lag(member, agent)) for host, member in self.members[:count]]
        return all(owned) and sum(map(len, owned)) == len(set().union(*owned)) == PARTITIONS

    def _end(self, host: Agents, name: str) -> None:
        """End a worker as a host ends it, or as a power cut does."""
        process = host.processes.pop(name)
        process.send_signal(self.chance.choice((signal.SIGTERM, signal.SIGKILL)))
        process.wait(30)


async def scale(inbox: Inbox, home: Path, chance: random.Random, counts: list[int], *, each: bool) -> None:
    """Let as many workers work as the counts say, one after another, and compare at the end, or after each."""
    async with agents(inbox, home / "a", checkpoints=Checkpoints(secs=1.0)) as first:
        second = first.beside(home / "b")
        try:
            first.start("aggregate")
            fleet = Fleet(inbox, first, second, chance)
            for count in counts:
                await fleet.work_with(count)
                await fleet.load(60)
                if each:
                    await compare(first, inbox)
            await compare(first, inbox)
            assert "A partition begins with a checkpoint." in second.log()
        finally:
            second.end()


async def test_one_worker_becomes_two_and_three_and_one_again_under_load(inbox: Inbox, tmp_path: Path) -> None:
    assert (*SHARED, "aggregate") == AGENTS
    await scale(inbox, tmp_path, random.Random(21), [1, 2, 3, 1], each=False)


@pytest.mark.long
@pytest.mark.timeout(3600)
async def test_the_number_of_workers_changes_again_and_again_and_every_cut_is_exact(
    inbox: Inbox, tmp_path: Path
) -> None:
    chance = random.Random(22)
    counts = [chance.randint(1, 4) for _ in range(10)]
    await scale(inbox, tmp_path, chance, [1, *counts, 1], each=True)
