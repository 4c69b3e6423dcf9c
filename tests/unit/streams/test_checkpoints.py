"""Checkpoints: a new owner begins with the newest sound one, whatever died while it was published or restored."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from schemas.errors import Broken, Misconfigured, Unavailable
from streams.checkpoints import Checkpoints
from streams.crash_points import CrashPoint, Reach, never
from streams.fold import Effect, Message, Send, View
from streams.partition import Partition
from streams.rocks import Identity

IDENTITY = Identity("cluster", "topic", 0, 1, "count")


class Sum:
    """A fold that adds numbers up, keeps each under its number, and sends each sum."""

    hot = b""

    def fold(self, view: View, messages: Sequence[Message]) -> Sequence[Effect]:
        sends = []
        for message in messages:
            total = int(view.get(b"sum") or b"0") + int(message.value)
            view.put(b"sum", str(total).encode())
            view.put(b"n" + message.value, os.urandom(100))
            sends.append(Send("log", 0, str(total).encode()))
        return sends


class Crash(BaseException):
    """The end of a process."""


def dying_at(point: CrashPoint) -> Reach:
    def reach(reached: CrashPoint) -> None:
        if reached == point:
            raise Crash

    return reach


class Hosts:
    """Hosts that share a directory of checkpoints; each has its own state."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.shelf = directory / "checkpoints"
        self.damaged = 0

    def open(self, host: str, identity: Identity = IDENTITY, reach: Reach = never) -> Partition:
        shelf = Checkpoints(self.shelf, identity, host, self._count, reach)
        return Partition(self.state(host), identity, Sum(), shelf, reach)

    def state(self, host: str) -> Path:
        return self.directory / host / "p0"

    def published(self) -> list[int]:
        return sorted(int(p.name) for p in (self.shelf / "g1" / "count" / "p0").iterdir() if p.name.isdigit())

    def files(self, position: int) -> dict[str, Path]:
        directory = self.shelf / "g1" / "count" / "p0" / f"{position:020}"
        return {path.name: path for path in directory.iterdir()}

    def _count(self) -> None:
        self.damaged += 1


@pytest.fixture
def hosts(tmp_path: Path) -> Hosts:
    return Hosts(tmp_path)


def fold(at: Partition, until: int) -> None:
    at.step([Message(n, b"1") for n in range(at.position, until)])


def publish(at: Partition, until: int | None = None) -> None:
    if until is not None:
        fold(at, until)
    made: Callable[[], None] | None = at.checkpoint()
    assert made is not None
    made()


def test_a_new_owner_without_a_state_begins_with_the_newest_and_its_outbox(hosts: Hosts) -> None:
    first = hosts.open("a")
    publish(first, 2)
    fold(first, 5)  # what is folded since is not in it
    second = hosts.open("b")
    assert (second.position, second.view.get(b"sum"), second.restored) == (2, b"2", True)
    assert [output.value for output in second.unsent()] == [b"1", b"2"]
    fold(second, 5)
    assert second.view.get(b"sum") == first.view.get(b"sum") == b"5"
    first.close()
    second.close()


def test_a_state_that_is_older_gives_way_and_one_that_is_further_on_stays(hosts: Hosts) -> None:
    old = hosts.open("a")
    fold(old, 3)
    old.close()
    other = hosts.open("b")
    publish(other, 4)
    other.close()
    at = hosts.open("a")
    assert (at.position, at.restored) == (4, True)
    fold(at, 6)
    at.close()
    at = hosts.open("a")
    assert (at.position, at.restored, at.view.get(b"sum")) == (6, False, b"6")
    at.close()


def test_two_are_kept_and_share_the_files_that_both_have(hosts: Hosts) -> None:
    at = hosts.open("a")
    for until in (1, 2, 3):
        publish(at, until)
    at.close()
    assert hosts.published() == [2, 3]
    older, newer = hosts.files(2), hosts.files(3)
    tables = [name for name in older if name.endswith(".sst")]
    assert tables
    assert all(older[name].samefile(newer[name]) for name in tables)
    assert not older["manifest.json"].samefile(newer["manifest.json"])


