"""What a worker works with: a fold at one partition with its state, and all that one process is assigned."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from streams.crash_points import Reach, never
from streams.fold import CutClosed, Effect, Message
from streams.kafka import Kafka
from streams.partition import Output
from streams.telemetry import AgentTelemetry
from streams.topics import Topics


class Workplace(Protocol):
    """A fold at one partition, with its state: `streams.partition.Partition`, or the feed store's counterpart."""

    position: int
    saved_at: float | None  # when the newest checkpoint was made, seconds since 1970; None: none are kept

    @property
    def outbox(self) -> int:
        """How many outputs are not acknowledged."""

    def step(self, messages: Sequence[Message]) -> tuple[list[Output], Sequence[Effect]]:
        """Fold, write, and return what to send and all effects."""

    def unsent(self) -> list[Output]:
        """Return the outputs to send again after a start."""

    def acknowledge(self) -> None:
        """Note that the oldest output not yet acknowledged has been."""

    def tend(self) -> None:
        """Do what must be done from time to time though nothing arrives."""

    def checkpoint(self) -> Callable[[], None] | None:
        """Take a checkpoint and return what publishes it, to be called in another thread; None: nothing to publish."""

    def mark(self, end: int) -> None:
        """Note that the source ends before the position, so that nobody goes on here when it has grown again."""

    def close(self) -> None:
        """Give the state free."""

    def size(self) -> int:
        """Return the bytes on disk."""


Archive = Callable[[int, int], Sequence[Message]]
"""Partition and offset -> the messages from there to the end of a file; raises Broken when no file holds the offset."""


@dataclass(frozen=True)
class Assignment:
    """What one worker does: its agent's name, its source and where things lie."""

    agent: str
    source: str  # topic name
    topics: Topics
    kafka: Kafka
    member: str  # stable name of this worker in its group, and no other's: a restart gets its partitions back at once
    open: Callable[[int], Workplace]  # called in a thread of its own: it may copy a checkpoint
    telemetry: AgentTelemetry
    agencies: Mapping[int, str]  # permanent number -> code
    on_cut: Callable[[CutClosed], None] | None = None
    archive: Archive | None = None  # what the source holds no more
    checkpoint_secs: float = 60.0
    reach: Reach = never
