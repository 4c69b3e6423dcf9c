"""The worker: the only module that knows Faust. It feeds one fold with one topic, partition by partition.

Faust consumes, assigns partitions and runs the agent; nothing more is asked of it (its tables, transactions and
serialisers are not exact under kill -9). One Faust event is a chunk of messages of one partition; a chunk is folded,
written and sent as `streams.partition` says. The start position comes from the state; what Faust commits is a hint.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import time
import traceback
from collections import deque
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import faust
from aiokafka import AIOKafkaProducer
from aiokafka.errors import IllegalStateError
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from schemas.errors import Broken, Misconfigured, Unavailable
from streams.fold import CutClosed, Effect, Message, Noted
from streams.partition import Output
from streams.telemetry import AgentTelemetry
from streams.topics import Topics

MESSAGES_PER_STEP = 8
"""Frames of one partition folded in one step: fewer cost more per record, more delay the others."""

WINDOW = 64
"""Outputs of one partition that may wait for Kafka's acknowledgement before the next step."""

EXIT_BROKEN, EXIT_MISCONFIGURED = 70, 78

BROKEN_STEPS = 50
"""Steps in a row that set records aside, after which the worker stops instead of setting aside everything."""

SEEKS = 100
"""Times in a row that a partition is read again from one position, before its log is said to have a hole there."""

SESSION_SECS = 6.0
WATCH_SECS = 0.5

COLLECT_SECS = 20.0
"""Between garbage collections; automatic ones walk over all that a step has read, which took 15 % of its time."""


class Workplace(Protocol):
    """A fold at one partition, with its state: `streams.partition.Partition`, or the feed store's counterpart."""

    position: int

    @property
    def outbox(self) -> int:
        """How many outputs are not acknowledged."""

    def step(self, messages: Sequence[Message]) -> tuple[list[Output], Sequence[Effect]]:
        """Fold, write, and return what to send and all effects."""

    def unsent(self) -> list[Output]:
        """Return the outputs to send again after a start."""

    def acknowledge(self) -> None:
        """Note that the oldest output not yet acknowledged has been."""

    def tend(self) -> None:
        """Do what must be done from time to time though nothing arrives."""

    def close(self) -> None:
        """Give the state free."""

    def size(self) -> int:
        """Return the bytes on disk."""


@dataclass(frozen=True)
class Assignment:
    """What one worker does: its agent's name, its source and where things lie."""

    agent: str
    source: str  # topic name
    topics: Topics
    bootstrap: str
    member: str  # stable name of this worker in its group: a restart gets its partitions back at once
    open: Callable[[int], Workplace]
    telemetry: AgentTelemetry
    agencies: Mapping[int, str]  # permanent number -> code
    on_cut: Callable[[CutClosed], None] | None = None


