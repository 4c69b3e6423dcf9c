"""Strikes on the worker that writes to the feed store while another one stands by: it hangs, or it is killed.

Whoever has lost the lease must not write any more. What a worker says that it has written is compared with how far
the store was when it lost the lease.
"""

from __future__ import annotations

import asyncio
import signal
import time
from random import Random
from typing import NamedTuple

from ops.chaos.force import PATIENCE_SECS, Force
from ops.chaos.house import House, Lease, Side
from ops.chaos.plan import WRITER, Strike

_AWAKE_SECS = 4.0
"""How long a worker is watched that was stopped while it had the lease."""

_ANYWHERE = 0.25
"""Share of those who are stopped wherever they are, be it in the middle of a write."""

_TRIES = 50


class Sight(NamedTuple):
    """What is seen of a worker between two looks at the lease."""

    before: Lease | None
    written: int  # messages that it says it has written, 0 when it says nothing
    after: Lease | None


def intruded(sight: Sight, taken: Lease, stood: int) -> bool:
    """Return whether a worker wrote although another one has had the lease since `taken`.

    `stood` is how many messages were written when it had the lease last.
    """
    terms = {None if lease is None else lease.term for lease in (sight.before, sight.after)}
    return terms == {taken.term} and sight.written > stood


class Writers:
    """The two workers that may write to the feed store."""

    def __init__(self, house: House, force: Force, chance: Random) -> None:
        """`force` counts the kills; `chance` chooses when somebody is stopped."""
        self._house = house
        self._chance = chance
        self._force = force
        self.takeovers = 0
        """How often one was seen to take the lease after the other one."""
        self.intrusions = 0
        """How often one was seen to have written after it had lost the lease."""

    async def holder(self) -> Side:
        """Return who has the lease; the system's own worker while nobody had it yet."""
        lease = await self._house.lease()
        return self._house.first(WRITER) if lease is None else lease.holder

    async def freeze(self, strike: Strike) -> None:
        """Stop who has the lease until the other one has taken it, let it go on, and watch that it does not write.

        With a point, the other one dies there when it takes over. From whom is stopped in the middle of a write nobody
        can take over, for SQLite lets nobody else write: it goes on, and its write is good.
        """
        zombie = await self.holder()
        other = self._other(zombie)
        pid = await self._force.arm(other, strike.how) if strike.how else None
        writing = await self._stop(zombie, anywhere=not strike.how and self._chance.random() < _ANYWHERE)
        left, began = await self._house.lease(), time.monotonic()
        if strike.how:
            await self._force.see_crash(other, strike.how, pid, PATIENCE_SECS)
        taken = None if writing else await self._taken_by(other)
        await asyncio.sleep(max(0.0, strike.secs - (time.monotonic() - began)))
        zombie.file.signal(signal.SIGCONT)
        if left is not None and taken is not None:
            await self._watch(zombie, taken, left.position)

    async def _stop(self, side: Side, *, anywhere: bool) -> bool:
        """Stop a worker, if not `anywhere` then between two writes; return whether it is in the middle of one."""
        for left in reversed(range(1 if anywhere else _TRIES)):
            side.file.signal(signal.SIGSTOP)
            await asyncio.sleep(0.1)
            if not await self._house.writing():
                return False
            if left:
                side.file.signal(signal.SIGCONT)
                await asyncio.sleep(self._chance.uniform(0.05, 0.3))
        self._force.say("          it was stopped in the middle of a write")
        return True

    async def oust(self, strike: Strike) -> None:
        """Kill who has the lease, and hold back the process that is started for it until the other one has taken it."""
        victim = await self.holder()
        killed = (await self._force.up(victim)).pid()
        self._force.kill(victim)

        async def born() -> bool:
            return victim.file.pid() not in (None, killed)

        if not await self._force.until(born):
            self._force.miss(f"{victim.name} was not started again")
        newborn = victim.file.pid()
        victim.file.signal(signal.SIGSTOP)
        await self._taken_by(self._other(victim))
        if victim.file.pid() == newborn:
            victim.file.signal(signal.SIGCONT)

    def _other(self, side: Side) -> Side:
        return next(each for each in self._house.sides(WRITER) if each.name != side.name)

    async def _taken_by(self, other: Side) -> Lease | None:
        """Wait until this one has the lease; None: it does not get it."""

        async def taken() -> bool:
            return (await self.holder()).name == other.name

        if not await self._force.until(taken):
            self._force.miss(f"{other.name} did not take over the lease")
            return None
        self.takeovers += 1
        return await self._house.lease()

    async def _watch(self, zombie: Side, taken: Lease, stood: int) -> None:
        end = time.monotonic() + _AWAKE_SECS
        while time.monotonic() < end:
            sight = Sight(await self._house.lease(), await zombie.applied(), await self._house.lease())
            self.intrusions += intruded(sight, taken, stood)
            await asyncio.sleep(0.1)
