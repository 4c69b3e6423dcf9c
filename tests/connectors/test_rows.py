"""The rows of agencies' files: what is read from CSV, XLSX, JSON Lines and Avro, and what is refused, row by row."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import fastavro
import orjson
import pytest
import python_calamine
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.avro_file import AVRO, Bounds
from connectors.batch import JSON, NDJSON
from connectors.rows import BY_FIELD, CSV, XLSX, Row, TableMapping, kind_of, load, rows
from connectors.rows.cells import Number
from connectors.rows.workbook import cells_of
from connectors.texts import sentences
from schemas.contracts import FAMILIES, model
from schemas.errors import Misconfigured, Refused
from tests.connectors.doors import ADMISSION
from tests.connectors.events import NOW, event
from tests.connectors.workbooks import Value, packed, parts, sheet, workbook

BOUNDS = Bounds(4_000_000, 20_000, 1000)
FAMILY = FAMILIES["border.crossing"]
Cells = dict[str, Any]


def flat(whole: dict[str, Any], prefix: str = "") -> Cells:
    """Return an event's values by dotted path; lists as the default separator joins them."""
    found: Cells = {}
    for name, value in whole.items():
        if isinstance(value, dict):
            found |= flat(value, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = "|".join(value) if isinstance(value, list) else value
    return found


def text(value: Any) -> str:
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def table(*cells: Cells, delimiter: str = ",") -> bytes:
    made = io.StringIO(newline="")
    lines = csv.writer(made, delimiter=delimiter)
    lines.writerows([list(cells[0]), *([text(each) for each in row.values()] for row in cells)])
    return made.getvalue().encode()


def read(content: bytes, kind: str = CSV, mapping: TableMapping = BY_FIELD, bounds: Bounds = BOUNDS) -> list[Row]:
    return list(rows(io.BytesIO(content), kind, FAMILY, bounds, mapping))


def accepted(row: Row) -> bytes:
    """Return the digest of the content that admission finds in the row."""
    assert not isinstance(row.event, Refused), row.event
    return ADMISSION.admit("gpk", "border.crossing", row.event, bytes(8), NOW).header.digest


def why(refused: object) -> list[tuple[str, str]]:
    assert isinstance(refused, Refused), refused
    return [(each.code, each.field) for each in refused.reasons]


def whole(content: bytes, kind: str = CSV, mapping: TableMapping = BY_FIELD) -> tuple[str, str]:
    """Return code and rule of the refusal of a file as a whole."""
    with pytest.raises(Refused) as error:
        read(content, kind, mapping)
    (one,) = error.value.reasons
    return one.code, one.rule


EVENT = event()
DIGEST = ADMISSION.admit("gpk", "border.crossing", EVENT, bytes(8), NOW).header.digest


def avro(*events: dict[str, Any]) -> bytes:
    made = io.BytesIO()
    fastavro.writer(
        made, FAMILY.schema, [model("border.crossing").model_validate(each).model_dump() for each in events]
    )
    return made.getvalue()


@pytest.mark.parametrize(
    ("content", "kind", "number"),
    [
        (table(flat(EVENT)), CSV, 2),
        (table(flat(EVENT), delimiter=";"), CSV, 2),
        (table(flat(EVENT), delimiter="\t"), CSV, 2),
        (b"\xef\xbb\xbf" + table(flat(EVENT)), CSV, 2),
        (b"\n\n" + table(flat(EVENT)), CSV, 4),
        (workbook([list(flat(EVENT)), list(flat(EVENT).values())]), XLSX, 2),
        (orjson.dumps(EVENT) + b"\n", NDJSON, 1),
        (b"\n \n" + orjson.dumps(EVENT), NDJSON, 3),
        (orjson.dumps(EVENT), JSON, 1),
        (orjson.dumps([EVENT]), JSON, 1),
        (avro(EVENT), AVRO, 1),
    ],
)
def test_every_form_of_a_file_says_the_same(content: bytes, kind: str, number: int) -> None:
    (row,) = read(content, kind)
    assert (row.number, accepted(row)) == (number, DIGEST)
    assert read(content, kind)[0].payload == row.payload


def test_cp1251_is_told_from_utf_8() -> None:
    cells = flat(event(person__surname="Каримов", person__given_names="Ясур", person__patronymic="Алиевич"))
    for content in (table(cells), table(cells).decode().encode("cp1251")):
        (row,) = read(content)
        assert isinstance(row.event, dict)
        assert row.event["person"]["surname"] == "Каримов"


def test_a_broken_letter_in_utf_8_harms_its_row_alone() -> None:
    cells = flat(event(person__surname="Каримов"))
    lines = table(cells, cells, cells).splitlines(keepends=True)
    lines[2] = lines[2].replace("Ка".encode(), b"\xd0\xff")
    one, two, three = read(b"".join(lines))
    assert accepted(one) == accepted(three)
    assert (two.number, why(two.event)) == (3, [("bad-row", "(event)")])


def test_titles_are_short_names_too_and_columns_stand_in_any_order() -> None:
    cells = {"surname": "KARIMOV", "given_names": "", "Record_No": "A-1", "header.op": "CREATE", "revision": 3}
    cells |= {"recorded_at": "2018-03-01T10:15:07+03:00"}
    (row,) = read(table(cells))
    assert isinstance(row.event, dict)
    assert row.event["header"]["record_no"] == "A-1"
    assert row.event["header"]["revision"] == 3
    assert row.event["person"] == {"surname": "KARIMOV", "given_names": ""}


def test_a_cancellation_has_no_person_and_no_event() -> None:
    cells = dict.fromkeys(flat(EVENT)) | {
        "header.record_no": "A-17",
        "header.revision": 2,
        "header.op": "CANCEL",
        "header.recorded_at": "2018-03-02T08:00:00+03:00",
    }
    (row,) = read(table(cells))
    assert isinstance(row.event, dict)
    assert set(row.event) == {"header"}
    accepted(row)


MAPPING = TableMapping(
    columns={"Номер записи": "header.record_no", "Записано": "header.recorded_at", "Пол": "person.sex"}
    | {"Родился": "person.birth_date", "Гражданства": "person.citizenship", "Истекает": "event.document_expires"},
    ignored=["Примечание"],
    constants={"header.revision": 1, "header.op": "CREATE", "person.document.issuer": "UZB", "event.mode": "RAIL"},
    values={"person.sex": {"М": 1, "Ж": 2}},
    dates=["%d.%m.%Y"],
    moments=["%d.%m.%Y %H:%M"],
    zone="Europe/Minsk",
    separator="+",
)
AGENCYS = {
    "Номер  ЗАПИСИ": "7",
    "Записано": "01.03.2018 10:15",
    "Пол": "Ж",
    "Родился": "17.05.1980",
    "Гражданства": "UZB+RUS",
    "Примечание": "anything",
    "mode": None,
    "Истекает": None,
}


def test_a_mapping_tells_titles_words_dates_and_constants() -> None:
    (row,) = read(table(AGENCYS, delimiter=";"), mapping=MAPPING)
    assert row.event == {
        "header": {"record_no": "7", "recorded_at": "2018-03-01T10:15:00+03:00", "revision": 1, "op": "CREATE"},
        "person": {"sex": 2, "birth_date": "1980-05-17", "citizenship": ["UZB", "RUS"]},
    }, "a constant makes no record of its own"


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        ({"Родился": "05/17/1980"}, [("bad-cell", "person.birth_date")]),
        ({"Записано": "soon", "Родился": "?"}, [("bad-cell", "header.recorded_at"), ("bad-cell", "person.birth_date")]),
        ({"Истекает": "31.02.2020"}, [("bad-cell", "event.document_expires")]),
    ],
)
def test_dates_are_written_as_the_mapping_says(change: Cells, refusal: list[tuple[str, str]]) -> None:
    (row,) = read(table(AGENCYS | change), mapping=MAPPING)
    assert why(row.event) == refusal


