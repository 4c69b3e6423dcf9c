"""The three agents as real processes on a real Kafka: every cell of every cut as the folds in memory have it.

They are killed, doubled and stopped meanwhile.
"""

from __future__ import annotations

import asyncio
import random
import signal
import subprocess
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from ops import topics as ops_topics
from streams.deduplicate import Deduplicate
from streams.kafka import Kafka
from streams.partition import Partition
from streams.rocks import Identity
from streams.topics import Topics
from streams.worker import TAKEN_OVER
from tests.broker.workers import AGENTS, Agents, Inbox, agents, compare, crossings, share
from tests.laws.records import rules

pytestmark = [pytest.mark.broker, pytest.mark.timeout(240)]


async def test_every_cell_of_every_cut_is_as_the_folds_in_memory_have_it(inbox: Inbox, tmp_path: Path) -> None:
    chance = random.Random(1)
    async with agents(inbox, tmp_path) as made:
        await inbox.fill(list(crossings(chance, 600)), chance)  # before anybody reads
        for agent in AGENTS:
            made.start(agent)
        await compare(made, inbox)
        await inbox.put(0, b"rubbish")
        await inbox.fill(list(crossings(chance, 100)), chance, pause=0.05)  # while all are at work
        await compare(made, inbox)
    assert str(made.settings.generation).encode() in await quarantined(inbox, b"rubbish")
    assert any(key.startswith("F06|") for key in inbox.cuts[inbox.tick])


async def quarantined(inbox: Inbox, value: bytes) -> set[bytes | None]:
    """Return the generations that have set this message aside."""
    place = TopicPartition(inbox.topics.name("quarantine"), 0)
    async with AIOKafkaConsumer(bootstrap_servers=inbox.bootstrap) as consumer:
        end = (await consumer.end_offsets([place]))[place]
        consumer.assign([place])
        await consumer.seek_to_beginning(place)
        found = set()
        while await consumer.position(place) < end:
            message = await consumer.getone(place)
            if message.value.endswith(b"\n" + value):
                found.add(dict(message.headers).get("generation"))
        return found


async def test_nothing_is_lost_or_counted_twice_when_each_worker_is_killed_three_times(
    inbox: Inbox, tmp_path: Path
) -> None:
    chance = random.Random(2)
    async with agents(inbox, tmp_path) as made:
        for agent in AGENTS:
            made.start(agent)
        filling = asyncio.create_task(inbox.fill(list(crossings(chance, 2500)), random.Random(3), pause=0.25))
        await asyncio.sleep(3.0)  # they are up by now, or on their way
        for agent in chance.sample(AGENTS * 3, 9):
            await asyncio.sleep(chance.uniform(0.2, 2.0))
            made.kill(f"{agent}-0")
            made.start(agent)
        await filling
        await compare(made, inbox)


async def two_of_reconcile(made: Agents, inbox: Inbox, chance: random.Random) -> subprocess.Popen[bytes]:
    """Let all agents work, reconcile with two workers that both have partitions; return the second one."""
    for agent in AGENTS:
        made.start(agent)
    second = made.start("reconcile", 1)
    await share(made, inbox, chance)
    return second


async def test_a_second_reconcile_worker_takes_over_what_the_first_had_and_gives_it_back(
    inbox: Inbox, tmp_path: Path
) -> None:
    chance = random.Random(4)
    async with agents(inbox, tmp_path) as made:
        await two_of_reconcile(made, inbox, chance)
        assert [made.opened("reconcile", member) for member in (0, 1)] == [set(map(int, made.lag(n))) for n in (0, 1)]
        made.kill("reconcile-0")
        await inbox.fill(list(crossings(chance, 100)), chance)
        await compare(made, inbox)
        made.start("reconcile", 0)
        await share(made, inbox, chance)


@pytest.mark.long  # on a machine that is busy otherwise a start may take longer than a session
async def test_a_worker_that_comes_back_within_its_session_disturbs_nobody(inbox: Inbox, tmp_path: Path) -> None:
    chance = random.Random(6)
    async with agents(inbox, tmp_path) as made:
        await two_of_reconcile(made, inbox, chance)
        other = tmp_path / "reconcile-1.log"
        had, taken_over = made.opened("reconcile", 0), other.read_text().count(TAKEN_OVER)
        assert taken_over
        made.kill("reconcile-0")
        made.start("reconcile", 0)
        await inbox.fill(list(crossings(chance, 100)), chance)
        await compare(made, inbox)
        await made.until(lambda: made.lag(0))  # it answers
        assert made.opened("reconcile", 0) == had
        assert other.read_text().count(TAKEN_OVER) == taken_over


async def test_a_worker_that_hangs_holds_up_its_own_partitions_only(inbox: Inbox, tmp_path: Path) -> None:
    chance = random.Random(5)
    async with agents(inbox, tmp_path) as made:
        hanging = await two_of_reconcile(made, inbox, chance)
        own = set(made.lag(0))
        hanging.send_signal(signal.SIGSTOP)
        await asyncio.sleep(8.0)  # its session ends: the other one is assigned everything, yet the states are locked
        await inbox.fill(list(crossings(chance, 100)), chance)
        await made.until(lambda: (lag := made.lag(0)) and set(lag) == own and not any(lag.values()))
        hanging.send_signal(signal.SIGCONT)
        await compare(made, inbox)


def test_a_worker_ends_and_says_why_when_its_state_is_of_another_cluster(inbox: Inbox, tmp_path: Path) -> None:
    made = Agents(tmp_path, inbox.bootstrap, inbox.generation())
    generation = made.settings.generation
    topics = Topics.of(generation, rules().convention)
    asyncio.run(ops_topics.apply(Kafka(inbox.bootstrap), topics))
    identity = Identity("another", topics.name("inbox"), 0, generation, "deduplicate")
    Partition(made.settings.state / f"g{generation}" / "deduplicate" / "p0", identity, Deduplicate(0, 8, {})).close()
    try:
        assert made.start("deduplicate").wait(40) == 78
        assert "foreign-state" in made.log()
    finally:
        made.end()
