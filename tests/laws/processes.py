"""The processes of a system, all in one, each of which dies where it is told to and is started again from disk.

Doors, clock, worker, partitions on RocksDB and the feed store on SQLite are the real ones; Kafka is in memory. Each
process has a `Life`, which ends at a crash: what it had not yet delivered is lost, and nothing is taken from it any
more. The others go on.
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from prometheus_client import CollectorRegistry

from connectors.agency_topics import Edges, KafkaDoor, Routes
from connectors.entry import Entry
from connectors.feed_partition import FeedPartition
from connectors.feed_store.store import FeedStore
from connectors.inbox import InboxWriter
from schemas.errors import Unavailable
from streams.aggregate import Aggregate
from streams.checkpoints import Checkpoints
from streams.clock import Clock
from streams.crash_points import CrashPoint
from streams.deduplicate import Deduplicate
from streams.fold import Fold, Message
from streams.kafka import Kafka as Way
from streams.partition import Partition
from streams.reconcile.fold import Reconcile
from streams.rocks import Identity
from streams.telemetry import AgentTelemetry, ClockTelemetry, DoorTelemetry
from streams.topics import Topics
from streams.worker import Worker
from streams.workplace import Assignment, Workplace
from tests.connectors.events import NOW, admission
from tests.laws.kafka import Consumer, Kafka, Producer
from tests.laws.records import rules
from tests.laws.trace import TOPICS

INBOX = LOG = 2
MESSAGES = 3
"""Messages of one step: few, so that there are many steps."""

AGENCIES = {1: "gpk", 2: "mvd"}
ADMISSION = admission()


class Crash(BaseException):
    """The end of a process, as SIGKILL makes it."""


class Fate:
    """Where a process dies: at the nth time that a point is reached; `then`: and where it dies once more.

    `then` counts the points, of any name, that the process reaches when it was started again.
    """

    def __init__(self, point: CrashPoint | None = None, nth: int = 1, then: int = 0) -> None:
        self.reached: Counter[CrashPoint] = Counter()
        self.crashes: list[tuple[str, CrashPoint]] = []
        self._point = point
        self._nth = nth
        self._then = then

    def strikes(self, process: str, point: CrashPoint) -> bool:
        """Say whether the process dies here."""
        self.reached[point] += 1
        if not self.crashes:
            dies = point is self._point and self.reached[point] == self._nth
        elif process == self.crashes[0][0]:
            self._then -= 1
            dies = self._then == 0
        else:
            dies = False
        if dies:
            self.crashes.append((process, point))
        return dies


class Life:
    """One run of one process."""

    def __init__(self, process: str, fate: Fate) -> None:
        self.alive = True
        self.died: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._thread = threading.get_ident()
        self._process = process
        self._fate = fate

    def reach(self, point: CrashPoint) -> None:
        """See `streams.crash_points.Reach`; raises Crash when the process dies, and for everything it does after."""
        if self.alive and self._fate.strikes(self._process, point):
            self.alive = False
            if threading.get_ident() == self._thread:  # in another one a state is opened: the work itself will fail
                self.died.set_result(None)
        if not self.alive:
            raise Crash(point)

    def is_alive(self) -> bool:
        """Say whether it goes on."""
        return self.alive


class World:
    """What outlives every process, and where the processes get it from."""

    def __init__(self, home: Path, fate: Fate, late: Callable[[int], bool], partition: type[Partition]) -> None:
        """`late` says of a partition whether what is sent there stays with the sender for a moment."""
        self.partition = partition
        self.home = home
        self.fate = fate
        self.kafka = Kafka()
        self.topics = Topics(1, AGENCIES.values(), ["border.crossing"])
        self.now = 1_800_000_000.0
        self._late = late

    def producer(self, life: Life) -> AIOKafkaProducer:
        """Return what a process sends with."""
        return cast("AIOKafkaProducer", Producer(self.kafka, alive=life.is_alive, late=self._late))

    def consumer(self, life: Life, group: str, topics: Sequence[str] = ()) -> AIOKafkaConsumer:
        """Return what a process reads with."""
        return cast("AIOKafkaConsumer", Consumer(self.kafka, group, topics, life.is_alive))

    def inbox(self, life: Life) -> InboxWriter:
        """Return what a door writes into the inbox with."""
        name = self.topics.name("inbox")
        return InboxWriter(self.producer(life), name, INBOX, linger_ms=0, reach=life.reach)


class Process:
    """Something that runs, dies and is started again."""

    name = ""

    def __init__(self, world: World) -> None:
        self.world = world
        self._life: Life | None = None

    async def turn(self, work: Callable[[], Awaitable[object]]) -> None:
        """Do the work, if need be several times; what interrupts it, a crash, is followed by a start."""
        while True:
            life = self._life or Life(self.name, self.world.fate)
            doing = asyncio.ensure_future(self._work(life, work))
            await asyncio.wait({doing, life.died}, return_when=asyncio.FIRST_COMPLETED)
            if life.alive:
                return doing.result()
            doing.cancel()
            await asyncio.wait({doing})
            self.fall()
            self._life = None

    async def _work(self, life: Life, work: Callable[[], Awaitable[object]]) -> None:
        if self._life is None:
            self._life = life
            await self.start(life)
        await work()

    async def start(self, life: Life) -> None:
        """Make the parts anew."""
        raise AssertionError

    def fall(self) -> None:
        """Let go of what the operating system would take from a dead process."""


class Gateway(Process):
    """A door and its sender, who sends again what was not answered."""

    name = "gateway"

    async def start(self, life: Life) -> None:
        self._inbox = self.world.inbox(life)

    async def take(self, entries: Sequence[Entry]) -> None:
        """Put one request's entries into the inbox."""
        await self.turn(partial(self._put, entries))

    async def _put(self, entries: Sequence[Entry]) -> None:
        await self._inbox.put(entries)


