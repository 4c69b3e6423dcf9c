"""Notes: what a supervisor writes for others to read, and how it goes on while it cannot, as on a full disk."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import structlog

from ops.pids import PidFile

_AGAIN_SECS = 1.0


class Setbacks:
    """What fails just now and is tried again and again: said once when it begins, and once when it is over."""

    def __init__(self) -> None:
        """Nothing fails yet."""
        self._known: set[tuple[Any, ...]] = set()

    @contextmanager
    def borne(self, event: str, kind: type[Exception] = OSError, /, **fields: str) -> Iterator[None]:
        """Go on behind the body when it fails in this way; `event` and `fields` are what the log then says."""
        each = (event, *fields.values())
        log = structlog.get_logger(__name__)
        try:
            yield
        except kind as error:
            if each not in self._known:
                self._known.add(each)
                log.error(event, **fields, reason=str(error), exc_info=kind is Exception)
        else:
            if each in self._known:
                self._known.remove(each)
                log.info("This is over.", what=event, **fields)


class Note:
    """The note of one process, or of the supervisor: what cannot be written waits, and only the newest counts."""

    def __init__(self, path: Path, setbacks: Setbacks) -> None:
        """Nothing is written yet."""
        self._path = path
        self._setbacks = setbacks
        self._waiting: tuple[int | None, dict[str, Any]] | None = None
        self._next = 0.0

    def write(self, pid: int | None, **known: Any) -> None:
        """Write what is known of a process; without a `pid` it does not run."""
        self._waiting = pid, known
        self._next = 0.0
        self.catch_up()

    def catch_up(self) -> None:
        """Write what could not be written before; to be called again and again, it tries once a second."""
        now = time.monotonic()
        if self._waiting is None or now < self._next:
            return
        self._next = now + _AGAIN_SECS
        pid, known = self._waiting
        with self._setbacks.borne("A note cannot be written.", name=self._path.stem):
            PidFile(self._path).record(pid, **known)
            self._waiting = None

    def remove(self) -> None:
        """Take it away."""
        self._waiting = None
        with self._setbacks.borne("A note cannot be removed.", name=self._path.stem):
            self._path.unlink(missing_ok=True)
