"""Which changes of a contract may follow it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
from avro.errors import AvroException

from schemas.compatibility import logical_differences, problems
from schemas.contracts import FAMILIES

MILLIS = {"type": "long", "logicalType": "timestamp-millis"}
MICROS = {"type": "long", "logicalType": "timestamp-micros"}
DAY = {"type": "int", "logicalType": "date"}


def money(scale: int, precision: int = 9) -> dict[str, Any]:
    return {"type": "bytes", "logicalType": "decimal", "precision": precision, "scale": scale}


def a_record(*fields: dict[str, Any]) -> dict[str, Any]:
    return {"type": "record", "name": "R", "fields": list(fields)}


def a_field(kind: Any, **more: Any) -> dict[str, Any]:
    return {"name": "x", "type": kind, **more}


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        (MILLIS, MICROS),
        (DAY, "int"),
        ("int", DAY),
        (money(2), money(3)),
        (money(2, 9), money(2, 10)),
        (["null", MILLIS], ["null", MICROS]),
        ({"type": "array", "items": MILLIS}, {"type": "array", "items": MICROS}),
        ({"type": "map", "values": MILLIS}, {"type": "map", "values": MICROS}),
        (a_record(a_field(MILLIS)), a_record(a_field(MICROS))),
    ],
)
def test_avro_is_blind_to_logical_types_and_we_are_not(older: Any, newer: Any) -> None:
    before, after = a_record(a_field(older)), a_record(a_field(newer))
    for record in (before, after):
        if isinstance(inner := record["fields"][0]["type"], dict) and inner["type"] == "record":
            inner["name"] = "Inner"
    assert len(problems(before, after)) == 1
    assert "logical type, precision or scale differ" in problems(before, after)[0]


@pytest.mark.parametrize(
    ("older", "newer", "words"),
    [
        (a_field("string"), a_field("int"), "cannot read"),
        (a_field("int"), a_field("long"), "The old version cannot read"),
        (a_field("int"), {"name": "y", "type": "int"}, "cannot read"),
    ],
)
def test_full_means_both_ways(older: dict[str, Any], newer: dict[str, Any], words: str) -> None:
    assert any(words in text for text in problems(a_record(older), a_record(newer)))


def test_the_same_schema_in_other_words_may_follow() -> None:
    assert problems(a_record(a_field("string")), a_record(a_field({"type": "string"}, doc="A text."))) == []
    assert logical_differences(a_record(a_field("string")), a_record(a_field({"type": "string"}))) == []


def test_what_is_no_schema_raises() -> None:
    with pytest.raises(AvroException):
        problems(a_record(a_field("string")), a_record(a_field("strong")))


def body(avsc: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the fields of the contract's event."""
    fields: list[dict[str, Any]] = avsc["fields"][2]["type"][1]["fields"]
    return fields


OPTIONAL = {"name": "note", "type": ["null", "string"], "default": None}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda fields: fields.append(OPTIONAL), None),
        (lambda fields: fields.insert(0, OPTIONAL), None),
        (lambda fields: fields.append({**OPTIONAL, "core": True}), None),
        (lambda fields: fields.insert(0, {**OPTIONAL, "core": True}), "read by position"),
        (lambda fields: fields[0].pop("core"), "read by position"),
        (lambda fields: fields.append({"name": "note", "type": "string"}), "cannot read"),
        (lambda fields: fields.remove(next(f for f in fields if f["name"] == "visa_no")), None),
        (lambda fields: next(f for f in fields if f["name"] == "visa_no").pop("personal"), "keeps its mark"),
    ],
)
def test_a_contract_may_grow_by_optional_fields(
    change: Callable[[list[dict[str, Any]]], object], words: str | None
) -> None:
    older = FAMILIES["border.crossing"].avsc
    newer = copy.deepcopy(older)
    change(body(newer))
    found = problems(older, newer)
    assert found == [] if words is None else any(words in text for text in found)
