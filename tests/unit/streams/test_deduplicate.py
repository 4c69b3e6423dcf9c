"""Which version speaks, where, and what the books say of it."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from schemas.frame import decode, encode, tick_frame
from schemas.header import Kind, Op, unpack
from streams.deduplicate import Deduplicate
from streams.fold import Noted, Send
from streams.replay import Station
from tests.laws.records import DAY_MS, Crossing, Entry, delivery, inbox_frame

ONE = Crossing("A", birth=19800101)


def station() -> Station:
    return Station(Deduplicate(0, 1, {1: "gpk", 2: "mvd"}), 0)


def statements(at: Station, *entries: Entry) -> list[str]:
    """Deliver the entries, one frame each, and return what the log hears: `+block/seq` and `-block/seq`."""
    heard = []
    for entry in entries:
        for output in at.step([inbox_frame([entry])]):
            if isinstance(output, Send) and output.topic == "log":
                for header in unpack(decode(output.value).headers):
                    heard.append(f"{'+' if header.kind == Kind.ASSERT else '-'}{header.block // 10_000}/{header.seq}")
    return heard


def counts(at: Station) -> dict[str, int]:
    stored = at.state.get(b"@b")
    assert stored is not None
    books = msgspec.msgpack.decode(stored, type=dict[str, int])
    return {key.rsplit("|", 1)[1]: count for key, count in books.items() if count}


def test_a_new_record_speaks_in_its_block() -> None:
    assert statements(station(), delivery(ONE)) == ["+1980/1"]


def test_a_duplicate_says_nothing_and_a_transport_repeat_does_not_even_count() -> None:
    at = station()
    assert statements(at, delivery(ONE), delivery(ONE, 1), delivery(ONE, 1)) == ["+1980/1"]
    assert counts(at) == {"deliveries": 2, "duplicate": 1, "new_version": 1, "current": 1}


def test_a_correction_of_the_birth_date_moves_the_record_and_back() -> None:
    moved = ONE._replace(revision=2, birth=19810101)
    back = ONE._replace(revision=3)
    assert statements(station(), delivery(ONE), delivery(moved), delivery(back)) == [
        "+1980/1", "-1980/2", "+1981/2", "-1981/3", "+1980/3",
    ]  # fmt: skip


def test_an_older_revision_that_comes_late_changes_nothing() -> None:
    at = station()
    assert statements(at, delivery(ONE._replace(revision=2, birth=19810101)), delivery(ONE)) == ["+1981/1"]
    assert counts(at)["superseded"] == 1


def test_a_cancellation_wins_before_its_original_arrives() -> None:
    at = station()
    assert statements(at, delivery(ONE._replace(revision=2, op=Op.CANCEL)), delivery(ONE)) == []
    assert counts(at) == {"deliveries": 2, "new_version": 2, "cancelled": 1, "superseded": 1}


def test_a_cancellation_that_tells_the_person_speaks_in_no_block_either() -> None:
    told = delivery(ONE._replace(revision=2, op=Op.CANCEL))
    told = told._replace(header=told.header._replace(block=ONE.birth), core=delivery(ONE).core)
    assert statements(station(), delivery(ONE), told) == ["+1980/1", "-1980/2"]
    assert statements(station(), told, delivery(ONE)) == []


def test_a_cancelled_record_can_be_issued_again_by_a_greater_revision() -> None:
    again = ONE._replace(revision=3)
    at = station()
    heard = statements(at, delivery(ONE), delivery(ONE._replace(revision=2, op=Op.CANCEL)), delivery(again))
    assert heard == ["+1980/1", "-1980/2", "+1980/3"]


def test_of_two_contents_under_one_revision_the_later_recorded_speaks_whatever_came_first() -> None:
    late = ONE._replace(minute=60, recorded_at=ONE.recorded_at + DAY_MS, birth=19820101)
    for order in ([ONE, late], [late, ONE]):
        at = station()
        statements(at, *map(delivery, order))
        stored = at.state.get(b"r" + delivery(ONE).header.record)
        assert stored is not None
        assert msgspec.msgpack.decode(stored)[2] == (19820101).to_bytes(4, "big")
        assert counts(at)["conflict"] == 1


def test_the_winner_can_change_back_to_a_content_that_is_not_at_hand() -> None:
    late = ONE._replace(minute=60, recorded_at=ONE.recorded_at + DAY_MS, birth=19820101)
    heard_earlier = late._replace(recorded_at=ONE.recorded_at - DAY_MS)
    heard = statements(station(), delivery(ONE), delivery(late), delivery(heard_earlier, 7))
    assert heard == ["+1980/1", "-1980/2", "+1982/2", "-1982/3", "+1980/3"]


def test_the_books_follow_a_winner_that_changes_by_a_duplicate_recorded_earlier() -> None:
    cancelled = ONE._replace(op=Op.CANCEL, recorded_at=ONE.recorded_at + DAY_MS)
    earlier = cancelled._replace(recorded_at=ONE.recorded_at - DAY_MS)
    at = station()
    assert statements(at, delivery(ONE), delivery(cancelled)) == ["+1980/1", "-1980/2"]
    assert statements(at, delivery(earlier, 7)) == ["+1980/3"]
    assert counts(at) == {
        "deliveries": 3, "new_version": 2, "duplicate": 1, "conflict": 1, "current": 1, "superseded": 1,
    }  # fmt: skip


def test_a_conflict_is_told_to_its_agency_without_the_content() -> None:
    at = station()
    at.step([inbox_frame([delivery(ONE)])])
    effects = at.step([inbox_frame([delivery(ONE._replace(minute=60))])])
    told = [effect for effect in effects if isinstance(effect, Send) and effect.topic == "verdicts:gpk"]
    verdict = json.loads(told[0].value)
    assert verdict["answer"] == "conflict"
    assert verdict["record"] == delivery(ONE).header.record.hex()


def test_a_refusal_counts_once_per_delivery() -> None:
    refused = delivery(ONE)
    refused = refused._replace(header=refused.header._replace(kind=Kind.REFUSED), core=b"\x90")
    at = station()
    assert statements(at, refused, refused) == []
    assert counts(at) == {"deliveries": 1, "refused": 1}


def test_a_tick_goes_to_every_partition_of_the_log_behind_what_came_before_and_only_if_it_is_newer() -> None:
    at = Station(Deduplicate(0, 3, {1: "gpk"}), 0)
    inbox = [inbox_frame([delivery(ONE)]), *(encode(tick_frame(tick)) for tick in (5, 5, 4, 6))]
    told = [(e.partition, decode(e.value)) for e in at.step(inbox) if isinstance(e, Send)]
    assert sorted((where, frame.tick) for where, frame in told) == [(w, t) for w in range(3) for t in (5, 6)]
    assert sum(len(list(unpack(frame.headers))) for _, frame in told if frame.tick == 5) == 1
    assert sum(bool(frame.notes) for _, frame in told) == 2, "the books go with one of the partitions"


def test_a_frame_that_cannot_be_read_is_set_aside_with_its_bytes_and_the_rest_goes_on() -> None:
    at = station()
    effects = at.step([b"\x01rubbish", inbox_frame([delivery(ONE)])])
    aside = [effect for effect in effects if isinstance(effect, Send) and effect.topic == "quarantine"]
    assert aside[0].value.endswith(b"\x01rubbish")
    assert counts(at)["new_version"] == 1
    assert _noted(effects).quarantined == {0: 1}


@pytest.mark.parametrize(
    "broken",
    [
        {"headers": b"short"},
        {"core_sizes": b"\x00\x00\x00"},
        {"core_sizes": b"", "cores": b""},
        {"cores": b"longer than it says" * 100},
    ],
    ids=["headers", "sizes", "fewer cores", "longer cores"],
)
def test_a_frame_whose_columns_do_not_fit_is_only_counted(
    broken: dict[str, Any],
) -> None:
    frame = decode(inbox_frame([delivery(ONE)]))._replace(**broken)
    at = station()
    effects = at.step([encode(frame)])
    assert counts(at) == {"broken_frames": 1}
    assert [effect.topic for effect in effects if isinstance(effect, Send)] == ["quarantine"]


def test_a_generation_built_later_is_silent_about_conflicts_that_an_earlier_one_has_told() -> None:
    at = Station(Deduplicate(0, 1, {1: "gpk"}, speaks_from=20), 0)
    told = []
    for revision, tick in enumerate((10, 20, 30), 1):
        for minute in (0, 5):
            outputs = at.step([inbox_frame([delivery(ONE._replace(revision=revision, minute=minute))])])
            told += [json.loads(o.value)["revision"] for o in outputs if isinstance(o, Send) and o.topic != "log"]
        at.step([encode(tick_frame(tick))])
    assert (told, counts(at)["conflict"]) == ([3], 3)


def test_a_conflict_of_an_agency_that_is_listed_no_more_is_counted_and_told_to_nobody() -> None:
    at = Station(Deduplicate(0, 1, {2: "mvd"}), 0)
    effects = at.step([inbox_frame([delivery(ONE), delivery(ONE._replace(minute=60))])])
    assert [effect.topic for effect in effects if isinstance(effect, Send)] == ["log"]
    assert counts(at)["conflict"] == 1


def test_the_books_add_up_whatever_the_order_of_two_contents_under_one_revision() -> None:
    rival = ONE._replace(op=Op.CANCEL, recorded_at=ONE.recorded_at + DAY_MS)
    for order in itertools.permutations([delivery(ONE), delivery(rival), delivery(rival, 1), delivery(ONE, 1)]):
        at = station()
        statements(at, *order)
        assert counts(at) == {
            "deliveries": 4, "new_version": 2, "duplicate": 2, "conflict": 1, "cancelled": 1, "superseded": 1,
        }  # fmt: skip


def _noted(effects: Sequence[object]) -> Noted:
    return next(effect for effect in effects if isinstance(effect, Noted))


def test_many_records_of_one_block_go_out_in_frames_of_bounded_size_each_ending_where_a_message_does() -> None:
    at = station()
    batches = [[delivery(Crossing(f"R{n}-{m}", birth=19800101)) for m in range(400)] for n in range(5)]
    effects = at.step([inbox_frame(batch) for batch in batches])
    frames = [decode(effect.value) for effect in effects if isinstance(effect, Send) and effect.topic == "log"]
    assert [(frame.prev, frame.offset) for frame in frames] == [(-1, 1), (1, 3), (3, 4)]
    assert sum(len(list(unpack(frame.headers))) for frame in frames) == 2000
