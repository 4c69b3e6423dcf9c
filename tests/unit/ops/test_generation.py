"""`migex generation` without Kafka: list, compare, switch, and what is refused."""

from __future__ import annotations

import csv
import io
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from rich.console import Console

from connectors.feed_store import FeedStore
from connectors.table_query import Question, Style
from ops import table
from ops.generations import commands, dropping
from ops.generations.rules import manifest
from ops.generations.site import Site, site
from ops.settings import Settings, with_free_ports
from schemas.errors import Refused
from streams.fold import CellChange, CutClosed

CELL = "F06|2018-01|IN|F|PL|PL|ROAD|WORK|KOZLOVICHI"
FIRST, SECOND = 1_520_000_000, 1_530_000_000


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return with_free_ports(tmp_path)


@pytest.fixture
def store(settings: Settings) -> Iterator[FeedStore]:
    """Two generations that differ in the second of two cuts."""
    with closing(FeedStore(settings.feed_url, 1)) as opened:
        opened.generations.enrol(1, manifest(settings))
        opened.generations.begin(2, manifest(settings, speaks_from=FIRST, previous=1))
        for number, counts in ((1, (3, 4)), (2, (3, 5))):
            with opened.at(number).begin(0) as step:
                for tick, count in zip((FIRST, SECOND), counts, strict=True):
                    step.write(CutClosed(tick, (CellChange(CELL, count, (count,), {}),)))
                step.advance(0, 1)
        opened.generations.ready(2)
        yield opened


@pytest.fixture
def screen() -> io.StringIO:
    return io.StringIO()


def migex(settings: Settings, screen: io.StringIO, *words: str) -> int | None:
    """Run a command of `migex generation` here, as the command line would."""
    screen.truncate(screen.seek(0))
    console = Console(file=screen, width=160)
    parse: dict[str, Callable[[Site, list[str]], int | None]] = {
        "list": lambda at, _: commands.show(at, console),
        "compare": lambda at, rest: commands.contrast(
            at, int(rest[0]), int(rest[1]), next(iter(rest[2:]), None), console
        ),
        "switch": lambda at, rest: commands.switch(at, int(rest[0]), next(iter(rest[1:]), None), console),
        "drop": lambda at, rest: commands.drop(at, int(rest[0]), console),
        "prove": lambda at, rest: commands.prove(at, int(rest[0]), console),
        "build": lambda at, rest: commands.build(at, int(rest[0]) if rest else None, console),
    }
    with site(settings) as at:
        return parse[words[0]](at, list(words[1:]))


def test_list(settings: Settings, store: FeedStore, screen: io.StringIO) -> None:
    migex(settings, screen, "list")
    lines = screen.getvalue().splitlines()
    assert [line.split()[:3] for line in lines[1:]] == [
        ["1", "current", "2018-06-26T08:00:00Z"],
        ["2", "ready", "2018-06-26T08:00:00Z"],
    ]
    assert all("as here" in line for line in lines[1:])


def test_compare_says_what_differs_and_switch_asks_for_the_reason(
    settings: Settings, store: FeedStore, screen: io.StringIO
) -> None:
    assert migex(settings, screen, "compare", "1", "2", str(FIRST)) == 0
    assert screen.getvalue().splitlines()[-1] == "cut 2018-03-02T14:13:20Z: 1 equal, 0 different"
    assert migex(settings, screen, "compare", "1", "2") == 1
    assert f"  {CELL}: 4 4 | 5 5\n" in screen.getvalue()

    with pytest.raises(Refused, match="generation-differs"):
        migex(settings, screen, "switch", "2")
    assert figure(settings) == "4"
    assert migex(settings, screen, "switch", "2", "A visa counts now.") == 0
    assert (figure(settings), figure(settings, generation=1)) == ("5", "4")


def figure(settings: Settings, generation: int | None = None) -> str:
    """Return the one figure of F06 as `migex table` shows it."""
    shown = table.show(Question("F06"), Style("csv"), False, settings, generation=generation)
    (row,) = csv.DictReader(io.StringIO(shown))
    return row["OBS_VALUE"]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("compare", "1", "7"), "generation-absent"),
        (("compare", "1", "2", "5"), "cut-uncommon"),
        (("switch", "7"), "generation-state"),
        (("drop", "1"), "generation-state"),
        (("drop", "7"), "generation-state"),
        (("prove", "7"), "generation-absent"),
        (("build", "1"), "generation-used"),
    ],
)
def test_what_cannot_be_done_is_refused(
    settings: Settings, store: FeedStore, screen: io.StringIO, words: tuple[str, ...], code: str
) -> None:
    with pytest.raises(Refused, match=f"^{code}: "):
        migex(settings, screen, *words)


def test_before_anything_was_counted_nothing_is_built(settings: Settings, screen: io.StringIO) -> None:
    with pytest.raises(Refused, match="generation-none"):
        migex(settings, screen, "build")


def test_what_another_program_began_is_not_proved_by_this_one(
    settings: Settings, store: FeedStore, screen: io.StringIO
) -> None:
    changed = settings.home / "other.yaml"
    text = settings.convention.read_text(encoding="utf-8")
    changed.write_text(text.replace("late_days: 45", "late_days: 46"), encoding="utf-8")
    with pytest.raises(Refused, match="generation-otherwise"):
        migex(settings.model_copy(update={"convention": changed}), screen, "prove", "1")


def test_the_command_line_says_it_in_one_line_and_by_its_exit_status(settings: Settings, store: FeedStore) -> None:
    argv = [sys.executable, "-m", "ops.cli", "generation", "switch", "2"]
    environment = {**os.environ, **settings.environment()}
    done = subprocess.run(argv, capture_output=True, text=True, check=False, env=environment)
    assert (done.returncode, len(done.stderr.splitlines())) == (65, 1)
    assert done.stderr.startswith("migex: generation-not-compared: ")


def test_what_is_cleared_are_the_dropped_ones_state_and_checkpoints_alone(settings: Settings) -> None:
    roots = (settings.state, settings.checkpoints_directory)
    for root in roots:
        for number in (1, 2, 21):
            (root / f"g{number}" / "reconcile" / "p0").mkdir(parents=True)
    assert dropping.clear(settings, 2) == []
    assert [sorted(path.name for path in root.iterdir()) for root in roots] == [["g1", "g21"]] * 2
    assert dropping.clear(settings, 2) == []  # begun again


def test_what_could_not_be_cleared_is_named(settings: Settings) -> None:
    settings.checkpoints_directory.mkdir(parents=True)
    stays = settings.checkpoints_directory / "g2"
    stays.touch()  # no directory, so that even root cannot remove it as one
    assert dropping.clear(settings, 2) == [stays]
