"""The worker without Kafka: what it strikes off the outbox, and which exit says what. tests/broker has the rest."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from schemas.errors import Broken
from streams.engine import TP
from streams.fold import Effect, Message, Send, View
from streams.kafka import Kafka
from streams.partition import Partition
from streams.rocks import Identity
from streams.telemetry import AgentTelemetry
from streams.topics import Topics
from streams.worker import SEEKS, WINDOW, Worker, _Place
from streams.workplace import Assignment


class Echo:
    """A fold that sends each message on."""

    hot = b""

    def fold(self, view: View, messages: Sequence[Message]) -> Sequence[Effect]:
        return [Send("log", 0, message.value) for message in messages]


def partition(directory: Path) -> Partition:
    return Partition(directory, Identity("c", "t", 0, 1, "deduplicate"), Echo())


def worker(at: Partition, kind: type[Worker] = Worker) -> Worker:
    topics = Topics(1, ["gpk"], ["border.crossing"])
    telemetry = AgentTelemetry(CollectorRegistry(), "deduplicate", ["gpk"])
    return kind(
        Assignment(
            agent="deduplicate",
            source=topics.name("inbox"),
            topics=topics,
            kafka=Kafka("127.0.0.1:1"),
            member="deduplicate-0",
            open=lambda _: at,
            telemetry=telemetry,
            agencies={1: "gpk"},
        )
    )


async def test_two_who_wait_for_the_oldest_send_strike_one_off_the_outbox(tmp_path: Path) -> None:
    """The agent and the watch do, when Kafka is slow; the next send may not be with Kafka yet."""
    at = partition(tmp_path)
    at.step([Message(n, b"x") for n in range(WINDOW + 5)])
    place = _Place(at)
    loop = asyncio.get_running_loop()
    sends = [loop.create_future() for _ in range(WINDOW + 5)]
    place.sending.extend(sends)
    one = worker(at)
    both = [asyncio.create_task(one._settle(place)) for _ in range(2)]
    await asyncio.sleep(0)
    sends[0].set_result(None)
    await asyncio.sleep(0.01)
    assert at.outbox == len(place.sending) == WINDOW + 4
    for send in sends[1:]:
        send.set_result(None)
    await asyncio.gather(*both)
    assert at.outbox == len(place.sending) == 0
    at.close()


async def test_a_send_that_is_acknowledged_out_of_turn_waits_for_those_before_it(tmp_path: Path) -> None:
    at = partition(tmp_path)
    at.step([Message(n, b"x") for n in range(3)])
    place = _Place(at)
    sends = [asyncio.get_running_loop().create_future() for _ in range(3)]
    place.sending.extend(sends)
    one = worker(at)
    sends[1].set_result(None)
    await one._settle(place)
    assert at.outbox == 3
    sends[0].set_result(None)
    await one._settle(place)
    assert at.outbox == 1
    at.close()


async def test_a_send_that_failed_is_an_error_of_whoever_settles(tmp_path: Path) -> None:
    at = partition(tmp_path)
    at.step([Message(0, b"x")])
    place = _Place(at)
    failed = asyncio.get_running_loop().create_future()
    failed.set_exception(ConnectionError())
    place.sending.append(failed)
    with pytest.raises(ConnectionError):
        await worker(at)._settle(place)
    assert at.outbox == 1
    at.close()


async def test_a_chunk_of_a_partition_that_is_not_open_is_left_alone(tmp_path: Path) -> None:
    at = partition(tmp_path)
    await worker(at).step(0, [Message(0, b"x")])
    assert at.position == 0
    at.close()


class Consumer:
    """A consumer whose reading begins where it is told; what comes of it, the test hands over."""

    async def earliest_offsets(self, tp: TP) -> dict[TP, int]:
        return {tp: 0}

    async def read_from(self, positions: Mapping[TP, int]) -> None:
        assert set(positions.values()) == {0}


class Alone(Worker):
    """A worker without Faust."""

    def _faust_app(self) -> Any:
        return SimpleNamespace(consumer=Consumer())


async def test_chunks_of_a_fetch_that_was_under_way_are_no_hole_and_one_that_comes_again_and_again_is(
    tmp_path: Path,
) -> None:
    at = partition(tmp_path)
    one = worker(at, Alone)
    one._places[0] = _Place(at)
    for offset in range(5000, 5000 + 10 * SEEKS):
        await one.step(0, [Message(offset, b"x")])
    for _ in range(SEEKS):
        await one.step(0, [Message(7, b"x")])
    with pytest.raises(Broken, match="log-hole"):
        await one.step(0, [Message(7, b"x")])
    at.close()


@pytest.mark.parametrize(
    ("error", "status"),
    [
        ("Misconfigured('foreign-state', 'Move it.')", 78),
        ("Broken('log-hole', 'Cut.')", 70),
        ("KeyError(1)", 70),
        ("OSError(5, 'Input/output error')", 70),
        ("Unavailable('lease-lost', 'Another worker has it.')", 75),
        ("KafkaConnectionError('no broker')", 75),
        ("OSError(28, 'No space left on device')", 75),
        ("Exception('IO error: No space left on device: While appending to file: 000004.log')", 75),
    ],
)
def test_the_exit_says_whether_a_restart_may_help(error: str, status: int, tmp_path: Path) -> None:
    program = (
        "from aiokafka.errors import KafkaConnectionError\nfrom schemas.errors import *\n"
        "from streams.worker import Worker\n"
        f"try:\n    raise {error}\nexcept Exception as error:\n    Worker.stop_at_once(None, error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == status
    assert error.split("(", maxsplit=1)[0] in done.stderr
