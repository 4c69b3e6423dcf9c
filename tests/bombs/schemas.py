"""Bombs for the schema registry and for the Kafka door: schemas and messages whose few bytes stand for very much."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from connectors import confluent
from connectors.avro_writer import whole
from connectors.strict_json import MAX_EVENT_BYTES
from schemas.contracts import FAMILIES
from tests.bombs.blast import Bomb
from tests.bombs.doors import FAMILY, SUBJECT, kafka, registry
from tests.connectors.events import event
from tests.connectors.test_schema_limits import array, doubling, nested, record, unions, value

INVALID = "42201"
_PLACES = {
    "register": f"/subjects/{SUBJECT}/versions",
    "look up": f"/subjects/{SUBJECT}",
    "compare": f"/compatibility/subjects/{SUBJECT}/versions",
}
_REGISTERS, _LOOKS_UP, _COMPARES = (registry(_PLACES[name]) for name in ("register", "look up", "compare"))


def text(schema: str) -> bytes:
    """Return a request with this for a schema's text."""
    return json.dumps({"schema": schema}).encode()


def _schema(door: Any, make: Callable[[], Any]) -> Bomb:
    return Bomb(door, INVALID, lambda: text(json.dumps(make())))


INTS = {"type": "array", "items": "int"}

SCHEMAS: Mapping[str, Bomb] = {
    "registry, body": Bomb(_REGISTERS, "413", lambda: b"[" * 100_000_000),
    "registry, body in depth": Bomb(_REGISTERS, INVALID, lambda: b"[" * 1_000_000),
    "registry, elements of the body": Bomb(_REGISTERS, INVALID, lambda: b"[" + b"1," * 500_000 + b"1]"),
    "registry, depth": Bomb(_REGISTERS, INVALID, lambda: text("[" * 250_000)),
    "registry, depth of objects": Bomb(_REGISTERS, INVALID, lambda: text('{"type":' * 30_000 + '"int"' + "}" * 30_000)),
    "registry, values": Bomb(_REGISTERS, INVALID, lambda: text("[" + "1," * 120_000 + "1]")),
    "registry, a number": Bomb(_REGISTERS, INVALID, lambda: text("9" * 250_000)),
    "registry, text": Bomb(_REGISTERS, INVALID, lambda: text('"' + "x" * 900_000 + '"')),
    "registry, nesting": _schema(_REGISTERS, lambda: nested(400)),
    "registry, doubling": _schema(_REGISTERS, lambda: doubling(40)),
    "registry, unions": _schema(_COMPARES, lambda: unions("R", 2)),
    "registry, doubling compared": _schema(_COMPARES, lambda: doubling(40)),
    "registry, looked up": _schema(_LOOKS_UP, lambda: doubling(40)),
    "registry, nothing for ever": _schema(_REGISTERS, lambda: array("null")),
    "registry, names": _schema(_REGISTERS, lambda: record(*({**value("int"), "name": f"f{n}"} for n in range(5000)))),
    "registry, default": _schema(_REGISTERS, lambda: record(value(INTS, default=[1] * 9000))),
}


def message(body: bytes) -> bytes:
    """Return a Confluent message with this behind its head."""
    return b"\x00" + FAMILIES[FAMILY].schema_id.to_bytes(4, "big") + body


def _sound() -> bytes:
    return confluent.encode(FAMILIES[FAMILY], event())


def _numbers(number: bytes) -> bytes:
    """Return a message of this number alone: the length of its first text, and all that follows."""
    return message(number * (60_000 // len(number)))


def _counted(count: bytes, elements: bytes = b"") -> bytes:
    """Return the example with another count before the citizenships, and further ones."""
    made, one = confluent.encode(FAMILIES[FAMILY], event(person__citizenship=["QQQ"])), b"\x02\x06QQQ"
    assert made.count(one) == 1
    return made.replace(one, count + elements + one[1:])


MESSAGES: Mapping[str, Bomb] = {
    f"Kafka, {name}": Bomb(kafka, told, make)
    for name, told, make in (
        ("length of a text", "malformed-avro", lambda: _numbers(whole(2**62))),
        ("negative length", "malformed-avro", lambda: _numbers(whole(-(2**62)))),
        ("number without an end", "malformed-avro", lambda: _numbers(b"\xff")),
        ("count of an array", "malformed-avro", lambda: _counted(whole(2**62))),
        ("negative count", "malformed-avro", lambda: _counted(whole(-(2**62)) + whole(2**62))),
        ("elements", "too-long", lambda: _counted(whole(60_001), bytes(60_000))),
        ("blocks of an array", "too-long", lambda: _counted(b"", b"\x02\x00" * 30_000 + b"\x02")),
        ("nothing", "trailing-bytes", lambda: message(bytes(60_000))),
        ("size", "too-large", lambda: bytes(MAX_EVENT_BYTES + 1)),
        ("what follows", "trailing-bytes", lambda: _sound() + bytes(60_000)),
    )
}
