"""`migex up`, `status`, `down` with every real process: what is killed comes back, nothing is left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ops.pids import PidFile, started
from ops.settings import PROCESSES, Settings, with_free_ports
from tests.waiting import until

pytestmark = [pytest.mark.broker, pytest.mark.timeout(400)]


class System:
    """One system, commanded as a person would."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def migex(self, *words: str) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-m", "ops.cli", *words]
        return subprocess.run(argv, env=self.settings.inherited(), capture_output=True, text=True, check=False)

    def status(self) -> dict[str, dict[str, Any]]:
        return {row["name"]: row for row in json.loads(self.migex("status", "--json").stdout)}

    def pid(self, name: str) -> int:
        pid = PidFile(self.settings.home / "run" / f"{name}.json").pid()
        assert pid is not None
        return pid


@pytest.fixture
def system(broker: str, tmp_path: Path) -> Iterator[System]:
    """A system with a broker of its own (`broker` is asked for its check of Java and Maven)."""
    made = System(with_free_ports(tmp_path))
    yield made
    made.migex("down")


def test_up_survives_kills_and_down_leaves_nothing(system: System) -> None:
    began = system.migex("up")
    assert began.returncode == 0, began.stdout + began.stderr
    assert {name: row["state"] for name, row in system.status().items()} == dict.fromkeys(
        ["kafka-1", "supervisor", *PROCESSES, "reconcile-1"], "up"
    )

    killed = system.pid("reconcile")
    os.kill(killed, signal.SIGKILL)
    until(lambda: system.status()["reconcile"]["state"] == "up" and system.pid("reconcile") != killed)
    assert system.status()["reconcile"]["restarts"] == 1
    assert list(Path.cwd().glob("migex.*")) == []  # all that a process writes lies at home
    if sys.platform == "linux":  # it was forked from what had imported everything: then it bears its name
        assert Path(f"/proc/{system.pid('reconcile')}/comm").read_text() == "reconcile\n"

    children = [system.pid(name) for name in PROCESSES]
    os.kill(system.pid("supervisor"), signal.SIGKILL)
    if sys.platform == "linux":
        until(lambda: not any(map(started, children)))
    again = system.migex("up")
    assert again.returncode == 0, again.stdout + again.stderr
    assert not set(children) & {system.pid(name) for name in PROCESSES}

    everything = [row["pid"] for row in system.status().values()]
    assert all(everything)
    assert system.migex("down").returncode == 0
    assert not any(map(started, everything))
    assert {row["state"] for row in system.status().values()} == {"down"}


def test_who_cannot_start_is_named(system: System) -> None:
    wrong = system.settings.model_copy(update={"feed": system.settings.feed.model_copy(update={"url": "nosuch://"})})
    system.settings = wrong
    done = system.migex("up")
    assert done.returncode == 75
    assert "migex: not-ready: " in done.stderr
    assert "Traceback" not in done.stderr
