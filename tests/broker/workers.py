"""Workers as real processes on a real Kafka, beside the folds in memory, which say what must come of the same inbox.

One inbox serves all tests, since it has one name; each test is a generation of its own and so begins by building
everything anew from what the tests before it have written.
"""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
from aiokafka import AIOKafkaProducer
from prometheus_client.parser import text_string_to_metric_families

from connectors.feed_store import FeedStore
from ops import topics as ops_topics
from ops.ports import free_block
from ops.settings import Broker as BrokerSettings
from ops.settings import Checkpoints, Feed, Metrics, Settings
from schemas.frame import encode, tick_frame
from schemas.header import Op
from streams.books import TABLE as BOOKS
from streams.dataflows import DATAFLOWS
from streams.kafka import Kafka
from streams.replay import Replay
from streams.topics import Topics
from tests.laws.records import DAY_MS, Crossing, Entry, delivery, inbox_frame, place, rules

AGENTS = ("deduplicate", "reconcile", "aggregate")
PARTITIONS = 8
Figures = dict[str, tuple[int, ...]]


def crossings(chance: random.Random, count: int) -> Iterator[Entry]:
    """Yield deliveries of records with corrections, moves, conflicts, cancellations and repeats, out of order."""
    waiting: list[Entry] = []
    for _ in range(count):
        person = chance.randrange(count // 3 + 1)
        first = Crossing(
            f"{chance.randrange(1 << 40):x}",
            person=person,
            birth=19500101 + person % 40 * 10_000 + person % 28,
            day=17600 + chance.randrange(60),
            minute=chance.choice((0, 5, 9, 300)),
            checkpoint=chance.choice(("BREST", "BRUZGI")),
            agency=chance.choice((1, 2)),
            number=chance.choice((None, None, None, person)),
            recorded_at=(17601 + chance.randrange(200)) * DAY_MS,
        )
        waiting.append(delivery(first))
        if chance.random() < 0.1:
            waiting.append(delivery(first, 1))
        if chance.random() < 0.2:
            moved = {"revision": 2, "op": Op.CORRECT, "birth": first.birth + chance.choice((0, 10_000))}
            waiting.append(delivery(first._replace(**moved)))  # type: ignore[arg-type]
        if chance.random() < 0.05:
            waiting.append(delivery(first._replace(minute=first.minute + 60)))
        if chance.random() < 0.05:
            waiting.append(delivery(first._replace(revision=3, op=Op.CANCEL)))
        chance.shuffle(waiting)
        yield from waiting[20:]
        del waiting[20:]
    yield from waiting


class Inbox:
    """The inbox: what was written to it, in order, also into the folds in memory."""

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap
        self.topics = Topics.of(1, rules().convention)
        self.replay = Replay(rules())
        self.cuts: dict[int, Figures] = {}
        self.tick = 1_700_000_000
        self._generation = 0

    def generation(self) -> int:
        """Return a generation that no test has used."""
        self._generation += 1
        return self._generation

    async def fill(self, entries: Sequence[Entry], chance: random.Random, pause: float = 0.0) -> None:
        """Write the entries in frames of all sizes, some of them twice, with ticks between them and one at the end."""
        async with AIOKafkaProducer(
            bootstrap_servers=self.bootstrap, acks="all", enable_idempotence=True, linger_ms=5
        ) as producer:
            rest = list(entries)
            while rest:
                size = chance.randint(1, 120)
                batch, rest = rest[:size], rest[size:]
                for number in range(PARTITIONS):
                    own = [entry for entry in batch if place(entry, PARTITIONS) == number]
                    for _ in range(1 + (chance.random() < 0.1) if own else 0):
                        await self._write(producer, number, inbox_frame(own))
                if chance.random() < 0.3 or not rest:
                    await self._tick(producer)
                await asyncio.sleep(pause)

    async def put(self, number: int, value: bytes) -> None:
        """Write one message into a partition."""
        async with AIOKafkaProducer(bootstrap_servers=self.bootstrap, acks="all") as producer:
            await self._write(producer, number, value)

    async def _tick(self, producer: AIOKafkaProducer) -> None:
        self.tick += 1
        for number in range(PARTITIONS):
            await self._write(producer, number, encode(tick_frame(self.tick)))

    async def _write(self, producer: AIOKafkaProducer, number: int, value: bytes) -> None:
        self.replay.inbox.append(number, value)
        await producer.send_and_wait(self.topics.name("inbox"), value, partition=number)

    def expected(self) -> dict[int, Figures]:
        """Return the cells of every cut, by the folds in memory."""
        now = {key: (cell.facts, *cell.measures) for key, cell in self.replay.cells.items()}
        for cut in self.replay.run():
            now.update((change.key, (change.facts, *change.measures)) for change in cut.cells)
            self.cuts[cut.tick] = {key: figures for key, figures in now.items() if figures[0]}
        return self.cuts


class Agents:
    """Workers of one generation on one host, each a process."""

    def __init__(self, home: Path, bootstrap: str, generation: int, **settings: Any) -> None:
        base = free_block(40)
        self.settings = Settings(
            home=home,
            generation=generation,
            broker=BrokerSettings(bootstrap=bootstrap),
            metrics=Metrics(base_port=base),
            **settings,
        )
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        home.mkdir(parents=True, exist_ok=True)

    def start(self, agent: str, member: int = 0) -> subprocess.Popen[bytes]:
        name = f"{agent}-{member}"
        argv = [sys.executable, "-m", "ops.cli", "worker", agent, "--member", str(member)]
        with (self.settings.home / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(argv, env=self.settings.inherited(), stdout=log, stderr=subprocess.STDOUT)
        self.processes[name] = process
        return process

    def beside(self, home: Path) -> Agents:
        """Return another host: a home of its own, the same feed store and checkpoints."""
        mine = self.settings
        return Agents(
            home,
            mine.broker.bootstrap,
            mine.generation,
            feed=Feed(url=mine.feed_url),
            checkpoints=Checkpoints(directory=str(mine.checkpoints_directory), secs=mine.checkpoints.secs),
        )

    def kill(self, name: str) -> None:
        process = self.processes.pop(name)
        process.kill()
        process.wait()

    def end(self) -> None:
        for name in list(self.processes):
            self.kill(name)

    def log(self) -> str:
        return "\n".join(f"== {p.name}\n{p.read_text()[-3000:]}" for p in self.settings.home.glob("*.log"))

    async def until(self, true: Callable[[], object], secs: float = 120.0) -> None:
        end = time.monotonic() + secs
        while not true():
            died = {n: p.returncode for n, p in self.processes.items() if p.poll() is not None}
            assert not died, f"{died}\n{self.log()}"
            assert time.monotonic() < end, f"it did not come true in time\n{self.log()}"
            await asyncio.sleep(0.1)

    def lag(self, member: int, agent: str = "reconcile") -> dict[str, float]:
        """Return the frames that a worker has not applied, by partition that it has open."""
        return self.gauge("migex_lag_frames", agent, member)

    def opened(self, agent: str, member: int) -> set[int]:
        """Return the partitions that a worker says it has open."""
        host, port = self.settings.address(agent)
        told = httpx.get(f"http://{host}:{port + member * 16}/v1/state/partitions", timeout=5.0).json()
        assert told["partitions_of"] == PARTITIONS
        return set(told["partitions"])

    def gauge(self, name: str, agent: str, member: int = 0) -> dict[str, float]:
        """Return a worker's values of a metric, by partition; none while it does not answer, as one that is stopped."""
        host, port = self.settings.address(agent)
        try:
            text = httpx.get(f"http://{host}:{port + member * 16}/metrics", timeout=2.0).text
        except httpx.TransportError:
            return {}
        samples = [s for metric in text_string_to_metric_families(text) for s in metric.samples]
        return {s.labels.get("partition", ""): s.value for s in samples if s.name == name}


@asynccontextmanager
async def agents(inbox: Inbox, home: Path, **settings: Any) -> AsyncIterator[Agents]:
    """Give workers of a generation that no test has used, with its topics; whatever is left of them is killed."""
    generation = inbox.generation()
    await ops_topics.apply(Kafka(inbox.bootstrap), Topics.of(generation, rules().convention))
    made = Agents(home, inbox.bootstrap, generation, **settings)
    try:
        yield made
    finally:
        made.end()


async def compare(made: Agents, inbox: Inbox, secs: float = 120.0, since: int = 0) -> None:
    """Wait for the last tick's cut, then compare every cell of every cut; all ticks from `since` on must be cuts."""
    store = FeedStore(made.settings.feed_url, made.settings.generation)
    try:
        await made.until(lambda: (cut := store.latest_cut()) is not None and cut.tick == inbox.tick, secs)
        expected = {tick: figures for tick, figures in inbox.expected().items() if tick >= since}
        assert {cut.tick for cut in store.cuts(1 << 20)} == set(expected)
        for tick, figures in expected.items():
            found = {
                "|".join((cell.table, cell.period, *cell.codes)): (cell.facts, *cell.measures)
                for table in (*DATAFLOWS, BOOKS)
                for cell in store.cells(table, cut=tick)
            }
            assert found == figures, f"cut {tick}"
    finally:
        store.close()


async def share(made: Agents, inbox: Inbox, chance: random.Random, secs: float = 120.0) -> None:
    """Let two reconcile workers work until each has partitions, and both together all of them."""
    end = time.monotonic() + secs
    while not (made.lag(0) and made.lag(1) and len(made.lag(0)) + len(made.lag(1)) == PARTITIONS):
        assert time.monotonic() < end, made.log()
        await inbox.fill(list(crossings(chance, 20)), chance)
        await asyncio.sleep(0.5)
    await compare(made, inbox)
