"""Every released contract keeps the promises that agencies, doors, folds and tables rely on."""

from __future__ import annotations

import csv
import json
from datetime import UTC, date, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import fastavro
import pytest

from schemas import contracts, generate
from schemas.codelists import CodeLists
from schemas.compatibility import problems
from schemas.contracts import CONTRACTS, DIRECTORY, FAMILIES, Family

LISTS = CodeLists.load()
each_contract = pytest.mark.parametrize("family", CONTRACTS.values(), ids=lambda f: f"{f.name} v{f.version}")
each_family = pytest.mark.parametrize("family", FAMILIES.values(), ids=lambda f: f.name)
CORE = {
    "border.crossing": "direction checkpoint section mode purpose result",
    "permit.decision": (
        "permit_type action first_issue reason region occupation activity valid_from valid_to permit_no"
    ),
    "residence.registered": "from_country from_district region district locality reason",
    "residence.deregistered": "to_country to_district region district locality reason",
}
"""The names by which tables ask for values; position is part of the stored bytes."""


def records(avsc: Any) -> list[dict[str, Any]]:
    """Return all record definitions of a contract, the top one first."""
    kind = next((k for k in avsc if k != "null"), None) if isinstance(avsc, list) else avsc
    if not (isinstance(kind, dict) and kind["type"] == "record"):
        return []
    return [kind, *(inner for field in kind["fields"] for inner in records(field["type"]))]


def encoded(schema: Any, event: dict[str, Any]) -> bytes:
    out = BytesIO()
    fastavro.schemaless_writer(out, schema, event, strict=True)
    return out.getvalue()


def decoded(writer: Any, data: bytes, reader: Any = None) -> Any:
    return fastavro.schemaless_reader(BytesIO(data), writer, reader)


def example_in_avro(family: Family) -> dict[str, Any]:
    """Return the contract's example as fastavro writes it."""
    return contracts.model(family.name).model_validate_json(json.dumps(family.example)).model_dump()


@each_contract
def test_says_what_each_record_and_field_is(family: Family) -> None:
    silent = [
        name
        for record in records(family.avsc)
        for name, doc in [(record["name"], record.get("doc")), *((f["name"], f.get("doc")) for f in record["fields"])]
        if not doc or not doc.endswith(".")
    ]
    assert silent == []


@each_contract
def test_every_value_has_an_example(family: Family) -> None:
    assert [field.path for field in family.fields if field.example is None] == []


@each_contract
def test_the_example_names_every_field_and_holds_codes_of_the_lists(family: Family) -> None:
    for field in family.fields:
        value: Any = family.example
        for part in field.path.split("."):
            value = None if value is None else value[part]
        if field.codelist and value is not None:
            for code in value if isinstance(value, list) else [value]:
                assert LISTS[field.codelist].valid(str(code), date(2018, 3, 1)), field.path


@each_contract
def test_the_example_of_each_field_is_a_code_of_its_list(family: Family) -> None:
    for field in family.fields:
        if field.codelist:
            for code in field.example if isinstance(field.example, list) else [field.example]:
                assert str(code) in LISTS[field.codelist], field.path


@each_family
def test_the_example_passes_the_model_and_avro_and_comes_back(family: Family) -> None:
    model = contracts.model(family.name)
    event = model.model_validate_json(json.dumps(family.example))
    back = decoded(family.schema, encoded(family.schema, event.model_dump()))
    assert model.model_validate(back) == event
    assert back["header"]["occurred_at"] == datetime(2018, 3, 1, 7, 15, tzinfo=UTC)
    assert all(back[part] for part in family.example)


@each_family
def test_a_cancellation_needs_no_person_and_no_event(family: Family) -> None:
    header = {"record_no": "A-17", "revision": 2, "op": "CANCEL", "recorded_at": "2018-04-01T00:00:00Z"}
    event = contracts.model(family.name).model_validate_json(json.dumps({"header": header}))
    back = decoded(family.schema, encoded(family.schema, event.model_dump()))
    assert (back.get("person"), back["event"], back["header"]["occurred_at"]) == (None, None, None)


@each_contract
def test_ids_csv_holds_the_fingerprint(family: Family) -> None:
    path = DIRECTORY / family.name / f"v{family.version}.avsc"
    assert contracts.fingerprint(json.loads(path.read_text(encoding="utf-8"))) == family.fingerprint


def test_ids_csv_lists_every_file_once_and_numbers_upwards() -> None:
    with (DIRECTORY / "ids.csv").open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    ids = [int(row["schema_id"]) for row in rows]
    assert ids == sorted(set(ids))
    listed = {Path(row["family"]) / f"v{row['version']}.avsc" for row in rows}
    assert listed == {path.relative_to(DIRECTORY) for path in DIRECTORY.glob("*/*.avsc")}
    assert len({(row["family_id"], row["family"]) for row in rows}) == len({row["family"] for row in rows})


