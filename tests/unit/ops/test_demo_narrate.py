"""What is printed: the last line says how many cells are equal, and any difference or complaint makes it a failure."""

from __future__ import annotations

from collections import Counter
from io import StringIO

from rich.console import Console

from ops.demo import narrate
from ops.demo.bts import Cell, Port, Published
from ops.demo.narrate import Course
from ops.demo.oracle import Expected
from ops.demo.run import counts_differ
from ops.demo.watch import cut_age

PUBLISHED = Published(
    {"3321": Port("3321", "Whitlash", "Montana", "US_CA"), "2410": Port("2410", "Boquillas", "Texas", "US_MX")},
    {
        Cell("IN", "US_CA", "CAR", "3321", "2018-03"): 7,
        Cell("IN", "US_CA", "BUS", "3321", "2018-03"): 2,
        Cell("IN", "US_MX", "PEDESTRIAN", "2410", "2018-12"): 1_234,
    },
)


def console() -> tuple[Console, StringIO]:
    out = StringIO()
    return Console(file=out, width=140), out


def test_all_equal_is_right_and_the_last_line() -> None:
    screen, out = console()
    assert narrate.verdict(screen, PUBLISHED.persons, PUBLISHED.persons, [])
    assert out.getvalue() == "cells equal: 3 of 3\n"


def test_one_person_too_few_is_a_failure_and_named() -> None:
    screen, out = console()
    ours = {cell: count - (cell.mode == "BUS") for cell, count in PUBLISHED.persons.items()}
    assert not narrate.verdict(screen, ours, PUBLISHED.persons, [])
    assert "differs IN US_CA BUS 3321 2018-03: published 2, ours 1" in out.getvalue()
    assert out.getvalue().endswith("cells equal: 2 of 3\n")


def test_a_cell_that_was_never_published_is_a_failure() -> None:
    screen, out = console()
    ours = {**PUBLISHED.persons, Cell("OUT", "US_CA", "CAR", "3321", "2018-03"): 1}
    assert not narrate.verdict(screen, ours, PUBLISHED.persons, [])
    assert out.getvalue().endswith("cells equal: 3 of 4\n")


def test_equal_cells_with_books_that_are_wrong_are_a_failure() -> None:
    screen, out = console()
    assert not narrate.verdict(screen, PUBLISHED.persons, PUBLISHED.persons, ["cbp: deliveries 1, expected 2"])
    assert "wrong cbp: deliveries 1, expected 2" in out.getvalue()


def test_many_differences_are_counted_not_listed() -> None:
    screen, out = console()
    cells = {Cell("IN", "US_CA", "CAR", "3321", f"2018-{month:02d}"): month for month in range(1, 13)}
    cells |= {cell._replace(mode="BUS"): count for cell, count in cells.items()}
    assert not narrate.verdict(screen, {}, cells, [])
    assert "and 4 cells more" in out.getvalue()
    assert out.getvalue().endswith("cells equal: 0 of 24\n")


def test_figures_stand_beside_the_published_ones_by_port_and_by_month() -> None:
    screen, out = console()
    ours = dict(PUBLISHED.persons)
    ours[Cell("IN", "US_MX", "PEDESTRIAN", "2410", "2018-12")] = 1_230
    ours[Cell("IN", "US_MX", "PEDESTRIAN", "9999", "2018-12")] = 5
    narrate.figures(screen, PUBLISHED, ours)
    text = [" ".join(line.replace("│", " ").split()) for line in out.getvalue().splitlines()]
    assert "Whitlash, Montana (3321) US_CA 9 9 0" in text
    assert "Boquillas, Texas (2410) US_MX 1,234 1,230 -4" in text
    assert "9999 not sent 0 5 +5" in text
    assert "2018-12 1,234 1,235 +1" in text


def test_counts_books_faults_and_course_are_printed() -> None:
    screen, out = console()
    account = ("cbp", "border.crossing")
    expected = Expected({}, {account: Counter(deliveries=12)}, Counter({(*account, "http"): 12}), crossings=10)
    expected.faults = {"late by up to five months": 2, "malformed": 1, "malformed: JSON cut off": 1}
    narrate.plan(screen, PUBLISHED, expected)
    narrate.books(screen, expected.books)
    narrate.three_counts(screen, {account: 12}, {account: 12}, expected.books)
    narrate.faults(screen, expected)
    narrate.course(screen, Course(["deduplicate (process 1)"], 1.0, True, 4.0, [0.5, 0.7, 9.0]), 12)
    text = out.getvalue()
    for part in (
        "as 12 deliveries",
        "20.0%",
        "JSON cut off 1",
        "deduplicate (process 1)",
        "3 records/s",
        "p50 0.7 s, p99 9.0 s",
    ):
        assert part in text


def test_the_age_of_the_cut_is_read_from_metrics() -> None:
    text = "# TYPE migex_cut_age_seconds gauge\nmigex_cut_age_seconds 1.5\nmigex_lag_seconds 3\n"
    assert cut_age(text) == [1.5]
    assert cut_age("# TYPE migex_cut_age_seconds gauge\nmigex_cut_age_seconds 1.7e9\n") == [], "no cut yet"


def test_three_counts_must_be_one() -> None:
    account = ("cbp", "border.crossing")
    assert counts_differ({account: 5}, {account: 5}, {account: {"deliveries": 5}}) == []
    for told, doors, booked in ((4, 5, 5), (5, 4, 5), (5, 5, 4)):
        (line,) = counts_differ({account: told}, {account: doors}, {account: {"deliveries": booked}})
        assert line == f"cbp border.crossing: senders {told}, doors {doors}, books {booked}"
    assert counts_differ({}, {account: 1}, {})
