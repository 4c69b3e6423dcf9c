"""Aggregate: a cut is the sum of the newest partials of all sources, once all of them have ended it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.errors import Broken
from schemas.frame import Frame, encode
from streams.aggregate import Aggregate
from streams.fold import CellChange, CutClosed, Noted
from streams.reconcile.cells import Value
from streams.replay import Station

Cells = dict[str, Value | int]


class Source:
    """One partition of reconcile, as it writes partials."""

    def __init__(self, number: int) -> None:
        self.number = number
        self._sent = -1

    def tell(self, position: int, cells: Cells | None = None, tick: int = 0) -> bytes:
        notes = msgspec.msgpack.encode(list((cells or {}).items()))
        frame = Frame(self.number, position, self._sent, tick, b"", b"", b"", b"", b"", notes)
        self._sent = position
        return encode(frame)


def station(sources: int) -> Station:
    return Station(Aggregate(sources), 0)


def cuts(at: Station, *values: bytes) -> list[CutClosed]:
    """Fold the frames one a step and return the cuts."""
    return [output for value in values for output in at.step([value]) if isinstance(output, CutClosed)]


def cell(facts: int, measure: int | None = None, **causes: tuple[int, int]) -> Value:
    return facts, [facts if measure is None else measure], {c.replace("_", "-"): list(p) for c, p in causes.items()}


def test_a_cut_may_span_several_steps_and_its_cells_are_the_sums_over_the_sources() -> None:
    a, b = Source(0), Source(1)
    at = station(2)
    assert cuts(at, a.tell(1, {"X": cell(2)}), b.tell(1, {"X": cell(3), "Y": cell(1)}), a.tell(2, tick=5)) == []
    assert cuts(at, b.tell(2, tick=5)) == [CutClosed(5, (CellChange("X", 5, (5,), {}), CellChange("Y", 1, (1,), {})))]


def test_the_newest_partial_of_a_cut_counts_however_the_frames_fall_into_steps() -> None:
    for steps in ([0, 1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 3]):
        a = Source(0)
        frames = [a.tell(1, {"X": cell(2)}), a.tell(2, {"X": cell(7), "Y": cell(1)}), a.tell(3, {"Y": cell(4)}, tick=5)]
        at = station(1)
        closed = [
            output
            for begin, end in pairwise(steps)
            for output in at.step(frames[begin:end])
            if isinstance(output, CutClosed)
        ]
        assert closed == [CutClosed(5, (CellChange("X", 7, (7,), {}), CellChange("Y", 4, (4,), {})))]


def test_what_waited_for_a_cut_is_forgotten_with_it() -> None:
    a = Source(0)
    at = station(1)
    cuts(at, a.tell(1, {"X": cell(2)}))
    assert list(at.state.scan(b"n")) != []
    cuts(at, a.tell(2, tick=5))
    assert list(at.state.scan(b"n")) == []


def test_partials_replace_those_of_their_source_alone() -> None:
    a, b = Source(0), Source(1)
    at = station(2)
    cuts(at, a.tell(1, {"X": cell(2)}, tick=5), b.tell(1, {"X": cell(3)}, tick=5))
    assert cuts(at, a.tell(2, {"X": cell(1)}, tick=6), b.tell(2, tick=6)) == [
        CutClosed(6, (CellChange("X", 4, (4,), {}),))
    ]


def test_repeats_and_overlaps_change_nothing() -> None:
    a = Source(0)
    one, two = a.tell(1, {"X": cell(2)}, tick=5), a.tell(2, {"X": cell(3)}, tick=6)
    overlapping = Frame(0, 3, 1, 7, b"", b"", b"", b"", b"", msgspec.msgpack.encode([("X", cell(9))]))
    at = station(1)
    closed = cuts(at, one, one, two, one, two, encode(overlapping), two)
    assert [(cut.tick, [c.measures for c in cut.cells]) for cut in closed] == [(5, [(2,)]), (6, [(3,)]), (7, [(9,)])]


def test_what_runs_ahead_waits_and_is_counted() -> None:
    a = Source(0)
    one, two = a.tell(1, {"X": cell(2)}), a.tell(2, {"X": cell(3)}, tick=6)
    at = station(1)
    parked = [output.parked for value in (two, one) for output in at.step([value]) if isinstance(output, Noted)]
    assert parked == [1, 0]
    assert at.state.get(b"pX") is not None


def test_a_tick_that_one_source_misses_is_passed_over_and_counted_with_the_next() -> None:
    a, b = Source(0), Source(1)
    closed = cuts(
        station(2),
        a.tell(1, {"X": cell(1)}, tick=5),
        b.tell(1, {"X": cell(1)}, tick=6),
        a.tell(2, {"X": cell(2)}, tick=6),
    )
    assert closed == [CutClosed(6, (CellChange("X", 3, (3,), {}),))]


def test_a_cell_that_vanishes_is_told_with_no_facts_and_may_come_back() -> None:
    a = Source(0)
    closed = cuts(
        station(1),
        a.tell(1, {"X": cell(1, on_time=(1, 0))}, tick=5),
        a.tell(2, {"X": cell(0, on_time=(1, 0), cancellation=(0, 1))}, tick=6),
        a.tell(3, {"X": cell(1, on_time=(1, 0), cancellation=(0, 1), late=(1, 0))}, tick=7),
    )
    assert [cut.cells for cut in closed] == [
        (CellChange("X", 1, (1,), {"on-time": (1, 0)}),),
        (CellChange("X", 0, (0,), {"cancellation": (0, 1)}),),
        (CellChange("X", 1, (1,), {"late": (1, 0)}),),
    ]


def test_causes_are_those_since_the_last_change_over_all_sources() -> None:
    a, b = Source(0), Source(1)
    at = station(2)
    cuts(at, a.tell(1, {"X": cell(2, on_time=(2, 0))}, tick=5), b.tell(1, {"X": cell(1, on_time=(1, 0))}, tick=5))
    again = cuts(
        at,
        a.tell(2, {"X": cell(3, on_time=(3, 0))}, tick=6),
        b.tell(2, {"X": cell(1, on_time=(2, 0), link=(0, 1))}, tick=6),
    )
    assert again == [CutClosed(6, (CellChange("X", 4, (4,), {"on-time": (2, 0), "link": (0, 1)}),))]


def test_a_cell_whose_causes_alone_changed_is_told_and_one_that_did_not_change_is_not() -> None:
    a = Source(0)
    at = station(1)
    cuts(at, a.tell(1, {"X": cell(1, on_time=(1, 0)), "Y": cell(1, on_time=(1, 0))}, tick=5))
    swapped = cell(1, on_time=(1, 0), link=(1, 1))
    assert cuts(at, a.tell(2, {"X": swapped, "Y": cell(1, on_time=(1, 0))}, tick=6)) == [
        CutClosed(6, (CellChange("X", 1, (1,), {"link": (1, 1)}),))
    ]


def test_a_plain_count_is_a_cell_of_one_fact_from_its_source() -> None:
    a = Source(0)
    at = station(1)
    assert cuts(at, a.tell(1, {"BOOKS||1|1|refused|D0": 3}, tick=5))[0].cells == (
        CellChange("BOOKS||1|1|refused|D0", 1, (3,), {}),
    )
    assert cuts(at, a.tell(2, {"BOOKS||1|1|refused|D0": 4}, tick=6))[0].cells[0].measures == (4,)


def test_an_empty_cut_is_a_cut() -> None:
    assert cuts(station(1), Source(0).tell(1, tick=5)) == [CutClosed(5, ())]


@pytest.mark.parametrize("value", [b"\x01rubbish", b"", b"\x02"])
def test_a_frame_that_cannot_be_read_stops_the_fold(value: bytes) -> None:
    with pytest.raises(Broken):
        station(1).step([value])


def test_a_frame_of_a_partition_that_is_not_there_stops_the_fold() -> None:
    with pytest.raises(Broken, match="frame-source"):
        station(1).step([Source(1).tell(1)])


History = list[tuple[int, dict[str, int], bool]]
"""What the sources tell, in order: which one, the cells' counts, whether it ends a tick."""


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.dictionaries(st.sampled_from("XYZ"), st.integers(0, 9)), st.booleans()),
        max_size=30,
    ),
    st.lists(st.integers(1, 5), min_size=30, max_size=30),
)
def test_the_cells_are_the_sums_of_what_each_source_last_told(history: History, sizes: Sequence[int]) -> None:
    sources = [Source(n) for n in range(3)]
    newest: dict[tuple[int, str], int] = {}
    frames, ticks = [], [0, 0, 0]
    for position, (number, cells, ends) in enumerate(history):
        ticks[number] += ends
        newest.update(((number, name), count) for name, count in cells.items())
        told: Cells = {name: cell(count) for name, count in cells.items()}
        frames.append(sources[number].tell(position, told, ticks[number] if ends else 0))
    last = max(ticks) + 1
    frames += [source.tell(1000, tick=last) for source in sources]
    at, now = station(3), dict[str, int]()
    for size in sizes:
        batch, frames = frames[:size], frames[size:]
        for output in at.step(batch):
            if isinstance(output, CutClosed):
                now.update((change.key, change.measures[0]) for change in output.cells)
    for output in at.step(frames):
        if isinstance(output, CutClosed):
            now.update((change.key, change.measures[0]) for change in output.cells)
    expected = {name: sum(newest.get((n, name), 0) for n in range(3)) for name in {name for _, name in newest}}
    assert now == expected
