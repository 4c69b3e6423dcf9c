"""The Avro writer: the same bytes as fastavro's, for whatever a contract may hold."""

from __future__ import annotations

import io
from datetime import date, timedelta
from typing import Any

import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.avro_writer import writer
from schemas.contracts import FAMILIES, stored, without_nested_null
from schemas.errors import Misconfigured

INT, LONG = st.integers(-(2**31), 2**31 - 1), st.integers(-(2**63), 2**63 - 1)
DAYS = st.dates(date(1, 1, 1), date(9999, 12, 31))
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "string": st.text(max_size=80),
    "int": INT,
    "long": LONG,
    "boolean": st.booleans(),
    "date": DAYS,
    "timestamp-millis": LONG,
}


def values_of(kind: Any) -> st.SearchStrategy[Any]:
    """Return what generates values of a schema."""
    plain, nullable = without_nested_null(kind)
    if isinstance(plain, str):
        found = VALUES[plain]
    elif plain["type"] == "record":
        found = st.fixed_dictionaries({field["name"]: values_of(field["type"]) for field in plain["fields"]})
    elif plain["type"] == "enum":
        found = st.sampled_from(plain["symbols"])
    elif plain["type"] == "array":
        found = st.lists(values_of(plain["items"]), max_size=3)
    else:
        found = VALUES[plain.get("logicalType", plain["type"])]
    return st.none() | found if nullable else found


def by_fastavro(schema: Any, value: Any) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(schema, named_schemas={}), value)
    return out.getvalue()


@pytest.mark.parametrize("family", FAMILIES)
@given(data=st.data())
def test_stored_contracts(family: str, data: st.DataObject) -> None:
    schema = stored(FAMILIES[family].avsc)
    value = data.draw(values_of(schema))
    assert writer(schema)(value) == by_fastavro(schema, value)


@pytest.mark.parametrize(
    ("schema", "values"),
    [
        ("long", [0, -1, 1, 63, 64, -64, -65, 2**31, 2**63 - 1, -(2**63)]),
        ("string", ["", "x" * 63, "x" * 64, "ж" * 31, "ж" * 32, "x" * 10_000]),
        (["string", "null"], ["a", None]),
        ({"type": "int", "logicalType": "date"}, [date(1970, 1, 1) + timedelta(days=n) for n in (-1, 0, 1, 40_000)]),
        ({"type": "array", "items": ["null", "long"]}, [[], [None], [1, None, -1]]),
    ],
)
def test_edges(schema: Any, values: list[Any]) -> None:
    write = writer(schema)
    assert [write(value) for value in values] == [by_fastavro(schema, value) for value in values]


@pytest.mark.parametrize("schema", ["double", "bytes", {"type": "map", "values": "int"}])
def test_what_contracts_may_not_have_is_named(schema: Any) -> None:
    with pytest.raises(Misconfigured, match="no values of the Avro type"):
        writer(schema)
