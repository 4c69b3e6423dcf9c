"""The archive on a real Kafka: the topic's old end in files, and the figures from both as they were from the topic."""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from collections import Counter
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from connectors.archive import Archive, Archived
from connectors.topic_log import messages, topic_log
from ops.archive import Report, Wishes, admin_client, archived
from schemas.errors import Broken
from streams.crash_points import CrashPoint
from streams.fold import Message
from streams.kafka import Kafka
from streams.topics import TopicSpec

pytestmark = [pytest.mark.broker, pytest.mark.timeout(240)]

PARTITIONS = 2
COUNT = 300
WISHES = Wishes(file_bytes=20_000)  # some five files of each partition
NOW, MINUTE_MS = 1_700_000_000_000, 60_000
POINTS = [point for point in CrashPoint if point.startswith(("archive-", "trim-"))]


def value(partition: int, offset: int) -> bytes:
    return random.Random(partition * 1000 + offset).randbytes(offset % 700)


def expected(partition: int, count: int = COUNT) -> list[Message]:
    return [Message(offset, value(partition, offset)) for offset in range(count)]


@pytest.fixture
async def inbox(broker: str) -> TopicSpec:
    """A topic with some messages."""
    spec = TopicSpec("inbox", f"inbox-{uuid.uuid4().hex[:8]}", PARTITIONS, -1, 1 << 20)
    admin = AIOKafkaAdminClient(bootstrap_servers=broker)
    await admin.start()
    await admin.create_topics([NewTopic(spec.name, PARTITIONS, 1, topic_configs=spec.config(1))])
    await admin.close()
    await fill(broker, spec, 0, COUNT)
    return spec


async def fill(bootstrap: str, inbox: TopicSpec, first: int, end: int) -> None:
    async with AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", enable_idempotence=True) as producer:
        for offset in range(first, end):
            for number in range(PARTITIONS):
                sent = value(number, offset)
                await producer.send(inbox.name, sent, partition=number, timestamp_ms=NOW + offset * MINUTE_MS)


async def run(wishes: Wishes, directory: Path, bootstrap: str, inbox: TopicSpec) -> list[Report]:
    return [report async for report in archived(wishes, directory, Kafka(bootstrap), inbox)]


async def files(directory: Path, bootstrap: str, inbox: TopicSpec) -> Archive:
    async with admin_client(Kafka(bootstrap)) as admin:
        return Archive(directory, str((await admin.describe_cluster())["cluster_id"]), inbox.name)


def content(directory: Path) -> dict[str, bytes]:
    return {p.relative_to(directory).as_posix(): p.read_bytes() for p in directory.rglob("*") if p.is_file()}


async def test_archive_and_topic_together_hold_every_message(broker: str, inbox: TopicSpec, tmp_path: Path) -> None:
    first = await run(WISHES, tmp_path, broker, inbox)
    assert all(report.written > 2 and report.archived < COUNT for report in first)
    before = content(tmp_path)
    again = await run(WISHES, tmp_path, broker, inbox)
    assert [(r.written, r.seal) for r in again] == [(0, r.seal) for r in first]
    assert content(tmp_path) == before
    trimmed = await run(Wishes(WISHES.file_bytes, trim=True), tmp_path, broker, inbox)
    assert [(r.begins, r.verified) for r in trimmed] == [(r.archived, r.written) for r in first]
    found = await files(tmp_path, broker, inbox)
    for number in range(PARTITIONS):
        assert await _read(found, broker, inbox, number) == expected(number)
    with pytest.raises(Broken, match="archive-missing"):
        await _read(await files(tmp_path / "other", broker, inbox), broker, inbox, 0)
    with pytest.raises(Broken, match="archive-gap"):
        await run(WISHES, tmp_path / "other", broker, inbox)


