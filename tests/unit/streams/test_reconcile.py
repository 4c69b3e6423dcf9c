"""Who is who, what counts once, and what is set aside: small worlds through the folds in memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from zlib import crc32

import msgspec
import pytest
from msgspec.structs import replace

from schemas import core
from schemas.frame import Frame, decode, encode, sizes, tick_frame
from schemas.header import Kind, Op, pack
from streams.dataflows.definition import Fact
from streams.fold import Noted, Send
from streams.memory import Memory
from streams.reconcile.component import Component
from streams.reconcile.fold import CELLS_PER_FRAME, Reconcile
from streams.replay import Replay, Station
from tests.laws.records import Crossing, Entry, delivery, inbox_frame, link_key, rules
from tests.laws.worlds import book

HOUR = 60


def world(*batches: Sequence[Entry]) -> Replay:
    """Deliver the batches, with a cut behind each."""
    replay = Replay(rules(), 1, 1)
    for tick, batch in enumerate(batches, start=1):
        replay.inbox.append(0, inbox_frame(batch))
        replay.inbox.append(0, encode(tick_frame(tick)))
        replay.run()
    return replay


def crossings(replay: Replay) -> int:
    return sum(cell.measures[0] for key, cell in replay.cells.items() if key.startswith("F06|"))


def causes(replay: Replay) -> dict[str, tuple[int, int]]:
    """Return the causes of the last change of the only F06 cell."""
    return next(cell.causes for key, cell in replay.cells.items() if key.startswith("F06|"))


def test_one_happening_reported_by_two_agencies_counts_once() -> None:
    one, other = Crossing("A", agency=1), Crossing("B", agency=2, minute=9)
    assert crossings(world([delivery(one), delivery(other)])) == 1


def test_a_chain_within_the_tolerance_is_one_and_a_gap_cuts_it() -> None:
    minutes = (0, 8, 16, 27)  # 8 + 8 within ten minutes each, then a gap of 11
    assert crossings(world([delivery(Crossing(f"R{m}", minute=m)) for m in minutes])) == 2


def test_another_direction_place_document_or_person_is_another_happening() -> None:
    one = Crossing("A")
    others = [
        one._replace(record="B", direction="OUT"),
        one._replace(record="C", checkpoint="BRUZGI"),
        one._replace(record="D", document=77),
        one._replace(record="E", person=5),
    ]
    assert crossings(world([delivery(c) for c in (one, *others)])) == 5


def test_a_shared_document_does_not_make_two_personal_numbers_one_person() -> None:
    one = Crossing("A", number=1, document=9)
    other = Crossing("B", number=2, document=9, person=2)
    assert crossings(world([delivery(one), delivery(other)])) == 2


def test_a_report_without_number_goes_with_the_only_number_its_document_knows() -> None:
    known = Crossing("A", number=1, document=9)
    unknown = Crossing("B", document=9, person=3, agency=2)
    assert crossings(world([delivery(known), delivery(unknown)])) == 1


def test_retracting_the_report_that_joined_two_splits_them_again() -> None:
    left = Crossing("L", person=1, document=50)
    right = Crossing("R", person=2, document=60, minute=3)
    bridge = Crossing("M", person=1, document=60, minute=HOUR)
    cancelled = bridge._replace(revision=2, op=Op.CANCEL)
    joined = world([delivery(left), delivery(right), delivery(bridge)])
    assert crossings(joined) == 3
    assert crossings(world([delivery(left), delivery(right), delivery(bridge)], [delivery(cancelled)])) == 2


def test_a_new_record_on_time_and_a_late_one_and_a_correction_and_a_cancellation_have_their_causes() -> None:
    one = Crossing("A")
    assert causes(world([delivery(one)])) == {"on-time": (1, 0)}
    late = one._replace(recorded_at=one.recorded_at + 200 * 86_400_000)
    assert causes(world([delivery(late)])) == {"late": (1, 0)}
    two = [delivery(one), delivery(one._replace(record="B", person=2))]
    gone = world(two, [delivery(one._replace(revision=2, op=Op.CANCEL))])
    assert causes(gone) == {"cancellation": (0, 1)}
    away = world(two, [delivery(one._replace(revision=2, checkpoint="BRUZGI"))])
    changed = {key.rsplit("|", 1)[1]: cell.causes for key, cell in away.cells.items() if key.startswith("F06|")}
    assert changed == {"BREST": {"correction": (0, 1)}, "BRUZGI": {"correction": (1, 0)}}


def test_a_representative_that_changes_is_a_change_by_link() -> None:
    second = delivery(Crossing("B", agency=2, minute=1))
    assert rules().rank(1, 1) < rules().rank(1, 2)
    assert causes(world([second], [delivery(Crossing("A", agency=1))])) == {"link": (0, 1), "on-time": (1, 0)}


def test_what_a_table_fails_on_is_quarantined_and_the_others_go_on() -> None:
    bad = delivery(Crossing("X"))
    beyond = core.encode(replace(core.decode(bad.core), day=10**9))  # no calendar has this day
    replay = world([bad._replace(core=beyond), delivery(Crossing("A"))])
    assert crossings(replay) == 1
    assert book(replay.cells)["1", "quarantined"] == 1
    assert [send.topic for send in replay.set_aside] == ["quarantine"]
    assert replay.set_aside[0].value.endswith(beyond)


def test_a_core_that_cannot_be_read_is_quarantined_until_its_next_version() -> None:
    one = Crossing("X")
    bad = delivery(one)._replace(core=b"\xc1")
    replay = world([bad], [delivery(one._replace(revision=2, minute=1))])
    assert crossings(replay) == 1
    counts = book(replay.cells)
    assert counts["1", "quarantined"] == 0
    assert counts["1", "speaking"] == counts["1", "current"] == 1


class Starved(Reconcile):
    """A fold whose memory runs out, or whose disk."""

    def __init__(self, error: type[Exception]) -> None:
        super().__init__(0, 1, rules())
        self.error = error

    def facts(self, component: Component) -> list[Fact]:
        raise self.error

    def grow(self, component: Component) -> list[Fact] | None:
        raise self.error

    def renew(self, component: Component) -> tuple[list[Fact], list[Fact]]:
        raise self.error


@pytest.mark.parametrize("error", [MemoryError, OSError])
def test_what_is_not_the_records_fault_sets_no_record_aside(error: type[Exception]) -> None:
    replay = Replay(rules(), 1, 1)
    replay.reconcile = [Station(Starved(error), 0)]
    for value in (inbox_frame([delivery(Crossing("A"))]), encode(tick_frame(1))):
        replay.inbox.append(0, value)
    with pytest.raises(error):
        replay.run()


class Jealous(Reconcile):
    """A table that fails where two reports of a person meet, though on none of them alone."""

    def facts(self, component: Component) -> list[Fact]:
        if len(component.reports) > 1:
            raise ZeroDivisionError
        return super().facts(component)

    def renew(self, component: Component) -> tuple[list[Fact], list[Fact]]:
        self.facts(component)
        return super().renew(component)


def test_where_a_table_fails_on_reports_together_all_of_them_wait_and_the_others_go_on() -> None:
    replay = Replay(rules(), 1, 1)
    replay.reconcile = [Station(Jealous(0, 1, rules()), 0)]
    apart = Crossing("C", person=2, birth=19900101)
    replay.inbox.append(0, inbox_frame([delivery(Crossing("A")), delivery(Crossing("B", minute=60)), delivery(apart)]))
    replay.inbox.append(0, encode(tick_frame(1)))
    replay.run()
    assert crossings(replay) == 1
    counts = book(replay.cells)
    assert (counts["1", "quarantined"], counts["1", "speaking"], counts["1", "current"]) == (2, 1, 3)


def log_frame(offset: int, prev: int, tick: int = 0, notes: bytes = b"", source: int = 0) -> Frame:
    return Frame(source, offset, prev, tick, b"", b"", b"", b"", b"", notes)


@pytest.mark.parametrize(
    "broken",
    [
        {"headers": b"x"},
        {"core_sizes": b"\x00"},
        {"core_sizes": b"\x00\x00\x00\x00"},
        {"notes": b"\xc1"},
        {"source": 5},
        {"source": -1},
    ],
    ids=["headers", "sizes", "more cores", "notes", "source", "door's frame"],
)
def test_a_frame_of_the_log_that_cannot_be_read_is_set_aside_and_the_next_ones_go_on(broken: dict[str, Any]) -> None:
    at = Station(Reconcile(0, 1, rules()), 0)
    effects = at.step([encode(log_frame(1, -1)._replace(**broken))])
    assert [effect.topic for effect in effects if isinstance(effect, Send)] == ["quarantine"]
    assert [effect.quarantined for effect in effects if isinstance(effect, Noted)] == [{0: 1}]
    told = [effect.topic for effect in at.step([encode(log_frame(2, -1, tick=9))]) if isinstance(effect, Send)]
    assert told == ["partials"]


def test_a_statement_that_is_told_again_is_not_even_quarantined_again() -> None:
    """A frame may overlap what was applied; what it repeats has no effect at all."""
    spoken = delivery(Crossing("X")).header._replace(kind=Kind.ASSERT, seq=1)
    frames = [
        log_frame(n, -1)._replace(headers=pack([spoken]), core_sizes=sizes([b"\xc1"]), cores=b"\xc1") for n in (1, 2)
    ]
    at = Station(Reconcile(0, 1, rules()), 0)
    aside = [[e.topic for e in at.step([encode(each)]) if isinstance(e, Send)] for each in frames]
    assert aside == [["quarantine"], []]


def counted(counts: dict[str, int], tick: int, state: Memory | None = None) -> list[Frame]:
    """Return the partials of a cut at which these cells changed."""
    at = Station(Reconcile(0, 1, rules()), 0, state or Memory())
    notes = msgspec.msgpack.encode(list(counts.items()))
    effects = at.step([encode(log_frame(tick, -1, tick, notes))])
    return [decode(effect.value) for effect in effects if isinstance(effect, Send) and effect.topic == "partials"]


def cells_of(frame: Frame) -> set[str]:
    return {cell for cell, _ in msgspec.msgpack.decode(frame.notes)}


def test_a_large_cut_goes_out_in_a_chain_of_frames_of_which_the_last_one_ends_it() -> None:
    counts = {f"T|2024|{n}": n for n in range(3 * CELLS_PER_FRAME)}
    frames = counted(counts, 7)
    assert [frame.tick for frame in frames] == [0, 0, 7] or [frame.tick for frame in frames] == [0, 0, 0, 7]
    assert [frame.prev for frame in frames] == [-1, *[frame.offset for frame in frames[:-1]]]
    assert len({frame.offset for frame in frames}) == len(frames)
    assert set().union(*map(cells_of, frames)) == counts.keys()
    assert sum(len(cells_of(frame)) for frame in frames) == len(counts)


def test_a_cut_told_twice_with_other_cells_beside_them_leaves_no_cell_out() -> None:
    """After a loss of the last writes a cut may be told again, shorter by cells that changed there and back."""
    counts = {f"T|2024|{n}": n for n in range(3 * CELLS_PER_FRAME)}
    fewer = {cell: count for n, (cell, count) in enumerate(counts.items()) if n % 3}
    first, again = counted(counts, 7)[0], counted(fewer, 7)
    heard = cells_of(first)
    for frame in again:
        if frame.offset > first.offset:  # as a reader does that has applied the first frame of the first telling
            heard |= cells_of(frame)
    assert fewer.keys() <= heard


def test_each_frame_of_a_cut_holds_whole_buckets_behind_those_of_the_frame_before() -> None:
    def bucket(cell: str) -> int:
        return crc32(cell.encode()) >> 12

    named = sorted((f"T|2024|{link_key(1, n).hex()}" for n in range(20_000)), key=bucket)
    twins = next(n for n in range(CELLS_PER_FRAME, len(named)) if bucket(named[n - 1]) == bucket(named[n]))
    frames = counted(dict.fromkeys(named[twins - CELLS_PER_FRAME : twins + 100], 1), 7)
    begin = 0
    for frame in frames:
        end = frame.offset & 0xFFFFF
        assert all(begin <= bucket(cell) <= end for cell in cells_of(frame))
        begin = end + 1
    assert len(frames) == 2


def test_the_frames_of_the_next_cut_go_on_with_the_chain() -> None:
    state = Memory()
    first = counted({f"T|2024|{n}": n for n in range(2 * CELLS_PER_FRAME)}, 7, state)
    assert [frame.prev for frame in counted({"T|2024|0": 5}, 8, state)] == [first[-1].offset]


def test_an_empty_cut_is_told_too() -> None:
    assert [(frame.tick, cells_of(frame)) for frame in counted({}, 7)] == [(7, set())]