class Letters(Process):
    """The Kafka door."""

    name = "kafka-door"

    async def start(self, life: Life) -> None:
        topics = list(TOPICS.values())
        self._consumer = self.world.consumer(life, "kafka-door", topics)
        telemetry = DoorTelemetry(CollectorRegistry(), "kafka", [*AGENCIES.values()])
        inbox = _Mortal(self.world.inbox(life), life)
        edges = Edges(
            self._consumer, self.world.producer(life), inbox, ADMISSION, telemetry, lambda: NOW / 1000, life.reach
        )
        families = {TOPICS["gpk"]: ("gpk", "border.crossing"), TOPICS["mvd"]: ("mvd", "permit.decision")}
        self._door = KafkaDoor(edges, Routes(families, {agency: f"verdicts.{agency}" for agency in TOPICS}))

    async def answer(self) -> None:
        """Answer what has come."""
        await self.turn(self._answer)

    async def _answer(self) -> None:
        while batches := await self._consumer.getmany(max_records=4):
            await self._door.answer(batches)


class _Mortal:
    """An inbox whose writer may die with its process; the door would otherwise try again for ever."""

    def __init__(self, inbox: InboxWriter, life: Life) -> None:
        self._inbox = inbox
        self._life = life

    async def put(self, entries: Sequence[Entry]) -> None:
        try:
            await self._inbox.put(entries)
        except Unavailable as away:
            raise (away if self._life.alive else Crash) from away

    async def reachable(self) -> bool:
        return await self._inbox.reachable()

    @property
    def usable(self) -> bool:
        return self._inbox.usable


class Ticks(Process):
    """The clock."""

    name = "clock"

    async def start(self, life: Life) -> None:
        telemetry = ClockTelemetry(CollectorRegistry())
        edges = self.world.producer(life), self.world.consumer(life, "clock")
        inbox = self.world.topics.name("inbox")
        self._clock = Clock(
            *edges, inbox, INBOX, telemetry, allows=_always, now=lambda: self.world.now, reach=life.reach
        )

    async def tick(self) -> None:
        """Write a tick, a second after the one before."""
        self.world.now += 1
        await self.turn(self._beat)

    async def _beat(self) -> None:
        await self._clock.beat()


