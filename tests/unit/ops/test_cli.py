"""The command as it is called: help, exit status, one line for an error."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ops.processes import AGENTS, PROCESSES

COMMANDS = ("broker", "config", "topics", "up", "down", "status", "init", "publish", "trace", "table", "replay", "demo")
PARTS = ("worker", *(name for name in PROCESSES if name not in AGENTS))


def migex(*words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MIGEX_")}
    argv = [sys.executable, "-m", "ops.cli", *words]
    return subprocess.run(argv, env={**clean, **environ}, capture_output=True, text=True, timeout=60, check=False)


def test_help_names_every_command_and_comes_without_heavy_imports() -> None:
    shown = migex("--help")
    assert shown.returncode == 0
    for command in (*COMMANDS, *PARTS):
        assert f" {command} " in shown.stdout
    assert "supervise " not in shown.stdout
    heavy = {"aiokafka", "fastavro", "faust", "pydantic", "sqlalchemy"}
    source = f"import sys; import ops.cli; print(sorted({heavy} & set(sys.modules)))"
    assert subprocess.check_output([sys.executable, "-c", source], text=True).strip() == "[]"


@pytest.mark.parametrize("command", [*COMMANDS, *PARTS, "broker up", "topics diff", "config check"])
def test_every_command_has_help(command: str) -> None:
    from ops.cli import app

    with pytest.raises(SystemExit) as ended:
        app([*command.split(), "--help"])
    assert ended.value.code == 0


@pytest.mark.parametrize(
    ("words", "environ", "status", "said"),
    [
        (["config", "check"], {}, 0, ""),
        (["config", "check"], {"MIGEX_BROKRE__PORT": "1"}, 78, "migex: unknown-setting: MIGEX_BROKRE__PORT"),
        (["status"], {"MIGEX_GENERATION": "none"}, 78, "migex: bad-setting: MIGEX_GENERATION"),
        (["topics", "diff"], {"MIGEX_BROKER__BOOTSTRAP": "127.0.0.1:1"}, 75, "migex: broker-refused: "),
    ],
)
def test_errors_are_one_line_and_an_exit_status(
    words: list[str], environ: dict[str, str], status: int, said: str, tmp_path: Path
) -> None:
    done = migex(*words, MIGEX_HOME=str(tmp_path), **environ)
    assert (done.returncode, "Traceback" in done.stderr) == (status, False)
    assert said in done.stderr
    assert not said or done.stderr.count("migex: ") == 1


def test_settings_are_shown_and_documented(tmp_path: Path) -> None:
    assert f"MIGEX_HOME={tmp_path}" in migex("config", "show", MIGEX_HOME=str(tmp_path)).stdout
    assert "| `MIGEX_BROKER__BOOTSTRAP` |" in migex("config", "docs").stdout


def test_status_of_nothing_says_down(tmp_path: Path) -> None:
    done = migex("status", MIGEX_HOME=str(tmp_path))
    assert done.returncode == 1
    assert done.stdout.count(" down ") == len(PROCESSES) + 2  # the broker and the supervisor


def test_secrets_are_made_once(tmp_path: Path) -> None:
    assert "digest.key" in migex("init", MIGEX_HOME=str(tmp_path)).stdout
    assert "nothing was missing" in migex("init", MIGEX_HOME=str(tmp_path)).stdout
