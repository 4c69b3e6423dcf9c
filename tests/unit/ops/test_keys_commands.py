"""`migex keys` without Kafka: list, rotate-kek, destroy, check; and what a switch does to the level of link keys."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from rich.console import Console

from connectors.admission import Admission
from connectors.archive import Archive, Archived
from connectors.body_keys import BodyKeys, key_id, month_name
from connectors.entry import Entry
from connectors.feed_store import FeedStore
from connectors.inbox import frame
from connectors.sealing import Sealer
from ops import keys, secrets
from ops.generations import building, commands
from ops.generations.rules import manifest
from ops.generations.site import Site, site
from ops.rebuild import Wishes, job
from ops.settings import Settings, with_free_ports
from schemas import conventions
from schemas.codelists import CodeLists
from schemas.errors import Misconfigured, Refused
from schemas.frame import encode, tick_frame
from streams.fold import CutClosed
from streams.rebuild import rebuild
from streams.topics import Topics, partition
from tests.connectors.events import NOW, line

MONTH = month_name(key_id(NOW))
TICK = NOW // 1000 + 60


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    made = with_free_ports(tmp_path)
    secrets.make(made.secrets, ["gpk"])
    return made


@pytest.fixture
def at(settings: Settings) -> Iterator[Site]:
    """A system whose generation 1 has closed a cut, and whose generation 2 links by another key and is ready."""
    with closing(FeedStore(settings.feed_url, 1)) as store:
        store.generations.enrol(1, manifest(settings))
        secrets.make_link_key(settings.secrets, 2)
        store.generations.begin(2, manifest(settings, previous=1, link_level=2))
        for number in (1, 2):
            with store.at(number).begin(0) as step:
                step.write(CutClosed(TICK, ()))
                step.advance(0, 1)
        store.generations.ready(2)
    with site(settings) as opened:
        yield opened


@pytest.fixture
def screen() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def console(screen: io.StringIO) -> Console:
    return Console(file=screen, width=200)


def entries(settings: Settings, count: int, at: int = NOW) -> list[Entry]:
    convention = conventions.load()
    lists = CodeLists.load(*convention.codelist_directories)
    sealer = Sealer(BodyKeys(settings.secrets).obtain)
    door = Admission(convention, lists, secrets.load(settings.secrets), sealer)
    return [
        door.admit("gpk", "border.crossing", line(header__record_no=f"A-{at}-{n}"), n.to_bytes(8, "big"), at)
        for n in range(count)
    ]


def archived(settings: Settings, *batches: list[Entry]) -> None:
    """Put entries into an archive as the inbox would hold them, with a tick behind them."""
    inbox = Topics.of(1, conventions.load())["inbox"]
    archive = Archive(settings.archive_directory, "cluster", inbox.name)
    for number in range(inbox.partitions):
        own = [[e for e in batch if partition(e.partition_key, inbox.partitions) == number] for batch in batches]
        values = [b"rubbish", *[frame(each) for each in own if each], encode(tick_frame(TICK))]
        with archive.writing():
            archive.append(number, [Archived(offset, NOW, value) for offset, value in enumerate(values)])


def check(settings: Settings, console: Console, screen: io.StringIO) -> tuple[int, list[list[str]]]:
    screen.truncate(screen.seek(0))
    status = keys.check(settings, settings.archive_directory, offline=True, console=console)
    return status, [row.split() for row in screen.getvalue().splitlines()[1:]]


def test_every_body_can_be_opened_until_its_key_is_destroyed(
    settings: Settings, console: Console, screen: io.StringIO
) -> None:
    later = entries(settings, 3, NOW + 31 * 86_400_000)
    archived(settings, entries(settings, 40), later)
    month_after = month_name(later[0].header.body_key_id)
    assert check(settings, console, screen) == (
        0, [["gpk", MONTH, "readable", "40"], ["gpk", month_after, "readable", "3"]],
    )  # fmt: skip
    assert keys.rotate_kek(settings, console) == 0
    assert check(settings, console, screen)[1][0] == ["gpk", MONTH, "readable", "40"]

    assert keys.destroy(settings, "gpk", MONTH, console) == 0
    assert check(settings, console, screen) == (
        0, [["gpk", MONTH, "body", "destroyed", "40"], ["gpk", month_after, "readable", "3"]],
    )  # fmt: skip


def test_figures_do_not_notice_that_bodies_are_dead(settings: Settings, console: Console, tmp_path: Path) -> None:
    archived(settings, entries(settings, 40))

    def cells(name: str) -> object:
        scratch = tmp_path / name
        scratch.mkdir()
        rebuilt = rebuild(job(Wishes(settings.archive_directory, offline=True), settings, scratch), cores=1)
        return rebuilt.tick, {key: (cell.facts, cell.measures) for key, cell in rebuilt.cells.items()}

    before = cells("before")
    keys.destroy(settings, "gpk", MONTH, console)
    assert cells("after") == before
    assert before != (TICK, {})


def test_a_body_that_cannot_be_read_by_mishap_is_an_error(
    settings: Settings, console: Console, screen: io.StringIO
) -> None:
    good, other, *_ = entries(settings, 3)
    archived(settings, [good, other._replace(body=good.body)])
    assert check(settings, console, screen) == (
        1, [["gpk", MONTH, "body", "damaged", "1"], ["gpk", MONTH, "readable", "1"]],
    )  # fmt: skip
    (settings.secrets / "body-keys" / f"{good.header.agency}-{MONTH}.json").unlink()
    assert check(settings, console, screen) == (1, [["gpk", MONTH, "no", "key", "here", "2"]])


@pytest.mark.parametrize(
    ("agency", "month", "code"),
    [
        ("nobody", MONTH, "unknown-agency"),
        ("gpk", "2025-9", "bad-month"),
        ("gpk", "2999-01", "month-not-over"),
        ("gpk", "2001-01", "body-key-absent"),
    ],
)
def test_what_cannot_be_destroyed_is_refused(
    settings: Settings, console: Console, agency: str, month: str, code: str
) -> None:
    with pytest.raises((Misconfigured, Refused)) as raised:
        keys.destroy(settings, agency, month, console)
    assert raised.value.code == code


def test_a_switch_takes_the_doors_to_the_level_of_the_generation_and_there_is_no_way_down(
    at: Site, console: Console, screen: io.StringIO
) -> None:
    directory = at.settings.secrets
    commands.contrast(at, 1, 2, None, console)
    assert secrets.load(directory).link_key_id == 1
    commands.switch(at, 2, None, console)
    assert secrets.load(directory).link_key_id == 2
    assert "level 2" in screen.getvalue()
    with pytest.raises(Refused, match="generation-level"):
        commands.switch(at, 1, "for a look", console)
    assert manifest(at.settings).link_level == 2  # whatever is begun now
    keys.show(at, console)
    assert "generation 2 (current) links at level 2" in screen.getvalue()


def test_a_generation_keeps_the_level_of_the_one_before(at: Site, console: Console) -> None:
    commands.contrast(at, 1, 2, None, console)
    commands.switch(at, 2, None, console)
    (at.settings.secrets / "link-level").unlink()  # on another host, which has no secrets
    assert building.following(at).link_level == 2


def test_a_switch_without_the_key_changes_nothing(at: Site, console: Console) -> None:
    (at.settings.secrets / "link-2.key").unlink()
    with pytest.raises(Misconfigured, match="link-2"):
        commands.switch(at, 2, "looked at", console)
    assert (at.current(), secrets.level(at.settings.secrets)) == (1, 1)


def test_list_names_every_key(at: Site, console: Console, screen: io.StringIO) -> None:
    entries(at.settings, 1)
    keys.show(at, console)
    shown = screen.getvalue().splitlines()
    assert shown[:3] == [
        "doors make link keys at level 1",
        "generation 1 (current) links at level 1",
        "generation 2 (ready) links at level 2",
    ]
    assert shown[-1].split() == ["gpk", MONTH, "wrapped", "by", "key-encryption", "key", "1"]
    keys.destroy(at.settings, "gpk", MONTH, console)
    keys.show(at, console)
    assert "destroyed 20" in screen.getvalue()
