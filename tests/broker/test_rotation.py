"""Rotation of link keys on a real Kafka: half of the reports before it, half after, and no figure sees it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from connectors.admission import Admission
from connectors.inbox import frame
from ops import keys, secrets
from ops.generations import commands
from ops.generations.site import site
from schemas.frame import encode, tick_frame
from streams.dataflows import DATAFLOWS
from streams.replay import Replay
from streams.topics import partition
from tests.broker.test_generations import System
from tests.broker.workers import PARTITIONS, Inbox
from tests.connectors.events import NOW
from tests.laws.records import rules
from tests.laws.test_rotation import sightings

pytestmark = [pytest.mark.broker, pytest.mark.long, pytest.mark.timeout(600)]

Said = tuple[str, str, dict[str, Any]]


def publish(inbox: Inbox, door: Admission, still: Admission, plain: Replay, said: Sequence[Said]) -> None:
    """Write what a door makes of the events into the inbox, and what it would make without rotation into `plain`."""

    async def write() -> None:
        async with AIOKafkaProducer(bootstrap_servers=inbox.bootstrap, acks="all") as producer:
            for number, (agency, family, event) in enumerate(said):
                delivery = number.to_bytes(8, "big")
                entry, unrotated = (each.admit(agency, family, event, delivery, NOW) for each in (door, still))
                where = partition(entry.partition_key, PARTITIONS)
                await inbox._write(producer, where, frame([entry]))
                plain.inbox.append(where, frame([unrotated]))
            await inbox._tick(producer)
            for where in range(PARTITIONS):
                plain.inbox.append(where, encode(tick_frame(inbox.tick)))

    asyncio.run(write())


def test_old_and_new_records_of_one_person_link_after_a_rotation(inbox: Inbox, tmp_path: Path) -> None:
    system, plain, said = System(tmp_path, inbox), Replay(rules()), list(sightings())
    plain.inbox.partitions = [list(values) for values in inbox.replay.inbox.partitions]
    directory = system.settings.secrets
    secrets.make(directory, [])
    first, second, _ = system.numbers
    door, still = (Admission(rules().convention, rules().lists, secrets.load(directory)) for _ in range(2))
    publish(inbox, door, still, plain, said[: len(said) // 2])
    with system.supervised(), site(system.settings) as at:
        system.counted(first)
        assert keys.rotate(at, system.console) == 0
        assert commands.contrast(at, first, second, None, system.console) == 0, system.screen.getvalue()
        commands.switch(at, second, None, system.console)
        commands.drop(at, first, system.console)

        door.renew(secrets.load(directory))
        publish(inbox, door, still, plain, said[len(said) // 2 :])
        asyncio.run(system.agents.until(lambda: at.generations.standing(second).newest == inbox.tick))
        plain.run()
        store = at.store.at(second)
        found = {
            "|".join((cell.table, cell.period, *cell.codes)): (cell.facts, cell.measures)
            for table in DATAFLOWS
            for cell in store.cells(table)
        }
    expected = {key: (cell.facts, cell.measures) for key, cell in plain.cells.items()}
    assert found == {key: figures for key, figures in expected.items() if key.partition("|")[0] in DATAFLOWS}
