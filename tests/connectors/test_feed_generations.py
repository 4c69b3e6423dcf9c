"""Generations in the feed store, on SQLite and PostgreSQL: begun, compared, switched to, dropped."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing
from hashlib import sha256

import pytest

from connectors.feed_store import FeedStore, Manifest, State
from connectors.feed_store.comparison import Example, TableComparison, compare, digest, lines
from schemas.errors import Misconfigured, Refused, Unavailable
from streams.fold import CellChange, CutClosed

RULES = Manifest(1, "convention", "codelists")


@pytest.fixture
def store(feed_url: str) -> Iterator[FeedStore]:
    """The first generation, current, with three cuts."""
    with closing(FeedStore(feed_url, 1)) as opened:
        opened.generations.enrol(1, RULES)
        write(opened, 10, A=1, B=2)
        write(opened, 20, A=3, B=0)
        write(opened, 30, C=5)
        yield opened


def write(store: FeedStore, tick: int, table: str = "T", **cells: int) -> None:
    """Close a cut in which these cells of a table change."""
    with store.begin(0) as step:
        step.write(CutClosed(tick, tuple(CellChange(f"{table}|2018|{code}", n, (n,), {}) for code, n in cells.items())))
        step.advance(step.position(), step.position() + 1)


def second(store: FeedStore, *, ready: bool = True) -> FeedStore:
    """Begin a second generation that takes fewer steps to the same cells."""
    store.generations.begin(2, Manifest(1, "convention", "codelists", speaks_from=20, previous=1))
    built = store.at(2)
    write(built, 20, A=3)
    write(built, 30, C=5)
    if ready:
        store.generations.ready(2)
    return built


def states(store: FeedStore) -> dict[int, State]:
    return {each.number: each.state for each in store.generations.all()}


def compared(store: FeedStore, different: int = 0, cut: int = 30) -> None:
    store.generations.note("compare", 1, {"other": 2, "cut": cut, "different": different})


# --- beginning ---


def test_the_first_generation_is_current_and_a_worker_may_come_again(store: FeedStore) -> None:
    again = store.generations.enrol(1, RULES)
    assert (again.number, again.state, again.manifest) == (1, State.CURRENT, RULES)
    assert store.generations.current() == 1


def test_a_worker_of_a_generation_that_nobody_began_does_not_start(store: FeedStore) -> None:
    with pytest.raises(Misconfigured, match="generation-unknown"):
        store.generations.enrol(2, RULES)


@pytest.mark.parametrize("rules", [Manifest(2, "convention", "codelists"), Manifest(1, "other", "codelists")])
def test_a_worker_that_counts_otherwise_does_not_start(store: FeedStore, rules: Manifest) -> None:
    with pytest.raises(Misconfigured, match="generation-rules"):
        store.generations.enrol(1, rules)


def test_where_the_convention_lies_and_when_it_speaks_is_no_other_way_of_counting(store: FeedStore) -> None:
    store.generations.enrol(1, Manifest(1, "convention", "codelists", speaks_from=7, convention_file="/elsewhere"))


def test_a_number_is_begun_once(store: FeedStore) -> None:
    store.generations.begin(2, RULES)
    with pytest.raises(Refused, match="generation-used"):
        store.generations.begin(2, RULES)
    assert states(store) == {1: State.CURRENT, 2: State.BUILDING}


def test_of_workers_that_come_at_once_one_generation_becomes_current(feed_url: str) -> None:
    def come(number: int) -> None:
        with closing(FeedStore(feed_url, number)) as opened:
            try:
                opened.generations.enrol(number, RULES)
            except Misconfigured:
                refused.append(number)

    refused: list[int] = []
    threads = [threading.Thread(target=come, args=(number,)) for number in (1, 2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with closing(FeedStore(feed_url, 1)) as opened:
        assert list(states(opened).values()) == [State.CURRENT]
    assert len(refused) == 2


# --- comparing ---


def test_generations_that_came_otherwise_to_the_same_cells_are_equal_in_cells_and_bytes(store: FeedStore) -> None:
    built = second(store)
    assert store.generations.common_cut(1, 2) == 30
    assert store.generations.common_cut(1, 2, 29) == 20
    assert store.generations.common_cut(1, 2, 19) is None
    assert compare(store, built, 30) == [TableComparison("T", 2, 0, 0, 0, ())]
    assert digest(store, 30) == digest(built, 30)


def test_what_differs_is_counted_and_the_first_are_shown(store: FeedStore) -> None:
    built = second(store)
    write(built, 40, A=4, C=0, D=1)
    write(store, 40, B=2)
    write(store, 50, A=4)  # after the cut
    assert compare(store, built, 40, examples=3) == [
        TableComparison(
            "T", 0, 1, 2, 1,
            (Example("T|2018|A", (3, 3), (4, 4)), Example("T|2018|B", (2, 2), None), Example("T|2018|C", (5, 5), None)),
        )
    ]  # fmt: skip
    assert digest(store, 40) != digest(built, 40)


def test_a_table_that_only_one_of_them_has_differs(store: FeedStore) -> None:
    built = second(store)
    write(built, 40, "U", A=1)
    write(store, 40)
    assert [(row.table, row.different) for row in compare(store, built, 40)] == [("T", 0), ("U", 1)]


def test_books_are_compared_without_regard_to_who_counted(store: FeedStore) -> None:
    built = second(store)
    for opened, where in ((store, ("D0", 2, "D1", 3)), (built, ("D0", 4, "D1", 1))):
        one, n, other, m = where
        changes = [CellChange(f"BOOKS||1|1|deliveries|{s}", 1, (int(k),), {}) for s, k in ((one, n), (other, m))]
        with opened.begin(0) as step:
            step.write(CutClosed(40, tuple(changes)))
            step.advance(step.position(), step.position() + 1)
    books, _ = compare(store, built, 40)
    assert books == TableComparison("BOOKS", 1, 0, 0, 0, ())


def test_canonical_bytes(store: FeedStore) -> None:
    assert b"".join(lines(store, 20)) == b"T|2018|A 3 3\n"
    write(store, 40, "Ж", **{"б": 1, "Z": 2})
    expected = "T|2018|A 3 3\nT|2018|C 5 5\nЖ|2018|Z 2 2\nЖ|2018|б 1 1\n".encode()
    assert b"".join(lines(store, 40)) == expected
    assert digest(store, 40) == (4, sha256(expected).hexdigest())


# --- switching ---


def test_readers_see_the_other_generation_after_a_switch_and_may_go_back(store: FeedStore) -> None:
    second(store)
    compared(store)
    assert store.generations.switch(2) == 30
    assert states(store) == {1: State.READY, 2: State.CURRENT}
    assert store.shown().generation == 2
    assert store.shown(1).generation == 1
    store.generations.switch(1)
    assert store.shown().generation == 1


def test_a_switch_needs_a_comparison_without_differences_or_a_reason(store: FeedStore) -> None:
    second(store)
    with pytest.raises(Refused, match="generation-not-compared"):
        store.generations.switch(2)
    compared(store, cut=10)  # of what was before it was begun
    with pytest.raises(Refused, match="generation-not-compared"):
        store.generations.switch(2)
    compared(store, 3)
    with pytest.raises(Refused, match="generation-differs"):
        store.generations.switch(2)
    assert store.generations.current() == 1
    store.generations.switch(2, "The new universe.")
    (switched,) = [act for act in store.generations.acts(2) if act.what == "switch"]
    assert switched.detail["accepted"] == "The new universe."
    assert switched.detail["compared"] == {"other": 2, "cut": 30, "different": 3}
    store.generations.note("compare", 2, {"other": 1, "cut": 30, "different": 0})  # the other way round is the same
    store.generations.switch(1)


def test_nobody_is_switched_back_in_time(store: FeedStore) -> None:
    built = second(store)
    compared(store)
    write(store, 40)
    with pytest.raises(Unavailable, match="generation-behind"):
        store.generations.switch(2)
    write(built, 50)
    assert store.generations.switch(2) == 50


def test_a_cut_that_the_current_one_is_just_closing_is_waited_for(store: FeedStore) -> None:
    def switch() -> None:
        try:
            store.generations.switch(2, "rehearsed")
        except Unavailable as error:
            said.append(error.code)

    second(store)
    said: list[str] = []
    lease = store.lease("a")
    lease.take()
    switching = threading.Thread(target=switch)
    with store.begin(0, lease) as step:
        step.write(CutClosed(40, ()))
        step.advance(step.position(), step.position() + 1)
        switching.start()
        time.sleep(0.5)
        assert switching.is_alive()
    switching.join(20)
    assert (said, store.generations.current()) == (["generation-behind"], 1)


def test_only_what_is_ready_is_switched_to(store: FeedStore) -> None:
    second(store, ready=False)
    for number in (1, 2, 9):
        with pytest.raises(Refused, match="generation-state"):
            store.generations.switch(number, "because")


# --- dropping ---


def test_what_is_dropped_leaves_its_number_and_the_others_cells(store: FeedStore) -> None:
    built = second(store)
    store.generations.dropping(2)
    assert states(store)[2] == State.DROPPING
    with pytest.raises(Misconfigured, match="generation-unknown"):
        store.generations.enrol(2, RULES)
    with pytest.raises(Refused, match="generation-absent"):
        store.shown(2)
    store.generations.forget(2)
    assert states(store) == {1: State.CURRENT, 2: State.DROPPED}
    assert (built.cuts(9), built.tables(), store.tables()) == ([], [], ["T"])
    with pytest.raises(Refused, match="generation-used"):
        store.generations.begin(2, RULES)
    with pytest.raises(Refused, match="generation-state"):
        store.generations.dropping(2)


def test_the_current_generation_is_never_dropped(store: FeedStore) -> None:
    with pytest.raises(Refused, match="generation-state"):
        store.generations.dropping(1)
    with pytest.raises(Refused, match="generation-state"):
        store.generations.dropping(9)


def test_rows_go_in_parts(store: FeedStore) -> None:
    built = second(store)
    with built.begin(0) as step:
        for n in range(25):
            step.view.put(b"%d" % n, b"x")
        step.advance(step.position(), step.position() + 1)
    store.generations.dropping(2)
    store.generations.forget(2, rows=10)
    with built.begin(0) as step:
        assert (step.position(), list(step.view.scan(b""))) == (0, [])