def test_a_time_that_the_clocks_had_twice_or_never_is_refused() -> None:
    for local in ("28.10.2018 02:30", "25.03.2018 02:30"):
        (row,) = read(
            table(AGENCYS | {"Записано": local}), mapping=TableMapping(**vars(MAPPING) | {"zone": "Europe/Warsaw"})
        )
        assert why(row.event) == [("bad-cell", "header.recorded_at")]


def test_what_is_of_no_fields_type_is_refused_as_in_json() -> None:
    changes: Cells = {"header.revision": "one", "person.birth_date": "17.05.1980", "event.mrz_ok": "perhaps"}
    (row,) = read(table(flat(EVENT) | changes))
    assert isinstance(row.event, dict)
    with pytest.raises(Refused) as error:
        ADMISSION.admit("gpk", "border.crossing", row.event, bytes(8), NOW)
    found = [("wrong-type", "header.revision"), ("bad-format", "person.birth_date"), ("wrong-type", "event.mrz_ok")]
    assert why(error.value) == found


def test_a_workbooks_own_types_become_the_contracts() -> None:
    cells: Cells = flat(EVENT) | {
        "person.birth_date": datetime(1980, 5, 17),  # noqa: DTZ001  # as workbooks have them
        "event.mrz_ok": True,
        "header.recorded_at": datetime(2018, 3, 1, 10, 15, 7),  # noqa: DTZ001
    }
    (row,) = read(workbook([list(cells), list(cells.values())]), XLSX, TableMapping(zone="Europe/Minsk"))
    assert accepted(row) == DIGEST


