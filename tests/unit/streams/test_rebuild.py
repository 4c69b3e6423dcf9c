"""The rebuild in several processes: the figures of every cut are those of the folds in one."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import msgspec
import pytest

from schemas.errors import Broken
from schemas.frame import decode, encode, tick_frame
from schemas.header import SIZE
from streams.fold import CutClosed, Message
from streams.rebuild import Job, in_step, rebuild
from streams.replay import Replay
from tests.laws.records import inbox_frame, place, rules

PARTITIONS = 3
RECORDS = 700


def read(file: Path, number: int) -> Iterator[Message]:
    """Yield the messages of a partition; other processes find this function by its name."""
    partitions = msgspec.msgpack.decode(file.read_bytes(), type=list[list[bytes]])
    return (Message(offset, value) for offset, value in enumerate(partitions[number]))


@pytest.fixture(scope="module")
def inbox() -> list[list[bytes]]:
    """An inbox with a frame that cannot be read, ticks that some partitions miss, and records behind the last one."""
    from tests.broker.workers import crossings  # not above: the processes that look for `read` import this file

    chance = random.Random(11)
    partitions: list[list[bytes]] = [[] for _ in range(PARTITIONS)]
    rest = list(crossings(chance, RECORDS))
    tick = 1_700_000_000
    while rest:
        batch, rest = rest[:40], rest[40:]
        for number, values in enumerate(partitions):
            values.append(inbox_frame([entry for entry in batch if place(entry, PARTITIONS) == number]))
            if chance.random() < 0.7 or len(rest) < 80:
                values.append(encode(tick_frame(tick)))
        tick += 1
    partitions[1].insert(4, b"rubbish")
    partitions[0].append(encode(tick_frame(tick)))  # of one partition alone
    return partitions


@pytest.fixture
def job(inbox: list[list[bytes]], tmp_path: Path) -> Job:
    file = tmp_path / "inbox"
    file.write_bytes(msgspec.msgpack.encode(inbox))
    (tmp_path / "scratch").mkdir()
    return Job(partial(read, file), rules, PARTITIONS, 2, tmp_path / "scratch")


def expected(inbox: list[list[bytes]]) -> dict[int, dict[str, tuple[int, ...]]]:
    """Return the figures of every cut by the folds in memory."""
    replay = Replay(rules(), PARTITIONS, 2)
    for number, values in enumerate(inbox):
        for value in values:
            replay.inbox.append(number, value)
    return as_of({cut.tick: cut for cut in replay.run()})


def as_of(cuts: dict[int, CutClosed]) -> dict[int, dict[str, tuple[int, ...]]]:
    now: dict[str, tuple[int, ...]] = {}
    found = {}
    for tick, cut in cuts.items():
        new = now | {change.key: (change.facts, *change.measures) for change in cut.cells}
        now = {key: value for key, value in new.items() if value[0]}
        found[tick] = now
    return found


@pytest.mark.parametrize("on_disk", [False, True])
def test_every_cut_is_as_the_folds_in_memory_have_it(inbox: list[list[bytes]], job: Job, on_disk: bool) -> None:
    cuts: dict[int, CutClosed] = {}
    rebuilt = rebuild(replace(job, on_disk=on_disk), 2, lambda cut: cuts.update({cut.tick: cut}))
    found, due = as_of(cuts), expected(inbox)
    assert len(due) > 5
    assert found == due
    assert rebuilt.tick == max(due)
    assert {key: (cell.facts, *cell.measures) for key, cell in rebuilt.cells.items()} == due[rebuilt.tick]
    assert [stage.set_aside for stage in rebuilt.stages] == [1, 0, 0]
    assert rebuilt.stages[0].records == sum(len(decode(v).headers) // SIZE for p in inbox for v in p if v != b"rubbish")
    assert {path.name for path in job.scratch.iterdir()} == {"partials-0", "partials-1"}


def test_it_stops_at_the_cut_that_is_asked_for(inbox: list[list[bytes]], job: Job) -> None:
    due = expected(inbox)
    middle, next_one = sorted(due)[len(due) // 2 :][:2]
    rebuilt = rebuild(replace(job, until=next_one - 1), 2)
    assert rebuilt.tick == middle
    assert {key: (cell.facts, *cell.measures) for key, cell in rebuilt.cells.items()} == due[middle]


def test_what_reading_raises_is_raised(job: Job) -> None:
    with pytest.raises(Broken, match="archive-missing: It is gone"):
        rebuild(replace(job, read=missing), 2)


def missing(_: int) -> Iterator[Message]:
    raise Broken("archive-missing", "It is gone.")


def test_no_frame_runs_ahead_of_another_source_by_a_tick() -> None:
    one = [(0, b"a"), (1, b"b"), (0, b"c"), (2, b"d"), (3, b"e")]
    other = [(1, b"A"), (0, b"B"), (3, b"C"), (0, b"D")]
    assert b"".join(in_step([iter(one), iter(other)])) == b"abAcdBCe"  # D is behind the last cut
