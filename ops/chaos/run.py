"""A run of chaos from its set-up to its verdict."""

from __future__ import annotations

import asyncio
import json
import os
import platform
import signal
import subprocess
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import httpx
from rich.console import Console

from ops.chaos.check import Result, check
from ops.chaos.collect import Feed, fates, settled
from ops.chaos.families import CONVENTION
from ops.chaos.house import House
from ops.chaos.ledger import Ledger
from ops.chaos.plan import Kind, Strike, plan
from ops.chaos.reckon import Reckoning
from ops.chaos.senders import Senders
from ops.chaos.strikes import Strikes
from ops.chaos.tables import Country
from ops.chaos.traffic import DELIVERIES_EACH, Traffic
from ops.chaos.verdicts import Heard, hear
from ops.settings import Settings
from schemas import codelists

RATE = 400
"""Events a second, so that the machine still has air."""

ANSWER_SECS = 180.0
SETTLE_SECS = 180.0
"""How long, after the last strike, answers may take, and then figures and books."""

_TYPICAL_SECS = {Kind.KILL: 1.5, Kind.CRASH: 5.0, Kind.BROKER: 12.0, Kind.JOIN: 10.0, Kind.LEAVE: 8.0, Kind.LOSE: 10.0}
"""How long a strike takes beside what the plan says, roughly."""


@dataclass(slots=True)
class Course:
    """How a run went."""

    heard: Heard | None = None
    sent: Counter[str] = field(default_factory=Counter)  # events by door
    files: Counter[str] = field(default_factory=Counter)  # dropped, and of them torn ones and repeats
    astray: int = 0  # files with two answers
    answered: bool = True
    settled: bool = False
    longest_stall_secs: float = 0.0
    secs: float = 0.0  # from the first event sent to the last strike
    settle_secs: float = 0.0


@dataclass(frozen=True)
class Orders:
    """What is asked of a run."""

    kills: int
    seed: int
    nodes: int = 1
    minutes: float | None = None  # no strike begins after them
    rate: int = RATE
    report: Path | None = None  # file to which the figures are added, one JSON line a run