def test_another_worker_links_what_is_published_instead_of_copying_it(hosts: Hosts) -> None:
    at = hosts.open("a")
    publish(at, 2)
    at.close()
    other = hosts.open("b")
    publish(other, 3)
    other.close()
    older, newer = hosts.files(2), hosts.files(3)
    tables = [name for name in older if name.endswith(".sst")]
    assert tables
    assert all(older[name].samefile(newer[name]) for name in tables)


def test_nothing_is_published_twice_or_after_one_that_is_further_on(hosts: Hosts) -> None:
    slow, quick = hosts.open("a"), hosts.open("b")
    fold(slow, 2)
    late = slow.checkpoint()
    publish(quick, 3)
    assert late is not None
    late()
    assert hosts.published() == [3]
    assert quick.checkpoint() is None
    assert slow.saved_at == quick.saved_at
    slow.close()
    quick.close()


def test_a_checkpoint_is_published_though_its_state_was_given_away_meanwhile(hosts: Hosts) -> None:
    at = hosts.open("a")
    fold(at, 2)
    made = at.checkpoint()
    at.close()
    assert made is not None
    made()
    assert hosts.published() == [2]
    assert sorted(path.name for path in hosts.state("a").parent.iterdir()) == ["p0", "p0.lock"]


def spoil(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.unlink()  # an older checkpoint shares the file
    path.write_bytes(content)


@pytest.mark.parametrize("how", ["flipped", "missing", "no manifest", "torn manifest"])
def test_instead_of_a_damaged_one_the_next_older_is_taken(hosts: Hosts, how: str) -> None:
    at = hosts.open("a")
    for until in (2, 3):
        publish(at, until)
    at.close()
    files = hosts.files(3)
    table = max(name for name in files if name.endswith(".sst"))
    if how == "flipped":
        spoil(files[table])
    elif how == "missing":
        files[table].unlink()
    elif how == "no manifest":
        files["manifest.json"].unlink()
    else:
        files["manifest.json"].write_bytes(files["manifest.json"].read_bytes()[:-9])
    at = hosts.open("b")
    assert (at.position, at.view.get(b"sum"), hosts.damaged) == (2, b"2", 1)
    publish(at, 3)  # and what was damaged is not in its way
    at.close()
    assert hosts.published() == [2, 3]
    at = hosts.open("c")
    assert (at.position, hosts.damaged) == (3, 1)
    at.close()


def test_when_all_are_damaged_the_source_is_folded_from_the_beginning(hosts: Hosts) -> None:
    at = hosts.open("a")
    for until in (2, 3):
        publish(at, until)
    at.close()
    for position in (2, 3):
        spoil(hosts.files(position)["CURRENT"])
    at = hosts.open("b")
    assert (at.position, at.view.get(b"sum"), hosts.damaged) == (0, None, 2)
    at.close()


def test_one_that_its_successors_push_out_is_not_damaged(hosts: Hosts) -> None:
    at = hosts.open("a")
    publish(at, 2)

    def push_out(point: CrashPoint) -> None:
        if point == CrashPoint.RESTORE_BEFORE_COPY and hosts.published() == [2]:
            publish(at, 3)
            publish(at, 4)

    new = hosts.open("b", reach=push_out)
    assert (new.position, hosts.damaged) == (4, 0)
    at.close()
    new.close()


@pytest.mark.parametrize("field", Identity._fields)
def test_the_checkpoints_of_another_cluster_topic_partition_generation_or_agent_are_refused(
    hosts: Hosts, field: str
) -> None:
    other = IDENTITY._replace(**{field: 7 if field in {"partition", "generation"} else "other"})  # type: ignore[arg-type]
    at = hosts.open("a", other)
    publish(at, 2)
    at.close()
    mine, theirs = (hosts.shelf / f"g{i.generation}" / i.agent / f"p{i.partition}" for i in (IDENTITY, other))
    if mine != theirs:
        mine.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(theirs, mine)
    with pytest.raises(Misconfigured, match="foreign-state"):
        hosts.open("b")
    with pytest.raises(Misconfigured, match="foreign-state"):
        hosts.open("b")  # and it let go of its own state


@pytest.mark.parametrize("point", [p for p in CrashPoint if p.name.startswith("CHECKPOINT_")])
def test_whoever_dies_while_it_publishes_leaves_a_sound_one(hosts: Hosts, point: CrashPoint) -> None:
    at = hosts.open("a")
    for until in (2, 3):
        publish(at, until)
    at.close()
    at = hosts.open("a", reach=dying_at(point))
    with pytest.raises(Crash):
        publish(at, 4)
    at.close()
    at = hosts.open("b")
    assert at.position == (4 if point == CrashPoint.CHECKPOINT_AFTER_PUBLISH else 3)
    publish(at, 5)
    publish(at, 6)
    at.close()
    place = hosts.shelf / "g1" / "count" / "p0"
    assert sorted(path.name for path in place.iterdir()) == [f"{n:020}" for n in (5, 6)]


@pytest.mark.parametrize("state", ["missing", "older"])
@pytest.mark.parametrize("point", [p for p in CrashPoint if p.name.startswith("RESTORE_")])
def test_whoever_dies_while_it_restores_does_it_again(hosts: Hosts, point: CrashPoint, state: str) -> None:
    if state == "older":
        at = hosts.open("b")
        fold(at, 1)
        at.close()
    at = hosts.open("a")
    publish(at, 3)
    at.close()
    with pytest.raises(Crash):
        hosts.open("b", reach=dying_at(point))
    at = hosts.open("b")
    assert (at.position, at.view.get(b"sum"), hosts.damaged) == (3, b"3", 0)
    at.close()
    assert sorted(path.name for path in hosts.state("b").parent.iterdir()) == ["p0", "p0.lock"]


def damage(state: Path, part: str) -> None:
    """Write other bytes into the state's largest table: among its data, or among what it says of itself."""
    table = max(state.glob("*.sst"), key=lambda path: path.stat().st_size)
    data = bytearray(table.read_bytes())
    begin = 5000 if part == "data" else data.index(b"rocksdb.block.based.table.index.type")
    for n in range(begin, begin + 40):
        data[n] ^= 0xFF
    table.write_bytes(data)


def grown(at: Partition, until: int) -> None:
    """Fold numbers that are all different, and let RocksDB write a table."""
    at.step([Message(n, b"%d" % n) for n in range(at.position, until)])
    at.view.db.flush()


@pytest.mark.parametrize("published", [True, False])
@pytest.mark.parametrize("name", ["a", "blocks"])  # the word that RocksDB has for a file that is locked is in this one
def test_a_damaged_state_is_set_aside_and_made_anew(hosts: Hosts, name: str, published: bool) -> None:
    at = hosts.open(name)
    grown(at, 2000)
    if published:
        publish(at)
    grown(at, 3000)
    at.close()
    damage(hosts.state(name), "properties")
    at = hosts.open(name)
    assert (at.position, at.damaged, at.restored) == (2000 if published else 0, True, published)
    assert len(at.unsent()) == at.position
    at.close()
    assert any(hosts.state(name).with_name("p0.damaged").iterdir())
    at = hosts.open(name)
    assert (at.position, at.damaged) == (2000 if published else 0, False)
    at.close()


NUMBERS = [b"n%d" % n for n in range(3000)]


@pytest.mark.parametrize(
    "read",
    [
        lambda view: [view.get(key) for key in NUMBERS],
        lambda view: view.get_many(NUMBERS),
        lambda view: list(view.scan(b"")),
    ],
)
def test_damage_that_is_found_while_it_is_read_ends_that_state(hosts: Hosts, read: Callable[[View], object]) -> None:
    at = hosts.open("a")
    publish(at, 1)
    grown(at, 3000)
    at.close()
    damage(hosts.state("a"), "data")
    at = hosts.open("a")
    assert (at.position, at.damaged) == (3000, False)
    with pytest.raises(OSError, match="cannot be read or written"):
        read(at.view)
    at.close()
    at = hosts.open("a")
    assert (at.position, at.damaged, at.restored) == (1, True, True)
    at.close()


def test_a_checkpoint_of_a_damaged_state_gives_way_to_the_one_before(hosts: Hosts) -> None:
    at = hosts.open("a")
    publish(at, 1)
    grown(at, 3000)
    damage(hosts.state("a"), "data")
    publish(at)  # by its digests it is what it was
    at.close()
    at = hosts.open("b")
    assert (at.position, at.damaged, hosts.damaged) == (3000, False, 0)
    with pytest.raises(OSError, match="cannot be read"):
        list(at.view.scan(b"n"))
    at.close()
    at = hosts.open("b")
    assert (at.position, at.damaged, at.restored, hosts.damaged) == (1, True, True, 1)
    assert hosts.published() == [1]
    at.close()


def test_files_are_shared_with_the_checkpoint_they_were_compared_with(hosts: Hosts, tmp_path: Path) -> None:
    """Two owners for a while: the other one publishes in the middle, with other content under the same name."""
    mine, other = (Checkpoints(hosts.shelf, IDENTITY, host) for host in "ab")

    def taken(name: str, content: bytes) -> Path:
        (tmp_path / name).mkdir()
        (tmp_path / name / "f.sst").write_bytes(content * 100)
        return tmp_path / name

    mine.publish(taken("first", b"X"), 100)
    second = taken("second", b"X")
    os.mkfifo(second / "a.sst")  # is copied before f.sst, and for as long as nobody writes into it

    def meanwhile() -> None:
        with (second / "a.sst").open("wb"):  # opens when the other end is being read
            other.publish(taken("others", b"Y"), 120)

    with ThreadPoolExecutor(1) as threads:
        published = threads.submit(meanwhile)
        mine.publish(second, 130)
        published.result()
    mine.publish(taken("third", b"X"), 140)
    assert hosts.published() == [130, 140]
    for position in hosts.published():
        assert hosts.files(position)["f.sst"].read_bytes() == b"X" * 100
    assert other.restore(tmp_path / "into" / "p0", 0) == 140


def test_a_state_that_another_process_has_is_not_exchanged(hosts: Hosts) -> None:
    stopped = hosts.open("b")
    fold(stopped, 1)
    at = hosts.open("a")
    publish(at, 3)
    with pytest.raises(Unavailable, match="state-locked"):
        hosts.open("b")
    fold(stopped, 3)
    assert stopped.view.get(b"sum") == b"3"
    at.close()
    stopped.close()


def test_nobody_goes_on_where_the_source_lost_what_was_applied(hosts: Hosts) -> None:
    at = hosts.open("a")
    publish(at, 3)
    at.mark(end=2)
    at.close()
    for host in ("a", "b"):
        with pytest.raises(Broken, match=r"log-shorter.* ended at 2, yet 3 messages.*MigexStateAhead"):
            hosts.open(host)
    (hosts.shelf / "g1" / "count" / "p0" / "log-shorter").unlink()
    at = hosts.open("b")
    assert at.position == 3
    at.close()


def test_checkpoints_that_cannot_be_read_are_tried_again(hosts: Hosts) -> None:
    hosts.shelf.parent.mkdir(exist_ok=True)
    (hosts.shelf / "g1" / "count").mkdir(parents=True)
    (hosts.shelf / "g1" / "count" / "p0").write_text("no directory")
    with pytest.raises(Unavailable, match="checkpoints-away"):
        hosts.open("a")
