"""Force: what can be done to one process, and what was seen of it: killed, told to die at a point, waited for."""

from __future__ import annotations

import asyncio
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

from ops.chaos.house import Side
from ops.pids import PidFile

PATIENCE_SECS = 60.0
"""How long something is waited for that must come: a process to be up, partitions to be taken over."""

_CRASH_SECS = 20.0
"""How long a process may take to come by the point at which it is to die."""


class Force:
    """Kills, counted."""

    def __init__(self, say: Callable[[str], None]) -> None:
        """`say` is told what did not come as it should."""
        self.say = say
        self.kills: Counter[str] = Counter()
        """Kills by whom they struck."""
        self.points: Counter[str] = Counter()
        """Kills by the crash point at which they struck."""
        self.skipped: list[str] = []

    def kill(self, victim: Side) -> None:
        """Kill it."""
        victim.file.signal(signal.SIGKILL)
        self.kills[victim.name] += 1

    async def up(self, side: Side) -> PidFile:
        """Wait until it runs; returns the file that names it."""

        async def runs() -> bool:
            return side.file.pid() is not None

        if not await self.until(runs):
            self.miss(f"{side.name} did not come up")
        return side.file

    async def arm(self, victim: Side, point: str) -> int | None:
        """Tell a process at which point to die; returns its number."""
        if not await self.until(victim.answers):
            self.miss(f"{victim.name} does not answer")
        pid = victim.file.pid()
        order = victim.order(pid)
        order.write_text(point)
        victim.file.signal(signal.SIGUSR1)
        if not await self.until(lambda: _gone(order), _CRASH_SECS):
            self.miss(f"{victim.name} did not read its order")
        return pid

    async def arm_next(self, victim: Side, point: str) -> int | None:
        """End a process as it is meant to end, so that its next start is armed; returns the new one's number."""
        order = victim.order()
        order.write_text(point)
        victim.file.signal(signal.SIGTERM)
        if not await self.until(lambda: _gone(order)):
            self.miss(f"{victim.name} was not started again")
        return victim.file.pid()

    async def see_crash(self, victim: Side, point: str, pid: int | None, secs: float = _CRASH_SECS) -> None:
        """See that this process dies at the point that it was told; kill it where it does not."""

        async def gone() -> bool:
            return victim.file.pid() != pid

        self.kills[victim.name] += 1
        if await self.until(gone, secs) and not victim.order(pid).exists():
            self.points[point.partition(":")[0]] += 1
            return
        victim.order(pid).unlink(missing_ok=True)
        victim.file.signal(signal.SIGKILL)
        self.miss(f"{victim.name} did not come by {point} and was killed elsewhere")

    async def until(self, true: Callable[[], Awaitable[object]], secs: float = PATIENCE_SECS) -> bool:
        """Wait until something is true, for so long at most; returns whether it is."""
        end = time.monotonic() + secs
        while not await true():
            if time.monotonic() > end:
                return False
            await asyncio.sleep(0.1)
        return True

    def miss(self, what: str) -> None:
        """Note what could not be done, or did not come of it."""
        self.skipped.append(what)
        self.say(f"          {what}")


async def _gone(file: Path) -> bool:
    return not file.exists()