class Agent(Process):
    """A worker with all partitions of its source, on one of several hosts that share checkpoints."""

    def __init__(self, world: World, name: str, source: str, partitions: int) -> None:
        super().__init__(world)
        self.name = name
        self._source = world.topics.name(source)
        self._partitions = partitions
        self._host = "a"
        self._open: list[Workplace] = []
        self.worker: Worker | None = None

    async def start(self, life: Life) -> None:
        self.worker = _Engineless(
            Assignment(
                agent=self.name,
                source=self._source,
                topics=self.world.topics,
                kafka=Way("127.0.0.1:1"),
                member=f"{self.name}-0",
                open=lambda number: self._opened(number, life),
                telemetry=AgentTelemetry(CollectorRegistry(), self.name, [*AGENCIES.values()]),
                agencies=AGENCIES,
                reach=life.reach,
            )
        )
        self.worker._producer = self.world.producer(life)
        for number in range(self._partitions):
            assert await self.worker._open(number)

    def fall(self) -> None:
        for workplace in self._open:
            workplace.close()
        self._open.clear()

    async def move(self, host: str) -> None:
        """Stop in good order and go on at another host, with what lies there and the checkpoints."""
        self.fall()
        self._life = None
        self._host = host
        await self.turn(_nothing)

    async def publish(self) -> None:
        """Publish a checkpoint of every partition."""
        for number in range(self._partitions):
            await self.turn(partial(self._publish, number))

    async def fold(self, most: int = 10**9) -> int:
        """Fold some steps of each partition, and return how many."""
        done = 0
        for number in range(self._partitions):
            steps = 0
            while steps < most and self._rest(number):
                await self.turn(partial(self._step, number))
                steps += 1
            done += steps
        return done

    def stage(self, number: int) -> Fold:
        """Return the fold of a partition."""
        if self.name == "deduplicate":
            return Deduplicate(number, LOG, AGENCIES)
        return Reconcile(number, INBOX, rules())

    def workplace(self, number: int, life: Life) -> Workplace:
        """Open a partition."""
        identity = Identity("cluster", self._source, number, 1, self.name)
        shelf = Checkpoints(self.world.home / "checkpoints", identity, self._host, reach=life.reach)
        place = self.world.home / self._host / self.name / f"p{number}"
        return self.world.partition(place, identity, self.stage(number), shelf, life.reach)

    def _opened(self, number: int, life: Life) -> Workplace:
        self._open.append(self.workplace(number, life))
        return self._open[-1]

    def _rest(self, number: int) -> list[Message]:
        at = 0 if self.worker is None else self.worker.workplaces[number].position
        values = self.world.kafka.log(self._source, number)[at : at + MESSAGES]
        return [Message(at + nth, value) for nth, value in enumerate(values)]

    async def _step(self, number: int) -> None:
        assert self.worker is not None
        if messages := self._rest(number):  # none: the step was finished before the crash
            await self.worker.step(number, messages)

    async def _publish(self, number: int) -> None:
        assert self.worker is not None
        place = self.worker.workplaces[number]
        assert isinstance(place, Partition)
        publish = place.checkpoint()
        if publish is not None:
            publish()


class _Engineless(Worker):
    """The worker without Faust, which keeps every app for ever: it is told itself what to fold."""

    def _faust_app(self) -> Any:
        return None


class Feed(Agent):
    """Aggregate, whose state lies in the feed store."""

    store: FeedStore | None = None

    async def start(self, life: Life) -> None:
        self.store = FeedStore(f"sqlite:///{self.world.home / 'feed.db'}", 1)
        await super().start(life)

    def fall(self) -> None:
        self._open.clear()  # a dead worker does not give its lease back
        if self.store is not None:
            self.store.close()

    def workplace(self, number: int, life: Life) -> Workplace:
        assert self.store is not None
        return FeedPartition(self.store, number, Aggregate(LOG), self.store.lease("aggregate-0"), life.reach)


async def _always(_tick: int) -> bool:
    return True


async def _nothing() -> None:
    pass
