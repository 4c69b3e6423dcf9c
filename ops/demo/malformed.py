"""Deliveries that must be refused: true events, broken in one of many ways."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from random import Random
from typing import Any

import orjson

from connectors import confluent
from ops.demo.events import FAMILY, Event, line
from schemas.contracts import FAMILIES

UNKNOWN_SCHEMA = 9_999_999
NOT_ENTITLED = "a family that the agency may not send"
Broken = Callable[[Event, Random], bytes]


def _with(path: str, value: Any) -> Broken:
    """Break an event by setting one field."""
    block, field = path.split(".")

    def broken(event: Event, _: Random) -> bytes:
        event = copy.deepcopy(event)
        event[block][field] = value
        return line(event)

    return broken


def _without(path: str) -> Broken:
    """Break an event by leaving one field out."""
    block, field = path.split(".")

    def broken(event: Event, _: Random) -> bytes:
        event = copy.deepcopy(event)
        del event[block][field]
        return line(event)

    return broken


def _no_person(event: Event, _: Random) -> bytes:
    return line(event | {"person": None})


def _cut_off(event: Event, chance: Random) -> bytes:
    whole = line(event)
    return whole[: chance.randrange(1, len(whole))]


def _unchanged(event: Event, _: Random) -> bytes:
    return line(event)


EITHER_DOOR: Mapping[str, Broken] = {
    "a checkpoint that is on no list": _with("event.checkpoint", "NOWHERE"),
    "a mode that is on no list": _with("event.mode", "BALLOON"),
    "a country that is on no list": _with("person.citizenship", ["QQQ"]),
    "born after the crossing": _with("person.birth_date", "2019-06-01"),
    "a report without its person": _no_person,
    "revision 0": _with("header.revision", 0),
}
"""Kinds that both JSON and Avro can carry."""

HTTP_ONLY: Mapping[str, Broken] = {
    "JSON cut off": _cut_off,
    "no checkpoint": _without("event.checkpoint"),
    "no record number": _without("header.record_no"),
    "a number where a text belongs": _with("event.direction", 17),
    "a day that is in no calendar": _with("person.birth_date", "1980-02-31"),
    "a record number of 65 characters": _with("header.record_no", "R" * 65),
    "an operation that is none": _with("header.op", "UPSERT"),
    "the year 9999": _with("header.occurred_at", "9999-01-01T00:00:00Z"),
    NOT_ENTITLED: _unchanged,
}
"""Kinds that only JSON can carry."""


def _truncated(event: Event, chance: Random) -> bytes:
    whole = framed(event)
    return whole[: chance.randrange(6, len(whole) - 1)]


def _trailing(event: Event, chance: Random) -> bytes:
    return framed(event) + chance.randbytes(2) + b"\xff"


def _random_bytes(_: Event, chance: Random) -> bytes:
    return b"\xff" + chance.randbytes(chance.randrange(1, 200))


def _random_avro(_: Event, chance: Random) -> bytes:
    return _prefix(FAMILIES[FAMILY].schema_id) + b"\xff" * 12 + chance.randbytes(40)


def _unknown_schema(event: Event, _: Random) -> bytes:
    return _prefix(UNKNOWN_SCHEMA) + framed(event)[5:]


def _other_schema(event: Event, _: Random) -> bytes:
    return _prefix(FAMILIES["permit.decision"].schema_id) + framed(event)[5:]


def _bare_json(event: Event, _: Random) -> bytes:
    return orjson.dumps([event])


KAFKA_ONLY: Mapping[str, Broken] = {
    "Avro cut off": _truncated,
    "bytes behind the Avro": _trailing,
    "random bytes": _random_bytes,
    "random bytes behind a schema id": _random_avro,
    "a schema id that nobody knows": _unknown_schema,
    "another family's schema id": _other_schema,
    "JSON where Avro belongs": _bare_json,
}
"""Kinds that are bytes on an agency topic."""


def framed(event: Event) -> bytes:
    """Return the event as its agency writes it to Kafka."""
    return confluent.encode(FAMILIES[FAMILY], event)


def _prefix(schema_id: int) -> bytes:
    return b"\x00" + schema_id.to_bytes(4, "big")
