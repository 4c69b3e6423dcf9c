"""The senders: agencies that report without a pause through both doors, as real clients do, and write down the answers.

Whoever gets no answer over HTTP sends the same again: most under a delivery's name, which makes it count once, some
without, and then nobody knows how often it counted. Whoever sends over Kafka has an idempotent producer.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from random import Random
from typing import Any, NamedTuple

import httpx
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from ops import secrets
from ops.chaos.ledger import Ledger, Told
from ops.demo.faults import Delivery
from ops.publish_kafka import encoded
from ops.settings import Settings
from schemas.contracts import FAMILIES
from schemas.conventions import Convention
from streams.topics import Topics

_TURN_SECS = 0.1
_AT_ONCE = 24
"""Requests under way at most; with more unanswered the senders wait, as people would."""

_MOST = 25
"""Events of a request at most."""

_NAMELESS = 0.25
"""Share of the requests that are sent without a delivery's name."""

_LATER = frozenset({408, 429, 500, 502, 503, 504})
"""Statuses under which nothing was said to be accepted."""

Account = tuple[str, str]


class _Request(NamedTuple):
    """Some events of one agency and family in one body; alone, one may stand as an object."""

    account: Account
    deliveries: Sequence[Delivery]
    single: bool
    key: str | None  # Idempotency-Key


class Message(NamedTuple):
    """What an agency meant by a message on its topic."""

    line: bytes
    wanted: str


class Senders:
    """All agencies of one run."""

    def __init__(
        self, settings: Settings, convention: Convention, ledger: Ledger, bootstrap: str, chance: Random
    ) -> None:
        """`bootstrap` is the agencies' own way to Kafka; the rest of the run is in `settings`."""
        self._url = "http://{}:{}".format(*settings.address("gateway"))
        self._keys = {code: secrets.api_key(settings.secrets, code) for code in convention.agencies}
        self._families = {code: frozenset(agency.families) for code, agency in convention.agencies.items()}
        self._topics = Topics.of(settings.generation, convention)
        self._ledger = ledger
        self._bootstrap = bootstrap
        self._chance = chance
        self._requests = 0
        self._room = asyncio.Semaphore(_AT_ONCE)
        self.messages: dict[bytes, Message] = {}
        """What was sent to agencies' topics, by the digest of its bytes."""
        self.acknowledged: Counter[bytes] = Counter()
        """How often Kafka said that it has these bytes."""
        self.repeats = 0
        """Requests that were sent again, because no answer came."""
        self.sent = 0
        """Deliveries sent, or about to be."""
        self.answered = 0
        """Deliveries through HTTP that were answered."""

    async def send(self, deliveries: Iterator[Delivery], per_sec: float, enough: asyncio.Event) -> None:
        """Send at this rate until `enough`, or until nothing is left; return when all is answered or acknowledged."""
        producer = AIOKafkaProducer(bootstrap_servers=self._bootstrap, acks="all", enable_idempotence=True, linger_ms=5)
        limits = httpx.Limits(max_connections=_AT_ONCE)
        async with producer, httpx.AsyncClient(timeout=30, limits=limits) as http, asyncio.TaskGroup() as under_way:
            next_at = time.monotonic()
            while not enough.is_set():
                turn = [each for _, each in zip(range(round(per_sec * _TURN_SECS)), deliveries, strict=False)]
                if not turn:
                    return
                self.sent += len(turn)
                for request in self._requests_of(turn):
                    await self._room.acquire()
                    under_way.create_task(self._post(http, request))
                for delivery in turn:
                    if delivery.door == "kafka":
                        under_way.create_task(self._produce(producer, delivery))
                next_at = max(next_at + _TURN_SECS, time.monotonic() - 1.0)
                await asyncio.sleep(max(0.0, next_at - time.monotonic()))

    def _requests_of(self, turn: Sequence[Delivery]) -> Iterator[_Request]:
        """Share what goes over HTTP out among requests of random sizes."""
        accounts: dict[Account, list[Delivery]] = {}
        for delivery in turn:
            if delivery.door == "http":
                accounts.setdefault((delivery.agency, delivery.family), []).append(delivery)
        for account, own in accounts.items():
            entitled = account[1] in self._families[account[0]]
            begin = 0
            while begin < len(own):
                size = self._chance.randint(1, _MOST) if entitled else 1  # refused as a whole, it would be one delivery
                self._requests += 1
                key = None if self._chance.random() < _NAMELESS else f"chaos-{self._requests}"
                single = not entitled or (size == 1 and self._chance.random() < 0.5)
                yield _Request(account, own[begin : begin + size], single, key)
                begin += size

    async def _post(self, http: httpx.AsyncClient, request: _Request) -> None:
        """Send until there is an answer, and write it down."""
        try:
            agency, family = request.account
            headers = {"X-API-Key": self._keys[agency]}
            headers["Content-Type"] = "application/json" if request.single else "application/x-ndjson"
            if request.key is not None:
                headers["Idempotency-Key"] = request.key
            body = b"\n".join(delivery.line for delivery in request.deliveries)
            unanswered = 0
            while (answer := await self._ask(http, f"{self._url}/v1/events/{family}", body, headers)) is None:
                unanswered += 1
                self.repeats += 1
                await asyncio.sleep(0.2)
            self._note(request, answer, 0 if request.key is not None else unanswered)
        finally:
            self._room.release()

    async def _ask(
        self, http: httpx.AsyncClient, url: str, body: bytes, headers: dict[str, str]
    ) -> dict[str, Any] | None:
        """Return what the door said; None: nothing that says what became of it. Waits while there is no door at all."""
        while True:
            try:
                answer = await http.post(url, content=body, headers=headers)
            except httpx.ConnectError:  # nobody heard anything
                await asyncio.sleep(0.2)
                continue
            except httpx.TransportError:
                return None
            if answer.status_code in _LATER:
                return None
            told: dict[str, Any] = answer.json()
            return told

    def _note(self, request: _Request, answer: dict[str, Any], more: int) -> None:
        verdicts = [answer] if request.single else answer["verdicts"]
        agency, family = request.account
        self._ledger.tell(
            Told(agency, family, delivery.line, wanted(delivery), verdict["answer"], verdict["record_no"], 1, 1 + more)
            for delivery, verdict in zip(request.deliveries, verdicts, strict=True)
        )
        self.answered += len(verdicts)

    async def _produce(self, producer: AIOKafkaProducer, delivery: Delivery) -> None:
        """Send a message until Kafka has acknowledged it; each time that it arrives is a delivery of its own."""
        value = delivery.line if delivery.raw else encoded(delivery.line, FAMILIES[delivery.family])
        name = digest(value)
        self.messages[name] = Message(delivery.line, wanted(delivery))
        role = f"agency:{delivery.agency}:{delivery.family}"
        partition = self._chance.randrange(self._topics.partitions(role))
        while True:
            try:
                await producer.send_and_wait(self._topics.name(role), value, partition=partition)
            except KafkaError:
                await asyncio.sleep(0.5)
            else:
                self.acknowledged[name] += 1
                return


def wanted(delivery: Delivery) -> str:
    """Return the answer that a delivery deserves."""
    return "refused" if delivery.answer == "refused" else "accepted"


def digest(value: bytes) -> bytes:
    """Return a short name of a message's bytes."""
    return blake2b(value, digest_size=12).digest()
