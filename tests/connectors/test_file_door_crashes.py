"""A file door dies at each of its moments; another one goes on: every row counts once, with the same receipt."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from itertools import count
from pathlib import Path

import msgspec
import pytest

from connectors.entry import Entry
from schemas.header import Kind
from streams.crash_points import CrashPoint, Reach, never
from tests.connectors.files import Files, crossings

POINTS = [point for point in CrashPoint if point.startswith("file-")]
ROWS, WRONG = 600, (7, 501, 600)


class Kept:
    """An inbox in a file, which outlives whoever writes to it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def put(self, entries: Sequence[Entry]) -> None:
        with self._path.open("ab") as file:
            file.writelines(
                msgspec.json.encode((each.header.kind, each.header.delivery.hex(), each.header.digest.hex())) + b"\n"
                for each in entries
            )

    async def reachable(self) -> bool:
        return True

    @property
    def usable(self) -> bool:
        return True

    def all(self) -> list[bytes]:
        return self._path.read_bytes().splitlines()


def look(root: Path, inbox: Kept, reach: Reach) -> int:
    """Let a door of its own process look once; return how that process ended."""
    child = os.fork()
    if not child:
        status = 1
        try:
            asyncio.run(Files(root, inbox, reach).door.turn("gpk", asyncio.Event()))
            status = 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def dying(at: CrashPoint, nth: int) -> Reach:
    """Return what ends its process the nth time that the point is reached."""
    times = count(1)
    return lambda point: os.kill(os.getpid(), 9) if point is at and next(times) == nth else None


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("nth", [1, 2])
@pytest.mark.parametrize("twice", [False, True])
def test_who_dies_there_is_followed_by_one_who_goes_on(
    point: CrashPoint, nth: int, twice: bool, tmp_path: Path
) -> None:
    clean, crashed = tmp_path / "clean", tmp_path / "crashed"
    inboxes = []
    for root in (clean, crashed):
        root.mkdir()
        for name in ("a.jsonl", "b.jsonl"):
            Files(root).drop(name, crossings(ROWS, WRONG, name))
        inboxes.append(Kept(tmp_path / f"{root.name}.inbox"))
    assert look(clean, inboxes[0], never) == 0

    assert look(crashed, inboxes[1], dying(point, nth)) == -9
    if twice:
        assert look(crashed, inboxes[1], dying(point, 1)) in (-9, 0)  # 0: nothing was left to come by there
    assert look(crashed, inboxes[1], never) == 0
    for name in ("a.jsonl", "b.jsonl"):
        told = Files(crashed).done(name)
        assert told.lines == Files(clean).done(name).lines
        assert told.table == Files(clean).done(name).table
        assert (told.summary["accepted"], told.summary["refused"]) == (ROWS - len(WRONG), len(WRONG))
    assert Files(crashed).left() == []
    assert set(inboxes[1].all()) == set(inboxes[0].all())
    assert len(set(inboxes[0].all())) == len(inboxes[0].all()) == 2 * ROWS


def test_a_verdict_that_was_half_written_is_written_again(tmp_path: Path) -> None:
    Files(tmp_path).drop("a.jsonl", crossings(3))
    inbox = Kept(tmp_path / "inbox")
    assert look(tmp_path, inbox, dying(CrashPoint.FILE_AFTER_VERDICTS, 1)) == -9
    (log,) = tmp_path.glob("gpk/work/*/*/verdicts.jsonl")
    log.write_bytes(log.read_bytes()[:-9])
    assert look(tmp_path, inbox, never) == 0
    assert [each["row"] for each in Files(tmp_path).done("a.jsonl").lines] == [1, 2, 3]
    assert len(inbox.all()) == 4  # the last row once more, as the same delivery
    assert len(set(inbox.all())) == 3


def test_a_file_that_failed_before_the_crash_is_counted_once(tmp_path: Path) -> None:
    Files(tmp_path).drop("a.odt", b"no table")
    inbox = Kept(tmp_path / "inbox")
    assert look(tmp_path, inbox, dying(CrashPoint.FILE_AFTER_VERDICTS, 1)) == -9
    assert look(tmp_path, inbox, never) == 0
    assert [each["row"] for each in Files(tmp_path).done("a.odt", "failed").lines] == [0]
    (entry,) = inbox.all()
    assert entry.startswith(b"[%d," % Kind.REFUSED)
