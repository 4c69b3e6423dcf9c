"""One round of an engine: what it did in which time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from bench.meter import Usage
from bench.sheet import Value

BROKER = "broker"


@dataclass(frozen=True)
class Round:
    """What one engine took from its first record to its last cell; start-up is not in it."""

    engine: str
    records: int
    wall_secs: float
    usage: Mapping[str, Usage]
    """By process; the engine's own and the broker's."""

    @property
    def rate(self) -> float:
        """Records a second."""
        return self.records / self.wall_secs

    @property
    def cpu_rate(self) -> float:
        """Records a CPU-second of the engine's own processes."""
        return self.records / sum(u.cpu_secs for name, u in self.usage.items() if name != BROKER)

    @property
    def cpu_rate_with_broker(self) -> float:
        """Records a CPU-second of the engine and the broker."""
        return self.records / sum(u.cpu_secs for u in self.usage.values())

    @property
    def peak_megabytes(self) -> float:
        """Sum of the peaks of the engine's own processes."""
        return sum(u.peak_bytes for name, u in self.usage.items() if name != BROKER) / 1e6

    def cost(self, process: str) -> float:
        """Return CPU µs a record of a process, all its members together; 0 when the engine has none of that name."""
        spent = sum(u.cpu_secs for name, u in self.usage.items() if name.split()[0] == process)
        return spent / self.records * 1e6


def middle(rounds: Sequence[Round], measure: Callable[[Round], float]) -> float:
    """Return the median of a measure."""
    return median(map(measure, rounds))


def ratio(ours: Sequence[Round], theirs: Sequence[Round], measure: Callable[[Round], float]) -> Value:
    """Return ours as a multiple of theirs; None when there are none of theirs."""
    return middle(ours, measure) / middle(theirs, measure) if theirs else None
