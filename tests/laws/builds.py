"""Generations built from one inbox under schedules that no broker would be so cruel to make.

Each partition has an owner. It folds some messages at a time; what it puts out lies in its outbox until it is
delivered. At any time a copy of it may be published, a zombie of it may go on beside it, and it may fall back to an
older copy; what it had not delivered is lost then. Each delivers in order, as a producer of Kafka does.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Sequence
from typing import Protocol

from schemas.frame import MAX_RECORDS
from streams.aggregate import Aggregate
from streams.deduplicate import Deduplicate
from streams.fold import CellChange, CutClosed, Effect, Message, Send
from streams.memory import Memory
from streams.reconcile.fold import Reconcile
from streams.replay import Station
from streams.thinning import Thinned
from tests.laws.records import rules

_MOST = 6  # messages of one step


class Reader(Protocol):
    """Aggregate at its place: it folds messages and returns the effects."""

    @property
    def position(self) -> int:
        """The next offset to read."""

    def step(self, messages: Sequence[Message]) -> Sequence[Effect]:
        """Fold the messages."""


class InMemory:
    """Aggregate over a view in memory."""

    def __init__(self, log: int) -> None:
        self._station = Station(Aggregate(log), 0)

    @property
    def position(self) -> int:
        """The next offset to read."""
        return self._station.position

    def step(self, messages: Sequence[Message]) -> Sequence[Effect]:
        """Fold the messages."""
        return self._station.step([message.value for message in messages])


class Owner:
    """A fold at one partition: what it reads, its state, and what it has not delivered yet."""

    def __init__(self, station: Station, source: Callable[[int], Sequence[bytes]]) -> None:
        """`source` gives what the partition holds from an offset on."""
        self.station = station
        self.source = source
        self.outbox: list[Send] = []

    def fold(self, most: int) -> bool:
        """Fold the next messages; return whether there were any."""
        values = self.source(self.station.position)[:most]
        effects = self.station.step(values) if values else []
        self.outbox += [each for each in effects if isinstance(each, Send) and each.topic in ("log", "partials")]
        return bool(values)

    def copied(self) -> Owner:
        """Return another one at the same place."""
        station = Station(self.station.fold, self.station.partition, Memory(), self.station.position)
        station.state = copy.deepcopy(self.station.state)
        twin = Owner(station, self.source)
        twin.outbox = list(self.outbox)
        return twin


class Build:
    """One generation in the making."""

    def __init__(
        self,
        inbox: Sequence[Callable[[int], Sequence[bytes]]],
        log: int,
        chance: random.Random,
        reader: Reader | None = None,
        every_from: int = 0,
    ) -> None:
        """`inbox` gives for each partition what it holds from an offset on; `every_from` as in `streams.thinning`."""
        agencies = {agency.id: code for code, agency in rules().convention.agencies.items()}
        self.closed: list[CutClosed] = []
        self.zombies = 0
        self.restores = 0
        self._chance = chance
        self._topics: dict[str, list[list[bytes]]] = {"log": [[] for _ in range(log)], "partials": [[]]}
        folds = [Thinned(Deduplicate(i, log, agencies), every_from) for i in range(len(inbox))]
        self._owners = [Owner(Station(folds[i], i), source) for i, source in enumerate(inbox)]
        self._owners += [
            Owner(Station(Reconcile(j, len(inbox), rules()), j), values_from(self._topics["log"][j]))
            for j in range(log)
        ]
        self._reader = reader or InMemory(log)
        self._kept: list[list[Owner]] = [[owner.copied()] for owner in self._owners]
        self._undead: list[Owner] = []

    def run(self, turns: int) -> None:
        """Let chance have so many turns, then fold and deliver until nothing is left."""
        for _ in range(turns):
            self._turn()
        while True:
            moved = [owner.fold(MAX_RECORDS) for owner in self._owners]
            moved += [self._deliver(owner, len(owner.outbox)) for owner in self._owners]
            moved.append(self._read(MAX_RECORDS))
            if not any(moved):
                return

    def _turn(self) -> None:
        nth = self._chance.randrange(len(self._owners))
        owner, luck = self._owners[nth], self._chance.random()
        if luck < 0.35:
            owner.fold(self._chance.randint(1, _MOST))
        elif luck < 0.65:
            self._deliver(owner, self._chance.randint(1, 3))
        elif luck < 0.75:
            self._read(self._chance.randint(1, _MOST))
        elif luck < 0.80:
            self._kept[nth].append(owner.copied())
        elif luck < 0.84:
            self._owners[nth] = self._chance.choice(self._kept[nth]).copied()
            self.restores += 1
        elif luck < 0.89:
            self._undead.append(owner.copied())
            self.zombies += 1
        else:
            self._haunt()

    def _haunt(self) -> None:
        """Let a zombie fold, deliver something of what it has, or end."""
        if not self._undead:
            return
        zombie = self._chance.choice(self._undead)
        luck = self._chance.random()
        if luck < 0.4:
            zombie.fold(self._chance.randint(1, _MOST))
        elif luck < 0.9:
            self._chance.shuffle(zombie.outbox)  # stricter than Kafka, which keeps one producer's order
            self._deliver(zombie, self._chance.randint(1, 3))
        else:
            self._undead.remove(zombie)

    def _deliver(self, owner: Owner, most: int) -> bool:
        for send in owner.outbox[:most]:
            self._topics[send.topic][send.partition].append(send.value)
        delivered = owner.outbox[:most]
        del owner.outbox[:most]
        return bool(delivered)

    def _read(self, most: int) -> bool:
        begin = self._reader.position
        values = self._topics["partials"][0][begin : begin + most]
        messages = [Message(begin + nth, value) for nth, value in enumerate(values)]
        effects = self._reader.step(messages) if messages else []
        self.closed += [effect for effect in effects if isinstance(effect, CutClosed)]
        return bool(messages)


def values_from(partition: Sequence[bytes]) -> Callable[[int], Sequence[bytes]]:
    """Return what gives a partition's messages from an offset on."""
    return lambda offset: partition[offset:]


def cells_at_each(cuts: Sequence[CutClosed]) -> list[tuple[int, dict[str, CellChange]]]:
    """Return for each cut its tick and all cells as they then were."""
    cells: dict[str, CellChange] = {}
    found = []
    for cut in cuts:
        cells |= {change.key: change for change in cut.cells}
        cells = {key: cell for key, cell in cells.items() if cell.facts}
        found.append((cut.tick, dict(cells)))
    return found
