"""Probes: single events that are sent to the door and looked for in the feed."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import aiohttp
import orjson

from bench.events import AGENCY, CROSSING, Cell, Crossings
from ops import secrets
from ops.pids import PidFile
from ops.processes import AGENTS
from ops.settings import Settings
from schemas.codelists import CodeLists
from schemas.conventions import load
from schemas.errors import Unavailable

A_SECOND = 25
ASK_EVERY_SECS = 0.05
PATIENCE_SECS = 120.0


@dataclass(slots=True)
class Probe:
    """One event on its way; instants in seconds since 1970, 0: not yet."""

    answered: float = 0.0
    seen: float = 0.0
    tick: int = 0
    """The cut as of which it was seen first."""

    @property
    def delay(self) -> float:
        """Seconds from the door's answer to the feed's."""
        return self.seen - self.answered


class Kills(NamedTuple):
    """One of the agents' workers, by chance, is killed every so many seconds; the seed repeats their order."""

    every_secs: float
    seed: int = 7


class Probing:
    """The probes of one run: sends them, and asks the feed for them."""

    def __init__(self, settings: Settings, first: int = 0) -> None:
        """`first` is the number of the first probe; a number is used once in a system."""
        self._settings = settings
        self._first = first
        self._crossings = Crossings(CodeLists.load(*load(settings.convention).codelist_directories))
        self._waiting: dict[Cell, Probe] = {}
        self._sent_all = False

    async def all(self, probes: int, kills: Kills | None) -> tuple[list[str], list[Probe]]:
        """Send the probes, wait until the feed shows each; return who was killed meanwhile, and the probes."""
        sent = [Probe() for _ in range(probes)]
        killed: list[str] = []
        async with aiohttp.ClientSession() as http:
            asking = asyncio.create_task(self._ask(http))
            killing = asyncio.create_task(self._kill(kills, killed)) if kills else None
            await self._send(http, sent)
            if killing is not None:
                killing.cancel()
            await asking
        return killed, sent

    async def _send(self, http: aiohttp.ClientSession, probes: Sequence[Probe]) -> None:
        url = f"{self._settings.gateway_url}/v1/events/{CROSSING.name}"
        headers = {"X-API-Key": secrets.api_key(self._settings.secrets, AGENCY), "Content-Type": "application/json"}
        began = time.monotonic()
        async with asyncio.TaskGroup() as tasks:
            for number, probe in enumerate(probes):
                await asyncio.sleep(began + number / A_SECOND - time.monotonic())
                cell, event = self._crossings.probe(self._first + number)
                self._waiting[cell] = probe
                tasks.create_task(self._deliver(http, url, headers, event, probe))
        self._sent_all = True

    async def _deliver(
        self, http: aiohttp.ClientSession, url: str, headers: Mapping[str, str], event: bytes, probe: Probe
    ) -> None:
        async with http.post(url, data=event, headers=headers) as response:
            probe.answered = time.time()
            if response.status != 202:
                raise Unavailable("bench-door", f"The door answered {response.status} to a probe.")

    async def _ask(self, http: aiohttp.ClientSession) -> None:
        """Ask for the cells of the probes on their way until all have been seen."""
        host, port = self._settings.address("feed")
        url, tag, deadline = f"http://{host}:{port}/v1/tables/F06", "", time.monotonic() + PATIENCE_SECS
        while self._waiting or not self._sent_all:
            periods = sorted(cell.period for cell in self._waiting)
            began = time.monotonic()
            if periods:
                asked_ = {"from": periods[0], "to": periods[-1], "detail": "true", "format": "json"}
                async with http.get(url, params=asked_, headers={"If-None-Match": tag}) as response:
                    body, now = await response.read(), time.time()
                    if response.status == 200:
                        tag = response.headers["ETag"]
                        self._see(orjson.loads(body), now)
                        deadline = time.monotonic() + PATIENCE_SECS
            if began > deadline:
                raise Unavailable("bench-slow", f"{len(self._waiting):,} probes are not counted after two minutes.")
            await asyncio.sleep(max(0.0, began + ASK_EVERY_SECS - time.monotonic()))

    def _see(self, shown: dict[str, Any], now: float) -> None:
        for row in shown["observations"]:
            cell = Cell(row["TIME_PERIOD"], row["DIRECTION"], row["CHECKPOINT"], row["MODE"], row["PURP"])
            probe = self._waiting.pop(cell, None) if row["OBS_VALUE"] else None
            if probe is not None:
                probe.seen, probe.tick = now, int(datetime.fromisoformat(shown["cut"]).timestamp())

    async def _kill(self, kills: Kills, killed: list[str]) -> None:
        chance = random.Random(kills.seed)
        while True:
            await asyncio.sleep(kills.every_secs)
            killed.append(agent := chance.choice(AGENTS))
            PidFile(self._settings.home / "run" / f"{agent}.json").signal(signal.SIGKILL)
