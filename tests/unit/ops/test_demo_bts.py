"""The published table: what of it is persons, which ports are chosen, and the crossings it expands into."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from random import Random
from zoneinfo import ZoneInfo

import pytest

from ops.demo import bts
from schemas.errors import Misconfigured

CHICAGO = ZoneInfo("America/Chicago")


@pytest.fixture(scope="module")
def published() -> bts.Published:
    return bts.read()


def test_the_file_holds_the_persons_its_source_note_states(published: bts.Published) -> None:
    assert len(published.persons) == 3_039
    assert sum(published.persons.values()) == 246_945_926
    assert {cell.mode for cell in published.persons} == {"PEDESTRIAN", "CAR", "BUS", "TRAIN"}
    assert {cell.section for cell in published.persons} == {"US_CA", "US_MX"}


def test_ports_of_one_name_stay_two_ports(published: bts.Published) -> None:
    assert {published.ports[code].state for code in ("103", "3302")} == {"Maine", "Idaho"}


def test_the_default_choice_is_about_100_000_persons_in_150_cells_or_more(published: bts.Published) -> None:
    chosen = bts.choose(published)
    assert 100_000 <= sum(chosen.persons.values()) < 120_000
    assert len(chosen.persons) >= 150


def test_ports_are_chosen_by_number_or_by_code(published: bts.Published) -> None:
    assert set(bts.choose(published, "2").ports) == {"3321", "3408"}
    assert set(bts.choose(published, "3406, 2410").ports) == {"3406", "2410"}
    assert set(bts.choose(published, "101").ports) == {"101"}, "a port's code is no number of ports"


@pytest.mark.parametrize("ports", ["", "9999", "3321,9999", "0", "-1", "smallest"])
def test_a_port_that_nobody_knows_is_refused_with_the_remedy(published: bts.Published, ports: str) -> None:
    with pytest.raises(Misconfigured, match="--ports"):
        bts.choose(published, ports)


def test_a_scale_keeps_every_cell(published: bts.Published) -> None:
    few = bts.choose(published, "3")
    assert few.scaled(1.0).persons == few.persons
    tenth = few.scaled(0.1)
    assert tenth.persons.keys() == few.persons.keys()
    assert min(tenth.persons.values()) >= 1
    assert few.scaled(3).persons == {cell: 3 * count for cell, count in few.persons.items()}


@pytest.mark.parametrize("scale", [0, -1, 1001, float("nan")])
def test_an_impossible_scale_is_refused(published: bts.Published, scale: float) -> None:
    with pytest.raises(Misconfigured, match="--scale"):
        published.scaled(scale)


def test_crossings_are_the_table_in_order_of_time_and_in_their_local_month(published: bts.Published) -> None:
    few = bts.choose(published, "3317,3408")
    found = list(bts.crossings(few, CHICAGO, Random(1)))
    assert [c.at for c in found] == sorted(c.at for c in found)
    counted = Counter(bts.Cell("IN", c.port.section, c.mode, c.port.code, c.period) for c in found)
    assert dict(counted) == few.persons
    for crossing in found:
        begin, end = bts.month_bounds(crossing.period, CHICAGO)
        assert begin <= crossing.at < end


def test_a_month_is_local_also_when_the_clocks_change() -> None:
    begin, end = bts.month_bounds("2018-03", CHICAGO)
    assert end - begin == 31 * 86_400 - 3_600
    assert bts.month_bounds("2018-12", CHICAGO)[1] == bts.month_bounds("2019-01", CHICAGO)[0]


def test_a_missing_or_a_broken_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="is not there"):
        bts.read(tmp_path / "none.csv")
    broken = tmp_path / "table.csv"
    broken.write_text(
        "Port Name,State,Port Code,Border,Date,Measure,Value\nX,Y,1,US-Canada Border,01/2018 x,Pedestrians,1\n"
    )
    with pytest.raises(Misconfigured, match=r"table.csv, line 2"):
        bts.read(broken)
