"""The same folds in memory, without Kafka: for files, for tests, for a second opinion on what the workers counted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from schemas.lifting import UNLIFTED, Lift
from streams.aggregate import Aggregate
from streams.dataflows.definition import Rules
from streams.deduplicate import Deduplicate
from streams.fold import CellChange, CutClosed, Effect, Fold, Message, Send
from streams.memory import Memory, Overlay
from streams.reconcile.fold import Reconcile

STEP = 8
"""Messages folded in one step; how many changes no figure (law L2)."""


class Log:
    """A topic in memory: partitions of messages in order."""

    def __init__(self, partitions: int) -> None:
        """Empty partitions."""
        self.partitions: list[list[bytes]] = [[] for _ in range(partitions)]

    def append(self, partition: int, value: bytes) -> None:
        """Add a message at the end of a partition."""
        self.partitions[partition].append(value)


@dataclass
class Station:
    """A fold at one partition of its source, with its state and the next offset to read."""

    fold: Fold
    partition: int
    state: Memory = field(default_factory=Memory)
    position: int = 0

    def step(self, values: Sequence[bytes]) -> Sequence[Effect]:
        """Fold the next messages and return the outputs."""
        messages = [Message(self.position + i, value) for i, value in enumerate(values)]
        overlay = Overlay(self.state)
        outputs = self.fold.fold(overlay, messages)
        overlay.commit()
        self.position += len(messages)
        return outputs

    def pull(self, log: Log, most: int = STEP) -> Sequence[Effect]:
        """Fold what the partition holds beyond the position, at most so many messages; nothing: no outputs."""
        values = log.partitions[self.partition][self.position : self.position + most]
        return self.step(values) if values else []


class Replay:
    """The whole way in memory: inbox -> log -> partials -> cells."""

    def __init__(self, rules: Rules, inbox_partitions: int = 8, log_partitions: int = 8, lift: Lift = UNLIFTED) -> None:
        """Partition counts change no figure; the defaults are those of the topics."""
        agencies = {agency.id: code for code, agency in rules.convention.agencies.items()}
        self.inbox, self.log, self.partials = Log(inbox_partitions), Log(log_partitions), Log(1)
        self.deduplicate = [Station(Deduplicate(i, log_partitions, agencies), i) for i in range(inbox_partitions)]
        self.reconcile = [Station(Reconcile(j, inbox_partitions, rules, lift), j) for j in range(log_partitions)]
        self.aggregate = Station(Aggregate(log_partitions), 0)
        self.cells: dict[str, CellChange] = {}
        self.set_aside: list[Send] = []

    def stations(self) -> Iterator[tuple[Station, Log]]:
        """Yield every station with the topic it reads, in the order of the flow."""
        yield from ((station, self.inbox) for station in self.deduplicate)
        yield from ((station, self.log) for station in self.reconcile)
        yield self.aggregate, self.partials

    def advance(self, station: Station, source: Log, most: int = STEP) -> list[CutClosed]:
        """Let one station fold some messages, pass on what it sends, and return the cuts that it closed."""
        cuts = []
        for output in station.pull(source, most):
            if isinstance(output, CutClosed):
                cuts.append(output)
                self._keep(output)
            elif isinstance(output, Send) and output.topic in ("log", "partials"):
                (self.log if output.topic == "log" else self.partials).append(output.partition, output.value)
            elif isinstance(output, Send):
                self.set_aside.append(output)
        return cuts

    def run(self) -> list[CutClosed]:
        """Fold until nothing is left, and return the cuts that closed."""
        cuts: list[CutClosed] = []
        for station, source in self.stations():
            while station.position < len(source.partitions[station.partition]):
                cuts.extend(self.advance(station, source))
        return cuts

    def _keep(self, cut: CutClosed) -> None:
        for change in cut.cells:
            if change.facts:
                self.cells[change.key] = change
            else:
                self.cells.pop(change.key, None)