async def test_when_it_runs_changes_no_file(broker: str, inbox: TopicSpec, tmp_path: Path) -> None:
    await run(WISHES, tmp_path / "often", broker, inbox)
    await fill(broker, inbox, COUNT, 2 * COUNT)
    for directory in ("often", "once"):
        await run(WISHES, tmp_path / directory, broker, inbox)
    assert content(tmp_path / "often") == content(tmp_path / "once")


async def test_only_what_is_old_enough_goes(broker: str, inbox: TopicSpec, tmp_path: Path) -> None:
    days = (time.time() * 1000 - NOW - 199.5 * MINUTE_MS) / 86_400_000  # offset 200 and later ones are younger
    reports = await run(Wishes(WISHES.file_bytes, days, trim=True), tmp_path, broker, inbox)
    assert all(0 < report.begins == report.archived < 200 for report in reports)
    reports = await run(Wishes(WISHES.file_bytes, days, rest=True, trim=True), tmp_path, broker, inbox)
    assert all(report.begins == report.archived == 200 for report in reports)
    reports = await run(Wishes(WISHES.file_bytes, rest=True), tmp_path, broker, inbox)
    reports = await run(Wishes(WISHES.file_bytes, days + 1, trim=True, verify=True), tmp_path, broker, inbox)
    assert all((report.begins, report.archived) == (200, COUNT) for report in reports)


async def test_what_differs_from_the_topic_is_named_and_stays(broker: str, inbox: TopicSpec, tmp_path: Path) -> None:
    found = await files(tmp_path, broker, inbox)
    with found.writing():
        forged = [Archived(n, NOW + n * MINUTE_MS, value(1, n) if n != 70 else b"another") for n in range(100)]
        found.append(1, forged)
    for wishes in (Wishes(WISHES.file_bytes, verify=True), Wishes(WISHES.file_bytes, trim=True)):
        with pytest.raises(Broken, match="archive-differs: Offset 70"):
            await run(wishes, tmp_path, broker, inbox)
    async with topic_log(Kafka(broker), inbox.name) as log:
        assert (await log.bounds(1))[0] == 0


async def test_what_is_damaged_is_named_and_stays(broker: str, inbox: TopicSpec, tmp_path: Path) -> None:
    await run(WISHES, tmp_path, broker, inbox)
    damaged = sorted((tmp_path / inbox.name / "p0").glob("*.avro"))[1]
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[:500] + bytes([whole[500] ^ 1]) + whole[501:])
    with pytest.raises(Broken, match=damaged.name):
        await run(Wishes(WISHES.file_bytes, trim=True), tmp_path, broker, inbox)
    async with topic_log(Kafka(broker), inbox.name) as log:
        assert (await log.bounds(0))[0] == 0


class _Crash(Exception):
    """The process is gone."""


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("deaths", [{2}, {1, 2}])
async def test_cut_short_anywhere_it_loses_nothing_and_goes_on(
    broker: str, inbox: TopicSpec, tmp_path: Path, point: CrashPoint, deaths: set[int]
) -> None:
    reached: Counter[CrashPoint] = Counter()

    def reach(here: CrashPoint) -> None:
        reached[here] += 1
        if here == point and reached[here] in deaths:
            raise _Crash

    wishes = Wishes(WISHES.file_bytes, trim=True)
    for _ in deaths:
        with pytest.raises(_Crash):
            _ = [report async for report in archived(wishes, tmp_path, Kafka(broker), inbox, reach)]
    found = await files(tmp_path, broker, inbox)
    assert await _read(found, broker, inbox, 1) == expected(1)
    whole = await run(wishes, tmp_path, broker, inbox)
    for number in range(PARTITIONS):
        assert await _read(found, broker, inbox, number) == expected(number)
    assert all(report.begins == report.archived > 0 for report in whole)


async def _read(found: Archive, bootstrap: str, inbox: TopicSpec, number: int) -> list[Message]:
    async with topic_log(Kafka(bootstrap), inbox.name) as log:
        _, end = await log.bounds(number)
    return await asyncio.to_thread(lambda: list(messages(found, Kafka(bootstrap), inbox.name, end, number)))
