"""Sends the schedule's files as the agencies would: stage by stage, all agencies and both doors at the same time."""

from __future__ import annotations

import asyncio
import base64
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

import httpx
import stamina

from ops import publish, secrets
from ops.access import access
from ops.demo.oracle import Account
from ops.demo.schedule import Lane
from ops.pids import PidFile
from ops.publish_kafka import Road, publish_kafka
from ops.settings import Settings
from ops.tally import Tally
from schemas.contracts import FAMILIES
from schemas.conventions import Convention
from schemas.errors import Broken
from streams.topics import Topics

VICTIMS = ((0.35, "deduplicate"), (0.5, "reconcile"), (0.65, "aggregate"))
"""Whose worker is killed when this share of all deliveries was answered."""

Stages = Sequence[Sequence[tuple[Lane, Path]]]


class Sending:
    """The senders of one run and what they were told."""

    def __init__(
        self,
        settings: Settings,
        convention: Convention,
        total: int,
        victims: Sequence[tuple[float, str]] = VICTIMS,
    ) -> None:
        """`total` deliveries will be sent, and the `victims` killed meanwhile."""
        self._settings = settings
        self._convention = convention
        self._topics = Topics.of(settings.generation, convention)
        self._total = total
        self._all_sent = False
        self.progress: Callable[[int], None] = lambda _: None
        """Is told how many more deliveries were answered."""
        self._answered = 0
        self._victims = list(victims)
        self.tallies: dict[Account, Tally] = {}
        self.kills: list[str] = []
        """Agent, number of its process and the deliveries answered until then, for each worker killed."""

    def told(self) -> dict[Account, int] | None:
        """Return how many deliveries the senders of each account got a verdict for; None until all of them have."""
        if not self._all_sent:
            return None
        return {account: tally.sent for account, tally in self.tallies.items() if tally.sent}

    async def send(self, stages: Stages) -> None:
        """Send everything and wait for all verdicts; raises Unavailable when a door does not answer for long."""
        for stage in stages:
            try:
                async with asyncio.TaskGroup() as lanes:
                    for lane, path in stage:
                        lanes.create_task(self._lane(lane, path))
            except BaseExceptionGroup as several:
                raise several.exceptions[0] from None
        self.finish()

    async def _lane(self, lane: Lane, path: Path) -> None:
        await self.deliver(lane, _raw(path) if lane.raw else publish.events([path]))

    async def deliver(self, lane: Lane, events: Iterable[bytes]) -> None:
        """Send some events of a lane and keep what was answered; raises Unavailable when a door does not answer."""
        if lane.raw:
            tally = await publish_kafka(events, self._road(lane), advance=self._advance)
        elif lane.family not in self._convention.agencies[lane.agency].families:
            tally = await self._unentitled(lane, events)
        else:
            tally = await publish.publish(
                events, lane.family, lane.agency, _door(lane), self._settings, advance=self._advance
            )
        account = (lane.agency, lane.family)
        self.tallies.setdefault(account, Tally())
        self.tallies[account] += tally

    def finish(self) -> None:
        """Say that everything was sent: from now on `told` gives the senders' count."""
        self._all_sent = True

    async def _unentitled(self, lane: Lane, events: Iterable[bytes]) -> Tally:
        """Send events one by one that the agency has no right to send: a batch of them would count as one delivery."""
        headers = {
            "X-API-Key": secrets.api_key(self._settings.secrets, lane.agency),
            "Content-Type": "application/json",
        }
        tally = Tally()
        async with httpx.AsyncClient(base_url=self._settings.gateway_url, headers=headers, timeout=60) as http:
            for event in events:
                tally.told(await _ask(http, f"/v1/events/{lane.family}", event.strip()))
                self._advance(1)
        return tally

    def _road(self, lane: Lane) -> Road:
        return Road(
            kafka=access(self._settings, agency=lane.agency),
            topic=self._topics.name(f"agency:{lane.agency}:{lane.family}"),
            verdicts=self._topics.name(f"verdicts:{lane.agency}"),
            family=FAMILIES[lane.family],
        )

    def _advance(self, number: int) -> None:
        self._answered += number
        self.progress(number)
        while self._victims and self._answered >= self._victims[0][0] * self._total:
            self._kill(self._victims.pop(0)[1])

    def _kill(self, agent: str) -> None:
        """End an agent's worker with SIGKILL; the supervisor starts it again."""
        worker = PidFile(self._settings.home / "run" / f"{agent}.json")
        pid = worker.pid()
        if pid is None:
            raise Broken("demo-nobody-to-kill", f"No worker of {agent} runs; see its log.")
        worker.signal(signal.SIGKILL)
        self.kills.append(f"{agent} (process {pid}) after {self._answered:,} deliveries")


@stamina.retry(on=httpx.HTTPError, attempts=None, timeout=60, wait_initial=0.2, wait_max=2)
async def _ask(http: httpx.AsyncClient, path: str, event: bytes) -> dict[str, Any]:
    """Return the verdict on one event; a repeat after a lost answer carries the same key, so that it counts once."""
    key = blake2b(event, digest_size=16).hexdigest()
    answer = await http.post(path, content=event, headers={"Idempotency-Key": key})
    if answer.is_server_error:
        answer.raise_for_status()
    verdict: dict[str, Any] = answer.json()
    return verdict


def _door(lane: Lane) -> publish.Door:
    return "http" if lane.door == "http" else "kafka"


def _raw(path: Path) -> Iterator[bytes]:
    with path.open("rb") as lines:
        for line in lines:
            yield base64.b64decode(line)
