"""Who is who, what counts once, and what is set aside: small worlds through the folds in memory."""

from __future__ import annotations

from collections.abc import Sequence

from schemas import core
from schemas.frame import encode, tick_frame
from schemas.header import Op
from streams.replay import Replay
from tests.laws.records import Crossing, Entry, delivery, inbox_frame, rules
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
    beyond = core.encode(core.decode(bad.core)._replace(day=10**9))  # no calendar has this day
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
