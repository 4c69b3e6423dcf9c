"""Aggregate: the sum of all partitions' cells at each cut.

Reads partials, where each partition of the log tells the cells that changed there by absolute value. A cut is applied
when all partitions have ended it, in order; then each changed cell is the sum of its newest partials.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from operator import add, sub

import msgspec

from schemas import frame as wire
from streams.barrier import Barrier, Close
from streams.fold import CellChange, CutClosed, Effect, Message, Noted, View
from streams.reconcile.cells import Value

Partial = Value | int
"""What one partition says of a cell: a full value, or a plain count (the books)."""

_PENDING = b"n"  # + source + position: what came since the last cut, as it came
_PARTIALS = b"p"  # + cell: its sum, and the newest partial of each source

_notes = msgspec.msgpack.Decoder(list[tuple[str, Value | int]]).decode
_Sum = tuple[int, tuple[int, ...]]  # facts, measures
_decode: Callable[[bytes], tuple[_Sum, dict[int, Value]]]
_decode = msgspec.msgpack.Decoder(tuple[_Sum, dict[int, Value]]).decode
_encode = msgspec.msgpack.Encoder().encode


class Aggregate:
    """The third fold: partials -> the feed's cells."""

    hot = b""

    def __init__(self, log_partitions: int) -> None:
        """`log_partitions` is the number of reconcile's partitions."""
        self._sources = log_partitions

    def fold(self, view: View, messages: Sequence[Message]) -> Sequence[Effect]:
        """See `streams.fold.Fold`; a frame that cannot be read stops the fold, for figures would be missing."""
        barrier = Barrier(view, self._sources)
        outputs: list[Effect] = []
        for message in messages:
            frame = wire.decode(message.value)
            for effect in barrier.arrive(frame, message.value):
                if isinstance(effect, Close):
                    outputs.append(CutClosed(effect.tick, _close(view)))
                else:
                    view.put(_PENDING + struct.pack(">Hq", effect.source, effect.offset), effect.notes)
        cells = sum(len(output.cells) for output in outputs if isinstance(output, CutClosed))
        return [*outputs, Noted({"cells": cells}, 0, barrier.parked)]


def _close(view: View) -> tuple[CellChange, ...]:
    """Replace the partials that changed and return the cells whose sum or causes changed by it, ascending."""
    new = _take_pending(view)
    cells = sorted(new)
    keys = [_PARTIALS + cell.encode() for cell in cells]
    changes = []
    for cell, key, stored in zip(cells, keys, view.get_many(keys), strict=True):
        before, told = ((0, ()), {}) if stored is None else _decode(stored)
        after, causes = _replace(before, told, new[cell])
        view.put(key, _encode((after, told)))
        if causes or after != before:
            changes.append(CellChange(cell, *after, causes))
    return tuple(changes)


def _replace(before: _Sum, told: dict[int, Value], new: Mapping[int, Value]) -> tuple[_Sum, dict[str, tuple[int, int]]]:
    """Put what some sources tell now in the place of what they told; return the sum and what the causes grew by."""
    facts, measures = before
    causes: dict[str, tuple[int, int]] = {}
    for source, value in new.items():
        old = told.get(source)
        told[source] = value
        _add_causes(causes, value, old)
        if old is None:
            facts += value[0]
            measures = tuple(map(add, measures, value[1])) if measures else tuple(value[1])
        else:
            facts += value[0] - old[0]
            measures = tuple(map(sub, map(add, measures, value[1]), old[1]))
    return (facts, measures), causes


def _take_pending(view: View) -> dict[str, dict[int, Value]]:
    """Return cell -> source -> newest partial of all that came since the last cut, and forget it."""
    new: dict[str, dict[int, Value]] = {}
    for key, notes in list(view.scan(_PENDING)):  # ascending by source and position: the newest comes last
        source = int.from_bytes(key[1:3], "big")
        for cell, value in _notes(notes):
            new.setdefault(cell, {})[source] = (1, [value], {}) if isinstance(value, int) else value
        view.delete(key)
    return new


def _add_causes(causes: dict[str, tuple[int, int]], value: Value, old: Value | None) -> None:
    """Add what one source's causes have grown by."""
    for cause, (stated, withdrawn) in value[2].items():
        was = (0, 0) if old is None else old[2].get(cause, (0, 0))
        so_far = causes.get(cause, (0, 0))
        grown = (so_far[0] + stated - was[0], so_far[1] + withdrawn - was[1])
        if grown != (0, 0):
            causes[cause] = grown
