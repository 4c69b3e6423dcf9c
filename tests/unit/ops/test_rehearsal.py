"""The rehearsal: a process dies at the nth time that it reaches the point it was told, if the setting is on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ops.processes.rehearsal import Rehearsal
from ops.settings import Settings
from streams.crash_points import CrashPoint, never
from tests.waiting import until

PROGRAM = """
import os, sys, time
from pathlib import Path
from ops.processes.rehearsal import Rehearsal
from ops.settings import Settings
from streams.crash_points import CrashPoint

rehearsal = Rehearsal(Settings(home=Path(sys.argv[1]), rehearsal=True), "clock")
print("ready", flush=True)
for line in sys.stdin:
    rehearsal.reach(CrashPoint(line.strip()))
    print("went on", flush=True)
"""


class Life:
    """A process under rehearsal that reaches the points it is told."""

    def __init__(self, home: Path) -> None:
        argv = [sys.executable, "-c", PROGRAM, str(home)]
        self._process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.pid = self._process.pid
        assert self._line() == "ready"

    def reach(self, point: CrashPoint) -> bool:
        """Return whether it lived on."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{point}\n")
        self._process.stdin.flush()
        return self._line() == "went on"

    def end(self) -> int:
        self._process.communicate()
        return self._process.returncode

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


@pytest.fixture
def run(tmp_path: Path) -> Path:
    (tmp_path / "run").mkdir()
    return tmp_path / "run"


def test_it_dies_at_the_nth_time_from_the_start_and_the_next_one_lives(run: Path) -> None:
    (run / "crash-at-clock").write_text("tick-before-send:2\n")
    life = Life(run.parent)
    assert not (run / "crash-at-clock").exists()
    assert life.reach(CrashPoint.TICK_BEFORE_SEND)
    assert life.reach(CrashPoint.TICK_AFTER_SEND)
    assert not life.reach(CrashPoint.TICK_BEFORE_SEND)
    assert life.end() == -signal.SIGKILL
    following = Life(run.parent)
    assert following.reach(CrashPoint.TICK_BEFORE_SEND)
    assert following.end() == 0


def test_it_dies_at_a_point_that_it_is_told_while_it_runs(run: Path) -> None:
    life = Life(run.parent)
    assert life.reach(CrashPoint.TICK_AFTER_SEND)
    order = run / f"crash-at-clock-{life.pid}"
    order.write_text("tick-after-send:1")
    os.kill(life.pid, signal.SIGUSR1)
    until(lambda: not order.exists())
    assert not life.reach(CrashPoint.TICK_AFTER_SEND)
    assert life.end() == -signal.SIGKILL


def test_without_the_setting_nothing_is_rehearsed(run: Path) -> None:
    (run / "crash-at-clock").write_text("tick-before-send:1")
    before = signal.getsignal(signal.SIGUSR1)
    rehearsal = Rehearsal(Settings(home=run.parent), "clock")
    rehearsal.listen()
    assert rehearsal.reach is never
    assert signal.getsignal(signal.SIGUSR1) == before
    assert (run / "crash-at-clock").exists()