@pytest.mark.parametrize(
    ("path", "cell"),
    [
        ("person.document.number", datetime(2018, 1, 2)),  # noqa: DTZ001  # what Excel makes of 1-2
        ("person.document.number", True),
        ("person.document.number", 1234567890123456789),
        ("person.birth_date", datetime(1980, 5, 17, 12)),  # noqa: DTZ001
        ("header.recorded_at", datetime(2018, 3, 1)),  # noqa: DTZ001  # without a zone
    ],
)
def test_what_a_workbook_has_spoilt_is_refused(path: str, cell: Any) -> None:
    cells = flat(EVENT) | {path: cell}
    (row,) = read(workbook([list(cells), list(cells.values())]), XLSX)
    assert why(row.event) == [("bad-cell", path)]


def test_shared_texts_errors_and_old_dates_of_a_workbook() -> None:
    shared = (
        "<sst><si><t>header.record_no</t></si><si><r><t>rev</t></r><r><t>ision</t></r><rPh><t>x</t></rPh></si></sst>"
    )
    titles = '<c r="A1" t="s"><v>0</v></c><c r="B1" t="s"><v>1</v></c><c t="str"><v>op</v></c>'
    titles += '<c t="inlineStr"><is><t>recorded_at</t></is></c><c r="G1" t="str"><v>birth_date</v></c>'
    one = '<c t="n"><v>1.0E2</v></c><c t="e"><v>#N/A</v></c><c r="G5" s="1"><v>1</v></c>'
    two = '<c r="A9" t="s"><v>7</v></c><c r="B9"><v/></c><c r="G9" s="1"><v>60</v></c>'
    content = f'<x:row>{titles}</x:row><row r="5">{one}</row><row r="9">{two}</row>'
    content = f'<x:worksheet xmlns:x="urn:x">{content}</x:worksheet>'
    first, second = read(packed(parts(content, shared=shared)), XLSX)
    assert (first.number, why(first.event)) == (5, [("bad-cell", "header.revision")])
    assert (second.number, why(second.event)) == (
        9,
        [("bad-cell", "header.record_no"), ("bad-cell", "person.birth_date")],
    )


def test_a_sheet_is_read_as_others_read_it() -> None:
    """An independent reader of workbooks finds the same cells."""
    cells: list[list[Value]] = [
        ["a", 1, 2.5, True, None, "ё"],
        [None, "x_x0041_", 1e20, datetime(2020, 2, 29, 13, 5), "  two "],  # noqa: DTZ001
    ]
    made = workbook(cells)
    ours = [[None if cell == "" else cell for cell in row] for _, row in cells_of(io.BytesIO(made), None)]
    theirs = python_calamine.load_workbook(io.BytesIO(made)).get_sheet_by_index(0).to_python()
    for mine, other in zip(ours, theirs, strict=True):
        for a, b in zip(mine, other, strict=False):
            if isinstance(a, Number):
                assert float(a) == b
            else:
                assert ("" if a is None else a.strip() if isinstance(a, str) else a) == b


@pytest.mark.parametrize(
    ("content", "refusal"),
    [
        (
            b"record_no,person.shoe_size\n",
            ("bad-header", "Column 2: a title is a field of the contract, or the mapping names it."),
        ),
        (b"record_no,header.record_no\n", ("bad-header", "Column 2: one column a field.")),
        (b"\xff\xfer\0e\0", ("bad-table", "A table is CSV in UTF-8 or Windows-1251.")),
        (b"", ("bad-table", "A table begins with a header.")),
        (b"," * 1000 + b"\n", ("bad-table", "A table has at most 1000 columns.")),
    ],
)
def test_a_table_that_cannot_be_understood_is_refused_whole(content: bytes, refusal: tuple[str, str]) -> None:
    assert whole(content) == refusal