class _Chunks(driver.Consumer):  # type: ignore[misc]
    """Faust's consumer, with one event per chunk of a partition, and positions from our state."""

    worker: Worker

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, Any]]:  # noqa: ASYNC109 - Faust's signature
        """Yield chunks of at most `MESSAGES_PER_STEP` messages, the partitions in turn."""
        records, active = await self._wait_next_records(timeout)
        generation = self.app.consumer_generation_id
        if records is None or self.should_stop:
            return
        if not self.flow_active:  # a rebalance: what comes of it seeks (Faust would seek now, by the old assignment)
            return
        waiting = deque((TP(*tp), deque(_chunked(found))) for tp, found in records.items() if found)
        while waiting:
            tp, chunks = waiting.popleft()
            if not self.flow_active or self.app.consumer_generation_id != generation:
                return
            if active is None or tp in active or tp in self._buffered_partitions:
                chunk = chunks.popleft()
                self.worker.log_end(tp.partition, self.highwater(tp))
                message = self._to_message(tp, chunk[-1])
                message.value = [Message(record.offset, record.value) for record in chunk]
                yield tp, message
                if chunks:
                    waiting.append((tp, chunks))

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Chunks are sparse by construction: no gaps to keep."""

    def _new_offset(self, tp: TP) -> int | None:
        """Acks come in order: the newest is the position."""
        acked = self._acked[tp]
        if not acked:
            return None
        newest: int = max(acked)
        acked.clear()
        self._acked_index[tp].clear()
        return newest + 1

    async def perform_seek(self) -> None:
        """Seek to where the states stand, whatever the group has committed."""
        revocations = self.worker.revocations
        try:
            await super().perform_seek()
            if self.worker.revocations == revocations:
                await self.worker.take_over({tp.partition for tp in self.assignment() if self._is_source(tp)})
        except Exception as error:
            if self.worker.revocations == revocations:  # otherwise it was the seek of an assignment that is gone
                self.worker.stop_at_once(error)

    def _is_source(self, tp: TP) -> bool:
        return bool(tp.topic == self.worker.assignment.source)

    async def read_from(self, positions: Mapping[TP, int]) -> None:
        """Read each partition from its position on."""
        await self.seek_wait(positions)
        for tp, position in positions.items():
            self._read_offset[tp] = position or None


def _chunked(records: Sequence[Any]) -> list[Sequence[Any]]:
    return [records[i : i + MESSAGES_PER_STEP] for i in range(0, len(records), MESSAGES_PER_STEP)]


class _AsIs(faust.Schema):  # type: ignore[misc]
    """No serialiser: a chunk goes to the agent as it is."""

    def loads_key(self, app: Any, message: Any, **_: Any) -> Any:
        return message.key

    def loads_value(self, app: Any, message: Any, **_: Any) -> Any:
        return message.value


class _Place:
    """An open partition: its fold with its state, who may fold and send next, and what Kafka has not acknowledged."""

    __slots__ = ("sending", "turn", "workplace")

    def __init__(self, workplace: Workplace) -> None:
        self.workplace = workplace
        self.turn = asyncio.Lock()
        self.sending: deque[asyncio.Future[Any]] = deque()


class Worker:
    """One agent's process: its Faust app, its partitions, and the producer of its outputs."""

    def __init__(self, assignment: Assignment) -> None:
        """Nothing is started; `run` does."""
        self.assignment = assignment
        self.revocations = 0
        """How often partitions were taken away: what was begun under an earlier assignment is given up."""
        self._places: dict[int, _Place] = {}
        self._locked: set[int] = set()  # ours, while a former owner has the state open
        self._producer: AIOKafkaProducer | None = None
        self._starting = asyncio.Lock()
        self._ends: dict[int, int] = {}
        self._sought: dict[int, tuple[int, int]] = {}
        self._broken_steps = 0
        self.app = self._faust_app()

    @property
    def workplaces(self) -> dict[int, Workplace]:
        """The open partitions."""
        return {partition: place.workplace for partition, place in self._places.items()}

    def log_end(self, partition: int, end: int) -> None:
        """Note where a source partition ends."""
        self._ends[partition] = end or 0

    async def take_over(self, partitions: Collection[int]) -> None:
        """Open what is assigned, give free what is not, and read on where each state stands.

        Raises Broken when a log ends before the position, Misconfigured when a state is another one's.
        """
        revocations = self.revocations
        self.close([partition for partition in self._places if partition not in partitions])
        for partition in sorted(partitions):
            if await self._open(partition) is None:
                self._locked.add(partition)
            if self.revocations != revocations:
                return
        await self._read_on(set(partitions) - self._locked)

    async def _open(self, partition: int) -> int | None:
        """Open a partition's state if it is not open, send again what was not acknowledged, return the position.

        None: its former owner has not let go yet, or its store is away; `watch` tries again, the others go on.
        """
        place = self._places.get(partition)
        if place is None:
            try:
                place = _Place(self.assignment.open(partition))
            except Unavailable:
                return None
            self._places[partition] = place
            async with place.turn:
                await self._send(place, place.workplace.unsent())
        return place.workplace.position

    async def _read_on(self, partitions: Collection[int]) -> None:
        """Read the open ones of these partitions from where their states stand."""
        source = self.assignment.source
        positions = {TP(source, n): self._places[n].workplace.position for n in partitions if n in self._places}
        if not positions:
            return
        for tp, end in (await self.app.consumer.highwaters(*positions)).items():
            if end < positions[TP(*tp)]:
                raise Broken(
                    "log-shorter", f"Partition {tp.partition} of {source} ends at {end}, yet more of it was applied."
                )
        await self._seek(positions)

    async def _seek(self, positions: Mapping[TP, int]) -> None:
        """Read on from these positions; what was taken away in the meantime is left to its next owner."""
        try:
            await self.app.consumer.read_from(positions)
        except IllegalStateError:
            if all(tp.partition in self._places for tp in positions):
                raise

    def close(self, partitions: Iterable[int]) -> None:
        """Give partitions free for another owner."""
        for partition in partitions:
            self._locked.discard(partition)
            place = self._places.pop(partition, None)
            if place is not None:
                place.workplace.close()
                self.assignment.telemetry.released(partition)

    async def step(self, partition: int, messages: Sequence[Message]) -> None:
        """Fold one chunk and send what it puts out; waits while too much is on its way."""
        place = self._places.get(partition)
        if place is None:  # revoked while the chunk was waiting, or not open yet: then it is read again
            return
        async with place.turn:
            if self._places.get(partition) is not place:
                return
            if messages[0].offset > place.workplace.position:
                await self._seek_back(partition, place.workplace.position)
                return
            self._sought.pop(partition, None)
            began = time.perf_counter()
            outputs, effects = place.workplace.step(messages)
            self.assignment.telemetry.fold_took(time.perf_counter() - began)
            await self._send(place, outputs)
            if self._places.get(partition) is place:
                self._report(partition, place.workplace, effects)
        await self._settle(place)

    async def _seek_back(self, partition: int, position: int) -> None:
        """Read again from the position: the chunk was fetched under an earlier assignment, or the log has a hole."""
        tp = TP(self.assignment.source, partition)
        before, times = self._sought.get(partition, (-1, 0))
        self._sought[partition] = position, times + 1 if before == position else 1
        begin = (await self.app.consumer.earliest_offsets(tp))[tp]
        if begin > position or self._sought[partition][1] > SEEKS:
            raise Broken("log-hole", f"Partition {partition} does not hold offset {position}: its log was cut.")
        await self._seek({tp: position})

    async def _send(self, place: _Place, outputs: Sequence[Output]) -> None:
        """Send in the order of the outbox; the caller has the place's turn."""
        producer = await self._started_producer()
        for output in outputs:
            topic = self.assignment.topics.name(output.topic)
            place.sending.append(await producer.send(topic, output.value, partition=output.partition))

    async def _settle(self, place: _Place) -> None:
        """Acknowledge in order what Kafka has; a failed send ends the worker, whose next start sends it again."""
        sending = place.sending
        while sending and (sending[0].done() or len(sending) > WINDOW):
            oldest = sending[0]
            await oldest
            if sending and sending[0] is oldest:  # the agent and the watch may both have waited for it
                sending.popleft()
                place.workplace.acknowledge()
        await asyncio.sleep(0)  # a step is pure computing: let the producer and the heartbeats have their turn

    def _report(self, partition: int, workplace: Workplace, effects: Sequence[Effect]) -> None:
        telemetry = self.assignment.telemetry
        telemetry.position(partition, workplace.position - 1, self._ends.get(partition, 0))
        for effect in effects:
            if isinstance(effect, Noted):
                for outcome, count in effect.records.items():
                    if count > 0:
                        telemetry.folded(outcome, count)
                telemetry.parked(partition, effect.parked)
                self._watch_quarantine(effect)
                if effect.newest:
                    telemetry.newest(effect.newest)
            elif isinstance(effect, CutClosed):
                telemetry.cut(effect.tick)
                if self.assignment.on_cut is not None:
                    self.assignment.on_cut(effect)

    def _watch_quarantine(self, noted: Noted) -> None:
        """Count what was set aside; steps in a row that set something aside mean a defect of the fold (law L3)."""
        self._broken_steps = self._broken_steps + 1 if noted.quarantined else 0
        for agency, count in noted.quarantined.items():
            self.assignment.telemetry.quarantined(self.assignment.agencies.get(agency, "unknown"), count)
        if self._broken_steps >= BROKEN_STEPS:
            raise Broken("many-broken", f"{BROKEN_STEPS} steps in a row set records aside: the fold itself is suspect.")

    async def _started_producer(self) -> AIOKafkaProducer:
        async with self._starting:
            if self._producer is None:
                self._producer = await self._start_producer()
            return self._producer

    async def _start_producer(self) -> AIOKafkaProducer:
        producer = AIOKafkaProducer(
            bootstrap_servers=self.assignment.bootstrap,
            acks="all",
            enable_idempotence=True,
            linger_ms=5,
            compression_type="lz4",
            max_batch_size=1 << 20,
            max_request_size=8 << 20,
        )
        await producer.start()
        return producer

    def _faust_app(self) -> faust.App:
        assignment = self.assignment
        app = faust.App(
            f"migex.g{assignment.topics.generation}.{assignment.agent}",
            broker=f"kafka://{assignment.bootstrap}",
            store="memory://",
            web_enabled=False,
            topic_disable_leader=True,
            stream_wait_empty=False,
            stream_buffer_maxsize=16,
            broker_max_poll_records=None,
            consumer_max_fetch_size=4 << 20,
            consumer_auto_offset_reset="earliest",
            consumer_group_instance_id=assignment.member,
            broker_session_timeout=SESSION_SECS,
            broker_heartbeat_interval=SESSION_SECS / 4,
            broker_rebalance_timeout=15.0,
            broker_commit_interval=5.0,
            loghandlers=[],
            logging_config={"version": 1, "disable_existing_loggers": False},
        )
        worker = self
        consumer = type("Chunks", (_Chunks,), {"worker": worker})
        app.transport.Consumer = consumer
        topic = app.topic(assignment.source, schema=_AsIs())

        @app.agent(topic, name=assignment.agent)  # type: ignore[untyped-decorator]
        async def agent(stream: Any) -> None:
            async for event in stream.events():
                try:
                    await worker.step(event.message.tp.partition, event.value)
                except BaseException as error:
                    worker.stop_at_once(error)

        @app.task  # type: ignore[untyped-decorator]
        async def watch() -> None:
            await worker.watch()

        @app.on_partitions_revoked.connect  # type: ignore[untyped-decorator]
        async def revoked(_app: Any, tps: set[TP], **_: Any) -> None:
            worker.revocations += 1
            worker.close([tp.partition for tp in tps])

        return app

    def stop_at_once(self, error: BaseException) -> None:
        """End the process before Faust can acknowledge what was not folded; the supervisor starts it again."""
        if isinstance(error, asyncio.CancelledError | GeneratorExit):
            raise error
        traceback.print_exception(error)
        sys.stderr.flush()
        os._exit(EXIT_MISCONFIGURED if isinstance(error, Misconfigured) else EXIT_BROKEN)

    async def stopped(self) -> None:
        """Return when the worker is told to stop."""
        await self.app.wait_for_stopped()

    async def watch(self) -> None:
        """Keep acknowledgements and gauges moving while nothing arrives."""
        collected = time.monotonic()
        while not self.app.should_stop:
            await self.app.sleep(WATCH_SECS)
            if time.monotonic() - collected > COLLECT_SECS:
                gc.collect()
                collected = time.monotonic()
            try:
                for place in list(self._places.values()):
                    await self._settle(place)
                    place.workplace.tend()
                await self._open_locked()
                self.assignment.telemetry.outbox(sum(w.outbox for w in self.workplaces.values()))
                self.assignment.telemetry.state(sum(w.size() for w in self.workplaces.values()))
            except BaseException as error:
                self.stop_at_once(error)

    async def _open_locked(self) -> None:
        """Try again to open what a former owner had open, or what lies in a store that was away."""
        for partition in sorted(self._locked):
            if await self._open(partition) is not None and partition in self._locked:
                self._locked.discard(partition)
                await self._read_on([partition])

    def run(self, logging_config: Mapping[str, Any]) -> None:
        """Work until SIGTERM; `logging_config` as `logging.config.dictConfig` takes it."""
        level = logging_config["root"]["level"]
        worker = faust.Worker(self.app, loglevel=level, redirect_stdouts=False, logging_config=logging_config)
        worker.execute_from_commandline()
