"""A machine that dies may lose the last writes of a state, for they are not fsynced: they are folded again (law L2).

What was said meanwhile stands in the topics already, and is said again in other portions.
"""

from __future__ import annotations

import copy
import random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streams.memory import Memory
from streams.replay import Station
from tests.laws.records import Entry
from tests.laws.worlds import Broker, book, figures, worlds


class Forgetful(Broker):
    """A broker whose deduplicate and reconcile now and then go back to a state that they had before."""

    def __init__(self, chance: random.Random, inbox: int = 2, log: int = 2) -> None:
        super().__init__(chance, inbox, log)
        self._kept: dict[int, list[tuple[int, Memory]]] = {}
        self.losses = 0

    def advance(self) -> None:
        """Let a station fold, remember how it stood, and go back now and then."""
        super().advance()
        station = self.pace.choice([*self.replay.deduplicate, *self.replay.reconcile])
        kept = self._kept.setdefault(id(station), [])
        if kept and self.pace.random() < 0.2:
            self._lose(station, kept)
        else:
            kept.append((station.position, copy.deepcopy(station.state)))

    def _lose(self, station: Station, kept: list[tuple[int, Memory]]) -> None:
        del kept[self.pace.randint(1, len(kept)) :]
        station.position, state = kept[-1]
        station.state = copy.deepcopy(state)
        self.losses += 1


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(worlds(), st.integers(0, 2**32 - 1))
def test_a_state_that_goes_back_comes_to_the_same_figures_and_books_at_every_cut(
    entries: list[Entry], seed: int
) -> None:
    clean, forgetful = (kind(random.Random(seed), 1 + seed % 2, 1 + seed // 2 % 2) for kind in (Broker, Forgetful))
    for broker in (clean, forgetful):
        broker.publish(entries)
        broker.finish()
    cuts, again = (
        {cut.tick: (figures(cut.cells), book(cut.cells)) for cut in broker.cuts} for broker in (clean, forgetful)
    )
    assert cuts
    assert again == cuts
    assert figures(forgetful.replay.cells) == figures(clean.replay.cells)
