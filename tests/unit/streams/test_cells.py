"""Cells of one partition: counts by absolute value, what changed since the last cut, and why."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from streams.dataflows.definition import Fact
from streams.memory import Memory
from streams.reconcile.cells import Cells, Value, decode_value, differences


def fact(cell: str = "F|2024|A", record: bytes = b"r", *measures: int) -> Fact:
    return Fact(cell, record, measures or (1, 5))


def value(view: Memory, cell: str = "F|2024|A") -> Value:
    stored = view.get(b"v" + cell.encode())
    assert stored is not None
    return decode_value(stored)


def taken(cells: Cells, tick: int) -> list[tuple[str, Value]]:
    return sorted((name, decode_value(data)) for name, data in cells.take_changed(tick))


def test_facts_and_measures_add_up_and_causes_are_counted_both_ways() -> None:
    view = Memory()
    cells = Cells(view, 0)
    cells.state(fact(), "on-time", 1)
    cells.state(fact(record=b"s"), "late", 1)
    cells.state(fact(), "correction", -1)
    cells.flush()
    assert value(view) == (1, [1, 5], {"on-time": [1, 0], "late": [1, 0], "correction": [0, 1]})


def test_steps_add_to_what_is_stored() -> None:
    view = Memory()
    for cause in ("on-time", "link"):
        cells = Cells(view, 0)
        cells.state(fact(), cause, 1)
        cells.flush()
    assert value(view) == (2, [2, 10], {"on-time": [1, 0], "link": [1, 0]})


def test_a_flush_leaves_nothing_for_the_next_one() -> None:
    view = Memory()
    cells = Cells(view, 0)
    cells.state(fact(), "on-time", 1)
    cells.flush()
    cells.flush()
    assert value(view)[0] == 1


def test_what_changed_is_told_once_and_a_cell_that_is_gone_is_told_too() -> None:
    view = Memory()
    cells = Cells(view, 0)
    cells.state(fact(), "on-time", 1)
    cells.flush()
    assert [(name, facts) for name, (facts, _, _) in taken(cells, 7)] == [("F|2024|A", 1)]
    assert taken(cells, 8) == []
    cells.state(fact(), "cancellation", -1)
    cells.flush()
    assert taken(cells, 9) == [("F|2024|A", (0, [0, 0], {"on-time": [1, 0], "cancellation": [0, 1]}))]


def test_the_list_of_what_changed_survives_a_step_and_begins_anew_with_a_cut() -> None:
    view = Memory()
    cells = Cells(view, 0)
    cells.state(fact("F|2024|A"), "on-time", 1)
    cells.flush()
    cells = Cells(view, 0)  # the next step, no cut between
    cells.state(fact("F|2024|B"), "on-time", 1)
    cells.flush()
    assert [name for name, _ in taken(cells, 7)] == ["F|2024|A", "F|2024|B"]
    assert list(view.scan(b"d")) == []
    cells = Cells(view, 7)
    cells.state(fact("F|2024|C"), "on-time", 1)
    cells.flush()
    assert [name for name, _ in Cells(view, 7).take_changed(8)] == ["F|2024|C"]


def test_a_count_by_absolute_value_is_told_when_it_differs() -> None:
    view = Memory()
    cells = Cells(view, 0)
    cells.set_count("BOOKS||1|1|refused|D0", 3)
    assert taken(cells, 1) == [("BOOKS||1|1|refused|D0", (1, [3], {}))]
    cells.set_count("BOOKS||1|1|refused|D0", 3)
    assert taken(cells, 2) == []
    cells.set_count("BOOKS||1|1|refused|D0", 4)
    assert [v[1] for _, v in taken(cells, 3)] == [[4]]


facts = st.lists(st.builds(fact, st.sampled_from(("A", "B")), st.sampled_from((b"r", b"s")), st.integers(0, 1)))


@settings(max_examples=200, deadline=None)
@given(facts, facts)
def test_differences_make_the_old_facts_the_new_ones_and_are_as_few_as_can_be(old: list[Fact], new: list[Fact]) -> None:
    found = list(differences(old, new))
    now = Counter(old)
    for each, sign in found:
        now[each] += sign
    assert +now == Counter(new)
    assert len(found) == sum(((Counter(old) - Counter(new)) + (Counter(new) - Counter(old))).values())
