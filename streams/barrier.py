"""Chains and aligned cuts: in which order frames of several sources take effect (laws L2 and L4).

A chain: each frame names the position that its source had sent here before. A frame that was applied is a repeat and
ignored; one that runs ahead of the chain is parked. A frame that overlaps what was applied is applied whole, since
newest wins. A cut: a source that has reached a tick waits; its further frames are parked. When all sources stand at
the same tick, that tick closes. Ticks may have holes: where one source stands further than another, the other's tick
is passed over, because nobody can say what the first had accepted by then.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Iterator

from schemas import frame as wire
from schemas.errors import Broken
from schemas.frame import Frame
from streams.fold import View

_SOURCE = struct.Struct(">qqI")
_PARKED = struct.Struct(">cHq")
_CLOSED = b"@t"


class _Source:
    """Where one source stands: applied position, the tick it waits at (0: none), number of its parked frames."""

    __slots__ = ("applied", "key", "number", "parked", "tick")

    def __init__(self, view: View, number: int) -> None:
        self.number = number
        self.key = b"@s" + number.to_bytes(2, "big")
        stored = view.get(self.key)
        self.applied, self.tick, self.parked = _SOURCE.unpack(stored) if stored else (-1, 0, 0)

    def save(self, view: View) -> None:
        view.put(self.key, _SOURCE.pack(self.applied, self.tick, self.parked))


class Close:
    """All sources stand at this tick (seconds since 1970): what was applied so far is the cut."""

    __slots__ = ("tick",)

    def __init__(self, tick: int) -> None:
        self.tick = tick


class Barrier:
    """The chains and the cut of one partition, over a view that keeps them."""

    def __init__(self, view: View, sources: int) -> None:
        """`sources` is the number of partitions of the stage before."""
        self._view = view
        self._sources = [_Source(view, n) for n in range(sources)]
        stored = view.get(_CLOSED)
        self.closed = int.from_bytes(stored, "big") if stored else 0
        self.overlapping = False
        """Whether the frame yielded last may tell again what was applied; else all that it tells is new."""

    @property
    def parked(self) -> int:
        """Number of frames that wait, over all sources."""
        return sum(source.parked for source in self._sources)

    def arrive(self, frame: Frame, raw: bytes) -> Iterator[Frame | Close]:
        """Take one frame and yield what takes effect now, in order; the caller applies each before the next.

        Raises Broken when the frame is of none of the sources.
        """
        if not 0 <= frame.source < len(self._sources):
            raise Broken("frame-source", "The frame says that it comes from a partition which the stage does not read.")
        return self._arrive(self._sources[frame.source], frame, raw)

    def _arrive(self, source: _Source, frame: Frame, raw: bytes) -> Iterator[Frame | Close]:
        if frame.offset <= source.applied:
            return
        if source.tick or frame.prev > source.applied:
            self._park(source, frame, raw)
            return
        self.overlapping = frame.prev < source.applied
        yield frame
        self._applied(source, frame)
        yield from self._settle(source)

    def _applied(self, source: _Source, frame: Frame) -> None:
        source.applied = frame.offset
        if frame.tick > self.closed:
            source.tick = frame.tick
        source.save(self._view)

    def _park(self, source: _Source, frame: Frame, raw: bytes) -> None:
        """Keep a frame until its turn; of two that reach equally far, the one that begins earlier."""
        key = _PARKED.pack(b"q", source.number, frame.offset)
        stored = self._view.get(key)
        if stored is None:
            source.parked += 1
            source.save(self._view)
        if stored is None or frame.prev < wire.decode(stored).prev:
            self._view.put(key, raw)

    def _settle(self, moved: _Source) -> Iterator[Frame | Close]:
        """Drain what may go on after a source moved, closing and passing over ticks until nothing moves."""
        free = deque([moved])
        while free:
            yield from self._drain(free.popleft())
            if free or not all(source.tick for source in self._sources):
                continue
            furthest = max(source.tick for source in self._sources)
            behind = [source for source in self._sources if source.tick < furthest]
            if not behind:
                self.closed = furthest
                self._view.put(_CLOSED, furthest.to_bytes(8, "big"))
                yield Close(furthest)
                behind = self._sources
            for source in behind:
                source.tick = 0
                source.save(self._view)
            free.extend(behind)

    def _drain(self, source: _Source) -> Iterator[Frame]:
        """Yield the parked frames of a source that continue its chain, up to its next tick."""
        if not source.parked:
            return
        for key, raw in self._view.scan(_PARKED.pack(b"q", source.number, 0)[:3]):
            if source.tick:
                return
            frame = wire.decode(raw)
            if frame.offset > source.applied:
                if frame.prev > source.applied:
                    continue  # one that reaches further may have begun earlier
                self.overlapping = frame.prev < source.applied
                yield frame
                self._applied(source, frame)
            self._view.delete(key)
            source.parked -= 1
            source.save(self._view)
