"""Thinning: which ticks a generation in the making closes as cuts; that nothing else changes by it is a law."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from schemas.frame import encode, tick_frame
from streams.fold import Effect, Message, View
from streams.memory import Memory
from streams.thinning import Thinned, due
from tests.laws.records import Crossing, delivery, inbox_frame

DAY = 86_400
NOW = 20_000 * DAY + 5_000


class Heard:
    """A fold that remembers what it was given."""

    hot = b""

    def __init__(self) -> None:
        self.offsets: list[int] = []

    def fold(self, _: View, messages: Sequence[Message]) -> Sequence[Effect]:
        self.offsets += [message.offset for message in messages]
        return []


@pytest.mark.parametrize(
    ("tick", "closes"),
    [
        (NOW, True),
        (NOW + 1, True),
        (NOW - 1, False),
        (NOW - NOW % DAY, True),
        (NOW - NOW % DAY + 59, True),
        (NOW - NOW % DAY + 60, False),
        (NOW - NOW % DAY - 1, False),
    ],
)
def test_before_the_instant_only_the_first_minute_of_a_day_closes_cuts(tick: int, closes: bool) -> None:
    assert due(tick, NOW) is closes
    assert due(tick, 0)


def test_only_ticks_are_withheld() -> None:
    fold = Heard()
    values = [b"rubbish", encode(tick_frame(NOW - 1)), inbox_frame([delivery(Crossing("R"))]), encode(tick_frame(NOW))]
    Thinned(fold, NOW).fold(Memory(), [Message(offset, value) for offset, value in enumerate(values)])
    assert fold.offsets == [0, 2, 3]
