"""Load on the HTTP door: crossings at a steady rate, or as many as it takes, from a process of its own.

    python -m bench.background --rate 2000          until SIGTERM
    python -m bench.background --events 100000      so many, as fast as they are answered

Reads the settings from the environment, as every process does. Says BEGIN when it begins to send; its last line is how
many events were accepted, and in how many seconds.
"""

from __future__ import annotations

import argparse
import asyncio
import secrets as chance
import signal
import time
from collections.abc import Iterator, Sequence
from itertools import islice

import aiohttp

from bench.events import AGENCY, CROSSING, Crossings
from ops import secrets, settings
from schemas.codelists import CodeLists
from schemas.conventions import load
from schemas.errors import Unavailable

BATCH = 100
AT_ONCE = 8


class Sender:
    """Sends batches to the door and counts what is accepted."""

    def __init__(self, http: aiohttp.ClientSession, url: str, events: Iterator[bytes]) -> None:
        """`events` may be endless."""
        self._http = http
        self._url = url
        self._events = events
        self._turns = asyncio.Semaphore(AT_ONCE)
        self.accepted = 0

    async def steadily(self, rate: float, stopped: asyncio.Event) -> None:
        """Send so many events a second until `stopped`; what the door is late with is made up for."""
        began = time.monotonic()
        async with asyncio.TaskGroup() as batches:
            sent = 0
            while not stopped.is_set():
                wait = began + sent / rate - time.monotonic()
                if wait > 0:
                    await asyncio.sleep(wait)
                await self._turns.acquire()
                batches.create_task(self._send(list(islice(self._events, BATCH))))
                sent += BATCH

    async def all(self) -> None:
        """Send all events, as fast as they are answered."""
        async with asyncio.TaskGroup() as batches:
            while batch := list(islice(self._events, BATCH)):
                await self._turns.acquire()
                batches.create_task(self._send(batch))

    async def _send(self, batch: list[bytes]) -> None:
        try:
            headers = {"Content-Type": "application/x-ndjson"}
            async with self._http.post(self._url, data=b"\n".join(batch), headers=headers) as response:
                if response.status != 200:
                    raise Unavailable("bench-door", f"The door answered {response.status}.")
                self.accepted += (await response.json())["summary"]["accepted"]
        finally:
            self._turns.release()


def door(of: settings.Settings) -> tuple[str, dict[str, str]]:
    """Return the address for crossings and the headers that say who sends."""
    return f"{of.gateway_url}/v1/events/{CROSSING.name}", {"X-API-Key": secrets.api_key(of.secrets, AGENCY)}


def crossings(of: settings.Settings) -> Crossings:
    """Return what makes events under the convention in force."""
    return Crossings(CodeLists.load(*load(of.convention).codelist_directories))


async def _publish(rate: float | None, events: int | None) -> tuple[int, float]:
    of = settings.load()
    url, headers = door(of)
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    made = crossings(of).background(chance.token_hex(4))
    async with aiohttp.ClientSession(headers=headers) as http:
        sender = Sender(http, url, made if events is None else islice(made, events))
        print("BEGIN", flush=True)
        began = time.monotonic()
        await (sender.all() if rate is None else sender.steadily(rate, stopped))
    return sender.accepted, time.monotonic() - began


def main(argv: Sequence[str] | None = None) -> None:
    """Send, and print the number of events accepted and the seconds taken."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    how = options.add_mutually_exclusive_group(required=True)
    how.add_argument("--rate", type=float)
    how.add_argument("--events", type=int)
    chosen = options.parse_args(argv)
    print(*asyncio.run(_publish(chosen.rate, chosen.events)))


if __name__ == "__main__":
    main()
