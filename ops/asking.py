"""Asking: questions about records, put to the workers that have them open, and to the feed store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, closing
from typing import Any

import httpx
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaConnectionError, KafkaError

from connectors.fates import Cuts, Place, Told
from connectors.feed_store.store import FeedStore
from ops.crews import addresses
from ops.settings import Settings
from schemas.conventions import Convention
from schemas.errors import Misconfigured, Unavailable
from streams.kafka import Kafka
from streams.topics import Topics, partition

AT_ONCE = 100
"""Records of one question: the names of many more would not fit into an address."""

WORKER_SECS = 5.0
"""Seconds within which a worker answers."""

_KAFKA_SECS = 5.0

Ends = Callable[[], Awaitable[Mapping[int, int]]]
"""Asks Kafka where each partition of the inbox ends now; raises Unavailable."""


class Workers:
    """The workers and the feed store of one system; what is away raises Unavailable when it is asked, not before."""

    def __init__(self, settings: Settings, convention: Convention, http: httpx.AsyncClient, ends: Ends) -> None:
        """`http` is closed by the caller."""
        self._settings = settings
        self._convention = convention
        self._http = http
        self._ends = ends
        self._store: FeedStore | None = None

    async def present(self) -> AsOfNow:
        """See `connectors.fates.Sources`."""
        ends = await self._ends()
        try:
            store = await asyncio.to_thread(self._shown)
        except Misconfigured as error:  # those who ask can do nothing about it, and nothing else here depends on it
            raise Unavailable("feed-away", error.detail) from error
        return AsOfNow(self._settings, Topics.of(store.generation, self._convention), self._http, (store, ends))

    def close(self) -> None:
        """Let go of the feed store."""
        if self._store is not None:
            self._store.close()

    def _shown(self) -> FeedStore:
        if self._store is None:
            self._store = FeedStore(self._settings.feed_url, self._settings.generation)
        return self._store.shown()


class AsOfNow:
    """The generation that readers see, for one question."""

    def __init__(
        self, settings: Settings, topics: Topics, http: httpx.AsyncClient, known: tuple[FeedStore, Mapping[int, int]]
    ) -> None:
        """`known` are the store as readers see it, and where the inbox ended when the question came."""
        self._settings = settings
        self._topics = topics
        self._http = http
        self._store, self._ends = known

    async def records(self, records: Sequence[bytes]) -> Told:
        """See `connectors.fates.Present`."""
        count = self._topics.partitions("inbox")
        homes = {record: partition(record, count) for record in records}
        found, opened = await self._ask("deduplicate", "records", {r: r.hex() for r in records}, homes)
        waiting = {
            number: max(each["behind"], self._ends.get(number, 0) - each["position"]) for number, each in opened.items()
        }
        return Told(found, {record: Place(home, waiting[home]) for record, home in homes.items()})

    async def standings(self, places: Sequence[tuple[int, bytes]]) -> Told:
        """See `connectors.fates.Present`."""
        count = self._topics.partitions("log")
        homes = {record: partition(block.to_bytes(4, "big"), count) for block, record in places}
        names = {record: f"{block}-{record.hex()}" for block, record in places}
        found, opened = await self._ask("reconcile", "blocks", names, homes)
        return Told(found, {record: Place(home, opened[home]["behind"]) for record, home in homes.items()})

    async def cuts(self, ticks: Iterable[int]) -> Cuts:
        """See `connectors.fates.Present`."""

        def look() -> Cuts:
            latest = self._store.latest_cut()
            return Cuts(latest and latest.tick, {tick: self._store.cut_after(tick) for tick in ticks})

        return await asyncio.to_thread(look)

    async def _ask(
        self, agent: str, question: str, names: Mapping[bytes, str], homes: Mapping[bytes, int]
    ) -> tuple[dict[bytes, Any], dict[int, Any]]:
        """Ask every worker of an agent for what it has open, until all is found; return that, and each partition."""
        found: dict[bytes, Any] = {}
        opened: dict[int, Any] = {}
        missing = list(names)
        for address in addresses(self._settings, agent, self._topics.generation):
            elsewhere = []
            for begin in range(0, len(missing), AT_ONCE):
                some = missing[begin : begin + AT_ONCE]
                told = await self._get(agent, address, question, [names[record] for record in some])
                here = {int(number): each for number, each in told["open"].items()}
                opened = here | opened
                found |= {record: told["found"][record.hex()] for record in some if record.hex() in told["found"]}
                elsewhere += [record for record in some if homes[record] not in here]
            missing = elsewhere
            if not missing:
                return found, opened
        number = homes[missing[0]]
        raise Unavailable(
            "partition-elsewhere",
            f"No {agent} worker of this host has partition {number} open: ask on the host whose worker has it, or "
            "again when it is open. `migex status` says what is open here.",
        )

    async def _get(self, agent: str, address: tuple[str, int], question: str, ids: Sequence[str]) -> Any:
        host, port = address
        try:
            answer = await self._http.get(
                f"http://{host}:{port}/v1/state/fates/{question}", params={"ids": ",".join(ids)}
            )
            answer.raise_for_status()
        except httpx.HTTPError as error:
            raise Unavailable("worker-away", f"A {agent} worker does not answer: `migex status` shows why.") from error
        told = answer.json()
        return told if told["generation"] == self._topics.generation else {"open": {}, "found": {}}


@asynccontextmanager
async def asked(settings: Settings, convention: Convention, kafka: Kafka) -> AsyncIterator[Workers]:
    """Give whom to ask; `kafka` is only asked where the inbox ends, at the time of each question.

    Raises Unavailable when no broker answers.
    """
    inbox = Topics.of(settings.generation, convention)["inbox"]
    consumer = AIOKafkaConsumer(**kafka.options())  # of no group: it reads nothing
    try:
        await consumer.start()
        async with httpx.AsyncClient(timeout=WORKER_SECS) as http:
            places = [TopicPartition(inbox.name, number) for number in range(inbox.partitions)]
            workers = Workers(settings, convention, http, lambda: _ends(consumer, places))
            with closing(workers):
                yield workers
    except KafkaConnectionError as error:
        raise Unavailable("kafka-away", f"No broker answers at {kafka.bootstrap}.") from error
    finally:
        await consumer.stop()


async def _ends(consumer: AIOKafkaConsumer, places: Sequence[TopicPartition]) -> Mapping[int, int]:
    try:
        async with asyncio.timeout(_KAFKA_SECS):
            found = await consumer.end_offsets(places)
    except (KafkaError, TimeoutError) as error:
        raise Unavailable("kafka-away", "Kafka does not say where the inbox ends.") from error
    return {place.partition: end for place, end in found.items()}
