"""Aggregate: the sum of all partitions' cells at each cut.

Reads partials, where each partition of the log tells the cells that changed there by absolute value. A cut is applied
when all partitions have ended it, in order; then each changed cell is the sum of its newest partials.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from schemas import frame as wire
from schemas.frame import Frame
from streams.barrier import Barrier, Close
from streams.fold import CellChange, CutClosed, Effect, Message, Noted, View
from streams.reconcile.cells import Value

Partial = Value | int
"""What one partition says of a cell: a full value, or a plain count (the books)."""

_notes = msgspec.msgpack.Decoder(list[tuple[str, Value | int]]).decode
_decode = msgspec.msgpack.Decoder(Value).decode
_encode = msgspec.msgpack.Encoder().encode


class Aggregate:
    """The third fold: partials -> the feed's cells."""

    def __init__(self, log_partitions: int) -> None:
        """`log_partitions` is the number of reconcile's partitions."""
        self._sources = log_partitions

    def fold(self, view: View, messages: Sequence[Message]) -> Sequence[Effect]:
        """See `streams.fold.Fold`; a frame that cannot be read stops the fold, for figures would be missing."""
        barrier = Barrier(view, self._sources)
        changes = _Changes(view)
        outputs: list[Effect] = []
        for message in messages:
            frame = wire.decode(message.value)
            for effect in barrier.arrive(frame, message.value):
                if isinstance(effect, Close):
                    outputs.append(CutClosed(effect.tick, changes.close()))
                else:
                    changes.take(effect)
        changes.save()
        cells = sum(len(output.cells) for output in outputs if isinstance(output, CutClosed))
        return [*outputs, Noted({"cells": cells}, 0, barrier.parked)]


class _Changes:
    """Partials that came since the last cut; kept in the view between steps, since a cut may span several."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._new: dict[tuple[str, int], Value] = {}

    def take(self, frame: Frame) -> None:
        for cell, value in _notes(frame.notes):
            self._new[cell, frame.source] = (1, [value], {}) if isinstance(value, int) else value

    def save(self) -> None:
        for (cell, source), value in self._new.items():
            self._view.put(_pending_key(cell, source), _encode(value))

    def close(self) -> tuple[CellChange, ...]:
        """Replace the partials that changed, add the differences to the sums, and return the cells that changed."""
        for key, pending in list(self._view.scan(b"n")):
            self._new.setdefault((key[3:].decode(), int.from_bytes(key[1:3], "big")), _decode(pending))
            self._view.delete(key)
        new = list(self._new.items())
        self._new = {}
        old = self._view.get_many([_partial_key(cell, source) for (cell, source), _ in new])
        changes: dict[str, Value] = {}
        for ((cell, source), value), stored in zip(new, old, strict=True):
            self._view.put(_partial_key(cell, source), _encode(value))
            change = _difference(value, _decode(stored) if stored is not None else None)
            changes[cell] = _sum(changes[cell], change) if cell in changes else change
        return self._sums(changes)

    def _sums(self, changes: dict[str, Value]) -> tuple[CellChange, ...]:
        cells: list[CellChange] = []
        stored = self._view.get_many([b"s" + cell.encode() for cell in changes])
        for (cell, change), old in zip(changes.items(), stored, strict=True):
            value = change if old is None else _sum(_decode(old), change)
            self._view.put(b"s" + cell.encode(), _encode(value))
            causes = {
                cause: (stated, withdrawn) for cause, (stated, withdrawn) in change[2].items() if stated or withdrawn
            }
            if change[0] or any(change[1]) or causes:
                cells.append(CellChange(cell, value[0], tuple(value[1]), causes))
        return tuple(sorted(cells))


def _difference(value: Value, old: Value | None) -> Value:
    if old is None:
        return value
    measures = [new - was for new, was in zip(value[1], old[1], strict=True)]
    causes = {
        cause: [stated - old[2].get(cause, [0, 0])[0], withdrawn - old[2].get(cause, [0, 0])[1]]
        for cause, (stated, withdrawn) in value[2].items()
    }
    return value[0] - old[0], measures, causes


def _sum(one: Value, other: Value) -> Value:
    measures = [a + b for a, b in zip(one[1], other[1], strict=True)]
    causes = {cause: list(pair) for cause, pair in one[2].items()}
    for cause, (stated, withdrawn) in other[2].items():
        pair = causes.setdefault(cause, [0, 0])
        pair[0] += stated
        pair[1] += withdrawn
    return one[0] + other[0], measures, causes


def _partial_key(cell: str, source: int) -> bytes:
    return b"p" + source.to_bytes(2, "big") + cell.encode()


def _pending_key(cell: str, source: int) -> bytes:
    return b"n" + source.to_bytes(2, "big") + cell.encode()
