"""Status: from notes, answers and logs."""

from __future__ import annotations

import io
import json
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import anyio.to_thread
import pytest
from prometheus_client import CollectorRegistry
from rich.console import Console

from ops import status
from ops.pids import PidFile, write_json
from ops.processes import PROCESSES
from ops.settings import Settings, with_free_ports
from ops.worker_http import state_server
from streams.telemetry import AgentTelemetry


@pytest.fixture
async def settings(tmp_path: Path) -> AsyncIterator[Settings]:
    """A system in which reconcile answers, the clock runs and is silent, the feed was given up."""
    made = with_free_ports(tmp_path)
    registry = CollectorRegistry()
    agent = AgentTelemetry(registry, "reconcile", (), now=lambda: 2.5)
    agent.position(0, 69, 80)
    agent.position(1, 29, 31)
    agent.newest(1000)
    for name in ("reconcile", "clock"):
        PidFile(tmp_path / "run" / f"{name}.json").record(os.getpid(), state="up", restarts=2)
    write_json(tmp_path / "run" / "feed.json", {"pid": None, "state": "failed", "restarts": 10})
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "feed.log").write_text('{"level": "info", "event": "x"}\nmigex: port-taken: Port 1.\n')
    async with state_server(registry, lambda _path, _query: None, *made.address("reconcile")):
        yield made


async def test_each_process_as_it_is(settings: Settings) -> None:
    found = {row.name: row for row in await anyio.to_thread.run_sync(status.rows, settings)}
    down = dict.fromkeys(["kafka-1", "supervisor", *PROCESSES], "down")
    states = {name: row.state for name, row in found.items()}
    assert states == down | {"clock": "starting", "reconcile": "up", "feed": "failed"}
    reconcile = found["reconcile"]
    assert (reconcile.applied, reconcile.lag_frames, reconcile.lag_secs, reconcile.restarts) == (100, 11, 1.5, 2)
    assert found["feed"].error == "migex: port-taken: Port 1."


def test_workers_of_further_generations_are_shown_beside_the_others(tmp_path: Path) -> None:
    made = with_free_ports(tmp_path)
    for name, port in (("reconcile.g2", 4001), ("reconcile.g2-1", 4002)):
        write_json(tmp_path / "run" / f"{name}.json", {"pid": None, "state": "waiting", "port": port})
    found = {row.name: (row.state, row.address) for row in status.rows(made)}
    assert "reconcile" not in found  # no worker of that name is noted
    assert found["reconcile.g2-1"] == ("waiting", "http://127.0.0.1:4002")
    assert found["aggregate"][0] == "down"


async def test_partitions_that_nobody_here_has_open_are_named(tmp_path: Path) -> None:
    made = with_free_ports(tmp_path)
    async with AsyncExitStack() as stack:
        for name, generation, opened in (("reconcile", 1, [0, 2]), ("reconcile-1", 1, [4]), ("reconcile.g2", 2, [0])):
            told = {"partitions": opened, "partitions_of": 5 if generation == 1 else 1}
            address = await stack.enter_async_context(state_server(CollectorRegistry(), lambda *_, told=told: told))
            noted = {"generation": generation, "port": int(address.rpartition(":")[2])}
            PidFile(tmp_path / "run" / f"{name}.json").record(os.getpid(), state="up", **noted)
        rows = await anyio.to_thread.run_sync(status.rows, made)
    assert list(status.absent(rows)) == ["reconcile of generation 1: partitions 1, 3 are not open on this host"]
    text = io.StringIO()
    Console(width=160, file=text).print(status.table(rows))
    assert text.getvalue().rstrip().endswith("partitions 1, 3 are not open on this host")


async def test_it_reads_as_a_table(settings: Settings) -> None:
    rows = await anyio.to_thread.run_sync(status.rows, settings)
    text = io.StringIO()
    Console(width=160, file=text).print(status.table(rows))
    line = next(line for line in text.getvalue().splitlines() if line.startswith("reconcile"))
    (address,) = (row.address for row in rows if row.name == "reconcile")
    assert line.split()[:8] == ["reconcile", "up", str(os.getpid()), "2", address, "100", "11", "frames"]


def test_a_kafka_elsewhere_is_not_asked_after(tmp_path: Path) -> None:
    made = with_free_ports(tmp_path)
    elsewhere = made.model_copy(update={"broker": made.broker.model_copy(update={"local": False})})
    assert status.rows(elsewhere)[0].state == "elsewhere"


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([], ""),
        ([json.dumps({"level": "info", "event": "Fine."})], ""),
        (
            [json.dumps({"level": "error", "event": "Away.", "timestamp": "2026-01-02T03:04:05.6Z"}), "{}"],
            "2026-01-02T03:04:05 Away.",
        ),
        (
            [json.dumps({"level": "error", "event": "Broke.", "exception": "Traceback\n x\nValueError: bad"})],
            "Broke. ValueError: bad",
        ),
        (
            ["Traceback (most recent call last):", "  File x", "ZeroDivisionError: division by zero"],
            "ZeroDivisionError: division by zero",
        ),
        (
            ["2026-01-02T03:04:05Z ERROR ControllerApis: boom", "\tat java"],
            "2026-01-02T03:04:05Z ERROR ControllerApis: boom",
        ),
        (["{broken json", "x" * 300], ""),
    ],
)
def test_last_error_of_a_log(tmp_path: Path, lines: list[str], said: str) -> None:
    log = tmp_path / "x.log"
    log.write_text("\n".join(lines))
    assert status.last_error(log) == said


def test_no_log_no_error(tmp_path: Path) -> None:
    assert status.last_error(tmp_path / "none.log") == ""


def test_the_file_door_says_how_far_each_agencys_files_have_come() -> None:
    answering = {"waiting": 2, "family": "border.crossing", "rows": 5000, "answered": 1200, "refused": 4}
    idle = {"waiting": 1, "family": "", "rows": 0, "answered": 0, "refused": 0}
    row = status.Row("file-door", "up", 1, 0, "", files={"gpk": answering, "mvd": idle})
    assert list(status.files([row])) == [
        "gpk: a file of border.crossing: 1,200 of 5,000 rows answered, 4 of them refused; 2 files wait",
        "mvd: 1 files wait",
    ]
