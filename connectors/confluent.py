"""Confluent's wire format: a zero byte, the schema id in four bytes, then one Avro record.

The same bytes as confluent-kafka's AvroSerializer makes; the ids are the permanent ones of `schemas/avro/ids.csv`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, datetime
from io import BytesIO
from typing import Any

import fastavro

from connectors.reasons import WHOLE, reason
from connectors.strict_json import MAX_EVENT_BYTES, too_large
from schemas.contracts import CONTRACTS, FAMILIES, Family
from schemas.errors import Reason, Refused

HEAD = 5
"""Bytes before the Avro record."""

_READ: Mapping[str, Callable[[str], date]] = {
    "timestamp-millis": datetime.fromisoformat,
    "date": date.fromisoformat,
}


def decode(
    payload: bytes,
    family: str,
    max_bytes: int = MAX_EVENT_BYTES,
    contracts: Mapping[int, Family] = CONTRACTS,
) -> dict[str, Any]:
    """Return the event in the bytes, which must be under a contract of the family; raises Refused.

    `contracts` are those that a schema id may name, by that id.

    The work is bounded by the size: a contract is not recursive and its arrays have no items of zero width.
    """
    if len(payload) > max_bytes:
        raise Refused((too_large(max_bytes),))
    contract = _contract(payload, family, contracts)
    newest = FAMILIES[family]
    stream = BytesIO(payload)
    stream.seek(HEAD)
    try:
        event: dict[str, Any] = fastavro.schemaless_reader(
            stream, contract.schema, None if contract is newest else newest.schema
        )
    except Exception:  # fastavro names no closed set: EOFError, IndexError, OverflowError, ValueError, ...
        raise Refused((malformed(),)) from None
    if stream.tell() != len(payload):
        rule = "Nothing follows the Avro record."
        raise Refused((reason("trailing-bytes", WHOLE, rule),))
    return event


def malformed() -> Reason:
    """Return the reason for bytes that are no event under the schema that they name."""
    rule = "Behind the schema id stands one Avro record under that schema, instants and days in their range."
    return reason("malformed-avro", WHOLE, rule)


def _contract(payload: bytes, family: str, contracts: Mapping[int, Family]) -> Family:
    if len(payload) < HEAD or payload[0] != 0:
        rule = "A message begins with a zero byte and a schema id of four bytes (Confluent's wire format)."
        raise Refused((reason("malformed-avro", WHOLE, rule, "Use a Confluent Avro serializer."),))
    contract = contracts.get(int.from_bytes(payload[1:HEAD], "big"))
    if contract is None:
        rule = "The schema id is one of the registry's."
        raise Refused((reason("unknown-schema", WHOLE, rule),))
    if contract.name != family:
        rule = "The schema is one of the topic's event family."
        raise Refused((reason("wrong-family", WHOLE, rule, "Send the event to its own family's topic."),))
    return contract


def encode(family: Family, event: Mapping[str, Any]) -> bytes:
    """Return the message for an event in its JSON form; raises ValueError for one that does not fit the contract."""
    out = BytesIO()
    out.write(b"\x00" + family.schema_id.to_bytes(4, "big"))
    try:
        values = with_times(family, event)
        fastavro.schemaless_writer(out, family.schema, values, strict_allow_default=True)
    except (TypeError, KeyError, AttributeError, ValueError, OverflowError) as error:
        raise ValueError(f"The event does not fit {family.name}: {type(error).__name__}.") from None
    return out.getvalue()


def with_times(family: Family, event: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy with instants and days as Python has them."""
    values = _copied(event)
    for field in family.fields:
        read = _READ.get(field.type)
        if read is None:
            continue
        *owners, name = field.path.split(".")
        place: Any = values
        for owner in owners:
            place = None if place is None else place.get(owner)
        if place is not None and (text := place.get(name)) is not None:
            place[name] = read(text)
    return values


def _copied(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of an object and of the objects in it."""
    return {name: _copied(value) if isinstance(value, dict) else value for name, value in fields.items()}
