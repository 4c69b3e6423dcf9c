"""The models of events: what they take, what they refuse, and that they keep silent about it."""

from __future__ import annotations

import copy
import json
from datetime import UTC, date, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from schemas import contracts
from schemas.contracts import FAMILIES, Family, Field

each_family = pytest.mark.parametrize("family", FAMILIES.values(), ids=lambda f: f.name)
CROSSING = FAMILIES["border.crossing"]
HUGE = 2**31


def changed(example: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """Return the event with another value at a path."""
    event = copy.deepcopy(example)
    *parents, last = path.split(".")
    place = event
    for part in parents:
        place = place[part]
    place[last] = value
    return event


def refusals(family: Family, event: dict[str, Any]) -> list[tuple[str, str]]:
    """Return path and type of each error, the same from parsed JSON as from its bytes."""
    model = contracts.model(family.name)
    with pytest.raises(ValidationError) as told:
        model.model_validate(event)
    with pytest.raises(ValidationError) as told_of_bytes:
        model.model_validate_json(json.dumps(event))
    assert places(told.value) == places(told_of_bytes.value)
    return places(told.value)


def places(error: ValidationError) -> list[tuple[str, str]]:
    """Return path and type of each error."""
    return [(".".join(map(str, each["loc"])), each["type"]) for each in error.errors()]


@pytest.mark.parametrize(
    ("path", "value", "rule"),
    [
        ("header.revision", "1", "int_type"),
        ("header.revision", True, "int_type"),
        ("header.revision", 1.0, "int_type"),
        ("header.revision", 0, "greater_than_equal"),
        ("header.revision", HUGE, "less_than_equal"),
        ("header.record_no", 17, "string_type"),
        ("header.record_no", "", "string_too_short"),
        ("header.record_no", "A" * 65, "string_too_long"),
        ("header.record_no", "A\n17", "string_pattern_mismatch"),
        ("header.record_no", "A-17\n", "string_pattern_mismatch"),
        ("header.record_no", None, "string_type"),
        ("header.op", "create", "literal_error"),
        ("header.recorded_at", None, "datetime_type"),
        ("header.recorded_at", 0, "datetime_type"),
        ("header.recorded_at", 1.5, "datetime_type"),
        ("header.recorded_at", "0", "value_error"),
        ("header.recorded_at", "1700000000", "value_error"),
        ("header.recorded_at", "2018-03-01", "value_error"),
        ("header.recorded_at", "2018-03-01T10:15:00", "value_error"),  # no offset
        ("header.recorded_at", "2018-03-01 10:15:00+03:00", "value_error"),
        ("header.recorded_at", "2018-02-30T10:15:00Z", "datetime_from_date_parsing"),
        ("header.recorded_at", "0000-03-01T10:15:00Z", "datetime_parsing"),
        ("header.recorded_at", "2018-03-01T10:15:00+30:00", "datetime_from_date_parsing"),
        ("header.onward_transfer", 1, "bool_type"),
        ("header.onward_transfer", "true", "bool_type"),
        ("header.doc_date", 0, "date_type"),
        ("header.doc_date", "17591", "value_error"),
        ("header.doc_date", "2018-03-01T00:00:00Z", "value_error"),
        ("person.birth_date", "2018-02-30", "date_from_datetime_parsing"),
        ("person.birth_year", "1980", "int_type"),
        ("person.birth_year", 1799, "greater_than_equal"),
        ("person.sex", None, "int_type"),
        ("person.sex", 10, "less_than_equal"),
        ("person.surname", " ", "string_pattern_mismatch"),
        ("person.citizenship", "UZB", "list_type"),
        ("person.citizenship", [], "too_short"),
        ("person.citizenship", ["UZB"] * 9, "too_long"),
        ("person.document", [], "model_type"),
        ("event.mrz_ok", 1, "bool_type"),
        ("event.declared_stay_days", -1, "greater_than_equal"),
        ("event.colour", "red", "extra_forbidden"),
        ("colour", "red", "extra_forbidden"),
        ("event", "IN", "model_type"),
    ],
)
def test_a_wrong_value_is_refused_at_its_path(path: str, value: object, rule: str) -> None:
    assert refusals(CROSSING, changed(CROSSING.example, path, value)) == [(path, rule)]


def present(family: Family) -> list[Field]:
    """Return the fields whose record the example holds: a newborn has no document."""
    documented = family.example.get("person", {}).get("document") is not None
    return [field for field in family.fields if documented or not field.path.startswith("person.document.")]


@each_family
def test_every_field_refuses_another_type(family: Family) -> None:
    wrong: dict[str, Any] = {
        "string": 1,
        "int": "1",
        "long": "1",
        "boolean": 1,
        "date": 1,
        "timestamp-millis": 1,
        "enum": 1,
        "array": "a",
    }
    for field in present(family):
        assert [path for path, _ in refusals(family, changed(family.example, field.path, wrong[field.type]))] == [
            field.path
        ]


@each_family
def test_null_and_absence_pass_exactly_where_the_contract_says(family: Family) -> None:
    model = contracts.model(family.name)
    for field in present(family):
        event = changed(family.example, field.path, None)
        if field.nullable:
            model.model_validate(event)
        else:
            assert [path for path, _ in refusals(family, event)] == [field.path]


@each_family
def test_the_models_fields_are_the_contracts(family: Family) -> None:
    def paths(model: Any, prefix: str) -> list[str]:
        found = []
        for name, field in model.model_fields.items():
            inner = next((k for k in getattr(field.annotation, "__args__", ()) if hasattr(k, "model_fields")), None)
            inner = field.annotation if hasattr(field.annotation, "model_fields") else inner
            found += paths(inner, f"{prefix}{name}.") if inner else [f"{prefix}{name}"]
        return found

    assert paths(contracts.model(family.name), "") == [field.path for field in family.fields]


@each_family
def test_limits_of_the_contract_hold_in_the_model(family: Family) -> None:
    for field in present(family):
        if field.type == "string" and field.max_length:
            long = changed(family.example, field.path, "A" * (field.max_length + 1))
            assert refusals(family, long) == [(field.path, "string_too_long")]
        if field.type == "string" and field.pattern:
            control = changed(family.example, field.path, "1204\x1f")
            assert refusals(family, control) == [(field.path, "string_pattern_mismatch")]


def test_instants_keep_their_moment_whatever_their_offset() -> None:
    model = contracts.model(CROSSING.name)
    texts = ("2018-03-01T10:15:00+03:00", "2018-03-01T07:15Z", "2018-03-01T07:15:00.000-00:00")
    events = [model.model_validate(changed(CROSSING.example, "header.occurred_at", text)) for text in texts]
    assert {event.model_dump()["header"]["occurred_at"] for event in events} == {
        datetime(2018, 3, 1, 7, 15, tzinfo=UTC)
    }


def test_what_avro_decodes_passes_too() -> None:
    model = contracts.model(CROSSING.name)
    event = changed(CROSSING.example, "header.occurred_at", datetime(2018, 3, 1, 7, 15, tzinfo=UTC))
    event["person"]["birth_date"] = date(1980, 5, 17)
    assert model.model_validate(event) == model.model_validate(CROSSING.example)
    naive = changed(CROSSING.example, "header.occurred_at", datetime(2018, 3, 1, 7, 15))  # noqa: DTZ001 - the point
    with pytest.raises(ValidationError):
        model.model_validate(naive)
    with pytest.raises(ValidationError):
        model.model_validate(changed(event, "person.birth_date", datetime(1980, 5, 17, tzinfo=UTC)))


def test_errors_and_texts_of_models_show_no_value() -> None:
    model = contracts.model(CROSSING.name)
    event = model.model_validate(CROSSING.example)
    assert f"{event} {event!r}" == "BorderCrossing(...) BorderCrossing(...)"
    with pytest.raises(ValidationError) as told:
        model.model_validate(changed(CROSSING.example, "person.surname", "KARIMOV\x00"))
    assert "KARIMOV" not in str(told.value)
