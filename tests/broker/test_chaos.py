"""A run of chaos as `make chaos` starts it, for a few seconds; and what it leaves behind."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ops.chaos.traffic import DOORS
from ops.pids import PidFile
from ops.settings import Settings

pytestmark = [pytest.mark.broker, pytest.mark.timeout(400)]


def chaos(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "ops.cli", "chaos", *words]
    return subprocess.run(argv, env=Settings(home=home).inherited(), capture_output=True, text=True, check=False)


def running(home: Path) -> set[str]:
    return {str(path) for path in home.joinpath("chaos").rglob("run/*.json") if PidFile(path).pid() is not None}


def test_nothing_is_lost_or_double_and_nothing_is_left(broker: str, tmp_path: Path) -> None:
    report = tmp_path / "report"
    words = ["--kills", "15", "--seed", "3096", "--minutes", "0.12", "--rate", "200", "--report", str(report)]
    done = chaos(tmp_path, *words)
    assert done.returncode == 0, done.stdout + done.stderr
    last = done.stdout.splitlines()[-1]
    assert re.fullmatch(r"kills=\d+ zombies=\d+ takeovers=\d+ accepted=\d+ cells=\d+ lost=0 double=0", last)
    figures = json.loads(report.read_text())
    assert figures["seed"] == 3096
    assert figures["settled"]
    assert figures["accepted"] > 500
    assert "kill" in figures["strikes"]
    assert "file-door" in figures["kills"]
    assert figures["sent"].keys() == set(DOORS)
    assert running(tmp_path) == set()


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("nodes", [1, 3])
def test_a_few_kills_of_everything(broker: str, tmp_path: Path, nodes: int) -> None:
    done = chaos(tmp_path, "--kills", "5", "--seed", str(nodes), "--nodes", str(nodes))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "kills=5 " in done.stdout.splitlines()[-1]
    assert running(tmp_path) == set()


def test_a_directory_with_something_else_in_it_is_left_alone(tmp_path: Path) -> None:
    mine = tmp_path / "chaos" / "mine"
    mine.parent.mkdir()
    mine.touch()
    done = chaos(tmp_path, "--kills", "1")
    assert done.returncode == 78
    assert "chaos-directory" in done.stderr
    assert mine.exists()
