"""A sender of a run of chaos drops files at a real file door, and what it is told is what the inbox holds."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random

import pytest

from connectors.inbox import MemoryInbox
from ops.chaos.ledger import Account, Told
from ops.chaos.over_files import FileDoor
from ops.chaos.over_http import Event, Request
from schemas.header import Kind
from tests.connectors.events import line
from tests.connectors.files import Files

CROSSINGS, PERMITS = ("gpk", "border.crossing"), ("gpk", "permit.decision")
"""What the agency may report, and what it may not."""


class Never(Random):
    """Chance for a sender whose files come neither torn nor again."""

    def random(self) -> float:
        return 1.0


KIND = {"accepted": Kind.EVENT, "refused": Kind.REFUSED}


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path, look_secs=0.01)


def rows(number: int, many: int = 3) -> list[Event]:
    """Return some rows, the last of which is broken."""
    right = [Event(line(header__record_no=f"F{number}-{row}"), "accepted") for row in range(1, many)]
    return [*right, Event(b'{"header": {"rec', "refused")]


async def deliver(files: Files, sender: FileDoor, account: Account, sent: Sequence[Sequence[Event]]) -> list[Told]:
    """Drop some files while a door is at work; return what the sender was told."""
    stopped = asyncio.Event()
    door = asyncio.create_task(files.door.run(stopped))
    told = await asyncio.gather(*(sender.deliver(Request(account, each, False, None)) for each in sent))
    stopped.set()
    await door
    return [each for of_file in told for each in of_file]


def deliveries(files: Files) -> Counter[int]:
    """Count what the inbox holds as deduplicate does: each delivery once."""
    assert isinstance(files.inbox, MemoryInbox)
    return Counter(kind for _, kind in {(each.header.delivery, each.header.kind) for each in files.inbox.entries})


async def test_what_is_told_is_what_the_inbox_holds_though_files_come_torn_and_come_again(files: Files) -> None:
    sender = FileDoor(files.root, Random(1))
    told = await deliver(files, sender, CROSSINGS, [rows(number) for number in range(40)])
    assert sender.counts.keys() == {"dropped", "torn", "again"}
    assert {each.answer == each.wanted for each in told} == {True}
    assert Counter(KIND[each.answer] for each in told) == deliveries(files)
    assert deliveries(files) == {Kind.EVENT: 80, Kind.REFUSED: 40 + sender.counts["torn"]}
    assert {each.record_no for each in told if each.answer == "accepted"} == {
        json.loads(each.line)["header"]["record_no"] for each in told if each.wanted == "accepted"
    }
    assert sender.astray() == 0


async def test_files_that_say_the_same_are_the_same_deliveries(files: Files) -> None:
    sender = FileDoor(files.root, Random(1))
    told = await deliver(files, sender, CROSSINGS, [rows(0), rows(0)])
    assert Counter(KIND[each.answer] for each in told) == deliveries(files) == {Kind.EVENT: 2, Kind.REFUSED: 1}


async def test_what_is_refused_as_a_whole_is_one_delivery_each_time(files: Files) -> None:
    sender = FileDoor(files.root, Random(1))
    told = await deliver(files, sender, PERMITS, [[Event(line("permit.decision"), "refused")]] * 20)
    assert {(each.answer, each.record_no) for each in told} == {("refused", None)}
    assert deliveries(files) == {Kind.REFUSED: len(told)} == {Kind.REFUSED: sender.counts["dropped"]}
    assert sender.counts["dropped"] > 20


@contextmanager
def answered(root: Path, name: str, verdicts: Sequence[tuple[int, str]]) -> Iterator[None]:
    """Let a file of this name have been given back already, with these answers to its rows."""
    back = root / "gpk" / "done" / "border.crossing" / name
    back.mkdir(parents=True)
    said = [{"row": row, "answer": answer, "record_no": None} for row, answer in verdicts]
    (back / "verdicts.jsonl").write_text("".join(f"{json.dumps(each)}\n" for each in said))
    yield
    assert (root / "gpk" / "in" / "border.crossing" / name).exists()


async def test_a_verdict_that_is_missing_or_there_twice_is_none_that_a_row_deserves(files: Files) -> None:
    sender = FileDoor(files.root, Never())
    with answered(files.root, "000001.jsonl", [(1, "accepted"), (1, "accepted"), (3, "refused")]):
        told = await sender.deliver(Request(CROSSINGS, rows(0), False, None))
    assert [each.answer for each in told] == ["2 verdicts", "none", "refused"]


async def test_a_file_that_is_given_back_twice_or_answered_otherwise_is_seen(files: Files) -> None:
    sender = FileDoor(files.root, Never())
    with (
        answered(files.root, "000001.jsonl", [(1, "accepted")]),
        answered(files.root, "000002.jsonl", [(1, "refused")]),
    ):
        (files.root / "gpk" / "failed" / "border.crossing" / "000002.jsonl").mkdir(parents=True)
        request = Request(CROSSINGS, rows(0, many=1), False, None)
        assert [len(await sender.deliver(request)) for _ in range(2)] == [1, 0]
    assert sender.astray() == 2