def main(orders: Orders, settings: Settings) -> int:
    """Run in `<home>/chaos`; returns 0 if nothing was lost and nothing double. The ledger stays there."""
    console = Console(width=None if Console().is_terminal else 140)
    strikes = plan(orders.seed, orders.kills, orders.nodes)
    for strike in strikes:
        console.print(f"  {strike}", highlight=False, soft_wrap=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what was started is taken down then, too
    chaos = Chaos(orders, settings, console)
    result, course = asyncio.run(chaos.run(strikes))
    return 0 if chaos.conclude(result, course) else 1


class Chaos:
    """One run."""

    def __init__(self, orders: Orders, settings: Settings, console: Console) -> None:
        """Nothing is started yet."""
        self._orders = orders
        self._console = console
        self._house = House(settings, orders.nodes)
        self._strikes = Strikes(self._house, self._chance("strikes"), self._say)

    async def run(self, strikes: list[Strike]) -> tuple[Result, Course]:
        """Bring the house up, send, strike, wait, compare, and take it down."""
        course = Course()
        async with self._house.open(), httpx.AsyncClient() as http:
            ledger = Ledger(self._house.home / "ledger.db")
            feed = Feed(http, self._house.settings)
            senders = Senders(self._house.settings, self._house.convention, ledger, self._house.broker.kafka,
                              self._chance("senders"))  # fmt: skip
            await self._under_fire(senders, feed, strikes, course)
            began = time.monotonic()
            course.heard = await self._hear(senders)
            ledger.tell(course.heard.told)
            course.sent, course.files, course.astray = senders.sent, senders.files.counts, senders.files.astray()
            country = Country.read(CONVENTION, codelists.DIRECTORY / "COUNTRY.csv")
            reckoned = await asyncio.to_thread(Reckoning, ledger, country)
            course.settled = await settled(feed, reckoned.accounts, SETTLE_SECS)
            course.settle_secs = time.monotonic() - began
            self._say(f"settled after {course.settle_secs:.0f} s" if course.settled else "it did not settle")
            await self._collect(ledger, feed, http, reckoned)
            return check(ledger, reckoned), course

    async def _under_fire(self, senders: Senders, feed: Feed, strikes: list[Strike], course: Course) -> None:
        """Send until the last strike, then until all is answered."""
        orders, enough = self._orders, asyncio.Event()
        secs = sum(_TYPICAL_SECS.get(s.kind, 1.0) + s.pause_secs + s.secs for s in strikes)
        secs = min(secs * 2, (orders.minutes or 1e9) * 60 * 1.2)
        traffic = Traffic(self._house.convention, orders.seed, round(secs * orders.rate / DELIVERIES_EACH))
        began = time.monotonic()
        sending = asyncio.create_task(senders.send(traffic.deliveries(), orders.rate, enough))
        watching = asyncio.create_task(_watch(feed, course))
        try:
            await self._strikes.carry_out(strikes, began + (orders.minutes or 1e9) * 60)
            course.secs = time.monotonic() - began
            enough.set()
            await asyncio.wait_for(sending, ANSWER_SECS)
        except TimeoutError:
            course.answered = False
            self._say(f"some senders had no answer within {ANSWER_SECS:.0f} s")
        finally:
            watching.cancel()
            sending.cancel()

    async def _hear(self, senders: Senders) -> Heard:
        """Wait until every message on the agencies' topics has its verdict."""
        end = time.monotonic() + ANSWER_SECS
        house = self._house
        while True:
            heard = await hear(house.broker.kafka, house.topics, senders.messages, senders.acknowledged)
            if not heard.unanswered or time.monotonic() > end:
                return heard
            await asyncio.sleep(2.0)

    async def _collect(self, ledger: Ledger, feed: Feed, http: httpx.AsyncClient, reckoned: Reckoning) -> None:
        ledger.find_cells(await feed.cells())
        for account, counts in (await feed.books()).items():
            ledger.find_book(account, counts)
        # in a thread: while this loop stood still, the proxies would, and workers would lose their sessions
        records = await asyncio.to_thread(lambda: [fate.record for fate in reckoned.fates()])
        ledger.find_fates((await fates(http, self._house.settings, records)).items())

    def conclude(self, result: Result, course: Course) -> bool:
        """Print what differs and the last line, write the report, and return whether all is well."""
        heard = course.heard or Heard([], 0, 0, 0)
        result.differs("messages without a verdict", heard.unanswered)
        result.differs("verdicts that contradict another one", -heard.contradicted)
        result.differs("files that were answered twice, or otherwise when they came again", -course.astray)
        result.differs("writes of a worker without the lease", -self._strikes.writers.intrusions)
        result.differs("messages that Kafka acknowledged and lost", heard.vanished)
        for difference in result.differences:
            self._console.print(difference, highlight=False, soft_wrap=True)
        strikes = self._strikes
        kills, zombies = strikes.force.kills.total(), strikes.done[Kind.ZOMBIE]
        figures = self._figures(result, course)
        self._console.print(json.dumps(figures), highlight=False, soft_wrap=True)
        if self._orders.report is not None:
            with self._orders.report.open("a", encoding="utf-8") as lines:
                lines.write(json.dumps(figures) + "\n")
        self._console.print(
            f"kills={kills} zombies={zombies} takeovers={strikes.takeovers} accepted={result.accepted} "
            f"cells={result.cells} lost={result.lost} double={result.double}",
            highlight=False,
            soft_wrap=True,
        )
        return result.exact and course.answered and course.settled

    def _figures(self, result: Result, course: Course) -> dict[str, Any]:
        strikes, orders = self._strikes, self._orders
        return {
            "seed": orders.seed,
            "commit": _commit(),
            "hardware": f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}",
            "nodes": orders.nodes,
            "rate": orders.rate,
            "kills": dict(sorted(strikes.force.kills.items())),
            "points": dict(sorted(strikes.force.points.items())),
            "strikes": dict(sorted(strikes.done.items())),
            "kills_with_lag": strikes.with_lag,
            "takeovers": strikes.takeovers,
            "skipped": strikes.force.skipped,
            "sent": dict(sorted(course.sent.items())),
            "files": dict(sorted(course.files.items())),
            "accepted": result.accepted,
            "records": result.records,
            "cells": result.cells,
            "lost": result.lost,
            "double": result.double,
            "answered": course.answered,
            "settled": course.settled,
            "secs": round(course.secs, 1),
            "settle_secs": round(course.settle_secs, 1),
            "longest_stall_secs": round(course.longest_stall_secs, 1),
        }

    def _chance(self, use: str) -> Random:
        return Random(f"{self._orders.seed}/{use}")  # noqa: S311 - no secret: the same seed must bring the same run

    def _say(self, what: str) -> None:
        self._console.print(what, highlight=False, soft_wrap=True)


async def _watch(feed: Feed, course: Course) -> None:
    """Note the longest time in which a reader of the feed saw no new cut."""
    cut, since = None, time.monotonic()
    while True:
        newest = await feed.cut()
        if newest is not None and newest != cut:
            cut, since = newest, time.monotonic()
        course.longest_stall_secs = max(course.longest_stall_secs, time.monotonic() - since)
        await asyncio.sleep(0.25)


def _commit() -> str | None:
    """Return the commit of this checkout; None outside of one."""
    argv = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
    try:
        asked = subprocess.run(argv, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return asked.stdout.strip() or None
