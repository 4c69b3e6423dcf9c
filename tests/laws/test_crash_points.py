"""At every crash point a process dies, once or twice; it is started again from disk, and every record counts once.

The points are those of the code. What a process has sent and not yet delivered is lost in some runs, in others not.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from streams.crash_points import CrashPoint
from streams.fold import Effect, Message
from streams.partition import Output, Partition
from tests.house import tree
from tests.laws import census
from tests.laws.processes import Fate
from tests.laws.schedules import common_ticks
from tests.laws.system import Result, System

ELSEWHERE = {
    "archive-": "tests/broker/test_archive.py",
    "trim-": "tests/broker/test_archive.py",
    "outbox-": "tests/connectors/test_outbox.py",
    "file-": "tests/connectors/test_file_door_crashes.py",
    "expiry-": "tests/connectors/test_file_door_expiry.py",
}
"""How points begin that no record of these runs comes by, and the test that dies at all of them."""

POINTS = [point for point in CrashPoint if not point.startswith(tuple(ELSEWHERE))]
LATE = (lambda _: False, lambda _: True, lambda partition: bool(partition % 2))
"""Whether a message to a partition stays with its process for a moment: none, all, or those to every second one."""


class Clean(NamedTuple):
    """What a run without a crash comes to, and how often it reaches each point in each mode of `LATE`."""

    result: Result
    reached: list[Counter[CrashPoint]]


@pytest.fixture
def home() -> Iterator[Path]:
    """A directory in memory where there is one: the tests are about the order of writes, not about disks."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as made:
        yield Path(made)


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Clean:
    fates = [Fate() for _ in LATE]
    results = [counted(tmp_path_factory.mktemp("clean"), fate, mode) for mode, fate in enumerate(fates)]
    assert results[0] == results[1] == results[2]
    return Clean(results[0], [fate.reached for fate in fates])


def counted(home: Path, fate: Fate, mode: int, partition: type[Partition] = Partition) -> Result:
    """Return what the system has counted at the end; at every cut it must be what an independent count says."""

    async def run() -> Result:
        system = System(home, fate, LATE[mode], partition)
        try:
            result = await system.take()
            cuts = system.cuts()
        finally:
            system.close()
        assert list(cuts) == common_ticks(system.inbox())
        for tick, stored in cuts.items():
            assert stored == census.count(census.before(system.inbox(), tick)), f"at {tick}, after {fate.crashes}"
        return result

    return asyncio.run(run())


@pytest.mark.parametrize("point", POINTS)
def test_a_process_that_dies_at_its_first_time_there(point: CrashPoint, clean: Clean, home: Path) -> None:
    fate = Fate(point, 1)
    assert counted(home, fate, POINTS.index(point) % 3) == clean.result
    assert [at for _, at in fate.crashes] == [point]


@pytest.mark.parametrize("point", POINTS)
def test_a_process_that_dies_at_its_last_time_there(point: CrashPoint, clean: Clean, home: Path) -> None:
    mode = (POINTS.index(point) + 1) % 3
    fate = Fate(point, clean.reached[mode][point])
    assert counted(home, fate, mode) == clean.result
    assert [at for _, at in fate.crashes] == [point]


@pytest.mark.parametrize("point", POINTS)
def test_a_process_that_dies_at_its_second_time_there_and_again_while_it_recovers(
    point: CrashPoint, clean: Clean, home: Path
) -> None:
    mode = (POINTS.index(point) + 2) % 3
    fate = Fate(point, min(2, clean.reached[mode][point]), then=1 + POINTS.index(point) % 4)
    assert counted(home, fate, mode) == clean.result
    (process, at), (again, _) = fate.crashes
    assert (process, at) == (again, point)


class WithoutMemory(Partition):
    """A defect: what was not acknowledged is not sent again."""

    def unsent(self) -> list[Output]:
        return []


class TooSure(Partition):
    """A defect: outputs leave the outbox before Kafka has them."""

    def step(self, messages: Sequence[Message]) -> tuple[list[Output], Sequence[Effect]]:
        outputs, effects = super().step(messages)
        self._acknowledged += len(outputs)
        return outputs, effects


class TooFar(Partition):
    """A defect: a start skips a message."""

    def __init__(self, *parts: Any) -> None:
        super().__init__(*parts)
        self.position += self.position > 3


@pytest.mark.parametrize("defect", [WithoutMemory, TooSure, TooFar])
def test_a_defect_is_seen(defect: type[Partition], clean: Clean, home: Path) -> None:
    with pytest.raises(AssertionError):
        assert counted(home, Fate(CrashPoint.STATE_AFTER_WRITE, 9), 1, defect) == clean.result


def test_the_other_points_are_reached_elsewhere() -> None:
    assert [start for start, test in ELSEWHERE.items() if f'"{start}"' not in (tree.ROOT / test).read_text()] == []


@pytest.mark.long
@pytest.mark.parametrize("point", POINTS)
def test_a_process_that_dies_at_any_time_there_and_again_at_any_point(point: CrashPoint, clean: Clean) -> None:
    for mode, reached in enumerate(clean.reached):
        for nth in range(1 + mode, reached[point] + 1, 3):
            with tempfile.TemporaryDirectory() as made:
                fate = Fate(point, nth, then=nth // 3 % 6)
                assert counted(Path(made), fate, mode) == clean.result, fate.crashes
                assert fate.crashes
