"""`migex archive`: the inbox's old end into files, read back, compared, and only then taken out of the topic."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from connectors.archive import Archive, Archived, Segment
from connectors.topic_log import TopicLog, topic_log
from ops.access import access
from ops.settings import Settings
from schemas.conventions import load
from schemas.errors import Broken
from streams.crash_points import CrashPoint, Reach, never
from streams.kafka import Kafka
from streams.topics import Topics, TopicSpec

_DAY_MS = 86_400_000
_MESSAGE_BYTES = 64
"""What a message counts for beside its value, so that a file of small ones does not hold a million of them."""


@dataclass(frozen=True)
class Wishes:
    """What to archive and what to do beside it."""

    file_bytes: int = 16 << 20  # of values, about
    older_than_days: float = 0
    rest: bool = False  # write what does not fill a file as well
    verify: bool = False
    trim: bool = False


@dataclass(frozen=True)
class Report:
    """What was done with one partition."""

    partition: int
    written: int  # files
    archived: int  # the offset behind the last archived message
    verified: int  # files read back and compared
    begins: int  # the first offset that the topic still holds
    ends: int  # the offset behind its last
    seal: str  # SHA-256 in which the whole partition's archive is chained

    def __str__(self) -> str:
        files = f"{self.written} files written, {self.verified} verified"
        holds = f"archive to {self.archived}, topic {self.begins} to {self.ends}"
        return f"p{self.partition}: {files}; {holds}; seal {self.seal}"


def main(wishes: Wishes, directory: Path, settings: Settings, show: Callable[[str], None]) -> None:
    """Archive every partition of the inbox into a directory and show what was done; see `Job.run`."""
    inbox = Topics.of(settings.generation, load(settings.convention))["inbox"]

    async def run() -> None:
        async for report in archived(wishes, directory, access(settings), inbox):
            show(str(report))

    asyncio.run(run())


async def archived(
    wishes: Wishes, directory: Path, kafka: Kafka, inbox: TopicSpec, reach: Reach = never
) -> AsyncIterator[Report]:
    """Archive the inbox partition by partition and yield what was done; see `Job.run` for what is raised."""
    async with topic_log(kafka, inbox.name) as log, admin_client(kafka) as admin:
        cluster = str((await admin.describe_cluster())["cluster_id"])
        files = Archive(directory, cluster, inbox.name, reach)
        with files.writing():
            job = Job(files, log, admin, wishes, reach)
            for partition in range(inbox.partitions):
                yield await job.run(partition)


@asynccontextmanager
async def admin_client(kafka: Kafka) -> AsyncIterator[AIOKafkaAdminClient]:
    """Open a client for Kafka's administration."""
    admin = AIOKafkaAdminClient(**kafka.options())
    await admin.start()
    try:
        yield admin
    finally:
        await admin.close()


class Job:
    """One run of `migex archive`, partition by partition; it can be cut short anywhere and run again."""

    def __init__(
        self, files: Archive, log: TopicLog, admin: AIOKafkaAdminClient, wishes: Wishes, reach: Reach = never
    ) -> None:
        """`files` is held for writing, `log` is the same topic's."""
        self._files = files
        self._log = log
        self._admin = admin
        self._wishes = wishes
        self._reach = reach
        self._before = int(time.time() * 1000 - wishes.older_than_days * _DAY_MS)

    async def run(self, partition: int) -> Report:
        """Write, verify and trim as wished.

        Raises Broken: "archive-gap" when the topic begins behind the archive's end, "archive-damaged" when a file is
        not as it was written, "archive-differs" when a message is not the topic's.
        """
        self._files.sweep(partition)
        begins, ends = await self._log.bounds(partition)
        written = await self._write(partition, begins, ends)
        verified = 0
        segments = self._files.segments(partition)
        old = list(takewhile(lambda segment: segment.newest < self._before, segments))
        if self._wishes.verify or self._wishes.trim:
            doomed = [segment for segment in old if segment.last >= begins]
            verified = await self._verify(partition, segments if self._wishes.verify else doomed, begins)
        if self._wishes.trim and old and old[-1].last >= begins:
            begins = await self._trim(partition, old[-1].last + 1)
        return Report(
            partition, written, self._files.end(partition), verified, begins, ends, self._files.seal(partition)
        )

    async def _write(self, partition: int, begins: int, ends: int) -> int:
        """Write the files that are full, with `rest` what is left as well; return how many.

        Where a file ends depends on the messages alone, never on when this runs: the same inbox gives the same files.
        """
        start = self._files.end(partition)
        if begins > start:
            raise Broken(
                "archive-gap",
                f"Partition {partition} of {self._log.topic} begins at {begins}, the archive ends at {start}: what is "
                "between was deleted, or is in another archive; set MIGEX_ARCHIVE__DIRECTORY to that one.",
            )
        written, size, waiting = 0, 0, list[Archived]()
        async for message in self._old(partition, start, ends):
            waiting.append(message)
            size += len(message.value) + _MESSAGE_BYTES
            if size >= self._wishes.file_bytes:
                self._files.append(partition, waiting)
                written, size, waiting = written + 1, 0, []
        if waiting and self._wishes.rest:
            self._files.append(partition, waiting)
            written += 1
        return written

    async def _old(self, partition: int, start: int, end: int) -> AsyncIterator[Archived]:
        async for messages in self._log.read(partition, start, end):
            for message in messages:
                if message.timestamp >= self._before:
                    return
                yield message

    async def _verify(self, partition: int, segments: Sequence[Segment], begins: int) -> int:
        """Read the files back and compare what the topic still holds of them; return how many."""
        for segment in segments:
            archived = self._files.load(partition, segment)[max(0, begins - segment.first) :]
            compared = 0
            if archived:
                async for messages in self._log.read(partition, archived[0].offset, segment.last + 1):
                    self._compare(segment, archived[compared : compared + len(messages)], messages)
                    compared += len(messages)
        return len(segments)

    def _compare(self, segment: Segment, archived: Sequence[Archived], messages: Sequence[Archived]) -> None:
        for ours, theirs in zip(archived, messages, strict=True):
            if ours != theirs:
                raise Broken(
                    "archive-differs",
                    f"Offset {theirs.offset} of {self._log.topic} is not what {segment.file} has: nothing was deleted.",
                )

    async def _trim(self, partition: int, before: int) -> int:
        """Delete what lies before an offset from the topic and return the offset at which it begins then."""
        self._reach(CrashPoint.TRIM_BEFORE_DELETE)
        place = TopicPartition(self._log.topic, partition)
        begins = await self._admin.delete_records({place: RecordsToDelete(before)})
        self._reach(CrashPoint.TRIM_AFTER_DELETE)
        return int(begins[place])
