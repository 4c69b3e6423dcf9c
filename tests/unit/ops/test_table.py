"""`migex table`: the same answers as the feed's server, and the feed's process."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from connectors.feed_store import FeedStore
from ops.settings import Settings, with_free_ports
from streams.fold import CellChange, CutClosed

CELL = "F06|2018-01|IN|F|PL|PL|ROAD|WORK|KOZLOVICHI"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    settings = with_free_ports(tmp_path)
    with closing(FeedStore(settings.feed_url, 1)) as store, store.begin(0) as step:
        step.write(CutClosed(1_520_000_000, (CellChange(CELL, 3, (3,), {"on-time": (3, 0)}),)))
        step.write(CutClosed(1_530_000_000, (CellChange(CELL, 2, (2,), {"cancellation": (0, 1)}),)))
        step.advance(0, 1)
    return settings


def migex(settings: Settings, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **settings.environment(), "PYTHONIOENCODING": "utf-8"}
    argv = [sys.executable, "-m", "ops.cli", *words]
    return subprocess.run(argv, capture_output=True, text=True, check=False, env=environment, encoding="utf-8")


def test_a_table_is_printed(settings: Settings) -> None:
    run = migex(settings, "table", "F06", "--from", "2018-01", "--to", "2018-12", "--lang", "en")
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.startswith("F06  Border crossings\n")
    assert "\nborder crossings        2\n" in run.stdout


def test_a_question_without_an_answer_is_one_line_and_status_65(settings: Settings) -> None:
    run = migex(settings, "table", "F06", "--cut", "2040-01-01T00:00:00Z")
    assert (run.returncode, run.stdout) == (65, "")
    assert run.stderr.startswith("migex: cut-unknown: cut: The cut at 2040-01-01T00:00:00Z is not complete yet")
    assert len(run.stderr.splitlines()) == 1


@pytest.fixture
def server(settings: Settings) -> Iterator[str]:
    host, port = settings.address("feed")
    environment = {**os.environ, **settings.environment()}
    running = subprocess.Popen([sys.executable, "-m", "ops.cli", "feed"], env=environment)
    try:
        yield f"http://{host}:{port}"
    finally:
        running.terminate()
    assert running.wait(20) == 0


def test_the_server_and_the_command_give_the_same_bytes(settings: Settings, server: str) -> None:
    until = time.monotonic() + 30
    with httpx.Client(base_url=server) as client:
        while True:
            try:
                client.get("/health")
                break
            except httpx.TransportError:
                assert time.monotonic() < until
                time.sleep(0.1)
        for words, path in (
            (("--format", "text", "--lang", "be"), "F06?format=text&lang=be"),
            (("--format", "csv", "--detail"), "F06?format=csv&detail=true"),
            (("--format", "sdmx-csv", "--cut", "1525000000"), "F06?format=sdmx-csv&cut=1525000000"),
            (("--format", "json", "--totals"), "F06?format=json&totals=true"),
            (("--format", "csv", "--changes"), "F06/changes?format=csv"),
        ):
            run = migex(settings, "table", "F06", *words)
            assert run.stdout == client.get(f"/v1/tables/{path}").raise_for_status().text
        assert "process_resident_memory_bytes" in client.get("/metrics").text
