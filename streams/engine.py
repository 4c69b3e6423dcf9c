"""The engine: Faust as we use it; the only module that knows it.

Faust consumes, assigns partitions and runs the agent; nothing more is asked of it (its tables, transactions and
serialisers are not exact under kill -9). One Faust event is a chunk of messages of one partition, which a worker folds.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import faust
from faust.tables import TableManager
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from schemas.frame import is_tick
from streams.fold import Message
from streams.gathering import Gathering
from streams.kafka import MECHANISM, Kafka

if TYPE_CHECKING:
    from streams.worker import Worker

__all__ = ["TP", "app_of", "chunked", "run"]

STEP_BYTES, STEP_MESSAGES = 1 << 20, 128
"""Frames of one partition folded in one step, by their size and number: fewer cost more per record, more delay the
others. By size, because frames that came one by one hold a record or two: eight of them in a step were soon behind."""

SESSION_SECS = 6.0

GATHER_SECS = 0.25
"""How long messages of the inbox wait for more of their partition, if no tick comes (see `streams.gathering`)."""

FETCH_BYTES, FETCH_WAIT_MS = 512 << 10, 50
"""Kafka answers a fetch with so many bytes, or with what there is after so long: each answer costs both sides the same
work, however little it holds. Partials come in one frame a partition and tick: their reader is eager."""


class _Reader(driver.AIOKafkaConsumerThread):  # type: ignore[misc]
    """Faust's consumer of aiokafka, with Kafka's own lingering, which Faust has no setting for."""

    lingers = True

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        if self.lingers:
            consumer._fetch_min_bytes, consumer._fetch_max_wait_ms = FETCH_BYTES, FETCH_WAIT_MS
        return consumer


class _Chunks(driver.Consumer):  # type: ignore[misc]
    """Faust's consumer, with one event per chunk of a partition, and positions from our state."""

    worker: Worker
    gathering: Gathering[TP]
    mundane_level = "debug"

    def _new_consumer_thread(self) -> _Reader:
        reader = _Reader(self, loop=self.loop, beacon=self.beacon)
        source, name = self.worker.assignment.source, self.worker.assignment.topics.name
        reader.lingers = source != name("partials")
        self.gathering = Gathering(GATHER_SECS if source == name("inbox") else 0.0, STEP_BYTES, is_tick)
        return reader

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, Any]]:  # noqa: ASYNC109 - Faust's signature
        """Yield chunks of messages, each for one step, the partitions in turn."""
        records, active = await self._wait_next_records(self.gathering.remaining(timeout))
        generation = self.app.consumer_generation_id
        if records is None or self.should_stop:
            return
        if not self.flow_active:  # a rebalance: what comes of it seeks (Faust would seek now, by the old assignment)
            return
        self.gathering.add({TP(*tp): found for tp, found in records.items()})
        waiting = deque((tp, deque(chunked(found))) for tp, found in self.gathering.due())
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
        self.gathering.forget_all()
        try:
            await super().perform_seek()
            if self.worker.revocations == revocations:
                source = self.worker.assignment.source
                await self.worker.take_over({tp.partition for tp in self.assignment() if tp.topic == source})
        except Exception as error:
            if self.worker.revocations == revocations:  # otherwise it was the seek of an assignment that is gone
                self.worker.stop_at_once(error)

    async def read_from(self, positions: Mapping[TP, int]) -> None:
        """Read each partition from its position on."""
        await self.seek_wait(positions)
        for tp, position in positions.items():
            self.gathering.forget(tp)
            self._read_offset[tp] = position or None


def chunked(records: Iterable[Any]) -> list[list[Any]]:
    """Return the records as what is folded in one step each."""
    chunks: list[list[Any]] = []
    size = STEP_BYTES
    for record in records:
        if size >= STEP_BYTES or len(chunks[-1]) == STEP_MESSAGES:
            chunks.append([])
            size = 0
        chunks[-1].append(record)
        size += len(record.value)
    return chunks


def _credentials(kafka: Kafka) -> faust.auth.Credentials | None:
    """Return who we are in Faust's words."""
    context = kafka.ssl_context()
    if kafka.by_password:
        return faust.SASLCredentials(
            username=kafka.user, password=kafka.password, ssl_context=context, mechanism=MECHANISM
        )
    return None if context is None else faust.SSLCredentials(context)


class _NoTables(TableManager):  # type: ignore[misc]
    """Faust's tables, of which there are none: it would wait a second for some to be registered."""

    mundane_level = "debug"

    async def on_start(self) -> None:
        await self._update_channels()
        await self.recovery.start()


class _App(faust.App):  # type: ignore[misc]
    """Faust's app without its directories: it would make three in the working directory, and keeps nothing in them."""

    def _create_directories(self) -> None:
        pass


class _AsIs(faust.Schema):  # type: ignore[misc]
    """No serialiser: a chunk goes to the agent as it is."""

    def loads_key(self, app: Any, message: Any, **_: Any) -> Any:
        return message.key

    def loads_value(self, app: Any, message: Any, **_: Any) -> Any:
        return message.value


def app_of(worker: Worker) -> faust.App:
    """Return the app that feeds a worker; nothing is started."""
    assignment = worker.assignment
    app = _App(
        f"migex.{assignment.agent}.g{assignment.topics.generation}",
        broker=f"kafka://{assignment.kafka.bootstrap}",
        broker_credentials=_credentials(assignment.kafka),
        store="memory://",
        web_enabled=False,
        TableManager=_NoTables,
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
    app.transport.Consumer = type("Chunks", (_Chunks,), {"worker": worker})
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

    @app.task  # type: ignore[untyped-decorator]
    async def keep_checkpoints() -> None:
        await worker.keep_checkpoints()

    @app.on_partitions_revoked.connect  # type: ignore[untyped-decorator]
    async def revoked(_app: Any, tps: set[TP], **_: Any) -> None:
        worker.revocations += 1
        worker.close([tp.partition for tp in tps])

    return app


def run(app: faust.App, logging_config: Mapping[str, Any]) -> None:
    """Run an app until SIGTERM; `logging_config` as `logging.config.dictConfig` takes it."""
    level = logging_config["root"]["level"]
    worker = faust.Worker(app, loglevel=level, redirect_stdouts=False, logging_config=logging_config)
    worker.execute_from_commandline()
