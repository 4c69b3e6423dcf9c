"""Messages of a partition wait for others of theirs, and never longer than they may."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from schemas.frame import Frame, decode, encode, is_tick, tick_frame
from schemas.header import SIZE
from streams.gathering import Gathering


class Arrived(NamedTuple):
    value: bytes


class Time:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def gathering(time: Time, secs: float = 0.25) -> Gathering[int]:
    return Gathering(secs, 1000, lambda value: value == b"now", time)


def arrived(*values: bytes) -> list[Arrived]:
    return [Arrived(value) for value in values]


def test_messages_wait_for_others_and_come_in_their_order() -> None:
    waiting = gathering(time := Time())
    waiting.add({1: arrived(b"a", b"b")})
    time.now += 0.2
    waiting.add({1: arrived(b"c"), 2: arrived(b"d")})
    assert waiting.due() == []
    time.now += 0.1
    assert waiting.due() == [(1, arrived(b"a", b"b", b"c"))]
    assert waiting.due() == []
    time.now += 0.2
    assert waiting.due() == [(2, arrived(b"d"))]


def test_an_urgent_one_takes_all_of_its_partition_along() -> None:
    waiting = gathering(Time())
    waiting.add({1: arrived(b"a"), 2: arrived(b"d")})
    waiting.add({1: arrived(b"now", b"b")})
    assert waiting.due() == [(1, arrived(b"a", b"now", b"b"))]


def test_what_is_much_does_not_wait() -> None:
    waiting = gathering(Time())
    waiting.add({1: arrived(b"a" * 600), 2: arrived(b"d")})
    assert waiting.due() == []
    waiting.add({1: arrived(b"b" * 400)})
    assert waiting.due() == [(1, arrived(b"a" * 600, b"b" * 400))]


def test_without_a_time_to_wait_everything_is_due_at_once() -> None:
    waiting = gathering(Time(), secs=0.0)
    waiting.add({1: arrived(b"a"), 2: []})
    assert waiting.due() == [(1, arrived(b"a"))]


def test_the_reader_is_told_for_how_long_it_may_wait_for_more() -> None:
    waiting = gathering(time := Time())
    assert waiting.remaining(1.0) == 1.0
    waiting.add({1: arrived(b"a")})
    assert waiting.remaining(1.0) == 0.25
    assert waiting.remaining(0.1) == 0.1
    time.now += 3
    assert waiting.remaining(1.0) == 0.0


def test_what_is_read_anew_does_not_come_twice() -> None:
    waiting = gathering(time := Time())
    waiting.add({1: arrived(b"a"), 2: arrived(b"d"), 3: arrived(b"e")})
    waiting.forget(1)
    waiting.forget(9)
    time.now += 1
    assert waiting.due() == [(2, arrived(b"d")), (3, arrived(b"e"))]
    waiting.add({1: arrived(b"a"), 2: arrived(b"d")})
    waiting.forget_all()
    time.now += 1
    assert waiting.due() == []
    assert waiting.remaining(5.0) == 5.0


@given(st.lists(st.tuples(st.integers(0, 2), st.lists(st.sampled_from([b"x", b"y" * 700, b"now"]), max_size=3))))
def test_nothing_is_lost_or_changes_its_order(reads: Sequence[tuple[int, list[bytes]]]) -> None:
    waiting, given_out = gathering(time := Time()), dict[int, list[Arrived]]()
    for partition, values in reads:
        waiting.add({partition: arrived(*values)})
        for key, messages in waiting.due():
            given_out.setdefault(key, []).extend(messages)
        time.now += 0.1
    time.now += 1
    for key, messages in waiting.due():
        given_out.setdefault(key, []).extend(messages)
    read: dict[int, list[Arrived]] = {}
    for partition, values in reads:
        if values:
            read.setdefault(partition, []).extend(arrived(*values))
    assert given_out == read


def test_a_tick_is_known_by_its_size() -> None:
    tick = encode(tick_frame(2**40))
    assert is_tick(tick)
    assert decode(tick).tick == 2**40
    assert not is_tick(encode(Frame(-1, 0, -1, 0, bytes(SIZE), b"", b"", b"", b"", b"")))
