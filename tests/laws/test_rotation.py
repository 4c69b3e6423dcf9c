"""Rotation (law L8): half of the reports come under one level of link keys, half under the next; no figure sees it.

Nobody sends again, no identity is needed: the cores of earlier levels are lifted as they are read.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest

from connectors.admission import Admission
from connectors.inbox import frame
from schemas.conventions import DEFAULT
from schemas.frame import encode, tick_frame
from schemas.keys import Secrets
from schemas.lifting import UNLIFTED, Lift
from streams.fold import Message
from streams.rebuild import Job, rebuild
from streams.replay import Replay
from streams.topics import partition
from tests.connectors.events import NOW, REPORTER, event
from tests.golden.test_golden import CASES, Sent, admit, lines, rules

NESTED = (b"2" * 32, b"3" * 32)
PARTITIONS = 2
PEOPLE = 60
TICK = NOW // 1000 + 60

Level = Callable[[int], int]
"""The level of link keys at which the doors are when the nth event comes."""


def secrets(level: int) -> Secrets:
    return Secrets(bytes(range(32)), bytes(range(32, 64)), NESTED[: level - 1])


DOORS = {level: Admission(rules().convention, rules().lists, secrets(level)) for level in (1, 2, 3)}


def sightings() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield agency, family and event: each person crosses once and is seen by two scanners, and has one permit twice.

    The second report names the person in another way, with another document's number beside: only keys tell that it is
    the same person, and only the lifted document and permit number that it is the same crossing and permit.
    """
    for turn in range(2):
        for number in range(PEOPLE):
            person = {
                "person__surname": ("Карымаў", "KARIMOV")[turn],
                "person__given_names": ("Мікалай", "NIKOLAI")[turn],
                "person__birth_date": f"19{50 + number % 50}-0{1 + number % 9}-17",
                "person__document": {"type": "P", "issuer": "UZB", "number": f"AA{1_000_000 + number}"},
                "header__record_no": f"R-{turn}-{number}",
            }
            for family in ("border.crossing", "permit.decision"):
                yield REPORTER.get(family, "mvd"), family, event(family, **copy.deepcopy(person))


def inbox(level: Level) -> list[list[bytes]]:
    """Return the partitions of an inbox with all sightings."""
    parts: list[list[bytes]] = [[] for _ in range(PARTITIONS)]
    for number, (agency, family, said) in enumerate(sightings()):
        entry = DOORS[level(number)].admit(agency, family, said, number.to_bytes(8, "big"), NOW)
        parts[partition(entry.partition_key, PARTITIONS)].append(frame([entry]))
    for part in parts:
        part.append(encode(tick_frame(TICK)))
    return parts


def counted(parts: Sequence[Sequence[bytes]], lift: Lift) -> dict[str, tuple[int, tuple[int, ...]]]:
    replay = Replay(rules(), PARTITIONS, PARTITIONS, lift)
    for number, values in enumerate(parts):
        for value in values:
            replay.inbox.append(number, value)
    replay.run()
    return {key: (cell.facts, cell.measures) for key, cell in replay.cells.items()}


def half(number: int) -> int:
    return 1 if number < 2 * PEOPLE else 2


def alternating(number: int) -> int:
    """Two gateways of which one looks at its level later than the other, and a rotation soon after."""
    return 1 + number % 3


def never(number: int) -> int:
    return 1


@pytest.mark.parametrize(
    ("level", "lift"), [(half, Lift(NESTED[:1])), (half, Lift(NESTED)), (alternating, Lift(NESTED))]
)
def test_the_figures_are_as_if_nobody_had_rotated(level: Level, lift: Lift) -> None:
    assert counted(inbox(level), lift) == counted(inbox(never), UNLIFTED)


def test_the_persons_would_fall_apart_without_it() -> None:
    figures = counted(inbox(never), UNLIFTED)
    apart = counted(inbox(half), UNLIFTED)
    assert sum(facts for facts, _ in apart.values()) > sum(facts for facts, _ in figures.values())


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("since", [2, 3, 5])
def test_the_figures_that_were_reckoned_by_hand_stay(case: str, since: int) -> None:
    def cells(level: Level, lift: Lift) -> dict[str, tuple[int, tuple[int, ...]]]:
        replay = Replay(rules(), PARTITIONS, PARTITIONS, lift)
        for number, line in enumerate(lines(case)):
            if isinstance(line, Sent):
                entry = _entry(line, number, DOORS[level(number)])
                replay.inbox.append(partition(entry.partition_key, PARTITIONS), frame([entry]))
                continue
            for where in range(PARTITIONS):
                replay.inbox.append(where, encode(tick_frame(line)))
            replay.run()
        return {key: (cell.facts, cell.measures) for key, cell in replay.cells.items()}

    assert cells(lambda number: 1 + (number >= since), Lift(NESTED[:1])) == cells(never, UNLIFTED)


def _entry(sent: Sent, number: int, door: Admission) -> Any:
    return admit(sent, number, NOW, door).entry


def read(file: Path, number: int) -> Iterator[Message]:
    """Yield the messages of a partition; other processes find this function by its name."""
    parts = msgspec.msgpack.decode(file.read_bytes(), type=list[list[bytes]])
    return (Message(offset, value) for offset, value in enumerate(parts[number]))


def test_a_rebuild_in_several_processes_lifts_too(tmp_path: Path) -> None:
    file, scratch = tmp_path / "inbox", tmp_path / "scratch"
    file.write_bytes(msgspec.msgpack.encode(inbox(half)))
    scratch.mkdir()
    job = Job([partial(read, file, number) for number in range(PARTITIONS)], DEFAULT, 2, scratch, lift=Lift(NESTED[:1]))
    rebuilt = rebuild(job, cores=2)
    assert rebuilt.tick == TICK
    assert {key: (cell.facts, cell.measures) for key, cell in rebuilt.cells.items()} == counted(inbox(never), UNLIFTED)
