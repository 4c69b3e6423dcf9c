"""Bombs are refused for what they are, within little memory, and before their time is up."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.bombs.all import BOMBS
from tests.house import tree

MOST_MEBIBYTES = 64
"""By which a process may grow because of one request, file or message."""

QUICK = (
    *("events, gzip", "events, zstd", "events, Avro", "events, JSON", "registry, ", "Kafka, ", "/v1/records, "),
    *("preflight, gzip", "preflight, blank lines", "workbook, depth", "workbook, text of a cell", "workbook, one text"),
)
"""Of these names are the bombs that are soon made; all go off in the long run."""


def _go_off(*words: str) -> None:
    """Let bombs go off beside a process that holds nothing else: a large one would hide what they take."""
    argv = [sys.executable, "-m", "tests.bombs", *words]
    done = subprocess.run(argv, cwd=tree.ROOT, capture_output=True, text=True, check=True)
    lines = [line.split("\t") for line in done.stdout.splitlines()]
    assert [name for name, *_ in lines] == [name for name in BOMBS if not words or name.startswith(words)]
    for name, code, mebibytes, _ in lines:
        assert code == BOMBS[name].told, name
        assert float(mebibytes) <= MOST_MEBIBYTES, f"by so much the process grew: {name}"


def test_a_bomb_costs_little() -> None:
    _go_off(*QUICK)


@pytest.mark.long
def test_a_bomb_costs_little_long() -> None:
    _go_off()
