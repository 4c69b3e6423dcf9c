"""The feed store: the same promises on SQLite and on PostgreSQL."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from itertools import count
from pathlib import Path

import psycopg
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine, inspect, text

from connectors.feed_store import Cell, Change, Cut, FeedStore, balance
from connectors.feed_store.opening import MIGRATIONS, open_engine
from connectors.feed_store.tables import METADATA
from schemas.errors import Broken, Misconfigured, Refused, Unavailable
from streams.fold import CellChange, CutClosed
from tests.connectors.feed_databases import new_database

generations = count(100)
"""Each example of a law has one of its own, as if its database were empty."""


@pytest.fixture
def store(feed_url: str) -> Iterator[FeedStore]:
    with closing(FeedStore(feed_url, 1)) as opened:
        yield opened


def change(key: str, facts: int, *measures: int, **causes: tuple[int, int]) -> CellChange:
    return CellChange(key, facts, measures or (facts,), {cause.replace("_", "-"): n for cause, n in causes.items()})


def write(store: FeedStore, *cuts: CutClosed) -> None:
    with store.begin(0) as step:
        step.advance(step.position(), step.position() + 1)
        for cut in cuts:
            step.write(cut)


def values(store: FeedStore, table: str = "T", cut: int | None = None) -> dict[tuple[str, str], tuple[int, ...]]:
    return {(cell.period, "|".join(cell.codes)): cell.measures for cell in store.cells(table, cut=cut)}


# --- the writer ---


def test_a_step_is_visible_after_its_end_and_only_as_a_whole(store: FeedStore) -> None:
    with store.begin(0) as step:
        step.view.put(b"k", b"v")
        step.write(CutClosed(10, (change("T|2018-01|A", 1),)))
        step.advance(0, 7)
        assert store.latest_cut() is None
    assert store.latest_cut() == Cut(10, 1)
    with store.begin(0) as step:
        assert (step.position(), step.view.get(b"k")) == (7, b"v")


def test_a_step_that_fails_leaves_nothing_behind(store: FeedStore) -> None:
    def fail() -> None:
        with store.begin(0) as step:
            step.view.put(b"k", b"v")
            step.write(CutClosed(10, (change("T|2018-01|A", 1),)))
            step.advance(0, 7)
            raise LookupError

    with pytest.raises(LookupError):
        fail()
    with store.begin(0) as step:
        assert (step.position(), step.view.get(b"k")) == (0, None)
    assert (store.latest_cut(), store.cells("T")) == (None, [])


@pytest.mark.parametrize("start", [0, 5])
def test_only_one_of_two_writers_moves_the_position(store: FeedStore, feed_url: str, start: int) -> None:
    if start:
        with store.begin(0) as step:
            step.advance(0, start)
    with closing(FeedStore(feed_url, 1)) as other, other.begin(0) as step:
        step.advance(start, 9)
    with pytest.raises(Unavailable, match="lease-lost"), store.begin(0) as step:  # noqa: PT012 what a zombie does
        step.view.put(b"zombie", b"")
        step.advance(start, 8)
    with store.begin(0) as step:
        assert (step.position(), step.view.get(b"zombie")) == (9, None)


def test_a_step_that_writes_must_move_the_position(store: FeedStore) -> None:
    with pytest.raises(Broken, match="unguarded-write"), store.begin(0) as step:
        step.view.put(b"k", b"v")
    with pytest.raises(Broken, match="unguarded-write"), store.begin(0) as step:
        step.write(CutClosed(10, ()))


def test_positions_are_per_partition(store: FeedStore) -> None:
    for partition, offset in ((0, 3), (1, 4)):
        with store.begin(partition) as step:
            step.advance(0, offset)
    with store.begin(0) as step:
        assert step.position() == 3


def test_cuts_are_written_in_order_and_once(store: FeedStore) -> None:
    write(store, CutClosed(10, ()))
    for tick in (10, 9):
        with pytest.raises(Broken, match="cut-order"):
            write(store, CutClosed(tick, ()))


def test_a_cell_that_comes_twice_in_one_cut_is_our_own_fault(store: FeedStore) -> None:
    with pytest.raises(Broken, match="feed-row-repeated"):
        write(store, CutClosed(10, (change("T|2018-01|A", 1), change("T|2018-01|A", 2))))


def test_another_writer_waits_its_turn(store: FeedStore, feed_url: str) -> None:
    inside, done = threading.Event(), threading.Event()

    def second() -> None:
        inside.wait()
        with closing(FeedStore(feed_url, 1)) as other, other.begin(1) as step:
            step.advance(0, 1)
        done.set()

    thread = threading.Thread(target=second)
    thread.start()
    with store.begin(0) as step:
        inside.set()
        step.advance(0, 1)
    thread.join(10)
    assert done.is_set()


def test_a_connection_that_breaks_in_a_step_costs_that_step_only(postgres: str) -> None:
    address = new_database(postgres)
    with closing(FeedStore(address, 1)) as store:
        with pytest.raises(Unavailable, match="feed-away"), store.begin(0) as step:  # noqa: PT012 the server cuts us off
            step.advance(0, 1)
            with psycopg.connect(address, autocommit=True) as other:
                others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
                other.execute(f"{others} AND pid <> pg_backend_pid()")
            step.position()
        write(store, CutClosed(10, ()))
        assert store.latest_cut() == Cut(10, 0)


WRITER = """
import sys
from itertools import count
from connectors.feed_store import FeedStore
from streams.fold import CellChange, CutClosed
store = FeedStore(sys.argv[1], 1)
for steps in count():
    with store.begin(0) as step:
        n = step.position()
        step.view.put(b"n", str(n + 1).encode())
        step.write(CutClosed(n + 1, (CellChange("T|2018-01|A", n + 1, (n + 1,), {}),)))
        step.advance(n, n + 1)
    if steps == 0:
        print("begun", flush=True)
