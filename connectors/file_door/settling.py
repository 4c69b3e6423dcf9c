"""Settling: a file is taken only when it has looked the same for a while, so that no half-written one is."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator

from connectors.file_door.folders import Dropped


class Settling:
    """What waits in one agency's folders, and since when it looks as it does.

    By this door's own clock and eyes: the clock that dates the files may be another machine's.
    """

    def __init__(self, secs: float, now: Callable[[], float] = time.monotonic) -> None:
        """`secs` is how long a file must not change; `now` in seconds of a clock that never goes back."""
        self._secs = secs
        self._now = now
        self._since: dict[tuple[tuple[str, ...], str], tuple[tuple[int, int, int], float]] = {}

    def settled(self, waiting: Iterable[Dropped]) -> Iterator[Dropped]:
        """Yield those of all files that wait which have not changed for long enough; what is gone is forgotten."""
        now, before = self._now(), self._since
        self._since = {}
        found = []
        for each in waiting:
            key = each.folders, each.name
            looks, since = before.get(key, (each.looks, now))
            if looks != each.looks:
                since = now
            self._since[key] = each.looks, since
            if now - since >= self._secs:
                found.append(each)
        yield from found
