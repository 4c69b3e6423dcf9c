"""The worker: it feeds one fold with one topic, partition by partition.

What the engine hands over is a chunk of messages of one partition; a chunk is folded, written and sent as
`streams.partition` says. The start position comes from the state; what the engine commits is a hint.
"""

from __future__ import annotations

import asyncio
import errno
import gc
import os
import sys
import time
import traceback
from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import IllegalStateError, KafkaConnectionError

from schemas.errors import Broken, Misconfigured, Unavailable
from streams import engine
from streams.checkpoints import LOG_SHORTER
from streams.crash_points import CrashPoint
from streams.engine import TP, chunked
from streams.fold import CutClosed, Effect, Message, Noted
from streams.partition import Output
from streams.workplace import Archive, Assignment, Workplace

WINDOW = 64
"""Outputs of one partition that may wait for Kafka's acknowledgement before the next step."""

EXIT_BROKEN, EXIT_UNAVAILABLE, EXIT_MISCONFIGURED = 70, 75, 78
_NO_SPACE = tuple(os.strerror(number) for number in (errno.ENOSPC, errno.EDQUOT))

BROKEN_STEPS = 50
"""Steps in a row that set records aside, after which the worker stops instead of setting aside everything."""

SEEKS = 20
"""Times that a partition is read again from one position in vain, before its log is said to have a hole there."""

OPEN_SECS = 10.0
"""How long a rebalance waits for states to open; those that take longer, to copy a checkpoint, follow later."""

WATCH_SECS = 0.5

TAKEN_OVER = "Partitions are taken over."
"""What the log says after each rebalance: which are open, which are not yet, and in how many seconds."""

COLLECT_SECS = 20.0
"""Between garbage collections; automatic ones walk over all that a step has read, which took 15 % of its time."""


class _Place:
    """An open partition: its fold with its state, who may fold and send next, and what Kafka has not acknowledged."""

    __slots__ = ("saved", "sending", "turn", "workplace")

    def __init__(self, workplace: Workplace) -> None:
        self.workplace = workplace
        self.turn = asyncio.Lock()
        self.saved = time.monotonic()  # when a checkpoint was last taken, or the place opened
        self.sending: deque[asyncio.Future[Any]] = deque()


