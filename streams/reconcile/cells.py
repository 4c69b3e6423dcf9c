"""Cells of one partition: what all histories here state, counted; and what changed since the last cut.

A cell keeps the number of its facts, the sums of their measures, and per cause how many facts were stated and
withdrawn since ever. All absolute, so that a reader may take any value twice or skip one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import msgspec

from streams.dataflows.definition import Fact
from streams.fold import View

CAUSES = ("on-time", "late", "correction", "cancellation", "link")
"""Why facts come and go: recorded by the period's due day; recorded after it; a new version of the record; its
cancellation; another record made or broke a link, or became the representative."""

Value = tuple[int, list[int], dict[str, list[int]]]
"""A cell's value: facts, sum of each measure, cause -> [stated, withdrawn]."""

_LISTS = b"@d"
_read_names = msgspec.msgpack.Decoder(list[str]).decode
_decode: Callable[[bytes], Value] = msgspec.msgpack.Decoder(Value).decode
_encode = msgspec.msgpack.Encoder().encode


def decode_value(data: bytes) -> Value:
    """Read a cell's value."""
    return _decode(data)


class Cells:
    """The cells that one step changes."""

    def __init__(self, view: View, closed: int) -> None:
        """`closed` is the last tick that closed here: changes are listed under it until the next one closes."""
        self._view = view
        self._closed = closed
        self._stated: dict[tuple[str, str, int, tuple[int, ...]], int] = {}  # cell, cause, sign, measures -> how often
        self._changed: list[str] = []
        stored = view.get(_LISTS)
        self._lists = int.from_bytes(stored, "big") if stored else 0

    def state(self, fact: Fact, cause: str, sign: int) -> None:
        """Count a fact in (`sign` 1) or out (-1); equal ones are added up before they meet the cells."""
        kind = (fact.cell, cause, sign, fact.measures)
        self._stated[kind] = self._stated.get(kind, 0) + 1

    def set_count(self, cell: str, count: int) -> None:
        """Set a cell that is told by absolute value (the books)."""
        key = b"v" + cell.encode()
        value = _encode((1, [count], {}))
        if self._view.get(key) != value:
            self._view.put(key, value)
            self._changed.append(cell)

    def flush(self) -> None:
        """Add the step's changes to the cells and list them as changed."""
        changes = self._take_stated()
        names = list(changes)
        keys = [b"v" + name.encode() for name in names]
        for name, key, old in zip(names, keys, self._view.get_many(keys), strict=True):
            value = changes[name]
            self._view.put(key, _encode(value if old is None else _sum(_decode(old), value)))
        self._changed.extend(names)
        if self._changed:
            # one list a step, whose key holds the cut: a scan never walks over the tombstones of earlier cuts
            self._lists += 1
            self._view.put(self._list_key(self._lists), _encode(self._changed))
            self._view.put(_LISTS, self._lists.to_bytes(8, "big"))
            self._changed.clear()

    def take_changed(self, tick: int) -> list[tuple[str, bytes]]:
        """Return the cells that changed since the last cut with their values, encoded, and begin a new list."""
        self.flush()
        names: set[str] = set()
        for key, listed in list(self._view.scan(self._list_key(0)[:9])):
            names.update(_read_names(listed))
            self._view.delete(key)
        values = self._view.get_many([b"v" + name.encode() for name in names])
        self._closed = tick
        return [(name, value) for name, value in zip(names, values, strict=True) if value is not None]

    def _take_stated(self) -> dict[str, Value]:
        """Return cell -> what was stated and withdrawn since the last time."""
        changes: dict[str, Value] = {}
        for (cell, cause, sign, measures), times in self._stated.items():
            facts = sign * times
            causes = {cause: [times, 0] if sign > 0 else [0, times]}
            change: Value = (facts, [facts * amount for amount in measures], causes)
            changes[cell] = _sum(changes[cell], change) if cell in changes else change
        self._stated.clear()
        return changes

    def _list_key(self, number: int) -> bytes:
        return b"d" + self._closed.to_bytes(8, "big") + number.to_bytes(8, "big")


def _sum(old: Value, change: Value) -> Value:
    facts, measures, causes = old
    for i, amount in enumerate(change[1]):
        measures[i] += amount
    for cause, (stated, withdrawn) in change[2].items():
        so_far = causes.setdefault(cause, [0, 0])
        so_far[0] += stated
        so_far[1] += withdrawn
    return facts + change[0], measures, causes


def differences(old: Sequence[Fact], new: Sequence[Fact]) -> Iterable[tuple[Fact, int]]:
    """Yield the facts to withdraw (-1) and to state (1), so that `old` becomes `new`; both may hold a fact twice."""
    if not old:  # mostly
        yield from [(fact, 1) for fact in new]
        return
    counts: dict[Fact, int] = {}
    for fact in old:
        counts[fact] = counts.get(fact, 0) - 1
    for fact in new:
        if fact in counts:
            counts[fact] += 1
        else:  # most are new, and counting them would only cost
            yield fact, 1
    for fact, count in counts.items():
        for _ in range(abs(count)):
            yield fact, 1 if count > 0 else -1
