"""Doors in processes of their own, on a Kafka of their own, which kill themselves where they are told to."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
from aiokafka import AIOKafkaConsumer, TopicPartition

from ops import secrets, topics
from ops.access import access
from ops.broker import Broker
from ops.settings import Broker as BrokerSettings
from ops.settings import Settings, with_free_ports
from ops.status import get
from schemas.conventions import load
from schemas.frame import decode
from schemas.header import Header, unpack
from streams.crash_points import CrashPoint
from streams.topics import Topics
from tests.waiting import until

_PATH = "/v1/events/border.crossing"


class OnKafka(NamedTuple):
    """A Kafka and the settings of a system that uses it."""

    broker: Broker
    settings: Settings


@contextmanager
def on_kafka(home: Path, **own: Any) -> Iterator[OnKafka]:
    """Give a Kafka with our topics, and the settings of a system with secrets; `own`: settings beside the addresses."""
    with Broker(home / "kafka") as broker:
        settings = with_free_ports(home / "home", **own)
        settings = settings.model_copy(update={"broker": BrokerSettings(bootstrap=broker.bootstrap)})
        convention = load(settings.convention)
        secrets.make(settings.secrets, convention.agencies)
        asyncio.run(topics.apply(access(settings), Topics.of(1, convention)))
        yield OnKafka(broker, settings)


class DoorProcess:
    """One door; `name` is its command."""

    def __init__(self, name: str, settings: Settings) -> None:
        self.settings = settings
        self._name = name
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        return self.settings.home / f"{self._name}.log"

    def start(self, crash: tuple[CrashPoint, int] | None = None) -> None:
        """Start it; `crash`: the nth time that it reaches this point it kills itself."""
        if crash is not None:
            armed = self.settings.home / "run" / f"crash-at-{self._name}"
            armed.parent.mkdir(exist_ok=True)
            armed.write_text(f"{crash[0]}:{crash[1]}")
        with self.log.open("ab") as log:
            argv = [sys.executable, "-m", "ops.cli", self._name]
            self._process = subprocess.Popen(argv, env=self.settings.inherited(), stdout=log, stderr=log)

    def until_it_answers(self) -> None:
        """Wait until it answers; fails when it ends before."""

        def answers() -> bool:
            assert self.ended is None, self.log.read_text()
            return get(*self.settings.address(self._name), "/health") is not None

        until(answers, 100)

    @property
    def ended(self) -> int | None:
        """How it ended; None: it has not."""
        assert self._process is not None
        return self._process.poll()

    def wait(self) -> int:
        """Wait for its end; return how it ended."""
        assert self._process is not None
        return self._process.wait(60)

    def kill(self) -> None:
        """Kill it, and wait until it is gone."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(60)

    def stop(self) -> None:
        """End it as its supervisor would, if it runs."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            assert self._process.wait(60) in {0, 75}  # 75: it lost Kafka, and would start anew

    def kept(self) -> list[Header]:
        """Return all that the inbox holds."""
        found = asyncio.run(inbox(self.settings.broker.bootstrap))
        return [header for _, value in found for header in unpack(decode(value).headers)]


class Gateway(DoorProcess):
    """A gateway, asked as an agency does."""

    def __init__(self, settings: Settings) -> None:
        super().__init__("gateway", settings)
        self.key = secrets.api_key(settings.secrets, "gpk")

    def start(self, crash: tuple[CrashPoint, int] | None = None) -> None:
        """Start it and wait until it is ready; `crash` as in `DoorProcess.start`."""
        super().start(crash)
        self.until_it_answers()
        until(self.ready)

    def ready(self) -> bool:
        """Whether it would take events."""
        try:
            return httpx.get(f"{self.settings.gateway_url}/ready").status_code == 200
        except httpx.TransportError:
            return False

    def post(self, body: bytes, key: str | None) -> httpx.Response:
        """Send a batch of crossings, a line each; `key` is its Idempotency-Key."""
        return httpx.post(f"{self.settings.gateway_url}{_PATH}", content=body, headers=self.headers(key), timeout=60)

    def headers(self, key: str | None) -> dict[str, str]:
        """Return what goes with a batch."""
        named = {} if key is None else {"Idempotency-Key": key}
        return {"X-API-Key": self.key, "Content-Type": "application/x-ndjson", **named}

    def cut(self, body: bytes, key: str, sent: int) -> None:
        """Send so many bytes of the body, and close the connection without listening."""
        head = [f"POST {_PATH} HTTP/1.1", "Host: gateway", f"Content-Length: {len(body)}"]
        head += [f"{name}: {value}" for name, value in self.headers(key).items()]
        with socket.create_connection((self.settings.gateway.host, self.settings.gateway.port)) as line:
            line.sendall("\r\n".join([*head, "", ""]).encode() + body[:sent])


async def inbox(bootstrap: str) -> list[tuple[int, bytes]]:
    """Return partition and value of each frame in the inbox."""
    topic = Topics.of(1, load())["inbox"]
    found: list[tuple[int, bytes]] = []
    places = [TopicPartition(topic.name, n) for n in range(topic.partitions)]
    async with AIOKafkaConsumer(bootstrap_servers=bootstrap) as consumer:
        consumer.assign(places)
        await consumer.seek_to_beginning(*places)
        for place, end in (await consumer.end_offsets(places)).items():
            while await consumer.position(place) < end:
                for message in (await consumer.getmany(place, timeout_ms=1000)).get(place, []):
                    found.append((place.partition, message.value))
    return found


def since(before: list[Header], now: list[Header]) -> Counter[int]:
    """Count what came by its kind, each delivery once, as deduplicate does."""
    known = {header.delivery for header in before}
    return Counter(kind for _, kind in {(h.delivery, h.kind) for h in now if h.delivery not in known})