def test_a_table_without_what_every_event_has_is_refused_whole() -> None:
    with pytest.raises(Refused) as error:
        read(b"record_no,op\nA-1,CREATE\n")
    assert why(error.value) == [("missing-field", "header.revision"), ("missing-field", "header.recorded_at")]


def test_rows_that_are_torn_are_refused_alone() -> None:
    good = table(flat(EVENT), flat(EVENT)).splitlines(keepends=True)
    torn = [b'"A-1"x,1\r\n', b"A-1,1\r\n", b"A" * 30_000 + b"\r\n", good[1].rstrip() + b",more\r\n"]
    content = b"".join([good[0], *torn, good[2]])
    *bad, last = read(content)
    assert [(row.number, *why(row.event)) for row in bad] == [
        (2, ("bad-row", "(event)")),
        (3, ("bad-row", "(event)")),
        (4, ("too-large", "(event)")),
        (5, ("bad-row", "(event)")),
    ]
    assert (last.number, accepted(last)) == (6, DIGEST)


def test_a_quotation_mark_that_is_never_closed_ends_the_file() -> None:
    good = table(flat(EVENT)).splitlines(keepends=True)
    assert whole(good[0] + b'"A-1\r\n' + good[1])[0] == "bad-table"
    assert whole(good[0] + b'"A-1\r\n' + b"\r\n" * 200)[0] == "bad-table"


def test_lines_of_json_that_are_broken_or_too_long_are_refused_alone() -> None:
    line = orjson.dumps(EVENT)
    found = read(b"\n".join([b"{", b"[" * 50_000, line]), NDJSON)
    assert [(row.number, why(row.event)[0][0]) for row in found[:2]] == [(1, "not-json"), (2, "too-large")]
    assert (found[2].number, accepted(found[2])) == (3, DIGEST)


@pytest.mark.parametrize("kind", [CSV, XLSX, NDJSON, JSON, AVRO])
def test_a_file_has_so_many_events_and_bytes_at_most(kind: str) -> None:
    cells = [list(flat(EVENT)), *[list(flat(EVENT).values())] * 3]
    content = {
        CSV: table(*[flat(EVENT)] * 3),
        XLSX: workbook(cells),
        NDJSON: (orjson.dumps(EVENT) + b"\n") * 3,
        JSON: orjson.dumps([EVENT] * 3),
        AVRO: avro(*[EVENT] * 3),
    }[kind]
    assert len(read(content, kind, bounds=BOUNDS._replace(events=3))) == 3
    for bounds, code in ((BOUNDS._replace(events=2), "too-many"), (BOUNDS._replace(body_bytes=900), "too-large")):
        with pytest.raises(Refused) as error:
            read(content, kind, bounds=bounds)
        assert error.value.code == code


ROW = sheet([["record_no"]])


@pytest.mark.parametrize(
    "content",
    [
        b"PK",
        table(flat(EVENT)),
        workbook([["record_no"]])[:-30],
        workbook([["record_no"]])[600:],
        workbook([["record_no"]])[:400] + b"\0" * 400 + workbook([["record_no"]])[800:],
        packed({"xl/workbook.xml": "<a/>"}),
        packed(parts("<worksheet><row>")),
        packed(parts('<!DOCTYPE a [<!ENTITY e "x">]><worksheet><row><c><v>&e;</v></c></row></worksheet>')),
        packed(parts('<worksheet><row r="2"/><row r="2"/></worksheet>')),
        packed(parts('<worksheet><row r="1"><c r="B1"/><c r="A1"/></row></worksheet>')),
        packed(parts('<worksheet><row r="1"><c r="A1"><c r="B1"><v>1</v></c></c></row></worksheet>')),
        *(packed(parts(f'<worksheet><row r="1"><c r="{at}"/></row></worksheet>')) for at in ("A", "ABCD1", "XFD1")),
        packed(parts('<worksheet><row r="9999999"/></worksheet>')),
        packed(parts(ROW, Other="visible")),
        packed(parts(ROW) | {"xl/workbook.xml": "<workbook/>"}),
    ],
)
def test_a_workbook_that_is_none_or_torn_is_refused_whole(content: bytes) -> None:
    assert whole(content, XLSX)[0] == "bad-table"


