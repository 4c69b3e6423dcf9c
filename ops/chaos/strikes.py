"""Strikes: the plan carried out against a house."""

from __future__ import annotations

import asyncio
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from random import Random

from ops.chaos.force import PATIENCE_SECS, Force
from ops.chaos.house import House, Side, fill, mount, unmount
from ops.chaos.plan import AGENTS, FROZEN_SECS, PARTINGS, WHILE_STARTING, WRITER, Kind, Strike
from ops.chaos.writers import Writers

_LAG_SECS = 3.0
"""How long an agent stays stopped at most until messages wait for it; less than its session."""


class Strikes:
    """What was done to a house, counted."""

    def __init__(self, house: House, chance: Random, say: Callable[[str], None]) -> None:
        """`say` is told each strike as it happens; `chance` chooses what the plan leaves open."""
        self._house = house
        self._chance = chance
        self.force = Force(say)
        self.writers = Writers(house, self.force, chance)
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
            Kind.OUST: self.writers.oust,
            Kind.FILL: self._fill,
            Kind.CUT: self._disturb,
            Kind.HOLD: self._disturb,
            Kind.DELAY: self._disturb,
        }
        self.done: Counter[str] = Counter()
        """Strikes by kind that came as planned; of the others `Force.skipped` tells."""
        self._takeovers = 0
        self.with_lag = 0
        """Kills of agents, at random moments, before which messages were waiting for them."""

    @property
    def takeovers(self) -> int:
        """How often a worker was seen to fold partitions that another one had folded before."""
        return self._takeovers + self.writers.takeovers

    async def carry_out(self, strikes: list[Strike], deadline: float) -> None:
        """Carry out the plan, one strike after another; after `deadline` (monotonic) second workers only leave."""
        self._began = time.monotonic()
        for strike in strikes:
            if time.monotonic() > deadline and not (strike.kind in PARTINGS and strike.on in self._visiting):
                continue
            await asyncio.sleep(strike.pause_secs)
            self.force.say(f"{time.monotonic() - self._began:6.1f} s  {strike}")
            missed = len(self.force.skipped)
            await self._by_kind[strike.kind](strike)
            self.done[strike.kind] += len(self.force.skipped) == missed

    async def _kill(self, strike: Strike) -> None:
        """Kill a process at work; an agent is stopped first until messages wait for it, then goes on and is killed."""
        side = await self._victim(strike)
        victim = await self.force.up(side)
        if strike.on in AGENTS:
            applied = sum([await each.applied() for each in self._house.sides(strike.on)])
            victim.signal(signal.SIGSTOP)
            await asyncio.sleep(strike.secs)
            self.with_lag += await self.force.until(lambda: self._house.waiting(strike.on, applied), _LAG_SECS)
            victim.signal(signal.SIGCONT)
            await asyncio.sleep(self._chance.uniform(0.005, 0.3))
        else:
            await asyncio.sleep(strike.secs)
        await self.force.up(side)  # it may have ended by itself, cut off from Kafka
        self.force.kill(side)

    async def _crash(self, strike: Strike) -> None:
        """Let a process kill itself at a point; one that does not come by there is killed."""
        victim = await self._victim(strike)
        await self.force.up(victim)
        starting = strike.how.split("-")[0] in WHILE_STARTING
        pid = await (self.force.arm_next(victim, strike.how) if starting else self.force.arm(victim, strike.how))
        await self.force.see_crash(victim, strike.how, pid)

    async def _victim(self, strike: Strike) -> Side:
        return await self.writers.holder() if strike.on == WRITER else self._house.first(strike.on)

    async def _broker(self, strike: Strike) -> None:
        """Kill a node and start it again after a while; wait until it serves."""
        node = int(strike.on)
        await asyncio.to_thread(self._house.broker.kill, node)
        self.force.kills["broker"] += 1
        await asyncio.sleep(strike.secs)
        await asyncio.to_thread(self._house.broker.start, node)

    async def _join(self, strike: Strike) -> None:
        """Add a second worker and wait until it has partitions; a second writer only stands by."""
        if strike.how.startswith("restore") and not await self.force.until(lambda: self._house.published(strike.on)):
            self.force.miss(f"no checkpoint of {strike.on} was published")
        second = self._house.join(strike.on, strike.how)
        self._visiting.add(strike.on)

        async def came() -> bool:
            return bool(await second.partitions())

        async def died() -> bool:
            return bool(second.restarts)

        if strike.on == WRITER:
            if not await self.force.until(second.answers):
                self.force.miss(f"the second {strike.on} did not come up")
            return
        if await self.force.until(died if strike.how else came):
            self.force.points.update([strike.how.partition(":")[0]] if strike.how else [])
        elif strike.how:
            second.file.signal(signal.SIGKILL)
            self.force.miss(f"the second {strike.on} did not come by {strike.how} and was killed elsewhere")
        self.force.kills.update([f"second {strike.on}"] if strike.how else [])
        if await self.force.until(came):
            self._takeovers += 1
        else:
            self.force.miss(f"the second {strike.on} got no partitions")

    async def _leave(self, strike: Strike) -> None:
        """Remove the second worker and wait until the first one has all partitions again."""
        second, first = self._house.seconds[strike.on], self._house.first(strike.on)
        before = await first.partitions()
        pid = await self.force.arm(first, strike.how) if strike.how else None
        await second.stop(signal.SIGKILL if strike.kind == Kind.LOSE else signal.SIGTERM)
        unmount(second.settings.state)
        self._visiting.remove(strike.on)
        if strike.how:
            await self.force.see_crash(first, strike.how, pid, PATIENCE_SECS)

        async def whole() -> bool:
            return await first.partitions() == self._house.total(strike.on)

        if await self.force.until(whole):
            self._takeovers += before < self._house.total(strike.on)
        else:
            self.force.miss(f"the first {strike.on} did not get all partitions back")

    async def _freeze(self, strike: Strike) -> None:
        """Stop a worker for longer than its session, so that the other one folds all, and let it go on."""
        if strike.on == WRITER:
            await self.writers.freeze(strike)
            return
        zombie = await self.force.up(self._house.first(strike.on))
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
            self.force.miss("no small disk, for this user may not mount one")
            return

        async def works() -> bool:
            return bool(await second.partitions())

        if not await self.force.until(works):
            self.force.miss(f"the second {strike.on} did not come back on a small disk")
        ballast = second.settings.state / "ballast"
        fill(ballast)
        await asyncio.sleep(strike.secs)
        self.force.say(
            f"          the disk was full for {strike.secs:.0f} s; the worker was started {second.restarts} times"
        )
        ballast.unlink()
        if not await self.force.until(works):
            self.force.miss(f"the second {strike.on} did not go on when its disk was freed")

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
