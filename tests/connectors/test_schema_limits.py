"""Which schemas the registry takes: hostile ones are told what they break, at the cost of looking at them once."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.registry_errors import INVALID_SCHEMA, RegistryError
from connectors.schema_limits import MAX_DEPTH, MAX_NAME, MAX_TEXT, MAX_VALUES, parsed
from schemas.compatibility import problems
from schemas.contracts import CONTRACTS, Family


def request(avsc: Any) -> bytes:
    return json.dumps({"schema": json.dumps(avsc)}).encode()


def record(*fields: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "record", "name": "R", "fields": list(fields), **more}


def value(kind: Any, **more: Any) -> dict[str, Any]:
    return {"name": "x", "type": kind, **more}


def array(items: Any) -> dict[str, Any]:
    return record(value({"type": "array", "items": items}))


def nested(depth: int) -> Any:
    kind: Any = "string"
    for _ in range(depth):
        kind = {"type": "array", "items": kind}
    return kind


def doubling(times: int) -> dict[str, Any]:
    """Return a short schema whose type has 2 ** times types in it, once its names are resolved."""
    first = {"type": "record", "name": "L0", "fields": [{"name": "a", "type": "string"}]}
    several = [
        {"type": "record", "name": f"L{i}", "fields": [{"name": n, "type": f"L{i - 1}"} for n in ("a", "b")]}
        for i in range(1, times)
    ]
    return record(*({"name": f"f{i}", "type": kind} for i, kind in enumerate([first, *several])))


def unions(name: str, depth: int) -> dict[str, Any]:
    """Return a record in whose unions are records in whose unions are records: each is compared with all."""
    inner = [unions(f"{name}{i}", depth - 1) for i in range(15)] if depth else ["string"]
    return {"type": "record", "name": name, "fields": [value(["null", *inner])]}


EMPTY = {"type": "record", "name": "E", "fields": []}
NOTHING = {"type": "record", "name": "E", "fields": [{"name": "n", "type": "null"}]}
DECIMAL = {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}


@pytest.mark.parametrize("contract", CONTRACTS.values(), ids=lambda c: f"{c.name}-{c.version}")
def test_every_contract_is_within_the_limits(contract: Family) -> None:
    assert parsed(request(contract.avsc)) == contract.avsc


@pytest.mark.parametrize(
    ("avsc", "rule"),
    [
        (record(value(["null", "R"])), "does not contain itself"),
        (record(value({"type": "map", "values": "R"})), "does not contain itself"),
        (record(value("ns.R"), namespace="ns"), "does not contain itself"),
        (array("null"), "at least one byte"),
        (array(EMPTY), "at least one byte"),
        (array(NOTHING), "at least one byte"),
        (array({"type": "fixed", "name": "F", "size": 0}), "at least one byte"),
        (record(value(EMPTY), {"name": "y", "type": {"type": "array", "items": "E"}}), "at least one byte"),
        (nested(MAX_DEPTH), "deep"),
        (nested(400), "deep"),
        (doubling(40), "names resolved"),
        (record(*({"name": f"f{i}", "type": "int"} for i in range(MAX_VALUES))), "at most"),
        (record(value("string", doc="d" * MAX_TEXT)), "at most"),
        (record(value({"type": "enum", "name": "E", "symbols": ["A"] * MAX_VALUES})), "values"),
        (record(name="N" * (MAX_NAME + 1)), "a name"),
        (record(namespace="n" * MAX_NAME, name="N"), "full name"),
        (record(value("int") | {"name": "n" * (MAX_NAME + 1)}), "a name"),
        (record(value("int", aliases=["n" * (MAX_NAME + 1)])), "a name"),
        (record(value("int", aliases=7)), "a name"),
        (record(**{"k" * (MAX_NAME + 1): 1}), "a name"),
        (record(value({"type": "fixed", "name": "F", "size": 2**31})), "fixed type's size"),
        (record(value({**DECIMAL, "precision": 10**9})), "precision"),
        (record(value({**DECIMAL, "scale": -(10**9)})), "scale"),
        (record(value({"type": "array", "items": "int"}, default=[1] * 1000)), "default"),
        (record(value("int", default="a")), "not Avro"),
        (record(value("int", default=10**40)), "64 bits"),
        (record(value(["null"] * 1000)), "branches"),
        (record(value("int"), value("int")), "not Avro"),
        (unions("R", 2), "unions in the branches"),
        (record(value("strong")), "a type that is named"),
        (record(namespace=7), "namespace"),
        (record(doc="\ud800"), "Unicode"),
        (record(value({"type": "error", "name": "E", "fields": []})), "protocol"),
        (record() | {"type": "error"}, "protocol"),
        (record(value({"type": "enum", "name": "E", "symbols": 7})), "not Avro"),
        ([], "empty union"),
        (7, "a type is"),
        ({"type": "record", "name": "R", "fields": [7]}, "a field is"),
        ({"type": "record", "name": "R", "fields": None}, "not Avro"),
        ({"type": "enum", "name": "E", "symbols": [[], {}]}, "not Avro"),
        ({}, "a type is"),
    ],
)
def test_a_hostile_schema_is_told_what_it_breaks(avsc: Any, rule: str) -> None:
    with pytest.raises(RegistryError, match=rule) as told:
        parsed(request(avsc))
    assert (told.value.status, told.value.code) == (422, INVALID_SCHEMA)
    assert len(str(told.value)) < 300


def test_a_word_of_another_types_means_nothing() -> None:
    avsc = record(value("int"), symbols=7, items=3, size=-1)
    assert problems(parsed(request(avsc)), avsc) == []


@pytest.mark.parametrize("text", ["[" * 200_000, '{"a":' * 40_000, "NaN", "1e999", '"\\ud800"', "", '{"type": "int"'])
def test_what_is_no_schema_is_told(text: str) -> None:
    with pytest.raises(RegistryError, match="Invalid schema"):
        parsed(json.dumps({"schema": text}).encode())


WORDS = st.sampled_from(
    ["null", "int", "long", "string", "bytes", "record", "enum", "fixed", "array", "map", "R", "E", "a.R", "", "uuid"]
)
MEMBERS = st.sampled_from(
    [
        "type",
        "name",
        "namespace",
        "fields",
        "items",
        "values",
        "symbols",
        "size",
        "default",
        "aliases",
        "doc",
        "logicalType",
        "precision",
        "scale",
        "core",
    ]
)
VALUES = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | WORDS | st.text(max_size=5)
ANYTHING = st.recursive(
    VALUES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(MEMBERS, inner, max_size=6), max_leaves=25
)
NAMED = st.fixed_dictionaries({"name": WORDS, "type": ANYTHING}, optional={"default": ANYTHING, "aliases": ANYTHING})
RECORDS = st.fixed_dictionaries(
    {"type": st.just("record"), "name": st.just("R"), "fields": st.lists(NAMED, max_size=4)},
    optional={"namespace": ANYTHING, "doc": ANYTHING, "aliases": ANYTHING},
)


@given(avsc=ANYTHING | RECORDS)
def test_whatever_comes_is_taken_or_told(avsc: Any) -> None:
    with suppress(RegistryError):
        schema = parsed(request(avsc))
        assert problems(schema, schema) == []
