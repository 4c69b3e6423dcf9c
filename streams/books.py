"""The books: how many deliveries had which answer, per agency and family, as absolute counts (law L5).

Two equations hold at every cut: deliveries = refused + duplicate + new_version, and
new_version = current + superseded + cancelled. Each source of counts writes its own cells, so that a count is
replaced, never added twice; a reader adds the sources up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from schemas.header import Op
from streams.fold import View

TABLE = "BOOKS"

ENTRIES = (
    "deliveries", "refused", "duplicate", "new_version", "conflict",
    "current", "superseded", "cancelled", "broken_frames",
    "speaking", "quarantined",
)  # fmt: skip
"""Every count there is; the last two are reconcile's own."""


class Versioned(Protocol):
    """What `shares` reads of a version."""

    @property
    def revision(self) -> int:
        """The sender's number of it."""

    @property
    def recorded_at(self) -> int:
        """When it was recorded, ms."""

    @property
    def digest(self) -> bytes:
        """Its content's digest."""

    @property
    def op(self) -> int:
        """What it does with the record."""


_ONE_CURRENT: Mapping[str, int] = {"current": 1}
_ONE_CANCELLED: Mapping[str, int] = {"cancelled": 1}


def shares(versions: Sequence[Versioned]) -> Mapping[str, int]:
    """Return how one record's versions divide into current, superseded and cancelled."""
    if not versions:
        return {}
    if len(versions) == 1:  # nearly every record
        return _ONE_CANCELLED if versions[0].op == Op.CANCEL else _ONE_CURRENT
    best = max(versions, key=lambda v: (v.revision, v.recorded_at, v.digest))
    return {("cancelled" if best.op == Op.CANCEL else "current"): 1, "superseded": len(versions) - 1}


def cell(agency: int, family: int, entry: str, source: str) -> str:
    """Return the key of a count in the feed; agency and family by their permanent numbers."""
    return f"{TABLE}||{agency}|{family}|{entry}|{source}"


class Tally:
    """The counts of one partition, read on first use and written back once a step."""

    def __init__(self, view: View) -> None:
        """The counts lie in the view under one key, since they are few."""
        self._view = view
        stored = view.get(b"@b")
        self._counts: dict[str, int] = msgspec.msgpack.decode(stored, type=dict[str, int]) if stored else {}
        self._fresh: dict[tuple[bytes, tuple[str, ...]], int] = {}  # not in the counts yet: adding is on the hot path
        self.step: dict[str, int] = {}
        """What was added since this tally was made, by entry: for the operator; complete after `save`."""

    def add(self, owner: bytes, *entries: str, by: int = 1) -> None:
        """Add to some counts of an agency and family: `header.OWNER` of a packed header, or `of`."""
        key = (owner, entries)
        self._fresh[key] = self._fresh.get(key, 0) + by

    def move(self, owner: bytes, before: Mapping[str, int], after: Mapping[str, int]) -> None:
        """Replace a record's former shares by its present ones."""
        for entry, count in after.items():
            if change := count - before.get(entry, 0):
                self.add(owner, entry, by=change)
        for entry in before.keys() - after.keys():
            self.add(owner, entry, by=-before[entry])

    def notes(self, source: str) -> bytes:
        """Return the counts as a frame's notes: msgpack list of [cell key, count]."""
        return msgspec.msgpack.encode(list(self.counts(source).items()))

    def counts(self, source: str) -> dict[str, int]:
        """Return cell key -> count."""
        self._settle()
        return {f"{TABLE}||{key}|{source}": count for key, count in self._counts.items()}

    def save(self) -> None:
        """Write the counts back, if any changed."""
        self._settle()
        if self.step:
            self._view.put(b"@b", msgspec.msgpack.encode(self._counts))

    def _settle(self) -> None:
        for (owner, entries), count in self._fresh.items():
            for entry in entries:
                key = f"{int.from_bytes(owner[:2], 'big')}|{int.from_bytes(owner[2:], 'big')}|{entry}"
                self._counts[key] = self._counts.get(key, 0) + count
                self.step[entry] = self.step.get(entry, 0) + count
        self._fresh.clear()


def of(agency: int, family: int) -> bytes:
    """Return whose counts they are, as a packed header has it, by permanent numbers."""
    return agency.to_bytes(2, "big") + family.to_bytes(2, "big")


NOBODY = of(0, 0)
"""Of what no agency is known to have sent."""
