"""The demonstration as `make demo` runs it, on a small part of the published table; and what it leaves behind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ops.pids import PidFile
from ops.settings import Settings

pytestmark = [pytest.mark.broker, pytest.mark.timeout(400)]


def demo(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "ops.cli", "demo", *words]
    return subprocess.run(argv, env=Settings(home=home).inherited(), capture_output=True, text=True, check=False)


def running(home: Path) -> set[str]:
    return {path.stem for path in home.joinpath("demo", "run").glob("*.json") if PidFile(path).pid() is not None}


def test_every_cell_is_equal_though_workers_are_killed_and_nothing_is_left(broker: str, tmp_path: Path) -> None:
    done = demo(tmp_path, "--ports", "3321", "--scale", "0.6")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("cells equal: 12 of 12\n")
    for agent in ("deduplicate", "reconcile", "aggregate"):
        assert f"{agent} (process" in done.stdout
    assert running(tmp_path) == set()


def test_a_directory_with_something_else_in_it_is_left_alone(tmp_path: Path) -> None:
    mine = tmp_path / "demo" / "mine"
    mine.parent.mkdir()
    mine.touch()
    done = demo(tmp_path, "--ports", "1")
    assert done.returncode == 78
    assert "demo-directory" in done.stderr
    assert mine.exists()
