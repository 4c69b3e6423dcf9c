"""The senders: agencies that report without a pause through all doors, as real clients do, and write down the answers.

Whoever gets no answer over HTTP sends the same again: most under a delivery's name, which makes it count once, some
without, and then nobody knows how often it counted. Whoever sends over Kafka has an idempotent producer. Whoever drops
files gathers what goes into one, and waits for what comes back.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b
from random import Random

import httpx
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from ops import secrets
from ops.chaos.ledger import Account, Ledger, Told
from ops.chaos.over_files import FileDoor
from ops.chaos.over_http import Event, HttpDoor, Request
from ops.chaos.traffic import Delivery
from ops.publish_kafka import encoded
from ops.settings import Settings
from schemas.contracts import FAMILIES
from schemas.conventions import Convention
from streams.kafka import Kafka
from streams.topics import Topics

_TURN_SECS = 0.1
_AT_ONCE = 24
"""Requests under way at most; with more unanswered the senders wait, as people would."""

_MOST, _MOST_ROWS = 25, 500
"""Events of a request, and of a file, at most."""

_DROPPED = 0.07
"""Share of the accounts that drop at each turn what they have gathered."""

_NAMELESS = 0.25
"""Share of the requests that are sent without a delivery's name."""


class Senders:
    """All agencies of one run."""

    def __init__(
        self, settings: Settings, convention: Convention, ledger: Ledger, kafka: Kafka, chance: Random
    ) -> None:
        """`kafka` is the agencies' own way to Kafka; the rest of the run is in `settings`."""
        self._url = settings.gateway_url
        self._keys = {code: secrets.api_key(settings.secrets, code) for code in convention.agencies}
        self._families = {code: frozenset(agency.families) for code, agency in convention.agencies.items()}
        self._topics = Topics.of(settings.generation, convention)
        self._ledger = ledger
        self._kafka = kafka
        self._chance = chance
        self._requests = 0
        self._gathered: dict[Account, list[Delivery]] = {}
        """What goes by file and is not dropped yet."""
        self.files = FileDoor(settings.files_directory, chance)
        self._room = asyncio.Semaphore(_AT_ONCE)
        self.messages: dict[bytes, Event] = {}
        """What was sent to agencies' topics, by the digest of its bytes."""
        self.acknowledged: Counter[bytes] = Counter()
        """How often Kafka said that it has these bytes."""
        self.sent: Counter[str] = Counter()
        """Events that were answered, or acknowledged by Kafka, by door."""

    async def send(self, deliveries: Iterator[Delivery], per_sec: float, enough: asyncio.Event) -> None:
        """Send at this rate until `enough`, or until nothing is left; return when all is answered or acknowledged."""
        producer = AIOKafkaProducer(**self._kafka.options(), acks="all", enable_idempotence=True, linger_ms=5)
        limits = httpx.Limits(max_connections=_AT_ONCE)
        async with producer, httpx.AsyncClient(timeout=30, limits=limits) as http, asyncio.TaskGroup() as under_way:
            door = HttpDoor(http, self._url, self._keys)
            next_at = time.monotonic()
            while not enough.is_set():
                turn = [each for _, each in zip(range(round(per_sec * _TURN_SECS)), deliveries, strict=False)]
                if not turn:
                    break
                for request in self._requests_of(_by_account(turn, "http"), _MOST):
                    await self._room.acquire()
                    under_way.create_task(self._post(door, request))
                for delivery in turn:
                    if delivery.door == "kafka":
                        under_way.create_task(self._produce(producer, delivery))
                for account, own in _by_account(turn, "file").items():
                    self._gathered.setdefault(account, []).extend(own)
                for request in self._files_of(_DROPPED):
                    under_way.create_task(self._drop(request))
                next_at = max(next_at + _TURN_SECS, time.monotonic() - 1.0)
                await asyncio.sleep(max(0.0, next_at - time.monotonic()))
            for request in self._files_of(1.0):
                under_way.create_task(self._drop(request))

    def _files_of(self, share: float) -> Iterator[Request]:
        """Yield the files of this share of the accounts that have gathered something."""
        chosen = [account for account in self._gathered if self._chance.random() < share]
        yield from self._requests_of({account: self._gathered.pop(account) for account in chosen}, _MOST_ROWS)

    def _requests_of(self, accounts: Mapping[Account, Sequence[Delivery]], most: int) -> Iterator[Request]:
        """Share events out among requests or files of random sizes."""
        for account, own in accounts.items():
            entitled = account[1] in self._families[account[0]]
            begin = 0
            while begin < len(own):
                size = self._chance.randint(1, most) if entitled else 1  # refused as a whole, it would be one delivery
                self._requests += 1
                key = None if self._chance.random() < _NAMELESS else f"chaos-{self._requests}"
                single = not entitled or (size == 1 and self._chance.random() < 0.5)
                yield Request(account, [_event(each) for each in own[begin : begin + size]], single, key)
                begin += size

    async def _post(self, door: HttpDoor, request: Request) -> None:
        """Deliver a request and write down what was answered."""
        try:
            self._tell("http", await door.deliver(request))
        finally:
            self._room.release()

    async def _drop(self, request: Request) -> None:
        """Drop a file and write down what came back."""
        self._tell("file", await self.files.deliver(request))

    def _tell(self, door: str, told: Sequence[Told]) -> None:
        self._ledger.tell(told)
        self.sent[door] += len(told)

    async def _produce(self, producer: AIOKafkaProducer, delivery: Delivery) -> None:
        """Send a message until Kafka has acknowledged it; each time that it arrives is a delivery of its own."""
        value = delivery.line if delivery.raw else encoded(delivery.line, FAMILIES[delivery.family])
        name = digest(value)
        self.messages[name] = _event(delivery)
        role = f"agency:{delivery.agency}:{delivery.family}"
        partition = self._chance.randrange(self._topics.partitions(role))
        while True:
            try:
                await producer.send_and_wait(self._topics.name(role), value, partition=partition)
            except KafkaError:
                await asyncio.sleep(0.5)
            else:
                self.acknowledged[name] += 1
                self.sent["kafka"] += 1
                return


def _by_account(turn: Sequence[Delivery], door: str) -> dict[Account, list[Delivery]]:
    """Return what goes through a door, by agency and family."""
    accounts: dict[Account, list[Delivery]] = {}
    for delivery in turn:
        if delivery.door == door:
            accounts.setdefault((delivery.agency, delivery.family), []).append(delivery)
    return accounts


def _event(delivery: Delivery) -> Event:
    return Event(delivery.line, delivery.wanted)


def digest(value: bytes) -> bytes:
    """Return a short name of a message's bytes."""
    return blake2b(value, digest_size=12).digest()
