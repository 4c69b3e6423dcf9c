"""Thinning: of the ticks of long ago, a generation that is built closes only some.

A tick costs a marker to every partition of the log and a cut in the feed store, and an inbox of years has about as many
ticks as records. Which tick closes a cut is no part of counting: values are absolute, so a cut that was not closed
changes no later one, and a cut that was closed is the running generation's (law L4).
"""

from __future__ import annotations

from collections.abc import Sequence

from schemas import frame as wire
from schemas.errors import Broken
from schemas.header import SIZE
from streams.fold import Effect, Fold, Message, View

_DAY, _MINUTE = 86_400, 60


def due(tick: int, every_from: int) -> bool:
    """Whether a tick closes a cut: every one from `every_from` on, before it those of each day's first minute in UTC.

    By the tick's id alone, so that all partitions decide alike, whatever ticks they miss. A minute, because the clock
    writes at least one tick in each (`streams.clock`).
    """
    return tick >= every_from or tick % _DAY < _MINUTE


class Thinned:
    """Deduplicate, or any fold of the inbox, that hears of due ticks only."""

    def __init__(self, fold: Fold, every_from: int) -> None:
        """`every_from` as in `due`; 0: it hears of all."""
        self._fold = fold
        self._every_from = every_from
        self.hot = fold.hot

    def fold(self, view: View, messages: Sequence[Message]) -> Sequence[Effect]:
        """See `streams.fold.Fold`."""
        return self._fold.fold(view, [message for message in messages if self._is_heard(message.value)])

    def _is_heard(self, value: bytes) -> bool:
        """Doors write records and the clock ticks, never both in one frame: only what is too short for a record is."""
        if len(value) >= SIZE:
            return True
        try:
            tick = wire.decode(value).tick
        except Broken:  # it is for the fold to set it aside
            return True
        return not tick or due(tick, self._every_from)
