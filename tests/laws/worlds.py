"""Random worlds for the laws: records with versions, deliveries of them, and a broker that does its worst."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import NamedTuple

from hypothesis import strategies as st

from schemas.frame import encode, tick_frame
from schemas.header import Op
from streams.books import TABLE as BOOKS
from streams.fold import CellChange, CutClosed
from streams.replay import Replay
from tests.laws.records import DAY_MS, Crossing, Decision, Entry, decided, delivery, inbox_frame, place, rules

_BIRTHS = (19800101, 19810202, 19820303)
_CHECKPOINTS = ("BREST", "BRUZGI")


@st.composite
def versions(draw: st.DrawFn, record: str, numbers: bool = True) -> list[Crossing]:
    """Some versions of one record: corrections, moves to another birth date and back, conflicts, cancellations."""
    first = Crossing(
        record,
        person=draw(st.integers(1, 3)),
        birth=draw(st.sampled_from(_BIRTHS)),
        day=17600 + draw(st.integers(0, 2)) * 20,
        minute=draw(st.sampled_from((0, 5, 9, 14, 300))),
        checkpoint=draw(st.sampled_from(_CHECKPOINTS)),
        agency=draw(st.sampled_from((1, 2))),
        number=draw(st.sampled_from((None, None, 7, 8))) if numbers else None,
        document=draw(st.sampled_from((None, None, 99))),
        recorded_at=(17601 + draw(st.integers(0, 200))) * DAY_MS,
    )
    found = [first]
    for _ in range(draw(st.integers(0, 3))):
        change = draw(st.sampled_from(("birth", "back", "checkpoint", "cancel", "conflict", "rival", "time")))
        last = found[-1]
        later = last._replace(revision=last.revision + 1, op=Op.CORRECT)
        if change == "birth":
            later = later._replace(birth=draw(st.sampled_from(_BIRTHS)))
        elif change == "back":
            later = later._replace(birth=first.birth)
        elif change == "checkpoint":
            later = later._replace(checkpoint=draw(st.sampled_from(_CHECKPOINTS)))
        elif change == "cancel":
            later = later._replace(op=Op.CANCEL)
        elif change == "conflict":
            later = last._replace(minute=last.minute + 60, birth=draw(st.sampled_from(_BIRTHS)))
        elif change == "rival":  # another operation under the same revision: it wins, or not, by its date alone
            days = draw(st.integers(-1, 1))
            later = last._replace(op=Op.CANCEL, recorded_at=last.recorded_at + days * DAY_MS)
        else:
            later = last._replace(recorded_at=last.recorded_at - DAY_MS)  # the same content, recorded earlier
        found.append(later)
    return found


@st.composite
def worlds(draw: st.DrawFn, most: int = 8, numbers: bool = True) -> list[Entry]:
    """The deliveries of some records, each version once or more, and of some decisions which of them are one person.

    Without `numbers` (and decisions), who has a document in common is one person, so that crossings can be counted
    without the folds.
    """
    entries: list[Entry] = []
    crossings = [draw(versions(f"R{i}", numbers)) for i in range(draw(st.integers(1, most)))]
    for found in crossings:
        for nth, version in enumerate(found):
            times = draw(st.integers(1, 2))
            entries.extend(delivery(version, nth * 10 + time) for time in range(times))
    for i in range(draw(st.integers(0, 3)) if numbers else 0):
        entries.extend(decided(version) for version in draw(decisions(f"D{i}", [found[0] for found in crossings])))
    return draw(st.permutations(entries)) if numbers else entries


@st.composite
def decisions(draw: st.DrawFn, record: str, crossings: Sequence[Crossing]) -> list[Decision]:
    """Some versions of one decision: perhaps turned round, perhaps cancelled."""
    one, other = draw(st.sampled_from(crossings)), draw(st.sampled_from(crossings))
    linking = draw(st.sampled_from(("LINK", "UNLINK")))
    found = [Decision(record, linking, one, other, one.birth, day=17610 + draw(st.integers(0, 1)))]
    if draw(st.booleans()):
        turned = {"LINK": "UNLINK", "UNLINK": "LINK"}[linking]
        found.append(found[0]._replace(revision=2, op=Op.CORRECT, linking=turned))
    if draw(st.integers(0, 3)) == 0:
        found.append(found[-1]._replace(revision=3, op=Op.CANCEL))
    return found


class Cut(NamedTuple):
    """A cut that closed and all cells as they then were."""

    tick: int
    cells: dict[str, CellChange]


class Broker:
    """Plays the broker and the doors: frames of any size, ticks anywhere, stations in any order, messages twice.

    Who writes and who reads have chances of their own: the same seed gives the same inbox, whatever the readers do.
    """

    def __init__(self, chance: random.Random, inbox: int = 2, log: int = 2) -> None:
        self.chance = chance
        self.pace = random.Random(chance.getrandbits(32))
        self.replay = Replay(rules(), inbox, log)
        self.accepted: list[tuple[int, list[Entry]]] = []  # tick, all that was accepted before it
        self.cuts: list[Cut] = []
        self.closed: list[CutClosed] = []
        self._tick = 1000
        self._written: list[Entry] = []

    def publish(self, entries: Sequence[Entry]) -> None:
        """Write the entries in frames of random sizes; ticks fall between them, some miss a partition."""
        rest = list(entries)
        while rest:
            size = self.chance.randint(1, 4)
            batch, rest = rest[:size], rest[size:]
            self.write(batch)
            if self.chance.random() < 0.4:
                self.tick(hole=self.chance.random() < 0.2)
            for _ in range(self.pace.randint(0, 3)):
                self.advance()

    def write(self, batch: Sequence[Entry]) -> None:
        """Write one door's batch into the inbox."""
        for number in range(len(self.replay.inbox.partitions)):
            own = [entry for entry in batch if place(entry, len(self.replay.inbox.partitions)) == number]
            if own:
                self.replay.inbox.append(number, inbox_frame(own))
        self._written.extend(batch)

    def tick(self, hole: bool = False) -> None:
        """Write a tick into every partition, or into all but one."""
        self._tick += self.chance.randint(1, 3)
        partitions = list(range(len(self.replay.inbox.partitions)))
        if hole:
            partitions.remove(self.chance.choice(partitions))
        for number in partitions:
            self.replay.inbox.append(number, encode(tick_frame(self._tick)))
        self.accepted.append((self._tick, list(self._written)))

    def advance(self) -> None:
        """Let one station fold a few messages; now and then a zombie sends an old message again."""
        station, source = self.pace.choice(list(self.replay.stations()))
        self._note(self.replay.advance(station, source, self.pace.randint(1, 5)))
        if self.pace.random() < 0.3:
            for log in (self.replay.log, self.replay.partials):
                partition = self.pace.choice(log.partitions)
                if partition:
                    partition.append(self.pace.choice(partition))

    def finish(self) -> dict[str, CellChange]:
        """Tick once more, fold everything, and return all cells."""
        self.tick()
        while True:
            before = sum(station.position for station, _ in self.replay.stations())
            for station, source in self.replay.stations():
                self._note(self.replay.advance(station, source))
            if before == sum(station.position for station, _ in self.replay.stations()):
                return self.replay.cells

    def _note(self, cuts: Sequence[CutClosed]) -> None:
        self.closed.extend(cuts)
        for cut in cuts:
            cells = dict(self.cuts[-1].cells) if self.cuts else {}
            cells.update((change.key, change) for change in cut.cells)
            self.cuts.append(Cut(cut.tick, {key: cell for key, cell in cells.items() if cell.facts}))


def figures(cells: dict[str, CellChange]) -> dict[str, tuple[int, ...]]:
    """Return what law L1 makes independent of the order: all cells of all tables, without causes and books."""
    return {key: (cell.facts, *cell.measures) for key, cell in cells.items() if not key.startswith(BOOKS)}


def book(cells: dict[str, CellChange]) -> dict[tuple[str, str], int]:
    """Return (agency, entry) -> count, summed over sources."""
    counts: dict[tuple[str, str], int] = {}
    for key, cell in cells.items():
        table, _, *where = key.split("|")
        if table == BOOKS:
            counts[where[0], where[2]] = counts.get((where[0], where[2]), 0) + cell.measures[0]
    return counts
