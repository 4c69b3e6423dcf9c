"""Events that must be refused: true ones of any family, broken in one of many ways."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from random import Random
from typing import Any

import orjson

from connectors import confluent
from ops.chaos.families import KINDS
from schemas.contracts import FAMILIES

Event = dict[str, Any]
Break = Callable[[Event, str, Random], bytes]
"""A true event, its family and chance -> what is sent instead."""

NOT_ENTITLED = "a family that the agency may not report"

_UNKNOWN_SCHEMA = 9_999_999


def _set(path: str, value: Any) -> Break:
    """Break an event by setting one field; `event.?` is the family's field that has a list of codes."""

    def changed(event: Event, family: str, _: Random) -> bytes:
        event = copy.deepcopy(event)
        block, field = path.split(".")
        event[block][KINDS[family].coded if field == "?" else field] = value
        return orjson.dumps(event)

    return changed


def _without(path: str) -> Break:
    """Break an event by leaving one field out."""

    def changed(event: Event, family: str, _: Random) -> bytes:
        event = copy.deepcopy(event)
        block, field = path.split(".")
        del event[block][KINDS[family].coded if field == "?" else field]
        return orjson.dumps(event)

    return changed


def _no_person(event: Event, _family: str, _: Random) -> bytes:
    return orjson.dumps(event | {"person": None})


def _cut_off(event: Event, _family: str, chance: Random) -> bytes:
    whole = orjson.dumps(event)
    return whole[: chance.randrange(1, len(whole))]


def _as_it_is(event: Event, _family: str, _: Random) -> bytes:
    return orjson.dumps(event)


def _avro_cut_off(event: Event, family: str, chance: Random) -> bytes:
    whole = _avro(event, family)
    return whole[: chance.randrange(6, len(whole) - 1)]


def _trailing(event: Event, family: str, chance: Random) -> bytes:
    return _avro(event, family) + chance.randbytes(2) + b"\xff"


def _random_bytes(_event: Event, _family: str, chance: Random) -> bytes:
    return b"\xff" + chance.randbytes(chance.randrange(1, 200))


def _unknown_schema(event: Event, family: str, _: Random) -> bytes:
    return b"\x00" + _UNKNOWN_SCHEMA.to_bytes(4, "big") + _avro(event, family)[5:]


def _other_schema(event: Event, family: str, _: Random) -> bytes:
    other = next(each for each in KINDS if each != family)
    return b"\x00" + FAMILIES[other].schema_id.to_bytes(4, "big") + _avro(event, family)[5:]


def _json(event: Event, _family: str, _: Random) -> bytes:
    return orjson.dumps([event])


def _avro(event: Event, family: str) -> bytes:
    return confluent.encode(FAMILIES[family], event)


ANY_DOOR: Mapping[str, Break] = {
    "a code that is on no list": _set("event.?", "NOWHERE"),
    "a country that is on no list": _set("person.citizenship", ["QQQ"]),
    "born after it happened": _set("person.birth_date", "2020-06-01"),
    "a report without its person": _no_person,
    "revision 0": _set("header.revision", 0),
}
"""Kinds that both JSON and Avro can carry."""

JSON_ONLY: Mapping[str, Break] = {
    "JSON cut off": _cut_off,
    "a field left out": _without("event.?"),
    "no record number": _without("header.record_no"),
    "a number where a text belongs": _set("event.?", 17),
    "a day that is in no calendar": _set("person.birth_date", "1980-02-31"),
    "a record number of 65 characters": _set("header.record_no", "R" * 65),
    "an operation that is none": _set("header.op", "UPSERT"),
    "the year 9999": _set("header.occurred_at", "9999-01-01T00:00:00Z"),
    NOT_ENTITLED: _as_it_is,
}
"""Kinds that only JSON can carry: over HTTP, and in files."""

KAFKA_ONLY: Mapping[str, Break] = {
    "Avro cut off": _avro_cut_off,
    "bytes behind the Avro": _trailing,
    "random bytes": _random_bytes,
    "a schema id that nobody knows": _unknown_schema,
    "another family's schema id": _other_schema,
    "JSON where Avro belongs": _json,
}
"""Kinds that are bytes on an agency's topic."""
