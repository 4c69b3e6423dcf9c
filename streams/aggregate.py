"""Aggregate: the sum of all partitions' cells at each cut.

Reads partials, where each partition of the log tells the cells that changed there by absolute value. A cut is applied
when all partitions have ended it, in order; then each changed cell is the sum of its newest partials.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

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
_decode_partials: Callable[[bytes], dict[int, Value]] = msgspec.msgpack.Decoder(dict[int, Value]).decode
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
        self._new: dict[str, dict[int, Value]] = {}  # cell -> source -> newest partial

    def take(self, frame: Frame) -> None:
        for cell, value in _notes(frame.notes):
            self._new.setdefault(cell, {})[frame.source] = (1, [value], {}) if isinstance(value, int) else value

    def save(self) -> None:
        for cell, partials in self._new.items():
            for source, value in partials.items():
                self._view.put(_pending_key(cell, source), _encode(value))

    def close(self) -> tuple[CellChange, ...]:
        """Replace the partials that changed and return the cells whose sum or causes changed by it, ascending."""
        self._load_pending()
        new, self._new = self._new, {}
        cells = sorted(new)
        stored = self._view.get_many([b"p" + cell.encode() for cell in cells])
        changes = []
        for cell, old in zip(cells, stored, strict=True):
            partials = _decode_partials(old) if old is not None else {}
            causes: dict[str, tuple[int, int]] = {}
            for source, value in new[cell].items():
                _add_causes(causes, value, partials.get(source))
            before = _sums(partials)
            partials |= new[cell]
            after = _sums(partials)
            self._view.put(b"p" + cell.encode(), _encode(partials))
            if causes or after != before:
                changes.append(CellChange(cell, *after, causes))
        return tuple(changes)

    def _load_pending(self) -> None:
        for key, stored in list(self._view.scan(b"n")):
            source, cell = int.from_bytes(key[1:3], "big"), key[3:].decode()
            self._new.setdefault(cell, {}).setdefault(source, _decode(stored))
            self._view.delete(key)


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


def _pending_key(cell: str, source: int) -> bytes:
    return b"n" + source.to_bytes(2, "big") + cell.encode()
