"""Another host goes on where one hangs or is gone: it begins with published checkpoints, and the figures are exact."""

from __future__ import annotations

import random
import signal
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from ops import topics as ops_topics
from ops.settings import Checkpoints
from schemas.frame import encode, tick_frame
from streams.deduplicate import Deduplicate
from streams.fold import Message
from streams.kafka import Kafka
from streams.partition import Partition
from streams.rocks import Identity
from streams.topics import Topics
from tests.broker.workers import AGENTS, PARTITIONS, Agents, Inbox, agents, compare, crossings
from tests.laws.records import rules

pytestmark = [pytest.mark.broker, pytest.mark.timeout(240)]

STATEFUL = ("deduplicate", "reconcile")


def published(made: Agents) -> bool:
    """Return whether every partition has a checkpoint."""
    root = made.settings.checkpoints_directory / f"g{made.settings.generation}"
    return all(len(list((root / agent).glob("p*/*/manifest.json"))) >= PARTITIONS for agent in STATEFUL)


def owns_all(made: Agents) -> bool:
    return all(len(made.lag(0, agent)) == PARTITIONS for agent in STATEFUL)


async def test_another_host_takes_over_from_one_that_hangs_and_neither_counts_twice(
    inbox: Inbox, tmp_path: Path
) -> None:
    chance = random.Random(11)
    async with agents(inbox, tmp_path / "a", checkpoints=Checkpoints(secs=0.5)) as first:
        second = first.beside(tmp_path / "b")
        try:
            await inbox.fill(list(crossings(chance, 100)), chance)
            for agent in AGENTS:
                first.start(agent)
            await compare(first, inbox)
            await first.until(lambda: published(first))
            for agent in STATEFUL:
                first.processes[f"{agent}-0"].send_signal(signal.SIGSTOP)
            for agent in STATEFUL:
                second.start(agent)
            await inbox.fill(list(crossings(chance, 60)), chance)
            await second.until(lambda: owns_all(second))
            await compare(first, inbox)
            assert second.log().count("A partition begins with a checkpoint.") >= len(STATEFUL) * PARTITIONS
            for agent in STATEFUL:
                first.processes[f"{agent}-0"].send_signal(signal.SIGCONT)
            await inbox.fill(list(crossings(chance, 60)), chance, pause=0.2)  # both are at work, or think so
            await compare(first, inbox)
        finally:
            second.end()


async def cluster_id(bootstrap: str) -> str:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        return str((await admin.describe_cluster())["cluster_id"])
    finally:
        await admin.close()


async def until_it_stands_still(host: Agents) -> None:
    """Wait until partition 0 stands still and the others go on."""
    await host.until(lambda: list(host.gauge("migex_state_ahead", "deduplicate")) == ["0"])
    await host.until(lambda: len(host.lag(0, "deduplicate")) == PARTITIONS - 1)


async def test_a_partition_whose_source_is_shorter_than_its_state_stands_still_on_every_host(
    inbox: Inbox, tmp_path: Path
) -> None:
    made = Agents(tmp_path / "a", inbox.bootstrap, inbox.generation())
    generation, topics = made.settings.generation, Topics.of(made.settings.generation, rules().convention)
    await ops_topics.apply(Kafka(inbox.bootstrap), topics)
    await inbox.fill(list(crossings(random.Random(12), 20)), random.Random(12))
    identity = Identity(await cluster_id(inbox.bootstrap), topics.name("inbox"), 0, generation, "deduplicate")
    state = Partition(made.settings.state / f"g{generation}" / "deduplicate" / "p0", identity, Deduplicate(0, 8, {}))
    tick = encode(tick_frame(1))
    state.step([Message(offset, tick) for offset in range(100_000)])
    state.close()
    other = made.beside(tmp_path / "b")
    try:
        for host in (made, other):
            host.start("deduplicate")
            await until_it_stands_still(host)
            assert "log-shorter" in host.log()
            host.kill("deduplicate-0")
    finally:
        made.end()
        other.end()
