"""Components: whatever comes and goes, they are what a clustering from scratch finds, and each key has its owner."""

from __future__ import annotations

from typing import NamedTuple

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas import core
from schemas.core import DOCUMENT, NAME, PERSONAL_NO
from streams.dataflows.definition import Fact
from streams.memory import Memory
from streams.reconcile.component import SILENT, Component, read_place
from streams.reconcile.components import Components
from streams.reconcile.happenings import Report, read_report
from streams.reconcile.people import connected
from tests.laws.records import CROSSING, digest16, link_key

BLOCKS = (b"\x01\x2e\x1f\xd5", b"\x01\x2e\x47\x4a")
KEYS = tuple(link_key(kind, n) for kind in (PERSONAL_NO, DOCUMENT, NAME) for n in range(3))


class Move(NamedTuple):
    """One thing that happens to a record in a block: it comes with keys, or goes (`keys` None)."""

    block: int
    record: int
    keys: frozenset[int] | None
    ends_step: bool


moves = st.lists(
    st.builds(
        Move,
        st.integers(0, 1),
        st.integers(0, 7),
        st.none() | st.frozensets(st.integers(0, len(KEYS) - 1), max_size=3),
        st.booleans(),
    ),
    max_size=40,
)


def report(record: int, keys: frozenset[int], seq: int = 1) -> Report:
    joined = b"".join(sorted(KEYS[n] for n in keys))
    raw = core.encode(core.Core(17600, 0, joined, 19800101, 1, ("UZB",), ("IN", "BREST", "PL", "CAR", None, "PASSED")))
    return read_report(digest16(record), (1, CROSSING.id, seq, 0), raw)


class Block:
    """Both blocks of a partition, and beside them the plain list of who is there."""

    def __init__(self) -> None:
        self.view = Memory()
        self.components = Components(self.view)
        self.there: dict[tuple[int, int], Report] = {}
        self.seq = 0

    def make(self, move: Move) -> None:
        place, record = BLOCKS[move.block], digest16(move.record)
        _, number = self.components.place(place, record)
        if number != SILENT:
            self.components.remove(self.components.touch(place, number), record)
        self.seq += 1
        if move.keys is None:
            self.components.settle(place, record, self.seq, SILENT)
            self.there.pop((move.block, move.record), None)
        else:
            spoken = report(move.record, move.keys, self.seq)
            self.components.add(place, spoken)
            self.there[move.block, move.record] = spoken
        if move.ends_step:
            self.end_step()

    def end_step(self) -> None:
        for component in list(self.components.touched.values()):
            for piece in self.components.split(component):
                piece.save(self.view)
        self.components.finish()
        self.components = Components(self.view)

    def stored(self) -> dict[bytes, tuple[bytes, frozenset[bytes]]]:
        """Return number -> block and records of each component that is stored."""
        found = {}
        for key, _ in self.view.scan(b"c"):
            found[key] = (key[1:5], frozenset(Component(key, self.view).reports))
        return found

    def expected(self) -> set[tuple[bytes, frozenset[bytes]]]:
        clusters = set()
        for n, block in enumerate(BLOCKS):
            own = [spoken for (b, _), spoken in self.there.items() if b == n]
            groups = connected(own, [spoken.keys for spoken in own])
            clusters |= {(block, frozenset(spoken.record for spoken in group)) for group in groups}
        return clusters


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(moves)
def test_components_are_what_a_clustering_from_scratch_finds(history: list[Move]) -> None:
    block = Block()
    for move in history:
        block.make(move)
    block.end_step()
    stored = block.stored()
    assert set(stored.values()) == block.expected()
    assert len(stored) == len(block.expected())
    owners = {key[1:]: value for key, value in block.view.scan(b"k")}
    assert owners == {
        place + key: stored_at[5:]
        for stored_at, (place, _) in stored.items()
        for other in Component(stored_at, block.view).read()
        for key in other.keys
    }
    for stored_at, (place, records) in stored.items():
        for record in records:
            assert read_place(block.view, place, record)[1] == stored_at[5:]
    for n, place in enumerate(BLOCKS):
        for gone in (record for record in range(8) if (n, record) not in block.there):
            assert read_place(block.view, place, digest16(gone))[1] == SILENT


def keys_of(*numbers: int) -> frozenset[int]:
    return frozenset(numbers)


def test_a_report_that_joins_two_components_leaves_one_and_its_going_leaves_two_again() -> None:
    block = Block()
    for move in (Move(0, 1, keys_of(3), True), Move(0, 2, keys_of(4), True), Move(0, 3, keys_of(3, 4), True)):
        block.make(move)
    assert [len(records) for _, records in block.stored().values()] == [3]
    block.make(Move(0, 3, None, True))
    assert sorted(len(records) for _, records in block.stored().values()) == [1, 1]


def test_what_fell_apart_is_split_though_a_part_of_it_was_joined_to_others_in_the_same_step() -> None:
    block = Block()
    bridge = Move(0, 3, keys_of(3, 4), True)
    others = [Move(0, n, keys_of(5), True) for n in (5, 6, 7, 0)]
    for move in (Move(0, 1, keys_of(3), True), Move(0, 2, keys_of(4), True), bridge, *others):
        block.make(move)
    block.make(Move(0, 3, None, False))  # now 1 and 2 have nothing in common any more
    block.make(Move(0, 4, keys_of(4, 5), True))  # and 2 goes with the others, who are more
    assert set(block.stored().values()) == block.expected()
    assert sorted(len(records) for _, records in block.stored().values()) == [1, 6]


def test_the_larger_component_keeps_its_number() -> None:
    block = Block()
    for move in (Move(0, 1, keys_of(3), True), Move(0, 2, keys_of(4), True), Move(0, 4, keys_of(4), True)):
        block.make(move)
    larger = next(number for number, (_, records) in block.stored().items() if len(records) == 2)
    block.make(Move(0, 3, keys_of(3, 4), True))
    assert list(block.stored()) == [larger]


def test_a_report_without_keys_is_with_nobody() -> None:
    block = Block()
    block.make(Move(0, 1, keys_of(), True))
    block.make(Move(0, 2, keys_of(), True))
    assert sorted(len(records) for _, records in block.stored().values()) == [1, 1]


def test_what_a_component_stated_is_kept_with_it() -> None:
    block = Block()
    spoken = report(1, keys_of(3))
    component = block.components.add(BLOCKS[0], spoken)
    component.state([Fact("F06|2018-03|IN", spoken.record, (1,))], component.reports.values())
    component.save(block.view)
    block.components.finish()
    again = Component(component.key, block.view)
    assert again.stated == component.stated
    assert again.read() == component.read()
