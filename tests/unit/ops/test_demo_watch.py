"""What the demonstration looks at is the generation that readers see."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from connectors.feed_store import FeedStore
from ops.demo.watch import Watch
from ops.generations.rules import manifest
from ops.pids import write_json
from ops.settings import Settings, with_free_ports
from ops.worker_http import state_server
from schemas.conventions import load
from streams import books
from streams.fold import CellChange, CutClosed
from streams.telemetry import AgentTelemetry

CELL = "F06|2018-01|IN|F|PL|PL|ROAD|WORK|KOZLOVICHI"
DELIVERIES = books.cell(1, 1, "deliveries", "D0")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return with_free_ports(tmp_path)


@pytest.fixture
def store(settings: Settings) -> Iterator[FeedStore]:
    """Two generations, the second of which counts one more of everything; readers see the first."""
    with closing(FeedStore(settings.feed_url, 1)) as opened:
        opened.generations.enrol(1, manifest(settings))
        opened.generations.begin(2, manifest(settings, previous=1))
        for number in (1, 2):
            with opened.at(number).begin(0) as step:
                changes = tuple(CellChange(key, number, (number,), {}) for key in (CELL, DELIVERIES))
                step.write(CutClosed(10, changes))
                step.advance(0, 1)
        opened.generations.ready(2)
        yield opened


def test_books_and_cells_are_the_current_ones(settings: Settings, store: FeedStore) -> None:
    with closing(Watch(settings, load(settings.convention))) as watch:
        for number in (1, 2):
            if number == 2:
                store.generations.switch(2, "rehearsed")
            assert [cell.measures for cell in watch.cells()] == [(number,)]
            assert [book["deliveries"] for book in watch.books().values()] == [number]


@pytest.mark.parametrize("current", [1, 2])
async def test_ages_are_those_of_the_current_ones_cuts(settings: Settings, store: FeedStore, current: int) -> None:
    if current == 2:
        store.generations.switch(2, "rehearsed")
    registry = CollectorRegistry()
    AgentTelemetry(registry, "aggregate", ()).cut(int(time.time()))
    ages: list[float] = []
    async with state_server(registry, lambda *_: None) as address:
        noted = {"generation": 2, "port": int(address.rpartition(":")[2])}
        write_json(settings.home / "run" / "aggregate.g2.json", noted)
        with closing(Watch(settings, load(settings.convention))) as watch, suppress(TimeoutError):
            await asyncio.wait_for(watch.cut_ages(ages), 1.0)
    assert bool(ages) == (current == 2)  # nobody answers for the first one
