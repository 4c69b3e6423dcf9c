"""The worker: the only module that knows Faust. It feeds one fold with one topic, partition by partition.

Faust consumes, assigns partitions and runs the agent; nothing more is asked of it (its tables, transactions and
serialisers are not exact under kill -9). One Faust event is a chunk of messages of one partition; a chunk is folded,
written and sent as `streams.partition` says. The start position comes from the state; what Faust commits is a hint.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
import traceback
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import faust
from aiokafka import AIOKafkaProducer
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from schemas.errors import Broken, Unavailable
from streams.fold import CutClosed, Effect, Message, Noted
from streams.partition import Output
from streams.telemetry import AgentTelemetry
from streams.topics import Topics

MESSAGES_PER_STEP = 8
"""Frames of one partition folded in one step: fewer cost more per record, more delay the others."""

WINDOW = 64
"""Outputs of one partition that may wait for Kafka's acknowledgement before the next step."""

EXIT_BROKEN = 70

BROKEN_STEPS = 50
"""Steps in a row that set records aside, after which the worker stops instead of setting aside everything."""

SESSION_SECS = 6.0
OPEN_RETRY_SECS = 0.2
WATCH_SECS = 0.5


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
        if not self.flow_active:
            await self.perform_seek()
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
        await super().perform_seek()
        positions = {}
        for tp in self.assignment():
            if tp.topic == self.worker.assignment.source:
                positions[TP(*tp)] = await self.worker.open(tp.partition)
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


class Worker:
    """One agent's process: its Faust app, its partitions, and the producer of its outputs."""

    def __init__(self, assignment: Assignment) -> None:
        """Nothing is started; `run` does."""
        self.assignment = assignment
        self.workplaces: dict[int, Workplace] = {}
        self._sending: dict[int, deque[asyncio.Future[Any]]] = {}
        self._producer: AIOKafkaProducer | None = None
        self._ends: dict[int, int] = {}
        self._sought: dict[int, int] = {}
        self._broken_steps = 0
        self.app = self._faust_app()

    def log_end(self, partition: int, end: int) -> None:
        """Note where a source partition ends."""
        self._ends[partition] = end or 0

    async def open(self, partition: int) -> int:
        """Open a partition's state if it is not open, send again what was not acknowledged, return the position."""
        while partition not in self.workplaces:
            try:
                workplace = self.assignment.open(partition)
            except Unavailable:  # its former owner has not let go yet
                await asyncio.sleep(OPEN_RETRY_SECS)
                continue
            self.workplaces[partition] = workplace
            self._sending[partition] = deque()
            await self._send(partition, workplace.unsent())
        return self.workplaces[partition].position

    async def close(self, partitions: Sequence[int]) -> None:
        """Give partitions free for another owner."""
        for partition in partitions:
            workplace = self.workplaces.pop(partition, None)
            self._sending.pop(partition, None)
            if workplace is not None:
                workplace.close()
                self.assignment.telemetry.released(partition)

    async def step(self, partition: int, messages: Sequence[Message]) -> None:
        """Fold one chunk and send what it puts out; waits while too much is on its way."""
        workplace = self.workplaces.get(partition)
        if workplace is None:  # revoked while the chunk was waiting
            return
        if messages[0].offset > workplace.position:
            await self._seek_back(partition, workplace.position)
            return
        self._sought.pop(partition, None)
        began = time.perf_counter()
        outputs, effects = workplace.step(messages)
        self.assignment.telemetry.fold_took(time.perf_counter() - began)
        await self._send(partition, outputs)
        self._report(partition, workplace, effects)
        await self._settle(partition, workplace)

    async def _seek_back(self, partition: int, position: int) -> None:
        """Read again from the position: the chunk was fetched under an earlier assignment, or the log has a hole."""
        if self._sought.get(partition) == position:
            raise Broken("log-hole", f"Partition {partition} does not hold offset {position}: its log was cut.")
        self._sought[partition] = position
        tp = TP(self.assignment.source, partition)
        await self.app.consumer.seek_wait({tp: position})
        self.app.consumer._read_offset[tp] = position or None

    async def _send(self, partition: int, outputs: Sequence[Output]) -> None:
        producer = self._producer or await self._start_producer()
        sending = self._sending[partition]
        for output in outputs:
            topic = self.assignment.topics.name(output.topic)
            sending.append(await producer.send(topic, output.value, partition=output.partition))

    async def _settle(self, partition: int, workplace: Workplace) -> None:
        """Acknowledge in order what Kafka has; a failed send ends the worker, whose next start sends it again."""
        sending = self._sending.get(partition)
        while sending and (sending[0].done() or len(sending) > WINDOW):
            await sending[0]
            sending.popleft()
            workplace.acknowledge()
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
        self._producer = producer
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
            await worker.close([tp.partition for tp in tps])

        return app

    def stop_at_once(self, error: BaseException) -> None:
        """End the process before Faust can acknowledge what was not folded; the supervisor starts it again."""
        if isinstance(error, asyncio.CancelledError | GeneratorExit):
            raise error
        traceback.print_exception(error)
        sys.stderr.flush()
        os._exit(EXIT_BROKEN)

    async def stopped(self) -> None:
        """Return when the worker is told to stop."""
        await self.app.wait_for_stopped()

    async def watch(self) -> None:
        """Keep acknowledgements and gauges moving while nothing arrives."""
        while not self.app.should_stop:
            await self.app.sleep(WATCH_SECS)
            try:
                for partition, workplace in list(self.workplaces.items()):
                    await self._settle(partition, workplace)
                self.assignment.telemetry.outbox(sum(w.outbox for w in self.workplaces.values()))
                self.assignment.telemetry.state(sum(w.size() for w in self.workplaces.values()))
            except BaseException as error:
                self.stop_at_once(error)

    def run(self, logging_config: Mapping[str, Any]) -> None:
        """Work until SIGTERM; `logging_config` as `logging.config.dictConfig` takes it."""
        level = logging_config["root"]["level"]
        worker = faust.Worker(self.app, loglevel=level, redirect_stdouts=False, logging_config=logging_config)
        worker.execute_from_commandline()
