"""Aggregate: the sum of all partitions' cells at each cut.

Reads partials, where each partition of the log tells the cells that changed there by absolute value. A cut is applied
when all partitions have ended it, in order; then each changed cell is the sum of its newest partials.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence

import msgspec

from schemas import frame as wire
from streams.barrier import Barrier, Close
from streams.fold import CellChange, CutClosed, Effect, Message, Noted, View
from streams.reconcile.cells import Value

Partial = Value | int
"""What one partition says of a cell: a full value, or a plain count (the books)."""

_PENDING = b"n"  # + source + position: what came since the last cut, as it came
_PARTIALS = b"p"  # + cell: the newest partial of each source

_notes = msgspec.msgpack.Decoder(list[tuple[str, Value | int]]).decode
_decode: Callable[[bytes], dict[int, Value]] = msgspec.msgpack.Decoder(dict[int, Value]).decode
_encode = msgspec.msgpack.Encoder().encode


class Aggregate:
    """The third fold: partials -> the feed's cells."""

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
    stored = view.get_many([_PARTIALS + cell.encode() for cell in cells])
    changes = []
    for cell, old in zip(cells, stored, strict=True):
        partials = {} if old is None else _decode(old)
        before = _sums(partials)
        causes: dict[str, tuple[int, int]] = {}
        for source, value in new[cell].items():
            _add_causes(causes, value, partials.get(source))
            partials[source] = value
        after = _sums(partials)
        view.put(_PARTIALS + cell.encode(), _encode(partials))
        if causes or after != before:
            changes.append(CellChange(cell, *after, causes))
    return tuple(changes)


def _take_pending(view: View) -> dict[str, dict[int, Value]]:
    """Return cell -> source -> newest partial of all that came since the last cut, and forget it."""
    new: dict[str, dict[int, Value]] = {}
    for key, notes in list(view.scan(_PENDING)):  # ascending by source and position: the newest comes last
        source = int.from_bytes(key[1:3], "big")
        for cell, value in _notes(notes):
            new.setdefault(cell, {})[source] = (1, [value], {}) if isinstance(value, int) else value
        view.delete(key)
    return new


def _sums(partials: Mapping[int, Value]) -> tuple[int, tuple[int, ...]]:
    """Return the facts and the measures of a cell over all its sources."""
    measures = zip(*[value[1] for value in partials.values()], strict=True)
    return sum(value[0] for value in partials.values()), tuple(map(sum, measures))


def _add_causes(causes: dict[str, tuple[int, int]], value: Value, old: Value | None) -> None:
    """Add what one source's causes have grown by."""
    for cause, (stated, withdrawn) in value[2].items():
        was = (0, 0) if old is None else old[2].get(cause, (0, 0))
        so_far = causes.get(cause, (0, 0))
        grown = (so_far[0] + stated - was[0], so_far[1] + withdrawn - was[1])
        if grown != (0, 0):
            causes[cause] = grown
