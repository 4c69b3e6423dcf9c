"""What a run of chaos concludes: all is well only if nothing differs and everybody was answered in time."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from ops.chaos.check import Result
from ops.chaos.run import Chaos, Course, Orders
from ops.chaos.verdicts import Heard
from ops.settings import Settings

WELL = Heard([], 0, 0, 0)


def concluded(home: Path, result: Result, course: Course) -> tuple[bool, list[str]]:
    """Return whether all is well, and what was printed."""
    printed = StringIO()
    chaos = Chaos(Orders(kills=3, seed=1), Settings(home=home), Console(file=printed, width=140))
    return chaos.conclude(result, course), printed.getvalue().splitlines()


def test_all_is_well(tmp_path: Path) -> None:
    well, printed = concluded(tmp_path, Result(accepted=7, cells=5), Course(WELL, settled=True))
    assert well
    assert printed[-1] == "kills=0 zombies=0 takeovers=0 accepted=7 cells=5 lost=0 double=0"
    assert json.loads(printed[-2])["settled"] is True


@pytest.mark.parametrize(
    ("course", "said"),
    [
        (Course(WELL, answered=False, settled=True), "lost=0 double=0"),
        (Course(WELL, settled=False), "lost=0 double=0"),
        (Course(Heard([], 2, 0, 0), settled=True), "lost=2 double=0"),
        (Course(Heard([], 0, 3, 0), settled=True), "lost=0 double=3"),
        (Course(Heard([], 0, 0, 4), settled=True), "lost=4 double=0"),
    ],
)
def test_a_silence_or_a_wrong_verdict_is_not(tmp_path: Path, course: Course, said: str) -> None:
    well, printed = concluded(tmp_path, Result(), course)
    assert not well
    assert printed[-1].endswith(said)


@pytest.mark.parametrize("missing", [1, -1])
def test_a_difference_is_not_and_is_shown(tmp_path: Path, missing: int) -> None:
    result = Result()
    result.differs("cell F01|2018-Q1|X", missing)
    well, printed = concluded(tmp_path, result, Course(WELL, settled=True))
    assert not well
    assert printed[0] == f"cell F01|2018-Q1|X: 1 {'lost' if missing > 0 else 'double'}"
