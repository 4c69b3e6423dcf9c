"""Chains and aligned cuts, as tables of arrivals and what takes effect."""

from __future__ import annotations

import pytest

from schemas.errors import Broken
from schemas.frame import Frame, encode
from streams.barrier import Barrier, Close
from streams.memory import Memory

Effects = list[str]


def frame(source: int, offset: int, prev: int, tick: int = 0) -> Frame:
    return Frame(source, offset, prev, tick, b"", b"", b"", b"", b"", b"")


def run(sources: int, *arrivals: Frame, view: Memory | None = None) -> Effects:
    """Return what takes effect: `source:offset` for a frame, `=tick` for a cut; a new barrier for each arrival."""
    view = view or Memory()
    effects: Effects = []
    for arrival in arrivals:
        for effect in Barrier(view, sources).arrive(arrival, encode(arrival)):
            effects.append(f"={effect.tick}" if isinstance(effect, Close) else f"{effect.source}:{effect.offset}")
    return effects


def test_a_chain_is_applied_in_order_and_repeats_are_ignored() -> None:
    assert run(1, frame(0, 3, -1), frame(0, 5, 3), frame(0, 3, -1), frame(0, 5, 3)) == ["0:3", "0:5"]


def test_what_runs_ahead_waits_for_its_predecessor() -> None:
    assert run(1, frame(0, 9, 5), frame(0, 5, 3), frame(0, 3, -1)) == ["0:3", "0:5", "0:9"]


def test_of_what_waits_only_that_goes_on_whose_predecessor_has_come() -> None:
    view = Memory()
    assert run(1, frame(0, 9, 5), frame(0, 12, 10), frame(0, 5, -1), view=view) == ["0:5", "0:9"]
    assert Barrier(view, 1).parked == 1
    assert run(1, frame(0, 10, 9), view=view) == ["0:10", "0:12"]


def test_of_two_that_wait_and_reach_equally_far_the_one_that_begins_earlier_is_kept() -> None:
    for waiting in ([frame(0, 10, 5), frame(0, 10, 7)], [frame(0, 10, 7), frame(0, 10, 5)]):
        assert run(1, *waiting, frame(0, 5, -1)) == ["0:5", "0:10"]


def test_what_waits_for_a_frame_that_never_comes_stops_nothing_that_begins_earlier() -> None:
    view = Memory()
    assert run(1, frame(0, 10, 7), frame(0, 12, 5), frame(0, 5, -1), view=view) == ["0:5", "0:12"]
    assert run(1, frame(0, 13, 12), view=view) == ["0:13"]
    assert Barrier(view, 1).parked == 0


def test_a_frame_that_overlaps_is_applied_whole() -> None:
    assert run(1, frame(0, 3, -1), frame(0, 8, 1), frame(0, 9, 3)) == ["0:3", "0:8", "0:9"]


def test_a_cut_closes_when_all_sources_stand_at_it_and_later_frames_wait() -> None:
    early = [frame(0, 1, -1, tick=7), frame(0, 2, 1), frame(0, 3, 2)]
    assert run(2, *early, frame(1, 4, -1), frame(1, 5, 4, tick=7)) == ["0:1", "1:4", "1:5", "=7", "0:2", "0:3"]


def test_a_hole_in_one_source_passes_the_tick_over() -> None:
    assert run(
        2,
        frame(0, 1, -1, tick=5),
        frame(0, 2, 1, tick=6),
        frame(0, 3, 2, tick=7),
        frame(1, 1, -1, tick=5),
        frame(1, 2, 1, tick=7),
    ) == ["0:1", "1:1", "=5", "0:2", "1:2", "0:3", "=7"]


def test_the_last_source_closes_several_cuts_at_once() -> None:
    ahead = [frame(0, n, n - 1 if n > 1 else -1, tick=n) for n in (1, 2, 3)]
    behind = [frame(1, n, n - 1 if n > 1 else -1, tick=n) for n in (1, 2, 3)]
    assert run(2, *ahead, *behind) == ["0:1", "1:1", "=1", "0:2", "1:2", "=2", "0:3", "1:3", "=3"]


def test_a_tick_that_is_not_newer_closes_nothing() -> None:
    assert run(1, frame(0, 1, -1, tick=5), frame(0, 2, 1, tick=5), frame(0, 3, 2, tick=4)) == [
        "0:1",
        "=5",
        "0:2",
        "0:3",
    ]


def test_parked_frames_survive_in_the_state_and_are_counted() -> None:
    view = Memory()
    assert run(2, frame(0, 1, -1, tick=5), frame(0, 2, 1), view=view) == ["0:1"]
    assert Barrier(view, 2).parked == 1
    assert run(2, frame(1, 1, -1, tick=5), view=view) == ["1:1", "=5", "0:2"]
    assert Barrier(view, 2).parked == 0


@pytest.mark.parametrize("source", [-1, 2])
def test_a_frame_of_no_source_is_nobodys(source: int) -> None:
    with pytest.raises(Broken, match="frame-source"):
        run(2, frame(source, 1, -1))


def test_a_parked_frame_that_comes_again_is_counted_once() -> None:
    view = Memory()
    assert run(1, frame(0, 9, 5), frame(0, 9, 5), view=view) == []
    assert Barrier(view, 1).parked == 1
    assert run(1, frame(0, 5, -1), view=view) == ["0:5", "0:9"]
    assert Barrier(view, 1).parked == 0


def test_what_was_parked_and_came_another_way_is_dropped() -> None:
    view = Memory()
    assert run(1, frame(0, 5, 3), frame(0, 8, -1), view=view) == ["0:8"]
    assert Barrier(view, 1).parked == 0
