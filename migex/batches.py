"""Batches: events as the bodies of requests, each of which has a name made of what it says."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from hashlib import blake2b
from typing import Any, NamedTuple

Event = Mapping[str, Any] | bytes
"""An event: as values, where days and instants may be those of Python, or as its JSON."""

MOST = 500
"""Events of a request at most."""

MOST_BYTES = 4 * 1024 * 1024
"""Bytes of a request at most, unless one event alone is larger; half of what the gateway takes."""


class Batch(NamedTuple):
    """Some events and their JSON."""

    events: tuple[Event, ...]
    lines: tuple[bytes, ...]

    @property
    def body(self) -> bytes:
        """What is sent: NDJSON, or one JSON text that may have line breaks."""
        return b"\n".join(self.lines)

    @property
    def content_type(self) -> str:
        """What the body is."""
        return "application/json" if len(self.lines) == 1 else "application/x-ndjson"

    def halves(self) -> tuple[Batch, Batch]:
        """Return both halves of a batch of at least two events."""
        middle = len(self.lines) // 2
        return (
            Batch(self.events[:middle], self.lines[:middle]),
            Batch(self.events[middle:], self.lines[middle:]),
        )


def name(body: bytes, run: str) -> str:
    """Return the Idempotency-Key of a body: the same whenever it is sent, unless `run` is another one."""
    return blake2b(body, digest_size=16, key=run.encode()[:64], person=b"migex-request").hexdigest()


def batches(events: Iterable[Event], most: int = MOST) -> Iterator[Batch]:
    """Yield the events in batches, in their order; what is blank is passed over.

    Raises TypeError for a value that JSON has no form for, ValueError for a number that is none (NaN).
    """
    waiting: list[tuple[Event, bytes]] = []
    size = 0
    for event in events:
        line = as_json(event)
        if not line:
            continue
        alone = b"\n" in line
        if waiting and (alone or len(waiting) >= most or size + len(line) > MOST_BYTES):
            yield _batch(waiting)
            waiting, size = [], 0
        waiting.append((event, line))
        size += len(line) + 1
        if alone:
            yield _batch(waiting)
            waiting, size = [], 0
    if waiting:
        yield _batch(waiting)


def as_json(event: Event) -> bytes:
    """Return the event's JSON, in UTF-8; bytes are taken as they are, whatever they hold."""
    if isinstance(event, bytes):
        return event.strip()
    return json.dumps(event, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_plain).encode()


def _plain(value: object) -> object:
    if isinstance(value, date):  # datetime too
        return value.isoformat()
    raise TypeError(f"An event holds texts, numbers, days and instants, no {type(value).__name__}.")


def _batch(waiting: list[tuple[Event, bytes]]) -> Batch:
    events, lines = zip(*waiting, strict=True)
    return Batch(events, lines)
