"""Messages of a partition wait for a moment, so that one step folds what comes meanwhile.

What is folded at once is sent on as one frame a partition, and a frame costs its reader as much as a dozen records.
Nothing of it is seen before the next tick, so nobody waits for what was gathered, unless a tick is behind it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, Generic, TypeVar

_Key = TypeVar("_Key", bound=Hashable)


class Gathering(Generic[_Key]):
    """What has come of each partition, and since when it waits."""

    def __init__(
        self,
        secs: float,
        most_bytes: int,
        urgent: Callable[[bytes], bool],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """Messages wait for `secs`, or until there are `most_bytes` of them, or an urgent one comes."""
        self._secs = secs
        self._most_bytes = most_bytes
        self._urgent = urgent
        self._now = now
        self._waiting: dict[_Key, list[Any]] = {}
        self._bytes: dict[_Key, int] = {}
        self._until: dict[_Key, float] = {}

    def add(self, found: Mapping[_Key, Sequence[Any]]) -> None:
        """Take what was read, in its order; each has a `value` in bytes."""
        now = self._now()
        for key, messages in found.items():
            if not messages:
                continue
            self._waiting.setdefault(key, []).extend(messages)
            size = self._bytes[key] = self._bytes.get(key, 0) + sum([len(message.value) for message in messages])
            until = self._until.setdefault(key, now + self._secs)
            if until > now and (size >= self._most_bytes or any(self._urgent(m.value) for m in messages)):
                self._until[key] = now

    def due(self) -> list[tuple[_Key, list[Any]]]:
        """Give away what need not wait any longer."""
        now = self._now()
        keys = [key for key, until in self._until.items() if until <= now]
        found = [(key, self._waiting[key]) for key in keys]
        for key in keys:
            self.forget(key)
        return found

    def remaining(self, most: float) -> float:
        """Return in how many seconds something will be due, or `most` if that is less."""
        return max(0.0, min([most, *[until - self._now() for until in self._until.values()]]))

    def forget(self, key: _Key) -> None:
        """Forget what waits of a partition: it is read anew, or is another worker's."""
        self._waiting.pop(key, None)
        self._bytes.pop(key, None)
        self._until.pop(key, None)

    def forget_all(self) -> None:
        """Forget everything that waits."""
        for key in list(self._until):
            self.forget(key)
