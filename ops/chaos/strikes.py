"""Strikes: the plan carried out against a house."""

from __future__ import annotations

import asyncio
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random

from ops.chaos.house import House, fill, mount, unmount
from ops.chaos.plan import AGENTS, FROZEN_SECS, PARTINGS, WHILE_STARTING, Kind, Strike
from ops.pids import PidFile

PATIENCE_SECS = 60.0
"""How long something is waited for that must come: a process to be up, partitions to be taken over."""

_LAG_SECS = 3.0
"""How long an agent stays stopped at most until messages wait for it; less than its session."""

_CRASH_SECS = 20.0
"""How long a process may take to come by the point at which it is to die."""


class Strikes:
    """What was done to a house, counted."""

    def __init__(self, house: House, chance: Random, say: Callable[[str], None]) -> None:
        """`say` is told each strike as it happens; `chance` chooses what the plan leaves open."""
        self._house = house
        self._chance = chance
        self._say = say
        self._began = 0.0
        self._visiting: set[str] = set()  # agents that have a second worker
        self._by_kind: dict[Kind, Callable[[Strike], Awaitable[None]]] = {
            Kind.KILL: self._kill,
            Kind.CRASH: self._crash,
            Kind.BROKER: self._broker,
            Kind.JOIN: self._join,
            Kind.LEAVE: self._leave,
            Kind.LOSE: self._leave,
            Kind.ZOMBIE: self._freeze,
            Kind.FILL: self._fill,
            Kind.CUT: self._disturb,
            Kind.HOLD: self._disturb,
            Kind.DELAY: self._disturb,
        }
        self.kills: Counter[str] = Counter()
        """Kills by whom they struck."""
        self.points: Counter[str] = Counter()
        """Kills by the crash point at which they struck."""
        self.done: Counter[str] = Counter()
        """Strikes by kind."""
        self.takeovers = 0
        """How often a worker was seen to fold partitions that another one had folded before."""
        self.with_lag = 0
        """Kills of agents, at random moments, before which messages were waiting for them."""
        self.skipped: list[str] = []

    async def carry_out(self, strikes: list[Strike], deadline: float) -> None:
        """Carry out the plan, one strike after another; after `deadline` (monotonic) second workers only leave."""
        self._began = time.monotonic()
        for strike in strikes:
            if time.monotonic() > deadline and not (strike.kind in PARTINGS and strike.on in self._visiting):
                continue
            await asyncio.sleep(strike.pause_secs)
            self._say(f"{time.monotonic() - self._began:6.1f} s  {strike}")
            await self._by_kind[strike.kind](strike)
            self.done[strike.kind] += 1

    async def _kill(self, strike: Strike) -> None:
        """Kill a process at work; an agent is stopped first until messages wait for it, then goes on and is killed."""
        victim = await self._up(self._house.program(strike.on), strike.on)
        if strike.on in AGENTS:
            applied = await self._house.applied(strike.on)
            victim.signal(signal.SIGSTOP)
            await asyncio.sleep(strike.secs)
            self.with_lag += await self._until(lambda: self._house.waiting(strike.on, applied), _LAG_SECS)
            victim.signal(signal.SIGCONT)
            await asyncio.sleep(self._chance.uniform(0.005, 0.3))
        else:
            await asyncio.sleep(strike.secs)
        await self._up(victim, strike.on)  # it may have ended by itself, cut off from Kafka
        victim.signal(signal.SIGKILL)
        self.kills[strike.on] += 1

    async def _crash(self, strike: Strike) -> None:
        """Let a process kill itself at a point; one that does not come by there is killed."""
        victim = await self._up(self._house.program(strike.on), strike.on)
        starting = strike.how.split("-")[0] in WHILE_STARTING
        pid = await (self._arm_next(strike, victim) if starting else self._arm(strike))
        await self._see_crash(strike, victim, pid)

    async def _arm(self, strike: Strike) -> int | None:
        """Tell a process of the system at which point to die; returns its number."""
        if not await self._until(lambda: self._house.answers(strike.on)):
            self._miss(f"{strike.on} does not answer")
        victim = self._house.program(strike.on)
        pid = victim.pid()
        order = self._order(strike, pid)
        order.write_text(strike.how)
        victim.signal(signal.SIGUSR1)
        if not await self._until(lambda: _gone(order), _CRASH_SECS):
            self._miss(f"{strike.on} did not read its order")
        return pid

    async def _arm_next(self, strike: Strike, victim: PidFile) -> int | None:
        """End a process as it is meant to end, so that its next start is armed; returns the new one's number."""
        order = self._house.home / "run" / f"crash-at-{strike.on}"
        order.write_text(strike.how)
        victim.signal(signal.SIGTERM)

        if not await self._until(lambda: _gone(order)):
            self._miss(f"{strike.on} was not started again")
        return victim.pid()

    def _order(self, strike: Strike, pid: int | None) -> Path:
        return self._house.home / "run" / f"crash-at-{strike.on}-{pid}"

    async def _see_crash(self, strike: Strike, victim: PidFile, pid: int | None, secs: float = _CRASH_SECS) -> None:
        async def gone() -> bool:
            return victim.pid() != pid

        self.kills[strike.on] += 1
        if await self._until(gone, secs) and not self._order(strike, pid).exists():
            self.points[strike.how.partition(":")[0]] += 1
            return
        self._order(strike, pid).unlink(missing_ok=True)
        victim.signal(signal.SIGKILL)
        self._miss(f"{strike.on} did not come by {strike.how} and was killed elsewhere")

    async def _broker(self, strike: Strike) -> None:
        """Kill a node and start it again after a while; wait until it serves."""
        node = int(strike.on)
        await asyncio.to_thread(self._house.broker.kill, node)
        self.kills["broker"] += 1
        await asyncio.sleep(strike.secs)
        await asyncio.to_thread(self._house.broker.start, node)

    async def _join(self, strike: Strike) -> None:
        """Add a second worker and wait until it has partitions."""
        if strike.how.startswith("restore") and not await self._until(lambda: self._house.published(strike.on)):
            self._miss(f"no checkpoint of {strike.on} was published")
        second = self._house.join(strike.on, strike.how)
        self._visiting.add(strike.on)

        async def came() -> bool:
            return bool(await self._house.partitions(strike.on, second=True))

        if await self._until(lambda: _true(bool(second.restarts)) if strike.how else came()):
            self.points.update([strike.how.partition(":")[0]] if strike.how else [])
        elif strike.how:
            second.file.signal(signal.SIGKILL)
            self._miss(f"the second {strike.on} did not come by {strike.how} and was killed elsewhere")
        self.kills.update([f"second {strike.on}"] if strike.how else [])
        if await self._until(came):
            self.takeovers += 1
        else:
            self._miss(f"the second {strike.on} got no partitions")

    async def _leave(self, strike: Strike) -> None:
        """Remove the second worker and wait until the first one has all partitions again."""
        second, first = self._house.seconds[strike.on], self._house.program(strike.on)
        pid = await self._arm(strike) if strike.how else None
        await second.stop(signal.SIGKILL if strike.kind == Kind.LOSE else signal.SIGTERM)
        unmount(second.settings.state)
        self._visiting.remove(strike.on)
        if strike.how:
            await self._see_crash(strike, first, pid, PATIENCE_SECS)

        async def whole() -> bool:
            return await self._house.partitions(strike.on) == self._house.total(strike.on)

        if await self._until(whole):
            self.takeovers += 1
        else:
            self._miss(f"the first {strike.on} did not get all partitions back")

    async def _freeze(self, strike: Strike) -> None:
        """Stop the first worker for longer than its session, so that the second one folds all, and let it go on."""
        zombie = await self._up(self._house.program(strike.on), strike.on)
        zombie.signal(signal.SIGSTOP)
        await asyncio.sleep(max(strike.secs, FROZEN_SECS))
        zombie.signal(signal.SIGCONT)

    async def _fill(self, strike: Strike) -> None:
        """Put the second worker's state on a small disk, as if its host had been replaced, fill it, and free it."""
        second = self._house.seconds[strike.on]
        await second.stop(signal.SIGKILL)
        small = mount(second.settings.state)
        second.start()
        if not small:
            self._miss("no small disk, for this user may not mount one")
            return

        async def works() -> bool:
            return bool(await self._house.partitions(strike.on, second=True))

        if not await self._until(works):
            self._miss(f"the second {strike.on} did not come back on a small disk")
        ballast = second.settings.state / "ballast"
        fill(ballast)
        await asyncio.sleep(strike.secs)
        self._say(
            f"          the disk was full for {strike.secs:.0f} s; the worker was started {second.restarts} times"
        )
        ballast.unlink()
        if not await self._until(works):
            self._miss(f"the second {strike.on} did not go on when its disk was freed")

    async def _disturb(self, strike: Strike) -> None:
        """Cut, hold or delay the connections to all nodes."""
        proxies = self._house.proxies
        if strike.kind == Kind.CUT:
            share = self._chance.choice((0.5, 1.0))
            await asyncio.gather(*(proxy.cut(share, strike.secs, self._chance) for proxy in proxies))
        elif strike.kind == Kind.HOLD:
            await asyncio.gather(*(proxy.hold(strike.secs) for proxy in proxies))
        else:
            late = self._chance.uniform(0.05, 0.5)
            await asyncio.gather(*(proxy.delay(late, strike.secs) for proxy in proxies))

    async def _up(self, file: PidFile, name: str) -> PidFile:
        async def runs() -> bool:
            return file.pid() is not None

        if not await self._until(runs):
            self._miss(f"{name} did not come up")
        return file

    async def _until(self, true: Callable[[], Awaitable[object]], secs: float = PATIENCE_SECS) -> bool:
        end = time.monotonic() + secs
        while not await true():
            if time.monotonic() > end:
                return False
            await asyncio.sleep(0.1)
        return True

    def _miss(self, what: str) -> None:
        self.skipped.append(what)
        self._say(f"          {what}")


async def _gone(file: Path) -> bool:
    return not file.exists()


async def _true(value: bool) -> bool:
    return value