def test_the_sheet_is_the_only_visible_one_or_that_which_is_named() -> None:
    cells = [list(flat(EVENT)), list(flat(EVENT).values())]
    assert len(read(packed(parts(sheet(cells), Other="hidden")), XLSX)) == 1
    assert len(read(packed(parts(sheet(cells), Other="visible")), XLSX, TableMapping(sheet="Events"))) == 1
    assert whole(packed(parts(sheet(cells))), XLSX, TableMapping(sheet="Else"))[0] == "bad-table"


@pytest.mark.parametrize(
    "content",
    ["columns: [1]", "colums: {}", "dates: ['%d.%m.%y']", "zone: Nowhere", "a: [", "constants: {x: {}}", "- 1", "\0"],
)
def test_a_mapping_that_is_wrong_says_so(content: str, tmp_path: Path) -> None:
    path = tmp_path / "mapping.yaml"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(Misconfigured) as error:
        load(path)
    assert error.value.code == "bad-mapping"


def test_a_mapping_comes_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "mapping.yaml"
    path.write_text(yaml.safe_dump({"constants": {"event.document_expires": "2027-11-30"}}), encoding="utf-8")
    assert load(path).constants == {"event.document_expires": "2027-11-30"}
    path.write_text("constants: {event.document_expires: 2027-11-30}", encoding="utf-8")
    assert load(path).constants == {"event.document_expires": "2027-11-30"}
    path.write_text("", encoding="utf-8")
    assert load(path) == BY_FIELD
    with pytest.raises(Misconfigured):
        load(tmp_path / "none.yaml")
    with pytest.raises(Misconfigured):
        read(b"record_no\n", mapping=TableMapping(columns={"x": "person.shoe_size"}))


def test_a_files_name_tells_its_form() -> None:
    assert [kind_of(name) for name in ("a.CSV", "b.c.xlsx", "d.jsonl")] == [CSV, XLSX, NDJSON]
    for name in ("csv", "a.xls", "a.", ".csv"):
        with pytest.raises(Misconfigured):
            kind_of(name)


CELL = st.one_of(
    st.none(), st.booleans(), st.integers(-(10**20), 10**20), st.floats(allow_nan=False), st.text(max_size=20)
)
NAMES = st.lists(st.sampled_from([*sorted(flat(EVENT)), "", "x"]), min_size=1, max_size=8, unique=True)


def outcome(content: bytes, kind: str, mapping: TableMapping) -> None:
    """Read; whatever happens is a row, or a refusal of known words."""
    try:
        for row in rows(io.BytesIO(content), kind, FAMILY, BOUNDS, mapping):
            reasons = row.event.reasons if isinstance(row.event, Refused) else ()
            if not isinstance(row.event, Refused):
                orjson.dumps(row.event)
            assert all(each.rule.parts for each in reasons)  # type: ignore[attr-defined]
    except Refused:
        return


NEEDED = ["header.record_no", "header.revision", "header.op", "header.recorded_at"]


@settings(max_examples=150, deadline=None)
@given(
    titles=NAMES,
    cells=st.lists(st.lists(CELL, max_size=14), max_size=4),
    cut=st.integers(0, 4000),
    at=st.integers(0, 255),
)
def test_whatever_a_table_holds_is_read_or_refused(
    titles: list[str], cells: Sequence[list[Any]], cut: int, at: int
) -> None:
    head = list(dict.fromkeys([*NEEDED, *titles]))
    clean = [[None if isinstance(v, str) and not v.isprintable() else v for v in row] for row in cells]
    made = workbook([head, *clean])
    lines = io.StringIO(newline="")
    csv.writer(lines).writerows([head, *cells])
    content = lines.getvalue().encode("utf-8", "replace")
    for mapping in (BY_FIELD, MAPPING):
        outcome(content, CSV, mapping)
        outcome(content[:cut] + bytes([at]) + content[cut + 1 :], CSV, mapping)
        outcome(made, XLSX, mapping)
        outcome(made[:cut] + bytes([at]) + made[cut + 1 :], XLSX, mapping)


@settings(max_examples=100, deadline=None)
@given(content=st.binary(max_size=300), kind=st.sampled_from([CSV, XLSX, NDJSON, JSON, AVRO]))
def test_whatever_bytes_come_are_read_or_refused(content: bytes, kind: str) -> None:
    outcome(content, kind, BY_FIELD)


def test_every_sentence_about_a_table_is_translated() -> None:
    room = Path(__file__).parents[2] / "connectors" / "rows"
    found = [each for path in room.glob("*.py") for each in path.read_text(encoding="utf-8").split('bad_table("')[1:]]
    assert found
    assert {each.partition('"')[0] for each in found} <= set(sentences())
