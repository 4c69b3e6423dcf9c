"""SDMX-CSV 2.0 as a receiver reads it: a parser of its own, written from the field guide of the SDMX working group.

It shares nothing with the writer but the format's rules, so that a slip in the writer cannot hide in the reader.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from connectors.formats import sdmx_csv
from connectors.table_view import TableView
from streams.dataflows import DATAFLOWS
from tests.connectors.feed_tables import LISTS, cell, shown

STRUCTURES = {"dataflow", "datastructure", "dataprovision"}
ACTIONS = {"I", "A", "R", "D"}
IDENTITY = re.compile(r"(?P<agency>[A-Za-z][\w.-]*):(?P<id>[A-Za-z0-9_@$-]+)\((?P<version>\d+(\.\d+)*)\)")
PERIOD = re.compile(r"\d{4}(-(0[1-9]|1[0-2])|-M(0[1-9]|1[0-2])|-Q[1-4]|-S[12])?")
OBS_STATUS = set("ABDEFGIJKLMNOPQUVW")
CONF_STATUS = set("FNCADSEX")


@dataclass
class Message:
    """What the receiver has after reading."""

    structure: str
    action: str
    columns: list[str]
    rows: list[dict[str, str]]


def fields(text: str) -> Iterator[list[str]]:
    """Yield the records of RFC 4180: quotes, doubled quotes, line breaks inside quotes."""
    record: list[str] = []
    field, quoted, fresh = "", False, True
    for character in re.sub("\r\n", "\n", text):
        if quoted:
            quoted = character != '"'
            field += "" if character == '"' else character
        elif character == '"':
            field += "" if fresh else '"'  # a quote behind a closed quote is one quote
            quoted = True
        elif character == ",":
            record, field = [*record, field], ""
        elif character == "\n":
            yield [*record, field]
            record, field = [], ""
        else:
            field += character
        fresh = character in ",\n"
    if record or field:
        yield [*record, field]


def read(text: str) -> Message:
    """Read a message; asserts what the field guide demands of every message."""
    assert not text.startswith("\ufeff")
    head, *records = fields(text)
    assert head[:3] == ["STRUCTURE", "STRUCTURE_ID", "ACTION"]
    assert len(set(head)) == len(head)
    assert {len(record) for record in records} <= {len(head)}
    rows = [dict(zip(head, record, strict=True)) for record in records]
    (structure,), (action,) = {row["STRUCTURE_ID"] for row in rows}, {row["ACTION"] for row in rows}
    assert {row["STRUCTURE"] for row in rows} <= STRUCTURES
    assert IDENTITY.fullmatch(structure)
    assert action in ACTIONS
    assert [value for row in rows for value in row.values() if value != value.strip()] == []
    return Message(structure, action, head[3:], rows)


TABLES = {
    "F01": [
        cell("F01|2018-01|ARR|RU|BY-HM|U", 7),
        cell("F01|2018-01|DEP|RU|BY-HM|U", 9),
        cell("F01|2018-02|ARR|PL|BY-BR|R", 2),
    ],
    "F06": [
        cell("F06|2018-01|IN|F|PL|PL|ROAD|_Z|KOZLOVICHI", 1),
        cell("F06|2018-01|OUT|C|BY|LT|RAIL|WORK|BREST-TERESPOL", 4),
    ],
    "F11": [cell("F11|2018-Q1|SPECIAL_WORK|ISSUED|F|UA|BY-HM|M|Y20-24", 5, 4)],
}


@pytest.fixture(params=sorted(TABLES))
def table(request: pytest.FixtureRequest) -> TableView:
    return shown(request.param, TABLES[request.param], detail=True)


def dimensions(table: TableView) -> list[str]:
    own = [dimension.id for dimension in DATAFLOWS[table.id].dimensions]
    return ["FREQ", "REF_AREA", *own, *(["INDICATOR"] if len(table.measures) > 1 else []), "TIME_PERIOD"]


def test_a_receiver_finds_the_structure_and_reads_every_observation(table: TableView) -> None:
    message = read(sdmx_csv.render(table))
    assert (message.structure, message.action) == (f"BELSTAT:{table.id}(1.0)", "I")
    assert len(message.rows) == len(table.observations)


def test_columns_are_dimensions_then_the_measure_then_attributes(table: TableView) -> None:
    columns = read(sdmx_csv.render(table)).columns
    own = dimensions(table)
    assert columns[: len(own) + 1] == [*own, "OBS_VALUE"]
    assert columns[len(own) + 1 :] == ["OBS_STATUS", "CONF_STATUS", "UNIT_MEASURE", "UNIT_MULT", "CUT", "AFTER_FINAL"]


@pytest.mark.parametrize("table_id", DATAFLOWS)
def test_no_dimension_has_a_name_that_the_message_needs_itself(table_id: str) -> None:
    columns = next(fields(sdmx_csv.render(shown(table_id, [], detail=True))))
    assert len(set(columns)) == len(columns)


def test_the_dimensions_identify_every_observation(table: TableView) -> None:
    rows = read(sdmx_csv.render(table)).rows
    keys = [tuple(row[name] for name in dimensions(table)) for row in rows]
    assert len(set(keys)) == len(keys)
    assert all(all(key) for key in keys)


def test_every_value_is_of_its_kind_and_every_code_of_its_list(table: TableView) -> None:
    lists = {d.id: d.codelist for d in DATAFLOWS[table.id].dimensions if d.codelist}
    areas = {row["alpha2"] for row in LISTS["COUNTRY"].rows}
    for row in read(sdmx_csv.render(table)).rows:
        assert re.fullmatch(r"-?\d+", row["OBS_VALUE"])
        assert PERIOD.fullmatch(row["TIME_PERIOD"])
        assert (row["FREQ"], row["REF_AREA"]) == (DATAFLOWS[table.id].freq, "BY")
        assert row["OBS_STATUS"] in OBS_STATUS
        assert row["CONF_STATUS"] in CONF_STATUS
        assert row["UNIT_MEASURE"] in {"PS", "ACT", "PC"}
        for name, codelist in lists.items():
            assert row[name] in LISTS[codelist] or row[name] == "_Z" or (codelist == "AREA" and row[name] in areas)


def test_the_observations_sum_to_the_cells(table: TableView) -> None:
    rows = read(sdmx_csv.render(table)).rows
    total = sum(int(row["OBS_VALUE"]) for row in rows if row.get("DIRECTION") != "NET")
    assert total == sum(n for each in TABLES[table.id] for n in each.measures)


def test_the_parser_of_this_test_reads_what_rfc_4180_allows() -> None:
    assert list(fields('a,"b,""c""\nd",\r\ne,,f\n')) == [["a", 'b,"c"\nd', ""], ["e", "", "f"]]