class Worker:
    """One agent's process: its Faust app, its partitions, and the producer of its outputs."""

    def __init__(self, assignment: Assignment) -> None:
        """Nothing is started; `run` does."""
        self.assignment = assignment
        self.revocations = 0
        """How often partitions were taken away: what was begun under an earlier assignment is given up."""
        self._places: dict[int, _Place] = {}
        self._absent: set[int] = set()  # ours, and not open: being opened, locked by a former owner, or away
        self._opening: dict[int, asyncio.Task[None]] = {}
        self._producer: AIOKafkaProducer | None = None
        self._starting = asyncio.Lock()
        self._ends: dict[int, int] = {}
        self._sought: dict[int, tuple[int, int, int]] = {}  # by partition: from where, how often in vain, what came
        self._broken_steps = 0
        self._named = [("generation", str(assignment.topics.generation).encode())]
        """For the quarantine, which all generations share: a fold knows nothing of generations."""
        self.app = self._faust_app()

    @property
    def workplaces(self) -> dict[int, Workplace]:
        """The open partitions."""
        return {partition: place.workplace for partition, place in self._places.items()}

    def behind(self, partition: int) -> int:
        """Return how many messages of an open partition are known to wait for the fold."""
        return max(0, self._ends.get(partition, 0) - self._places[partition].workplace.position)

    def log_end(self, partition: int, end: int) -> None:
        """Note where a source partition ends."""
        self._ends[partition] = end or 0

    async def take_over(self, partitions: Collection[int]) -> None:
        """Open what is assigned, give free what is not, and read on where each state stands.

        Returns after at most `OPEN_SECS`. What is not open by then follows when it is; the others go on.
        """
        began = time.monotonic()
        self.close([partition for partition in self._places if partition not in partitions])
        self._absent = set(partitions) - self._places.keys()
        await self._read_on(list(self._places))
        if opening := self._open_absent():
            await asyncio.wait(opening, timeout=OPEN_SECS)
        log, secs = structlog.get_logger(__name__), round(time.monotonic() - began, 3)
        log.info(TAKEN_OVER, open=sorted(self._places), absent=sorted(self._absent), secs=secs)

    def _open_absent(self) -> list[asyncio.Task[None]]:
        """Begin to open what is ours and is not open; `watch` does so again and again."""
        for partition in self._absent - self._opening.keys():
            self._opening[partition] = asyncio.create_task(self._bring_in(partition))
        return list(self._opening.values())

    async def _bring_in(self, partition: int) -> None:
        """Open a partition and read on where its state stands."""
        revocations = self.revocations
        try:
            if await self._open(partition):
                await self._read_on([partition])
        except BaseException as error:
            if self.revocations == revocations:  # otherwise it was an assignment that is gone
                self.stop_at_once(error)
        finally:
            del self._opening[partition]

    async def _open(self, partition: int) -> bool:
        """Open a partition's state and send again what was not acknowledged; return whether it is open now.

        It is not when its former owner has not let go yet, its store is away, or it was taken from us meanwhile.
        """
        revocations = self.revocations
        self.assignment.reach(CrashPoint.TAKEOVER_BEFORE_OPEN)
        try:
            workplace = await asyncio.to_thread(self.assignment.open, partition)
        except Unavailable:
            return False
        except Broken as error:
            if error.code != LOG_SHORTER:
                raise
            self._refuse(partition, error)
            return False
        if self.revocations != revocations:
            workplace.close()
            return False
        place = self._places[partition] = _Place(workplace)
        self._absent.discard(partition)
        self.assignment.reach(CrashPoint.TAKEOVER_AFTER_OPEN)
        async with place.turn:
            await self._send(place, workplace.unsent())
        self.assignment.reach(CrashPoint.TAKEOVER_AFTER_RESEND)
        return self._places.get(partition) is place

    async def _read_on(self, partitions: Collection[int]) -> None:
        """Read these partitions from where their states stand, but for those whose source ends before."""
        tps = [TP(self.assignment.source, partition) for partition in partitions]
        if not tps:
            return
        ends = await self.app.consumer.highwaters(*tps)
        positions = {}
        for tp in tps:
            place = self._places.get(tp.partition)
            if place is None:
                continue
            if ends[tp] >= place.workplace.position:
                positions[tp] = place.workplace.position
                continue
            place.workplace.mark(ends[tp])
            where = f"Partition {tp.partition} of {tp.topic}"
            self._refuse(
                tp.partition, Broken("log-shorter", f"{where} ends at {ends[tp]}, yet more of it was applied.")
            )
        await self._seek(positions)

    def _refuse(self, partition: int, error: Broken) -> None:
        """Let a partition stand still whose source lost what was applied: what is said from now on may be wrong."""
        self.close([partition])
        self.assignment.telemetry.state_ahead(partition)
        structlog.get_logger(__name__).error("A partition stands still.", code=error.code, detail=error.detail)

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
            self._absent.discard(partition)
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
                await self._seek_back(partition, place, messages[0].offset)
                return
            self._sought.pop(partition, None)
            await self._fold(partition, place, messages)
        await self._settle(place)

    async def _fold(self, partition: int, place: _Place, messages: Sequence[Message]) -> None:
        """Fold, send and report; the caller has the place's turn."""
        began = time.perf_counter()
        outputs, effects = place.workplace.step(messages)
        self.assignment.telemetry.fold_took(time.perf_counter() - began)
        await self._send(place, outputs)
        if self._places.get(partition) is place:
            self._report(partition, place.workplace, effects)

    async def _seek_back(self, partition: int, place: _Place, found: int) -> None:
        """Read again from the position: the chunk was fetched under an earlier assignment, or the log has a hole.

        A hole at its old end is filled from the archive, if there is one. `found` is the chunk's first offset: while
        it rises, the chunks may all be of one fetch that was under way.
        """
        tp = TP(self.assignment.source, partition)
        position = place.workplace.position
        before, times, last = self._sought.get(partition, (-1, 0, -1))
        if before != position:
            times, last = 0, -1
        self._sought[partition] = position, times + (found <= last), found
        begin = (await self.app.consumer.earliest_offsets(tp))[tp]
        if begin > position and self.assignment.archive is not None:
            await self._fold_archived(partition, place, self.assignment.archive)
            position = max(begin, place.workplace.position)
        elif begin > position or self._sought[partition][1] > SEEKS:
            raise Broken("log-hole", f"Partition {partition} does not hold offset {position}: its log was cut.")
        if self._places.get(partition) is place:
            await self._seek({tp: position})

    async def _fold_archived(self, partition: int, place: _Place, archive: Archive) -> None:
        """Fold a file of the archive; the next one when the other partitions have had their turn."""
        for messages in chunked(await asyncio.to_thread(archive, partition, place.workplace.position)):
            if self._places.get(partition) is not place:
                return
            await self._fold(partition, place, messages)
            await self._settle(place)

    async def _send(self, place: _Place, outputs: Sequence[Output]) -> None:
        """Send in the order of the outbox; the caller has the place's turn."""
        for output in outputs:
            producer = await self._started_producer()  # not before: aggregate may write nowhere, so it can have none
            topic = self.assignment.topics.name(output.topic)
            headers = self._named if output.topic == "quarantine" else None
            self.assignment.reach(CrashPoint.SEND_BEFORE)
            place.sending.append(await producer.send(topic, output.value, partition=output.partition, headers=headers))
            self.assignment.reach(CrashPoint.SEND_AFTER)

    async def _settle(self, place: _Place) -> None:
        """Acknowledge in order what Kafka has; a failed send ends the worker, whose next start sends it again."""
        sending = place.sending
        while sending and (sending[0].done() or len(sending) > WINDOW):
            oldest = sending[0]
            await oldest
            if sending and sending[0] is oldest:  # the agent and the watch may both have waited for it
                self.assignment.reach(CrashPoint.ACKNOWLEDGE_AFTER)
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
            **self.assignment.kafka.options(),
            acks="all",
            enable_idempotence=True,
            linger_ms=20,
            compression_type="lz4",
            max_batch_size=1 << 20,
            max_request_size=8 << 20,
        )
        await producer.start()
        return producer

    def _faust_app(self) -> Any:
        return engine.app_of(self)

    def stop_at_once(self, error: BaseException) -> None:
        """End the process before Faust can acknowledge what was not folded; the supervisor starts it again."""
        if isinstance(error, asyncio.CancelledError | GeneratorExit):
            raise error
        traceback.print_exception(error)
        sys.stderr.flush()
        os._exit(_exit_of(error))

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
                for partition, place in list(self._places.items()):
                    await self._settle(place)
                    if self._places.get(partition) is place:
                        self._tend(partition, place.workplace)
                self._open_absent()
                self.assignment.telemetry.outbox(sum(w.outbox for w in self.workplaces.values()))
                self.assignment.telemetry.state(sum(w.size() for w in self.workplaces.values()))
                self.assignment.telemetry.waiting(len(self._absent))
            except BaseException as error:
                self.stop_at_once(error)

    def _tend(self, partition: int, workplace: Workplace) -> None:
        workplace.tend()
        if workplace.saved_at is not None:
            self.assignment.telemetry.checkpoint(partition, workplace.saved_at)

    async def keep_checkpoints(self) -> None:
        """Publish checkpoints of what has moved on, one partition after another, copying in another thread."""
        while not self.app.should_stop:
            await self.app.sleep(min(WATCH_SECS, self.assignment.checkpoint_secs))
            due = time.monotonic() - self.assignment.checkpoint_secs
            place = min(self._places.values(), key=lambda place: place.saved, default=None)
            if place is None or place.saved > due:
                continue
            place.saved = time.monotonic()
            try:
                publish = place.workplace.checkpoint()
                if publish is not None:
                    await asyncio.to_thread(publish)
            except (OSError, Unavailable) as error:  # its growing age tells; the figures do not depend on it
                structlog.get_logger(__name__).warning("A checkpoint was not published.", error=str(error))
            except BaseException as error:
                self.stop_at_once(error)

    def run(self, logging_config: Mapping[str, Any]) -> None:
        """Work until SIGTERM; `logging_config` as `logging.config.dictConfig` takes it."""
        engine.run(self.app, logging_config)


def _exit_of(error: BaseException) -> int:
    """Return with which status a process ends for an error; by that of what is away it is never given up.

    A full disk is known by its words: RocksDB and what wraps it say it by errors of several kinds.
    """
    if isinstance(error, Misconfigured):
        return EXIT_MISCONFIGURED
    away = isinstance(error, Unavailable | KafkaConnectionError) or any(said in str(error) for said in _NO_SPACE)
    return EXIT_UNAVAILABLE if away else EXIT_BROKEN
