"""Inbox: the topic of everything the doors took in, for ever (law L6), and the ways to write to it."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Protocol

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from aiokafka.structs import RecordMetadata

from connectors.entry import Entry
from schemas import frame as wire
from schemas.errors import Broken, Unavailable
from schemas.frame import MAX_RECORDS, Frame
from schemas.header import SIZE, pack
from streams.crash_points import CrashPoint, Reach, never
from streams.telemetry import DoorTelemetry
from streams.topics import partition

MAX_FRAME_BYTES = 256 * 1024
"""A frame is closed before it grows beyond this, far below the topic's max.message.bytes."""

MAX_WAITING_BYTES = 64 * 1024 * 1024
"""With more than this unacknowledged, new entries are turned away, so that an absent Kafka does not fill the memory."""


_log = structlog.get_logger(__name__)


class Inbox(Protocol):
    """Where the doors put entries."""

    async def put(self, entries: Sequence[Entry]) -> None:
        """Return when all entries are kept for ever; raises Unavailable when it is not known that they are."""

    async def reachable(self) -> bool:
        """Return whether entries can be kept now."""

    @property
    def usable(self) -> bool:
        """Whether trying again can help; if not, the process must start anew."""


class MemoryInbox:
    """An inbox that keeps its entries in a list, for runs without Kafka."""

    def __init__(self, away: bool = False) -> None:
        """With `away`, it behaves as if Kafka did not answer."""
        self.entries: list[Entry] = []
        self.away = away

    async def put(self, entries: Sequence[Entry]) -> None:
        """See `Inbox.put`."""
        if self.away:
            raise Unavailable("inbox-away", "The inbox does not answer; send the same again later.")
        self.entries.extend(entries)

    async def reachable(self) -> bool:
        """See `Inbox.reachable`."""
        return not self.away

    @property
    def usable(self) -> bool:
        """See `Inbox.usable`."""
        return True


async def keep(inbox: Inbox, entries: Sequence[Entry], telemetry: DoorTelemetry) -> None:
    """Put the entries, again and again until they are kept: repeats are harmless.

    Raises Unavailable when the inbox can be used no more, and the process must start anew.
    """
    while True:
        began = time.perf_counter()
        try:
            await inbox.put(entries)
        except Unavailable as away:
            if not inbox.usable:
                raise
            _log.warning("The inbox does not answer; the same entries are sent again.", seconds=away.retry_after_secs)
            await asyncio.sleep(away.retry_after_secs)
        else:
            telemetry.inbox_acked(time.perf_counter() - began)
            return


def frame(entries: Iterable[Entry]) -> bytes:
    """Return the entries as one frame's bytes."""
    headers, cores, bodies = zip(*entries, strict=True)
    columns = (pack(headers), wire.sizes(cores), b"".join(cores), wire.sizes(bodies), b"".join(bodies))
    return wire.encode(Frame(-1, 0, -1, 0, *columns, b""))


class _Open:
    """A frame that still takes entries."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.entries: list[Entry] = []
        self.size = 0
        self.outcome: asyncio.Future[Exception | None] = loop.create_future()

    def has_room(self, size: int) -> bool:
        return len(self.entries) < MAX_RECORDS and self.size + size <= MAX_FRAME_BYTES


class InboxWriter:
    """Writes entries as frames to Kafka: those that come within `linger_ms` for one partition share a frame.

    The producer must be idempotent with acks=all. Such a producer cannot go on after a failed send (aiokafka has
    counted the sequence number already), so `lost` is set then, and the process must end and start anew.
    """

    def __init__(
        self,
        producer: AIOKafkaProducer,
        topic: str,
        partitions: int,
        *,
        linger_ms: int = 20,
        timeout_secs: float = 15,
        reach: Reach = never,
    ) -> None:
        """`producer` is started and stopped by the caller."""
        self._producer = producer
        self._topic = topic
        self._partitions = partitions
        self._linger_secs = linger_ms / 1000
        self._timeout_secs = timeout_secs
        self._reach = reach
        self._open: dict[int, _Open] = {}
        self._sending: set[asyncio.Task[None]] = set()
        self._waiting_bytes = 0
        self.lost = asyncio.Event()

    async def put(self, entries: Sequence[Entry]) -> None:
        """Return when Kafka has acknowledged all; raises Unavailable, then some may be kept nevertheless.

        Sending the same delivery again is harmless, for its id is the same.
        """
        if self.lost.is_set() or self._waiting_bytes > MAX_WAITING_BYTES:
            raise Unavailable("inbox-away", "Kafka does not answer; send the same again later.")
        waits = self._share_out(entries)
        if not waits:
            return
        done, late = await asyncio.wait(waits, timeout=self._timeout_secs)
        errors = [error for wait in done if (error := wait.result()) is not None]
        if late or errors:
            raise Unavailable("inbox-away", "Kafka did not acknowledge in time; send the same again later.") from (
                errors[0] if errors else None
            )

    async def reachable(self) -> bool:
        """Return whether a broker answers within two seconds."""
        if self.lost.is_set():
            return False
        try:
            return bool(await asyncio.wait_for(self._producer.client.force_metadata_update(), 2))
        except (KafkaError, TimeoutError):
            return False

    @property
    def usable(self) -> bool:
        """Whether the producer can go on."""
        return not self.lost.is_set()

    async def close(self) -> None:
        """Send what is still open and wait for it, at most `timeout_secs`."""
        for where in list(self._open):
            self._dispatch(where, self._open[where])
        if self._sending:
            await asyncio.wait(self._sending, timeout=self._timeout_secs)

    def _share_out(self, entries: Sequence[Entry]) -> set[asyncio.Future[Exception | None]]:
        """Add the entries to the open frames; return what to wait for."""
        shares: defaultdict[int, list[Entry]] = defaultdict(list)
        for entry in entries:
            shares[partition(entry.partition_key, self._partitions)].append(entry)
        return {self._add(where, entry) for where, share in shares.items() for entry in share}

    def _add(self, where: int, entry: Entry) -> asyncio.Future[Exception | None]:
        size = entry.size + SIZE
        current = self._open.get(where)
        if current is not None and not current.has_room(size):
            self._dispatch(where, current)
            current = None
        if current is None:
            loop = asyncio.get_running_loop()
            current = self._open[where] = _Open(loop)
            loop.call_later(self._linger_secs, self._dispatch, where, current)
        current.entries.append(entry)
        current.size += size
        self._waiting_bytes += size
        return current.outcome

    def _dispatch(self, where: int, current: _Open) -> None:
        """Close the frame and send it; nothing happens if it has been closed before."""
        if self._open.get(where) is not current:
            return
        del self._open[where]
        task = asyncio.get_running_loop().create_task(self._send(where, current))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def _send(self, where: int, closed: _Open) -> None:
        outcome: Exception | None = Broken("frame-unsent", "The frame was given up before Kafka answered.")
        try:
            self._reach(CrashPoint.FRAME_BEFORE_SEND)
            acknowledged = await self._producer.send(self._topic, frame(closed.entries), partition=where)
            outcome = await self._outcome(acknowledged)
            self._reach(CrashPoint.FRAME_AFTER_SEND)
        except KafkaError as refused:  # not taken by the producer: no sequence number was spent
            outcome = refused
        finally:
            self._waiting_bytes -= closed.size
            closed.outcome.set_result(outcome)

    async def _outcome(self, acknowledged: asyncio.Future[RecordMetadata]) -> Exception | None:
        try:
            await acknowledged
        except KafkaError as failed:
            self.lost.set()
            return Unavailable("inbox-away", f"Kafka refused a frame: {type(failed).__name__}.")
        return None
