"""`migex rebuild`: all figures anew from the archive and the topic, with all cores, beside what the workers counted."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from connectors.archive import Archive
from connectors.feed_store import FeedStore, iso, of_change
from connectors.feed_store.comparison import TableComparison, compare, digest
from connectors.formats import text
from connectors.table_view import Edition, Source, view
from connectors.topic_log import messages, topic_log
from ops import secrets
from ops.access import access
from ops.archive import admin_client
from ops.settings import Settings
from schemas.conventions import load
from schemas.errors import Broken, Misconfigured, Unavailable
from streams.dataflows import DATAFLOWS
from streams.fold import CutClosed
from streams.kafka import Kafka
from streams.rebuild import Job, Rebuilt, Stage, rebuild, rules_of
from streams.topics import Topics


@dataclass(frozen=True)
class Wishes:
    """What to rebuild from what, and what to show of it."""

    archive: Path
    offline: bool = False  # from the archive alone
    table: str = "F06"
    cut: int | None = None  # seconds since 1970: the last complete one not after it; None: the last one
    compare: bool = False
    on_disk: bool = False
    cores: int | None = None


def main(wishes: Wishes, settings: Settings) -> int:
    """Rebuild, print a table, and say how fast it went and whether all cells are the feed's; 1: they are not.

    Raises Misconfigured for an unknown table, Broken when no cut is complete or a message is neither in the archive
    nor in the topic, and what `compared` raises.
    """
    if wishes.table not in DATAFLOWS:
        known = ", ".join(DATAFLOWS)
        raise Misconfigured("unknown-table", f"There is no table {wishes.table!r}: choose one of {known}.")
    settings.home.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="rebuild-", dir=settings.home) as scratch:
        cores = wishes.cores or _cores()
        rebuilt = rebuild(job(wishes, settings, Path(scratch)), cores)
        if not rebuilt.tick:
            raise Broken("no-cut", "No cut is complete: some partition of the inbox has no tick in what was read.")
        with closing(stored(rebuilt, Path(scratch), settings.generation)) as store:
            sys.stdout.write(_table(wishes.table, rebuilt, settings))
            for stage in rebuilt.stages:
                sys.stderr.write(f"{speed(stage)}\n")
            seal = digest(store, rebuilt.tick)
            sys.stderr.write(f"{total(rebuilt, cores)}\n")
            sys.stderr.write(f"cut {iso(rebuilt.tick)}: {seal.cells:,} cells, sha256 {seal.sha256}\n")
            return compared(store, rebuilt.tick, settings) if wishes.compare else 0


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def job(wishes: Wishes, settings: Settings, scratch: Path) -> Job:
    """Return the rebuild of an inbox as it is now."""
    topics = Topics.of(settings.generation, load(settings.convention))
    inbox, kafka = topics["inbox"], None if wishes.offline else access(settings)
    cluster, ends = None, dict[int, int]()
    if kafka is not None:
        cluster, ends = asyncio.run(_now(kafka, inbox.name, inbox.partitions))
    archive = Archive(wishes.archive, cluster, inbox.name)
    ends = ends or {partition: archive.end(partition) for partition in range(inbox.partitions)}
    return Job(
        inbox=[partial(messages, archive, kafka, inbox.name, end, number) for number, end in sorted(ends.items())],
        convention=settings.convention,
        log_partitions=topics.partitions("log"),
        scratch=scratch,
        on_disk=wishes.on_disk,
        until=wishes.cut,
        lift=secrets.lifting(settings.secrets, secrets.level(settings.secrets)),
    )


def stored(rebuilt: Rebuilt, directory: Path, generation: int) -> FeedStore:
    """Return the cells in a feed store of their own, which the caller closes: what compares stores, compares them."""
    store = FeedStore(f"sqlite:///{directory / 'rebuilt.db'}", generation)
    with store.begin(0) as step:
        step.write(CutClosed(rebuilt.tick, tuple(rebuilt.cells.values())))
        step.advance(0, 1)
    return store


def speed(stage: Stage) -> str:
    """Return how fast a stage was, for the operator."""
    what = {"ticks": "messages", "aggregate": "changed cells"}.get(stage.agent, "records")
    aside = f", {stage.set_aside} set aside" if stage.set_aside else ""
    a_core = stage.records / max(stage.cpu_secs, 1e-9)
    return f"{stage.agent:12}{stage.records:>12,} {what} in {stage.wall_secs:.1f} s; {a_core:,.0f} a core-second{aside}"


def total(rebuilt: Rebuilt, cores: int) -> str:
    """Return how fast all of it was."""
    (records,) = (stage.records for stage in rebuilt.stages if stage.agent == "deduplicate")
    spent = sum(stage.cpu_secs for stage in rebuilt.stages)
    took = sum(stage.wall_secs for stage in rebuilt.stages)
    rates = f"{records / took:,.0f} records/s with {cores} cores; {records / max(spent, 1e-9):,.0f} a core-second"
    return f"{'all':12}{records:>12,} records in {took:.1f} s: {rates}"


def compared(store: FeedStore, tick: int, settings: Settings) -> int:
    """Say how the cells compare with the feed's at the same cut; return 1 when one differs.

    Raises Refused when the feed is not so far, Unavailable when it has passed over the cut.
    """
    with closing(FeedStore(settings.feed_url, settings.generation)) as feed:
        running = feed.shown()
        if running.cut_at(tick).tick != tick:
            raise Unavailable("feed-cut", f"The feed has no cut {iso(tick)}: give one that it has with --cut.")
        tables = compare(running, store, tick)
    sys.stderr.writelines(_difference(tables))
    different = sum(table.different for table in tables)
    sys.stderr.write(f"compared with the feed: {sum(t.equal for t in tables):,} cells equal, {different:,} differ\n")
    return int(different > 0)


async def _now(kafka: Kafka, topic: str, partitions: int) -> tuple[str, dict[int, int]]:
    """Return the cluster's id and where each partition ends now."""
    async with topic_log(kafka, topic) as log, admin_client(kafka) as admin:
        cluster = str((await admin.describe_cluster())["cluster_id"])
        return cluster, {number: (await log.bounds(number))[1] for number in range(partitions)}


def _table(table: str, rebuilt: Rebuilt, settings: Settings) -> str:
    rules = rules_of(settings.convention)
    changes = [change for key, change in rebuilt.cells.items() if key.startswith(f"{table}|")]
    source = Source(DATAFLOWS[table], rules.convention, rules.lists)
    cells = [of_change(change, rebuilt.tick) for change in changes]
    return text.render(view(source, cells, Edition(rebuilt.tick, settings.generation)))


def _difference(tables: Iterable[TableComparison]) -> Iterator[str]:
    for table in tables:
        for example in table.examples:
            yield f"{example.cell}: the feed has {example.left}, the rebuild {example.right}\n"