@each_contract
def test_what_is_stored_holds_no_personal_field(family: Family) -> None:
    stored = contracts.stored(family.avsc)
    kept = {field.path for field in contracts.fields_of(stored)}
    personal = {field.path for field in family.fields if field.personal}
    assert kept == {field.path for field in family.fields} - personal
    assert "header.record_no" in personal
    if not family.subject:
        assert {"person.surname", "person.given_names", "person.personal_no", "person.document.number"} <= personal


@each_family
def test_the_stored_body_is_read_without_the_personal_values(family: Family) -> None:
    event = example_in_avro(family)
    body = BytesIO()
    fastavro.schemaless_writer(body, family.stored_schema, event)
    for field in family.fields:
        if field.personal and isinstance(field.example, str) and len(field.example) > 5:
            assert field.example.encode() not in body.getvalue(), field.path
    back = decoded(family.stored_schema, body.getvalue())
    if not family.subject:
        assert "surname" not in back["person"]
        assert back["person"]["birth_date"] == date.fromisoformat(family.example["person"]["birth_date"])


@each_contract
def test_every_code_list_exists(family: Family) -> None:
    assert [field.codelist for field in family.fields if field.codelist and field.codelist not in LISTS] == []


@pytest.mark.parametrize("name", CORE)
def test_core_fields_are_those_the_tables_ask_for(name: str) -> None:
    family = FAMILIES[name]
    assert family.core_fields == tuple(CORE[name].split())
    assert dict(family.core_index) == {name: i for i, name in enumerate(family.core_fields)}


@each_contract
def test_core_fields_lie_in_the_event_and_are_of_a_kind_the_core_holds(family: Family) -> None:
    for field in family.fields:
        if field.core:
            assert field.path.startswith("event.")
            assert field.type in {"string", "boolean", "int", "long", "date"}
            assert field.personal in {None, contracts.PSEUDONYM, contracts.RECORD}
        else:
            assert field.personal in {None, contracts.DROP}


@each_contract
def test_the_natural_key_is_made_of_core_fields(family: Family) -> None:
    assert set(family.natural_key) <= {*family.core_fields, contracts.DAY, contracts.AGENCY}
    assert family.tolerance_minutes is None or family.tolerance_minutes >= 0
    assert contracts.DAY not in family.natural_key or family.tolerance_minutes == 0


@each_contract
def test_a_family_is_about_a_person_or_about_a_subject(family: Family) -> None:
    assert bool(family.subject) != any(field.path.startswith("person.") for field in family.fields)
    assert set(family.subject) <= {*family.core_fields, contracts.AGENCY}


@each_contract
def test_not_before_names_another_day_of_the_contract(family: Family) -> None:
    types = {field.path: field.type for field in family.fields}
    for field in family.fields:
        if field.not_before:
            assert types[field.not_before] == field.type


@each_contract
def test_limits_fit_the_type(family: Family) -> None:
    for field in family.fields:
        texts = (field.pattern, field.min_length, field.max_length)
        assert field.type in {"string", "array"} or texts == (None, None, None), field.path
        assert field.type in {"int", "long"} or (field.minimum, field.maximum) == (None, None), field.path


@each_contract
def test_free_text_is_bounded_and_takes_no_control_characters(family: Family) -> None:
    for field in family.fields:
        if field.type == "string" and not field.codelist:
            assert field.pattern, field.path
            assert field.max_length or field.pattern.endswith("}$"), field.path


def test_header_person_and_document_are_the_same_in_all_families() -> None:
    shared = [{r["name"]: r for r in records(f.avsc) if r["name"] in {"Header", "Person"}} for f in FAMILIES.values()]
    assert all(
        set(each) == {"Header"} if f.subject else True for f, each in zip(FAMILIES.values(), shared, strict=True)
    )
    assert all(record == shared[0][name] for each in shared for name, record in each.items())


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_each_version_may_follow_all_before_it(name: str) -> None:
    versions = sorted((f for f in CONTRACTS.values() if f.name == name), key=lambda f: f.version)
    assert [v.version for v in versions] == list(range(1, len(versions) + 1))
    for i, newer in enumerate(versions):
        for older in versions[:i]:
            assert problems(older.avsc, newer.avsc) == []


KEPT = {
    row["family"]: row
    for row in map(json.loads, (Path(__file__).parent / "v1_bytes.jsonl").read_text(encoding="utf-8").splitlines())
}
"""One encoded event of each family, kept since version 1 was released."""


@pytest.mark.parametrize("name", KEPT)
def test_bytes_written_under_version_1_are_still_read(name: str) -> None:
    writer = next(each for each in CONTRACTS.values() if each.name == name and each.version == 1)
    back = decoded(writer.schema, bytes.fromhex(KEPT[name]["hex"]), FAMILIES[name].schema)
    event = contracts.model(name).model_validate(back)
    assert event.model_dump(mode="json", exclude_none=True) == KEPT[name]["event"]


@each_family
def test_the_models_are_freshly_generated(family: Family) -> None:
    path = generate.DIRECTORY / f"{contracts.module_name(family.name)}.py"
    assert path.read_text(encoding="utf-8") == generate.source(family), "run `make generate` and commit what changed"