"""


def test_a_killed_writer_leaves_state_cells_and_position_of_one_step(feed_url: str) -> None:
    steps = []
    for _ in range(2):
        with subprocess.Popen([sys.executable, "-c", WRITER, feed_url], stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            writer.stdout.readline()
            time.sleep(0.2)
            writer.kill()
        with closing(FeedStore(feed_url, 1)) as store:
            (cell,), cut = store.cells("T"), store.latest_cut()
            with store.begin(0) as step:
                n = step.position()
                assert (step.view.get(b"n"), cell.measures, cut) == (str(n).encode(), (n,), Cut(n, 1))
            steps.append(n)
    assert 0 < steps[0] < steps[1]


# --- the state's view ---


def test_the_view_reads_its_own_writes_and_deletes(store: FeedStore) -> None:
    with store.begin(0) as step:
        step.advance(0, 1)
        for key in (b"a", b"b", b"c"):
            step.view.put(key, b"old")
    with store.begin(0) as step:
        step.advance(1, 2)
        step.view.put(b"b", b"new")
        step.view.delete(b"c")
        step.view.delete(b"never")
        assert step.view.get_many([b"c", b"b", b"a", b"b", b"x"]) == [None, b"new", b"old", b"new", None]
    with store.begin(0) as step:
        assert list(step.view.scan(b"")) == [(b"a", b"old"), (b"b", b"new")]


def test_a_scan_merges_what_lies_there_with_what_was_put_in_bytewise_order(store: FeedStore) -> None:
    stored = [b"p", b"p\x00", b"p\x7f", b"p\xff", b"p\xff\xff", b"q", b"o\xff"]
    with store.begin(0) as step:
        step.advance(0, 1)
        for key in stored:
            step.view.put(key, b"1")
    with store.begin(0) as step:
        step.view.put(b"p\x80", b"2")
        step.view.put(b"p\xff", b"3")
        step.view.delete(b"p\x00")
        found = list(step.view.scan(b"p"))
        assert found == [(b"p", b"1"), (b"p\x7f", b"1"), (b"p\x80", b"2"), (b"p\xff", b"3"), (b"p\xff\xff", b"1")]
        assert [key for key, _ in step.view.scan(b"p\xff")] == [b"p\xff", b"p\xff\xff"]
        step.advance(1, 2)


def test_a_scan_shows_the_state_at_the_call(store: FeedStore) -> None:
    with store.begin(0) as step:
        step.advance(0, 1)
        step.view.put(b"k1", b"")
        scan = step.view.scan(b"k")
        step.view.put(b"k2", b"")
        step.view.delete(b"k1")
        assert [key for key, _ in scan] == [b"k1"]


def test_many_keys_and_large_values_come_back(store: FeedStore) -> None:
    pairs = {n.to_bytes(4, "big"): bytes([n % 256]) * 10 for n in range(2501)}
    with store.begin(0) as step:
        step.advance(0, 1)
        for key, value in pairs.items():
            step.view.put(key, value)
        step.view.put(b"large", bytes(1 << 20))
    with store.begin(0) as step:
        assert step.view.get_many(list(pairs)) == list(pairs.values())
        assert dict(step.view.scan(b"\x00")) == pairs
        assert step.view.get(b"large") == bytes(1 << 20)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.binary(min_size=1, max_size=2), st.none() | st.binary(max_size=2)), max_size=30))
def test_the_view_is_a_dictionary(feed_url: str, steps: list[tuple[bytes, bytes | None]]) -> None:
    with closing(FeedStore(feed_url, next(generations))) as store:
        model: dict[bytes, bytes] = {}
        for key, value in steps:
            with store.begin(0) as step:
                step.advance(step.position(), step.position() + 1)
                if value is None:
                    step.view.delete(key)
                    model.pop(key, None)
                else:
                    step.view.put(key, value)
                    model[key] = value
                assert list(step.view.scan(key[:1])) == sorted(p for p in model.items() if p[0].startswith(key[:1]))
        with store.begin(0) as step:
            assert list(step.view.scan(b"")) == sorted(model.items())


# --- the reader ---


@pytest.fixture
def three_cuts(store: FeedStore) -> FeedStore:
    write(
        store,
        CutClosed(10, (change("T|2018-01|A|x", 1, 1, 5, on_time=(1, 0)), change("T|2018-02|B|x", 2, 2, 9))),
        CutClosed(20, (change("T|2018-01|A|x", 3, 3, 7, late=(3, 1), link=(0, 0)), change("U|2018-01|A", 4, 4))),
    )
    write(
        store, CutClosed(30, (change("T|2018-02|B|x", 0, 0, 0, cancellation=(0, 2)), change("T|2018-03|C|y", 1, 1, 1)))
    )
    return store


def test_cells_are_read_as_of_any_cut(three_cuts: FeedStore) -> None:
    at_10 = {("2018-01", "A|x"): (1, 5), ("2018-02", "B|x"): (2, 9)}
    at_20 = at_10 | {("2018-01", "A|x"): (3, 7)}
    at_30 = {("2018-01", "A|x"): (3, 7), ("2018-03", "C|y"): (1, 1)}
    assert [values(three_cuts, cut=cut) for cut in (9, 10, 15, 20, 30, 99, None)] == [
        {}, at_10, at_10, at_20, at_30, at_30, at_30
    ]  # fmt: skip


@pytest.mark.parametrize("cut", [None, 30, 35])
def test_a_cell_that_is_gone_can_be_asked_for(three_cuts: FeedStore, cut: int | None) -> None:
    gone = [cell for cell in three_cuts.cells_and_gone("T", cut=cut) if not cell.facts]
    assert gone == [Cell("T", "2018-02", ("B", "x"), 0, (0, 0), 30)]
    assert all(cell.facts for cell in three_cuts.cells_and_gone("T", cut=20))


def test_a_cell_says_when_it_last_changed(three_cuts: FeedStore) -> None:
    assert three_cuts.cells("T", "2018-01", "2018-01") == [Cell("T", "2018-01", ("A", "x"), 3, (3, 7), 20)]
    assert three_cuts.cells("T", "2018-01", "2018-01", cut=10) == [Cell("T", "2018-01", ("A", "x"), 1, (1, 5), 10)]


def test_periods_are_taken_from_first_to_last(three_cuts: FeedStore) -> None:
    def periods(first: str | None, last: str | None) -> list[str]:
        return [cell.period for cell in three_cuts.cells("T", first, last, cut=20)]

    assert periods("2018-01", "2018-02") == ["2018-01", "2018-02"]
    assert periods("2018-02", None) == ["2018-02"]
    assert periods(None, "2018-01") == ["2018-01"]


def test_the_newest_complete_cut_up_to_an_instant(three_cuts: FeedStore) -> None:
    assert [three_cuts.cut_at(instant).tick for instant in (None, 30, 29, 20, 10)] == [30, 30, 20, 20, 10]
    assert three_cuts.cuts(2) == [Cut(30, 2), Cut(20, 2)]


@pytest.mark.parametrize(("instant", "rule"), [(31, "not complete yet"), (9, "There was no cut")])
def test_a_cut_that_is_not_there_is_refused_with_what_is(three_cuts: FeedStore, instant: int, rule: str) -> None:
    with pytest.raises(Refused, match=rule) as refusal:
        three_cuts.cut_at(instant)
    assert refusal.value.code == "cut-unknown"
    assert "1970-01-01T00:00:" in refusal.value.reasons[0].rule


def test_before_the_first_cut_there_is_nothing(store: FeedStore) -> None:
    assert (store.latest_cut(), store.cells("T"), store.changes("T")) == (None, [], [])
    with pytest.raises(Refused, match="No cut is complete yet"):
        store.cut_at(None)


def test_changes_say_from_what_to_what_and_why(three_cuts: FeedStore) -> None:
    assert three_cuts.changes("T") == [
        Change("T", "2018-01", ("A", "x"), 10, 0, (0, 0), 1, (1, 5), {"on-time": (1, 0)}),
        Change("T", "2018-02", ("B", "x"), 10, 0, (0, 0), 2, (2, 9), {}),
        Change("T", "2018-01", ("A", "x"), 20, 1, (1, 5), 3, (3, 7), {"late": (3, 1), "link": (0, 0)}),
        Change("T", "2018-02", ("B", "x"), 30, 2, (2, 9), 0, (0, 0), {"cancellation": (0, 2)}),
        Change("T", "2018-03", ("C", "y"), 30, 0, (0, 0), 1, (1, 1), {}),
    ]


def test_changes_come_in_pages(three_cuts: FeedStore) -> None:
    every, pages, after = three_cuts.changes("T"), [], (-1, "", "")
    while page := three_cuts.changes("T", after=after, limit=2):
        pages += page
        after = (page[-1].cut, page[-1].period, "|".join(page[-1].codes))
    assert pages == every
    assert [c.cut for c in three_cuts.changes("T", "2018-01", "2018-01", until=19)] == [10]


def test_generations_do_not_see_each_other(three_cuts: FeedStore, feed_url: str) -> None:
    with closing(FeedStore(feed_url, 2)) as second:
        assert (second.latest_cut(), second.cells("T")) == (None, [])
        write(second, CutClosed(5, (change("T|2018-01|A|x", 9, 9, 9),)))
        assert values(second) == {("2018-01", "A|x"): (9, 9)}
        with second.begin(0) as step:
            assert step.position() == 1
    assert values(three_cuts, cut=10)["2018-01", "A|x"] == (1, 5)


def test_reading_waits_for_no_writer(three_cuts: FeedStore, feed_url: str) -> None:
    with closing(FeedStore(feed_url, 1)) as reader, three_cuts.begin(0) as step:
        step.advance(step.position(), 9)
        step.write(CutClosed(40, (change("T|2018-01|A|x", 8, 8, 8),)))
        assert reader.cut_at(None).tick == 30
        assert values(reader)["2018-01", "A|x"] == (3, 7)


def test_the_cells_of_every_cut_are_what_was_written_by_then(feed_url: str) -> None:
    @settings(max_examples=15, deadline=None)
    @given(
        st.lists(st.dictionaries(st.sampled_from("ABC"), st.integers(0, 3), max_size=3), min_size=1, max_size=6),
    )
    def law(cuts: list[dict[str, int]]) -> None:
        with closing(FeedStore(feed_url, next(generations))) as store:
            state: dict[tuple[str, str], tuple[int, ...]] = {}
            history = []
            for tick, cells in enumerate(cuts, start=1):
                write(store, CutClosed(tick, tuple(change(f"T|2018|{code}", n) for code, n in cells.items())))
                state |= {("2018", code): (n,) for code, n in cells.items()}
                state = {key: n for key, n in state.items() if n != (0,)}
                history.append(dict(state))
            assert [values(store, cut=tick) for tick in range(1, len(cuts) + 1)] == history
            assert values(store) == history[-1]

    law()


# --- the books ---


def test_the_books_add_up_all_sources_and_balance(store: FeedStore) -> None:
    counts = {
        "deliveries|D0": 6, "deliveries|D1": 4, "refused|D0": 1, "duplicate|D1": 2, "new_version|D0": 4,
        "new_version|D1": 3, "current|D0": 3, "current|D1": 2, "superseded|D0": 1, "cancelled|D1": 1,
        "speaking|R0": 4, "quarantined|R1": 1,
    }  # fmt: skip
    write(store, CutClosed(10, tuple(change(f"BOOKS||1|2|{key}", 1, n) for key, n in counts.items())))
    write(store, CutClosed(20, (change("BOOKS||1|2|speaking|R0", 1, 3), change("BOOKS||3|2|deliveries|D0", 1, 1))))
    (before,) = store.books(10)
    assert (before.agency, before.family, before["deliveries"], before["conflict"]) == (1, 2, 10, 0)
    assert [equation.difference for equation in balance(before)] == [0, 0, 0]
    now, other = store.books()
    assert [equation.difference for equation in balance(now)] == [0, 0, 1]
    assert balance(other)[0] == ("deliveries", "refused + duplicate + new_version", 1)


# --- opening ---


def test_the_store_remembers_its_cluster_and_topic(store: FeedStore, feed_url: str) -> None:
    store.check_identity("cluster-a", "migex.partials.g1")
    store.check_identity("cluster-a", "migex.partials.g1")
    for cluster, topic in (("cluster-b", "migex.partials.g1"), ("cluster-a", "migex.partials.g2")):
        with pytest.raises(Misconfigured, match="Kafka cluster cluster-a"):
            store.check_identity(cluster, topic)
    with closing(FeedStore(feed_url, 2)) as second:
        second.check_identity("cluster-b", "migex.partials.g2")


def test_the_migrations_make_what_the_code_expects(feed_url: str) -> None:
    engine = open_engine(feed_url)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), METADATA) == []
    engine.dispose()


def test_a_database_of_an_earlier_version_is_brought_up_to_date(three_cuts: FeedStore, feed_url: str) -> None:
    def told(store: FeedStore) -> object:
        return [store.cells_and_gone("T", cut=cut) for cut in (10, 20, 25, 30)], store.changes("T"), store.changes("U")

    expected = told(three_cuts)
    engine = open_engine(feed_url)
    with engine.begin() as connection:
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        config.attributes["connection"] = connection
        command.downgrade(config, "0003")
        columns = {column["name"] for column in inspect(connection).get_columns("cell_change")}
        assert "cut_before" not in columns
    engine.dispose()
    with closing(FeedStore(feed_url, 1)) as upgraded:
        assert told(upgraded) == expected
        write(upgraded, CutClosed(40, (change("T|2018-03|C|y", 2, 2, 2),)))
        last = upgraded.changes("T")[-1]
        assert (last.cut, last.facts_before, last.measures_before, last.facts) == (40, 1, (1, 1), 2)


def test_two_processes_may_open_a_new_database_at_once(feed_url: str) -> None:
    stores: list[FeedStore] = []
    threads = [threading.Thread(target=lambda: stores.append(FeedStore(feed_url, 1))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(stores) == 3
    for store in stores:
        store.close()


def test_a_database_of_a_newer_version_is_refused(store: FeedStore, feed_url: str) -> None:
    engine = create_engine(feed_url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()
    with pytest.raises(Misconfigured, match="newer version"):
        FeedStore(feed_url, 1)


@pytest.mark.parametrize(
    "wrong", ["nonsense", "mysql://x/y", "sqlite://", "sqlite:///:memory:", "sqlite:///{tmp}/no/folder/feed.db"]
)
def test_an_address_that_cannot_be_used_names_the_setting(wrong: str, tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="MIGEX_FEED__URL"):
        FeedStore(wrong.format(tmp=tmp_path), 1)


def test_a_file_that_is_no_database_names_the_setting(tmp_path: Path) -> None:
    (tmp_path / "feed.db").write_bytes(b"not a database" * 100)
    with pytest.raises(Misconfigured, match="MIGEX_FEED__URL"):
        FeedStore(f"sqlite:///{tmp_path}/feed.db", 1)
