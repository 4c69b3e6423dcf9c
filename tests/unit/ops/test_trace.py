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
VERSIONS: dict[str, Any] = {"versions": [], "block": BLOCK, "refused_deliveries": 0, "cancelled": False}

Answer = Callable[[str, dict[str, str]], dict[str, Any] | None]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    made = with_free_ports(tmp_path)
    with closing(FeedStore(made.feed_url, 1)) as store:
        store.generations.enrol(1, manifest(made))
    return made


def worker(partitions: list[int], told: dict[str, Any] | None = None) -> Answer:
    """Return what a worker answers that has these partitions open and tells this of the record."""
    return lambda path, _: {"partitions": partitions} if path == "/partitions" else told


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


async def fate(settings: Settings) -> dict[str, Any] | None:
    return await anyio.to_thread.run_sync(trace, "gpk", FAMILY, "A-1", settings)


async def test_the_worker_that_has_the_partition_is_asked(settings: Settings) -> None:
    others = [number for number in range(8) if number != HOME]
    deduplicate = [worker(others, {"wrong": 1}), worker([HOME], VERSIONS)]
    reconcile = [worker([BLOCK_HOME], {"standing": "outside", "cells": []})]
    async with working(settings, deduplicate=deduplicate, reconcile=reconcile):
        found = await fate(settings)
    assert found is not None
    assert found["standing"] == "outside"
    assert "block" not in found


async def test_a_record_that_its_partition_does_not_know_was_never_accepted(settings: Settings) -> None:
    async with working(settings, deduplicate=[worker([HOME])]):
        assert await fate(settings) is None


async def test_a_partition_that_nobody_here_has_is_not_taken_for_a_record_that_is_not_there(settings: Settings) -> None:
    others = [number for number in range(8) if number != HOME]
    async with working(settings, deduplicate=[worker(others), worker([])]):
        with pytest.raises(Unavailable, match=rf"deduplicate .* partition {HOME} open.*ask on the host"):
            await fate(settings)


async def test_the_same_holds_for_its_block(settings: Settings) -> None:
    others = [number for number in range(8) if number != BLOCK_HOME]
    async with working(settings, deduplicate=[worker([HOME], VERSIONS)], reconcile=[worker(others)]):
        with pytest.raises(Unavailable, match=rf"reconcile .* partition {BLOCK_HOME} open"):
            await fate(settings)


async def test_a_worker_that_does_not_answer_is_named(settings: Settings) -> None:
    with pytest.raises(Unavailable, match="worker-away: A deduplicate worker"):
        await fate(settings)
