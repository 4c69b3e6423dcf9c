"""Rehearsal: a process that kills itself at a named moment, so that what comes of it can be looked at; never in use.

With MIGEX_REHEARSAL set, a process reads `<home>/run/crash-at-<name>` when it starts, and
`<home>/run/crash-at-<name>-<pid>` at SIGUSR1: `<point>:<n>` means the nth time from now on that it reaches this point
(`streams.crash_points`). It removes the file when it has read it, and dies by SIGKILL. An agent's second worker is
named `<agent>-1`, and so on; an outbox's poller is `outbox`; all others are named as in `ops.processes.PROCESSES`.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path

from ops.settings import Settings
from streams.crash_points import CrashPoint, Reach, never


class Rehearsal:
    """What one process does at the crash points that it reaches."""

    def __init__(self, settings: Settings, name: str) -> None:
        """Nothing happens unless the setting is on; then the process is armed by the file it finds now."""
        self._run = settings.home / "run" if settings.rehearsal else None
        self._name = name
        self._point: CrashPoint | None = None
        self._left = 0
        self.reach: Reach = never
        if self._run is not None:
            self.reach = self._reach
            self._read(self._run / f"crash-at-{name}")
            self.listen()

    def listen(self) -> None:
        """Listen to SIGUSR1 from now on, whatever somebody else has made of it (as mode does for its workers)."""
        if self._run is not None:
            signal.signal(signal.SIGUSR1, lambda *_: self._arm())

    def _arm(self) -> None:
        if self._run is not None:
            self._read(self._run / f"crash-at-{self._name}-{os.getpid()}")

    def _read(self, file: Path) -> None:
        with suppress(FileNotFoundError):
            point, _, nth = file.read_text().strip().partition(":")
            self._point, self._left = CrashPoint(point), int(nth or 1)
            file.unlink()

    def _reach(self, point: CrashPoint) -> None:
        if point != self._point:
            return
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
