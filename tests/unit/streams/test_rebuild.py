"""The rebuild in several processes: the figures of every cut are those of the folds in one."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import msgspec
import pytest

from schemas.conventions import DEFAULT
from schemas.errors import Broken
from schemas.frame import decode, encode, tick_frame
from schemas.header import SIZE
from streams import rebuild as rebuilding
from streams.fold import CutClosed, Message
from streams.rebuild import Entry, Job, in_step, rebuild
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
    """An inbox with a frame that cannot be read, ticks that some partitions miss or get late, and records behind all.

    Two clocks tick: to some partition the newer one's tick comes first, and the older one's counts for nothing there.
    """
    from tests.broker.workers import crossings  # not above: the processes that look for `read` import this file

    chance = random.Random(11)
    partitions: list[list[bytes]] = [[] for _ in range(PARTITIONS)]
    entries = rest = list(crossings(chance, RECORDS))
    tick = 1_700_000_000
    while rest:
        batch, rest = rest[:40], rest[40:]
        for number, values in enumerate(partitions):
            values.append(inbox_frame([entry for entry in batch if place(entry, PARTITIONS) == number]))
            if chance.random() < 0.7 or len(rest) < 80:
                values.append(encode(tick_frame(tick)))
        tick += 1
    partitions[1].insert(4, b"rubbish")
    late = next(tick for tick in sorted(_common(partitions)) if encode(tick_frame(tick + 1)) in partitions[2])
    one, other = (partitions[2].index(encode(tick_frame(tick))) for tick in (late, late + 1))
    partitions[2][one], partitions[2][other] = partitions[2][other], partitions[2][one]
    partitions[0].append(encode(tick_frame(tick)))  # of one partition alone
    partitions[0].append(inbox_frame([entry for entry in entries if place(entry, PARTITIONS) == 0][:3]))
    return partitions


def _common(inbox: list[list[bytes]]) -> set[int]:
    """Return the ticks that all partitions have, which need not close a cut."""
    return set.intersection(*[{decode(v).tick for v in values if v != b"rubbish"} for values in inbox]) - {0}


@pytest.fixture
def job(inbox: list[list[bytes]], tmp_path: Path) -> Job:
    file = tmp_path / "inbox"
    file.write_bytes(msgspec.msgpack.encode(inbox))
    (tmp_path / "scratch").mkdir()
    return Job([partial(read, file, number) for number in range(PARTITIONS)], DEFAULT, 2, tmp_path / "scratch")


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
    assert len(due) < len(_common(inbox))  # one came late somewhere
    assert found == due
    assert rebuilt.tick == max(due)
    assert {key: (cell.facts, *cell.measures) for key, cell in rebuilt.cells.items()} == due[rebuilt.tick]
    assert [(stage.agent, stage.set_aside) for stage in rebuilt.stages] == [
        ("ticks", 0), ("deduplicate", 1), ("reconcile", 0), ("aggregate", 0)
    ]  # fmt: skip
    assert {path.name for path in job.scratch.iterdir()} == {"partials-0", "partials-1"}


@pytest.mark.parametrize("step_bytes", [1, 10_000, rebuilding.STEP_BYTES])
def test_the_last_cut_alone_has_the_same_figures(inbox: list[list[bytes]], job: Job, step_bytes: int) -> None:
    due = expected(inbox)
    rebuilt = rebuild(replace(job, step_bytes=step_bytes), 1)
    assert rebuilt.tick == max(due)
    assert {key: (cell.facts, *cell.measures) for key, cell in rebuilt.cells.items()} == due[rebuilt.tick]
    ticks = [decode(value).tick for _, _, value in rebuilding.spooled(job.partials(0))]
    assert [tick for tick in ticks if tick] == [rebuilt.tick]
    before = [values[: values.index(encode(tick_frame(rebuilt.tick)))] for values in inbox]
    records = sum(len(decode(v).headers) // SIZE for values in before for v in values if v != b"rubbish")
    assert 0 < records < sum(len(decode(v).headers) // SIZE for p in inbox for v in p if v != b"rubbish")
    assert rebuilt.stages[1].records == records


def test_it_stops_at_the_cut_that_is_asked_for(inbox: list[list[bytes]], job: Job) -> None:
    due = expected(inbox)
    middle, next_one = sorted(due)[len(due) // 2 :][:2]
    rebuilt = rebuild(replace(job, until=next_one - 1), 2)
    assert rebuilt.tick == middle
    assert {key: (cell.facts, *cell.measures) for key, cell in rebuilt.cells.items()} == due[middle]


def test_what_reading_raises_is_raised(job: Job) -> None:
    with pytest.raises(Broken, match="archive-missing: It is gone"):
        rebuild(replace(job, inbox=[*job.inbox[:-1], missing]), 2)


def missing() -> Iterator[Message]:
    raise Broken("archive-missing", "It is gone.")


def test_without_a_tick_that_all_partitions_have_there_is_no_cut(job: Job) -> None:
    rebuilt = rebuild(replace(job, until=1), 1)
    assert (rebuilt.tick, rebuilt.cells, rebuilt.stages) == (0, {}, [])


def test_no_frame_runs_ahead_of_another_source_by_a_tick() -> None:
    one = [Entry(0, 0, b"a"), Entry(1, 0, b"b"), Entry(0, 0, b"c"), Entry(2, 0, b"d"), Entry(3, 0, b"e")]
    other = [Entry(1, 0, b"A"), Entry(0, 0, b"B"), Entry(3, 0, b"C"), Entry(0, 0, b"D")]
    frames = in_step([iter(one), iter(other)])
    assert b"".join(entry.value for entry in frames) == b"abAcdBCe"  # D is behind the last cut
