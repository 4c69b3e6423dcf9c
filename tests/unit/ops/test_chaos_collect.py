"""What the system says after a run of chaos is asked for until it is there, cell by cell and record by record."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiohttp import web

from ops.chaos import collect
from ops.chaos.collect import Feed, fates
from ops.chaos.house import Second, fill, gauge, sweep
from ops.chaos.reckon import record_id
from ops.ports import free_block
from ops.settings import Feed as FeedSettings
from ops.settings import Metrics, Settings
from schemas.errors import Misconfigured

RECORD = ("cbp", "border.crossing", "A-1")
BOOKS = {"books": [{"agency": "cbp", "family": "border.crossing", "counts": {"deliveries": 3, "speaking": 2}}]}
BOUNDS = {("cbp", "border.crossing"): {"deliveries": (3, 4), "speaking": (2, 2)}}


@asynccontextmanager
async def answering(port: int, answer: Callable[[web.Request], Any]) -> AsyncIterator[None]:
    async def take(request: web.Request) -> web.Response:
        return web.json_response(answer(request))

    app = web.Application()
    app.add_routes([web.get("/{path:.*}", take)])
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    yield
    await runner.cleanup()


def table(name: str) -> Mapping[str, Any]:
    """Return a table of one figure, or of two measures."""
    seen = {"TIME_PERIOD": "2018-03", "SEX": "F", "OBS_VALUE": 7, "INDICATOR": "ACTS"}
    measures = [{"id": "ACTS"}] + ([{"id": "PERSONS"}] if name == "F11" else [])
    observations = [] if name == "F01" else [seen]
    return {"dimensions": ["SEX"], "measures": measures, "observations": observations}


async def test_every_cell_of_every_table_is_asked_for() -> None:
    port = free_block(1)
    settings = Settings(feed=FeedSettings(port=port))
    async with (
        answering(port, lambda request: table(request.path.rpartition("/")[2])),
        httpx.AsyncClient() as http,
    ):
        cells = await Feed(http, settings).cells()
    assert cells == {"F06|2018-03|F": 7, "F11|2018-03|F|ACTS": 7}


async def test_a_feed_that_is_away_has_no_cut_and_no_books() -> None:
    async with httpx.AsyncClient() as http:
        feed = Feed(http, Settings(feed=FeedSettings(port=free_block(1))))
        assert await feed.cut() is None
        assert await feed.books() == {}


@pytest.mark.parametrize(("told", "enough"), [(3, True), (4, False)])
async def test_it_is_settled_when_the_books_know_what_was_told(told: int, enough: bool) -> None:
    port = free_block(1)
    bounds = {account: {**wanted, "deliveries": (told, 9)} for account, wanted in BOUNDS.items()}
    async with answering(port, lambda _: BOOKS), httpx.AsyncClient() as http:
        feed = Feed(http, Settings(feed=FeedSettings(port=port)))
        assert await collect.settled(feed, bounds, secs=6.0 if enough else 0.6) == enough


async def test_what_is_moving_between_workers_is_asked_for_again() -> None:
    port = free_block(6)
    settings = Settings(metrics=Metrics(base_port=port))
    name = record_id(*RECORD)
    asked: list[str] = []

    def answer(request: web.Request) -> dict[str, Any]:
        asked.append(request.path)
        if request.path.endswith("/blocks"):
            assert request.query["ids"] == f"19800101-{name}"
            return {name: {"standing": "counted", "cells": ["F06|…"]}} if len(asked) > 4 else {}
        return {name: {"block": 19800101}} if len(asked) > 1 else {}

    ports = {settings.address(agent)[1] for agent in ("deduplicate", "reconcile")}
    async with httpx.AsyncClient() as http:
        first, second = sorted(ports)
        async with answering(first, answer), answering(second, answer):
            found = await fates(http, settings, [RECORD])
    assert found == {RECORD: {"block": 19800101, "standing": "counted", "cells": ["F06|…"]}}


async def test_what_nobody_has_heard_of_is_none_in_the_end() -> None:
    port = free_block(6)
    settings = Settings(metrics=Metrics(base_port=port))
    async with httpx.AsyncClient() as http, answering(settings.address("deduplicate")[1], lambda _: {}):
        assert await fates(http, settings, [RECORD], secs=0.1) == {RECORD: None}


def test_a_gauge_is_read_by_partition() -> None:
    text = '# TYPE migex_lag_frames gauge\nmigex_lag_frames{agent="reconcile",partition="3"} 2.0\n'
    assert gauge(text, "migex_lag_frames") == {"3": 2.0}
    assert gauge(text, "migex_outbox_frames") == {}


def test_what_is_not_of_such_a_run_is_left_alone(tmp_path: Path) -> None:
    tmp_path.joinpath("mine").touch()
    with pytest.raises(Misconfigured, match="chaos-directory"):
        sweep(tmp_path)
    sweep(tmp_path / "nothing")


def test_a_second_worker_shares_what_hosts_share_and_no_state(tmp_path: Path) -> None:
    first = Settings(home=tmp_path)
    second = Second(first, "reconcile").settings
    assert second.feed_url == first.feed_url
    assert second.checkpoints_directory == first.checkpoints_directory
    assert second.broker == first.broker
    assert second.state != first.state
    assert second.host != first.host


async def test_a_second_worker_that_never_started_can_leave(tmp_path: Path) -> None:
    await Second(Settings(home=tmp_path), "reconcile").stop(signal.SIGTERM)


def test_filling_ends_where_the_disk_does() -> None:
    fill(Path("/dev/full"))
