"""What the file door gave back is deleted when its days are over: whole, that alone, and whoever dies meanwhile."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from pathlib import Path

import pytest

from connectors.file_door.expiry import Expiry
from streams.crash_points import CrashPoint, Reach, never
from tests.connectors.events import line
from tests.connectors.files import Files, crossings

POINTS = [point for point in CrashPoint if point.startswith("expiry-")]
DAY = 86400.0


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """Two files that were given back, one that waits, and one that the door does not know yet."""
    made = Files(tmp_path)
    made.drop("a.jsonl", crossings(3))
    made.drop("a.odt", b"no table")
    assert made.look() == 2
    made.drop("later.jsonl", line())
    return made


def look(files: Files, days: float, keep_days: int = 30, reach: Reach = never) -> int:
    """Look so many days after the folders were given back; return how many were deleted."""
    given_back = max(path.stat().st_mtime for path in files.root.glob("gpk/*/*/*/summary.json"))
    return Expiry(files.root, ("gpk", "mvd"), keep_days, lambda: given_back + days * DAY, reach).look("gpk")


def kept(files: Files) -> list[str]:
    """Return all files but a door's own locks, by their ways from the root."""
    return sorted(str(path.relative_to(files.root)) for path in files.root.rglob("*") if path.is_file())


def test_what_was_given_back_is_deleted_when_its_days_are_over(files: Files) -> None:
    before = kept(files)
    assert look(files, 29.9) == 0
    assert kept(files) == before
    assert look(files, 30.1) == 2
    assert kept(files) == ["gpk/in/border.crossing/later.jsonl"]


def test_each_folder_has_its_own_days(files: Files) -> None:
    old = files.done("a.jsonl").folder
    os.utime(old / "summary.json", (0, (old / "summary.json").stat().st_mtime - 2 * DAY))
    assert look(files, 28.5) == 1
    assert not old.exists()
    assert files.done("a.odt", "failed").folder.exists()


def test_nothing_is_touched_that_no_door_has_answered(files: Files, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for name in ("summary.json", "note.txt"):
        (elsewhere / name).write_bytes(b"{}")
    done = tmp_path / "gpk" / "done"
    (done / "border.crossing" / "linked").symlink_to(elsewhere)
    (done / "linked").symlink_to(elsewhere)
    (done / "border.crossing" / "a.txt").write_bytes(b"somebody's note")
    (done / "border.crossing" / "mine").mkdir()
    (done / "border.crossing" / "mine" / "b.txt").write_bytes(b"another")
    under_way = tmp_path / "gpk" / "work" / "border.crossing" / "20200101T000000Z-00-c.jsonl"
    under_way.mkdir(parents=True)
    for name in ("c.jsonl", "summary.json", "verdicts.jsonl"):  # complete, and not yet given back
        (under_way / name).write_bytes(b"{}")
    before = set(kept(files))
    assert look(files, 1000) == 2
    gone = before - set(kept(files))
    assert {str(Path(path).parent) for path in gone} == {
        "gpk/done/border.crossing/a.jsonl", "gpk/failed/border.crossing/a.odt",
    }  # fmt: skip
    assert len(gone) == 8
    assert files.door.progress["gpk"].waiting == 0
    assert files.look() == 1, "the door goes on with what waits"


def test_a_folder_that_is_a_link_is_refused(files: Files, tmp_path: Path) -> None:
    away = tmp_path / "away"
    (tmp_path / "gpk" / "done").rename(away)
    (tmp_path / "gpk" / "done").symlink_to(away)
    with pytest.raises(OSError, match=r"Not a directory|symbolic"):
        look(files, 1000)
    assert len(list(away.glob("*/*/*"))) == 4


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("nth", [1, 2])
@pytest.mark.parametrize("twice", [False, True])
def test_who_dies_there_leaves_each_folder_whole_or_gone(
    files: Files, point: CrashPoint, nth: int, twice: bool
) -> None:
    reached: list[CrashPoint] = []

    def dying(here: CrashPoint) -> None:
        reached.append(here)
        if reached.count(point) in deaths:
            raise _Crash

    deaths = [nth]
    with pytest.raises(_Crash):
        look(files, 31, reach=dying)
    shown = [path for place in ("done", "failed") for path in files.root.glob(f"gpk/{place}/*/*")]
    assert [len(list(path.iterdir())) for path in shown] == [4] * len(shown)
    assert len(shown) == 2 - nth + (point is CrashPoint.EXPIRY_BEFORE_RENAME)
    if twice:
        deaths.append(nth + 1)
        with suppress(_Crash):  # none: nothing was left to come by there
            look(files, 31, reach=dying)
    Expiry(files.root, ("gpk",), 30, lambda: 4e9).look("gpk")
    assert kept(files) == ["gpk/in/border.crossing/later.jsonl"]
    assert files.look() == 1


class _Crash(Exception):
    """The process dies."""


@pytest.mark.parametrize(("keep_days", "left"), [(0, True), (30, False)])
def test_it_looks_again_and_again_and_passes_over_what_it_cannot_delete(
    files: Files, keep_days: int, left: bool
) -> None:
    (files.root / "mvd" / "work").rmdir()
    expiry = Expiry(files.root, ("mvd", "gpk"), keep_days, lambda: 4e9)

    async def some_looks() -> None:
        looking = asyncio.create_task(expiry.run(0.01))
        for _ in range(500):
            await asyncio.sleep(0.01)
            if looking.done() or not files.done("a.jsonl").folder.exists():
                break
        looking.cancel()

    asyncio.run(some_looks())
    assert files.done("a.jsonl").folder.exists() is left
