"""Which changes of a contract may follow it."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import avro.schema
import pytest
from avro.compatibility import ReaderWriterCompatibilityChecker, SchemaCompatibilityType
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


def words(*symbols: str, default: str = "A") -> dict[str, Any]:
    return {"type": "enum", "name": "E", "symbols": list(symbols), "default": default}


def letter(name: str, *aliases: str) -> dict[str, Any]:
    return {"name": name, "type": "string", "default": "", "aliases": list(aliases)}


def inner(name: str, namespace: str, kind: Any = "string") -> dict[str, Any]:
    fields = [{"name": "y", "type": kind}]
    return a_record(a_field({"type": "record", "name": name, "namespace": namespace, "fields": fields}))


UUID = {"type": "string", "logicalType": "uuid"}


@pytest.mark.parametrize(
    ("older", "newer", "said"),
    [
        (a_record(a_field("string")), a_record(a_field("bytes")), "x: the type differs (string -> bytes)"),
        (a_record(a_field(UUID)), a_record(a_field("string")), "x: logical type"),
        (a_record(a_field(words("A", "B"))), a_record(a_field(words("A", "B", "C"))), "x: an enum keeps its words"),
        (a_record(a_field(words("A", "B", "C"))), a_record(a_field(words("A", "B"))), "x: an enum keeps its words"),
        (a_record(a_field(words("A", "B"))), a_record(a_field(words("A", "B", default="B"))), "keeps its default"),
        (a_record(letter("a"), letter("b")), a_record(letter("a", "b"), letter("b", "a")), "a: a name is kept"),
        (a_record(letter("a")), a_record(letter("c", "a")), "c: a new field has no alias"),
        (a_record(letter("a")), a_record({**letter("a"), "default": "-"}), "a: a default is kept"),
        (inner("I", "a"), inner("I", "b"), "x: the type's full name differs (a.I -> b.I)"),
        (inner("I", "a", ["null", MILLIS]), inner("I", "a", ["null", MICROS]), "x.y: logical type"),
        ({**a_record(), "namespace": "a"}, {**a_record(), "namespace": "b"}, "(schema): the type's full name differs"),
        (
            a_record(a_field({"type": "array", "items": "string"})),
            a_record(a_field({"type": "array", "items": "bytes"})),
            "x[]: the type differs",
        ),
    ],
)
def test_the_stock_checker_passes_what_corrupts_and_we_do_not(older: Any, newer: Any, said: str) -> None:
    stock = ReaderWriterCompatibilityChecker()
    first, second = (avro.schema.parse(json.dumps(schema)) for schema in (older, newer))
    for reader, writer in ((first, second), (second, first)):
        assert stock.get_compatibility(reader, writer).compatibility is SchemaCompatibilityType.compatible
    assert any(said in text for text in problems(older, newer)), problems(older, newer)


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        ({"type": "fixed", "name": "F", "size": 4}, {"type": "fixed", "name": "F", "size": 8}),
        ({"type": "fixed", "name": "F", "size": 4}, {"type": "fixed", "name": "G", "size": 4}),
        (words("A"), {**words("A"), "name": "F"}),
        (["null", "string"], ["null", "string", "int"]),
    ],
)
def test_other_sizes_names_and_branches_may_not_follow(older: Any, newer: Any) -> None:
    assert problems(a_record(a_field(older)), a_record(a_field(newer)))


def test_a_type_is_the_same_whether_it_is_written_out_or_named() -> None:
    money_type = {"type": "fixed", "name": "Money", "size": 8, "logicalType": "decimal", "precision": 9, "scale": 2}
    other = {**money_type, "scale": 3}

    def twice(first: Any) -> dict[str, Any]:
        return a_record({"name": "a", "type": first}, {"name": "b", "type": "Money"})

    assert problems(twice(money_type), twice(money_type)) == []
    assert [text.partition(":")[0] for text in problems(twice(money_type), twice(other))] == ["a", "b"]


def test_words_may_stand_in_another_order() -> None:
    assert problems(a_record(a_field(words("A", "B"))), a_record(a_field(words("B", "A")))) == []


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
