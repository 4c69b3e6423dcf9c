"""From cells to observations."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.feed_store import Cell
from connectors.table_view import TableView
from tests.connectors.feed_tables import at, cell, shown

CROSSING = "F06|2018-01|IN|F|PL|PL|ROAD|WORK"


def figures(table: TableView, *dimensions: str) -> dict[tuple[str, ...], int]:
    """Return codes of the given dimensions, then the period, -> value."""
    places = [n for n, dimension in enumerate(table.dimensions) if dimension.id in dimensions]
    return {(*(seen.codes[n] for n in places), seen.period): seen.value for seen in table.observations}


# --- internal dimensions ---


def test_internal_dimensions_are_summed_out() -> None:
    table = shown("F06", [cell(f"{CROSSING}|BREST-TERESPOL", 5), cell(f"{CROSSING}|KOZLOVICHI", 3)])
    assert [dimension.id for dimension in table.dimensions] == [
        "DIRECTION",
        "CITIZEN",
        "AREA",
        "SECTION",
        "MODE",
        "PURP",
    ]
    assert [seen.value for seen in table.observations] == [8]


def test_internal_dimensions_are_kept_when_asked_for() -> None:
    table = shown("F06", [cell(f"{CROSSING}|BREST-TERESPOL", 5), cell(f"{CROSSING}|KOZLOVICHI", 3)], detail=True)
    assert figures(table, "CHECKPOINT") == {("BREST-TERESPOL", "2018-01"): 5, ("KOZLOVICHI", "2018-01"): 3}


def test_a_sum_has_the_newest_cut_of_its_parts_even_of_one_that_is_gone() -> None:
    parts = [cell(f"{CROSSING}|BREST-TERESPOL", 5, cut="2018-02-10"), cell(f"{CROSSING}|KOZLOVICHI", cut="2018-05-01")]
    (seen,) = shown("F06", parts).observations
    assert (seen.value, seen.cut, seen.after_final) == (5, at("2018-05-01"), True)


def test_what_is_gone_has_no_row() -> None:
    assert shown("F06", [cell(f"{CROSSING}|BREST-TERESPOL")]).observations == ()


@given(
    st.lists(
        st.tuples(st.sampled_from("AB"), st.sampled_from(["X", "Y", "Z"]), st.integers(0, 9)), unique_by=lambda c: c[:2]
    )
)
def test_summing_out_loses_and_adds_nothing(parts: list[tuple[str, str, int]]) -> None:
    cells = [cell(f"F06|2018-01|IN|F|PL|PL|ROAD|{purpose}|{checkpoint}", n) for purpose, checkpoint, n in parts]
    for detail in (True, False):
        assert sum(seen.value for seen in shown("F06", cells, detail=detail).observations) == sum(n for *_, n in parts)


# --- status ---


@pytest.mark.parametrize(
    ("cut", "status"),
    [
        ("2018-03-17T20:59:59", "P"),
        ("2018-03-17T21:00", "A"),  # midnight in Minsk after 31 January and 45 days
        ("2019-01-01", "A"),
    ],
)
def test_a_figure_is_final_after_window_and_late_days(cut: str, status: str) -> None:
    table = shown("F06", [cell(f"{CROSSING}|KOZLOVICHI", 3)], cut)
    assert [seen.status for seen in table.observations] == [status]


@pytest.mark.parametrize(
    ("changed", "after"), [("2018-03-17T20:59:59", False), ("2018-03-17T21:00", False), ("2018-03-17T21:00:01", True)]
)
def test_a_change_after_the_final_figure_is_marked(changed: str, after: bool) -> None:
    table = shown("F06", [cell(f"{CROSSING}|KOZLOVICHI", 3, cut=changed)])
    assert [seen.after_final for seen in table.observations] == [after]


# --- what is derived ---


def test_the_net_is_arrivals_less_departures_per_period_and_the_other_codes() -> None:
    cells = [
        cell("F01|2018-01|ARR|RU|BY-HM|U", 7, cut="2018-02-01"),
        cell("F01|2018-01|DEP|RU|BY-HM|U", 9, cut="2018-02-02"),
        cell("F01|2018-01|DEP|RU|BY-HM|R", 4),
        cell("F01|2018-02|ARR|PL|BY-BR|U", 2),
    ]
    table = shown("F01", cells)
    nets = {(s.codes[1:], s.period): s.value for s in table.observations if s.codes[0] == "NET"}
    assert nets == {
        (("RU", "BY-HM", "U"), "2018-01"): -2,
        (("RU", "BY-HM", "R"), "2018-01"): -4,
        (("PL", "BY-BR", "U"), "2018-02"): 2,
    }
    assert {s.cut for s in table.observations if s.codes[0] == "NET" and s.value == -2} == {at("2018-02-02")}


def test_a_net_of_nothing_but_equal_sides_is_a_row_with_zero() -> None:
    cells = [cell("F01|2018-01|ARR|RU|BY-HM|U", 7), cell("F01|2018-01|DEP|RU|BY-HM|U", 7)]
    assert figures(shown("F01", cells), "DIRECTION")["NET", "2018-01"] == 0


def test_machine_formats_get_no_totals_unless_asked() -> None:
    assert {s.total for s in shown("F01", [cell("F01|2018-01|ARR|RU|BY-HM|U", 7)]).observations} == {False}


def test_totals_over_areas_follow_the_groups_as_they_stood() -> None:
    cells = [
        cell(f"F06|{month}|IN|F|{area}|PL|ROAD|WORK|KOZLOVICHI", n)
        for month in ("2009-07", "2009-09")
        for area, n in (("RU", 1), ("GE", 2), ("PL", 4), ("STLS", 8))
    ]
    totals = {
        k: v for k, v in figures(shown("F06", cells, totals=True), "AREA").items() if len(k[0]) > 2 or k[0] == "_T"
    }
    assert totals == {
        ("_T", "2009-07"): 15, ("CIS", "2009-07"): 3,  # Georgia left on 18 August 2009
        ("_T", "2009-09"): 15, ("CIS", "2009-09"): 1,
        ("STLS", "2009-07"): 8, ("STLS", "2009-09"): 8,
    }  # fmt: skip


def test_totals_of_nets_are_nets_of_totals() -> None:
    cells = [cell("F01|2018-01|ARR|RU|BY-HM|U", 7), cell("F01|2018-01|DEP|KZ|BY-HM|U", 9)]
    table = figures(shown("F01", cells, totals=True), "DIRECTION", "COUNTERPART_AREA")
    assert [table[d, "_T", "2018-01"] for d in ("ARR", "DEP", "NET")] == [7, 9, -2]
    assert [table[d, "EAEU", "2018-01"] for d in ("ARR", "DEP", "NET")] == [7, 9, -2]


# --- measures, order, labels ---


def test_each_measure_is_an_observation() -> None:
    table = shown("F11", [cell("F11|2018-Q1|SPECIAL_WORK|ISSUED|F|UA|BY-HM|M|Y20-24", 5, 4)])
    assert [(s.measure.id, s.measure.unit, s.value) for s in table.observations] == [
        ("ACTS", "ACT", 5),
        ("PERSONS", "PS", 4),
    ]


def test_rows_stand_in_the_order_of_the_code_lists() -> None:
    keys = [("OUT", "PL"), ("IN", "UA"), ("IN", "PL"), ("IN", "UNK")]
    cells = [cell(f"F06|2018-01|{d}|F|{a}|PL|ROAD|WORK|KOZLOVICHI", 1) for d, a in keys]
    table = shown("F06", cells, totals=True)
    order = [s.codes[0] + " " + s.codes[2] for s in table.observations]
    assert order == ["IN _T", "IN CIS", "IN PL", "IN UA", "IN UNK", "OUT _T", "OUT PL"]


@given(st.permutations([cell(f"{CROSSING}|{c}", n, cut=f"2018-02-0{n}") for n, c in enumerate("ABCD", 1)]))
def test_the_order_of_the_cells_does_not_matter(cells: list[Cell]) -> None:
    for detail in (True, False):
        assert (
            shown("F06", cells, detail=detail).observations == shown("F06", sorted(cells), detail=detail).observations
        )


@pytest.mark.parametrize(
    ("code", "label"),
    [("PL", "Польша"), ("STLS", "лица без гражданства"), ("CIS", "СНГ"), ("_T", "всего"), ("??", None)],
)
def test_areas_are_called_by_the_country_list_or_their_own(code: str, label: str | None) -> None:
    table = shown("F06", [])
    (area,) = [dimension for dimension in table.dimensions if dimension.id == "AREA"]
    assert table.labels.label(area, code, "ru") == label
