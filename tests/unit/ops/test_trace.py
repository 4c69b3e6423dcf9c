"""Trace: which worker is asked about a record, and what is said when none of this host has it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, closing
from pathlib import Path
from typing import Any

import anyio.to_thread
import pytest
from prometheus_client import CollectorRegistry

from connectors.feed_store import FeedStore
from ops import secrets
from ops.generations.rules import manifest
from ops.pids import write_json
from ops.settings import Settings, with_free_ports
from ops.trace import trace
from ops.worker_http import state_server
from schemas.errors import Unavailable
from schemas.header import record_id
from streams.topics import partition

FAMILY, BLOCK = "border.crossing", 19800101
HOME = partition(record_id("gpk", FAMILY, "A-1"), 8)
BLOCK_HOME = partition(BLOCK.to_bytes(4, "big"), 8)
RECORD = record_id("gpk", FAMILY, "A-1").hex()
VERSION = {
    "revision": 1,
    "op": "CREATE",
    "recorded_at": "2018-03-01T07:15:07+00:00",
    "digest": "00" * 16,
    "deliveries": 1,
    "speaks": True,
    "wins": True,
    "door": "http",
    "accepted_at": 0,
    "offset": 0,
    "tick": 0,
}
VERSIONS: dict[str, Any] = {"versions": [VERSION], "block": BLOCK, "refusals": [], "cancelled": False, "seq": 1}

Answer = Callable[[str, dict[str, str]], dict[str, Any] | None]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    made = with_free_ports(tmp_path)
    secrets.make(made.secrets, ())
    with closing(FeedStore(made.feed_url, 1)) as store:
        store.generations.enrol(1, manifest(made))
    return made


def worker(partitions: list[int], told: dict[str, Any] | None = None, behind: int = 0) -> Answer:
    """Return what a worker answers that has these partitions open and tells this of the record."""
    opened = {str(number): {"position": 1, "behind": behind} for number in partitions}
    return lambda _path, _query: {"generation": 1, "open": opened, "found": {RECORD: told} if told else {}}


@asynccontextmanager
async def working(settings: Settings, **workers: list[Answer]) -> AsyncIterator[None]:
    """Let workers answer, as the supervisor has noted them."""
    async with AsyncExitStack() as stack:
        for agent, answers in workers.items():
            for number, answer in enumerate(answers):
                address = await stack.enter_async_context(state_server(CollectorRegistry(), answer))
                noted = {"generation": 1, "port": int(address.rpartition(":")[2])}
                write_json(settings.home / "run" / f"{agent}{f'-{number}' if number else ''}.json", noted)
        yield


async def fates(settings: Settings) -> list[dict[str, Any]]:
    return await anyio.to_thread.run_sync(trace, "gpk", "A-1", settings)


OTHERS = [number for number in range(8) if number != HOME]


async def test_the_worker_that_has_the_partition_is_asked(settings: Settings) -> None:
    deduplicate = [worker(OTHERS), worker([HOME], VERSIONS)]
    outside = {
        "standing": "outside",
        "cells": [],
        "seq": 1,
        "outside": [{"table": "F01", "reason": "move-in-district"}],
    }
    async with working(settings, deduplicate=deduplicate, reconcile=[worker([BLOCK_HOME], outside)]):
        (found,) = await fates(settings)
    assert (found["state"], found["reasons"][0]["code"]) == ("not-counted", "move-in-district")
    assert str(BLOCK) not in str(found)


async def test_a_record_that_its_partition_does_not_know_was_never_accepted(settings: Settings) -> None:
    async with working(settings, deduplicate=[worker([HOME, *OTHERS])]):
        assert await fates(settings) == []


async def test_a_record_that_may_still_come_is_not_said_to_be_unknown(settings: Settings) -> None:
    async with working(settings, deduplicate=[worker([HOME, *OTHERS], behind=3)]):
        with pytest.raises(Unavailable, match=r"record-unsettled: .* 3 messages"):
            await fates(settings)


async def test_a_partition_that_nobody_here_has_is_not_taken_for_a_record_that_is_not_there(settings: Settings) -> None:
    async with working(settings, deduplicate=[worker(OTHERS), worker([])]):
        with pytest.raises(Unavailable, match=rf"deduplicate .* partition {HOME} open.*ask on the host"):
            await fates(settings)


async def test_the_same_holds_for_its_block(settings: Settings) -> None:
    others = [number for number in range(8) if number != BLOCK_HOME]
    deduplicate = [worker([HOME, *OTHERS], VERSIONS)]
    async with working(settings, deduplicate=deduplicate, reconcile=[worker(others)]):
        with pytest.raises(Unavailable, match=rf"reconcile .* partition {BLOCK_HOME} open"):
            await fates(settings)


async def test_a_worker_of_another_generation_is_not_believed(settings: Settings) -> None:
    def other(_path: str, _query: dict[str, str]) -> dict[str, Any]:
        return worker([HOME, *OTHERS], VERSIONS)("", {}) | {"generation": 2}  # type: ignore[operator]

    async with working(settings, deduplicate=[other]):
        with pytest.raises(Unavailable, match="partition-elsewhere"):
            await fates(settings)


async def test_a_worker_that_does_not_answer_is_named(settings: Settings) -> None:
    with pytest.raises(Unavailable, match="worker-away: A deduplicate worker"):
        await fates(settings)
