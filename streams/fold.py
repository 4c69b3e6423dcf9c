"""The contract of a fold: `(state, records) -> (state, outputs)`, pure (law L3).

A fold sees a key-value view and returns outputs. It knows no Kafka, clock, chance, file or log, so the same code
runs on Kafka, in memory over files, and in tests.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

VERSION = 5
"""Version of the folds: raised by one when a change of a fold may change a figure, or changes what it keeps.

Workers of a generation that was begun with another one do not start: then a generation is built.
"""


class View(Protocol):
    """Key-value state of one partition; what was put is read back at once."""

    @property
    def remote(self) -> bool:
        """Whether reading many keys at once is cheaper than one by one: worth it to read ahead."""

    def get(self, key: bytes) -> bytes | None:
        """Return the value, or None."""

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return the values in the order of the keys, None where there is none."""

    def put(self, key: bytes, value: bytes) -> None:
        """Set the value."""

    def delete(self, key: bytes) -> None:
        """Forget the key; nothing happens when there is none."""

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield the pairs whose key begins with the prefix, ascending by key, as they are at the call."""


class Message(NamedTuple):
    """One message of the fold's source partition."""

    offset: int
    value: bytes


class Send(NamedTuple):
    """An output: bytes for a partition of one of the topics that `streams.topics` names."""

    topic: str  # the topic's role: "log", "partials", "quarantine", "verdicts:<agency>"
    partition: int
    value: bytes


class CellChange(NamedTuple):
    """The new value of one cell at a cut."""

    key: str  # TABLE|PERIOD|DIMENSION|... in the order of the table's definition
    facts: int  # number of facts in it; 0: the cell is gone
    measures: tuple[int, ...]  # in the order of the table's definition
    causes: dict[str, tuple[int, int]]  # cause -> facts stated, facts withdrawn since the cell's last change


class CutClosed(NamedTuple):
    """An output of aggregate: the cut at this tick is complete."""

    tick: int  # seconds since 1970-01-01T00:00Z
    cells: tuple[CellChange, ...]


class Noted(NamedTuple):
    """An output for the operator: what this step did; no figure depends on it."""

    records: dict[str, int]  # outcome -> records
    newest: int  # accepted_at (ms) of the newest record in the step; 0: none
    parked: int  # frames that wait for their turn after the step
    quarantined: Mapping[int, int] = {}  # agency (permanent number) -> records that the fold could not apply


Effect = Send | CutClosed | Noted
"""Everything a fold may return."""


class Fold(Protocol):
    """A stage: deduplicate, reconcile, aggregate."""

    @property
    def hot(self) -> bytes:
        """First byte of the keys that nearly every step reads again, in bulk; empty: none."""

    def fold(self, view: View, messages: Sequence[Message]) -> Sequence[Effect]:
        """Apply the messages of one partition in order; never raises for bad data."""
