"""The figures from the archive and the topic: by workers that begin anew, and by `migex rebuild`, as they were."""

from __future__ import annotations

import asyncio
import io
import random
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from rich.console import Console

from connectors.feed_store import FeedStore
from connectors.feed_store.comparison import digest
from ops.archive import Wishes as ArchiveWishes
from ops.archive import archived
from ops.broker import Broker
from ops.generations.commands import prove
from ops.generations.site import site
from ops.rebuild import Wishes, compared, job, main, stored
from ops.settings import Archive, Settings
from ops.settings import Broker as BrokerSettings
from schemas.errors import Broken, Misconfigured, Refused
from streams.fold import CutClosed
from streams.kafka import Kafka
from streams.rebuild import rebuild
from tests.broker.workers import AGENTS, Figures, Inbox, agents, compare, crossings

pytestmark = [pytest.mark.broker, pytest.mark.timeout(300)]


class Trimmed(NamedTuple):
    """An inbox whose old end lies in an archive only, and the settings of workers that have folded all of it."""

    inbox: Inbox
    archive: Path
    settings: Settings


@pytest.fixture(scope="module")
def trimmed(broker: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trimmed]:
    """Workers have folded it from the archive and the topic (a broker of its own: other tests need the whole topic)."""
    with Broker(tmp_path_factory.mktemp("kafka")) as own:
        yield asyncio.run(_trimmed(Inbox(own.bootstrap), tmp_path_factory.mktemp("home")))


async def _trimmed(inbox: Inbox, home: Path) -> Trimmed:
    chance = random.Random(6)
    directory = home / "elsewhere"
    async with agents(inbox, home, archive=Archive(directory=str(directory))) as made:
        await inbox.fill(list(crossings(chance, 300)), chance)
        wishes = ArchiveWishes(file_bytes=4_000, trim=True)
        done = [r async for r in archived(wishes, directory, Kafka(inbox.bootstrap), inbox.topics["inbox"])]
        assert all(0 < report.begins == report.archived <= report.ends for report in done)
        assert max(report.written for report in done) > 1
        assert any(report.archived < report.ends for report in done)
        for agent in AGENTS:
            made.start(agent)
        await inbox.fill(list(crossings(chance, 100)), chance, pause=0.05)
        await compare(made, inbox, 150)
    return Trimmed(inbox, directory, made.settings)


def test_workers_read_the_archive_then_the_topic(trimmed: Trimmed) -> None:
    """The fixture has compared every cell of every cut; this asks whether there was anything to compare."""
    assert len(trimmed.inbox.cuts) > 3
    assert any(key.startswith("F06|") for key in trimmed.inbox.cuts[trimmed.inbox.tick])


async def test_workers_without_the_archive_stop_and_say_so(trimmed: Trimmed, tmp_path: Path) -> None:
    async with agents(trimmed.inbox, tmp_path) as made:
        worker = made.start("deduplicate")
        assert await asyncio.to_thread(worker.wait, 60) == 70
        assert "archive-missing" in made.log()
        made.processes.clear()


def test_every_cut_is_rebuilt(trimmed: Trimmed, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found: dict[int, Figures] = {}
    now: Figures = {}

    def keep(cut: CutClosed) -> None:
        now.update((change.key, (change.facts, *change.measures)) for change in cut.cells)
        found[cut.tick] = {key: figures for key, figures in now.items() if figures[0]}

    rebuilt = rebuild(job(Wishes(trimmed.archive), trimmed.settings, tmp_path), 2, keep)
    assert found == trimmed.inbox.cuts
    store, feed = stored(rebuilt, tmp_path, 1), FeedStore(trimmed.settings.feed_url, trimmed.settings.generation)
    assert digest(store, rebuilt.tick) == digest(feed, rebuilt.tick)
    feed.close()
    assert compared(store, rebuilt.tick, trimmed.settings) == 0
    assert " 0 differ" in capsys.readouterr().err
    with pytest.raises(Refused, match="cut-unknown"):
        compared(store, rebuilt.tick + 1, trimmed.settings)
    _falsify(trimmed.settings, 1)
    assert compared(store, rebuilt.tick, trimmed.settings) == 1
    assert " 1 differ" in capsys.readouterr().err
    _falsify(trimmed.settings, -1)
    store.close()


def _falsify(settings: Settings, by: int) -> None:
    """Change a cell of the feed."""
    row = "(period, codes) IN (SELECT period, codes FROM cell_now WHERE table_id = 'F06' ORDER BY codes LIMIT 1)"
    with sqlite3.connect(settings.home / "feed.db") as database:
        for table in ("cell_change", "cell_now"):
            database.execute(f"UPDATE {table} SET facts = facts + ? WHERE table_id = 'F06' AND {row}", (by,))


async def test_the_archive_alone_is_enough_where_it_holds_all(
    trimmed: Trimmed, capsys: pytest.CaptureFixture[str]
) -> None:
    inbox, wishes = trimmed.inbox, ArchiveWishes(file_bytes=4_000, rest=True)
    _ = [r async for r in archived(wishes, trimmed.archive, Kafka(inbox.bootstrap), inbox.topics["inbox"])]
    away = trimmed.settings.model_copy(update={"broker": BrokerSettings(bootstrap="127.0.0.1:1")})
    assert await asyncio.to_thread(main, Wishes(trimmed.archive, offline=True, compare=True), away) == 0
    told = capsys.readouterr()
    assert told.out.startswith("F06")
    assert " 0 differ" in told.err


@pytest.mark.long
def test_a_generation_is_proved_where_the_archive_holds_the_old_end(trimmed: Trimmed) -> None:
    screen = io.StringIO()
    generation = trimmed.settings.generation
    with site(trimmed.settings) as at:
        assert prove(at, generation, Console(file=screen, width=160)) == 0, screen.getvalue()
        (proved,) = [act for act in at.generations.acts(generation) if act.what == "prove"]
        tick = trimmed.inbox.tick
        assert proved.detail["sha256"] == digest(at.store.at(generation), tick).sha256


def test_what_cannot_be_rebuilt_is_said(trimmed: Trimmed, tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="unknown-table"):
        main(Wishes(trimmed.archive, table="F99"), trimmed.settings)
    with pytest.raises(Broken, match="archive-missing"):
        main(Wishes(tmp_path), trimmed.settings)
