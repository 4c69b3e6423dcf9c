"""Avro writer: bodies of the inbox, by a writer put together once for each contract.

The bytes are those of fastavro's schemaless_writer, which asks again for every value what type it has and takes three
times as long; a test compares the two. Only what contracts may use is known: records, enums, arrays, text, whole
numbers, flags, days, instants, and unions of one type with null (Avro 1.12, "Binary Encoding").
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

from schemas.errors import Misconfigured

Writer = Callable[[Any], bytes]

_EPOCH = date(1970, 1, 1).toordinal()
_ONE = [bytes((n,)) for n in range(128)]
_SHORT = _ONE[::2]
"""Length of a text of so many bytes."""

_FLAG = {False: b"\x00", True: b"\x01"}


def writer(schema: Any) -> Writer:
    """Return what writes values of the schema; instants are given as ms since 1970, days as dates.

    Raises Misconfigured for a schema that contracts may not have. The writer itself expects values of the right type.
    """
    if isinstance(schema, list):
        return _optional(schema)
    name = schema if isinstance(schema, str) else schema.get("logicalType", schema["type"])
    make = _COMPOUND.get(name)
    if make is not None:
        return make(schema)
    try:
        return _SIMPLE[name]
    except KeyError:
        raise Misconfigured("contract-type", f"A contract has no values of the Avro type {name}.") from None


def whole(value: int) -> bytes:
    """Return a whole number of at most 64 bits: zig-zag, seven bits a byte, the lowest first."""
    rest = (value << 1) ^ (value >> 63)
    if rest < 128:
        return _ONE[rest]
    out = bytearray()
    while rest > 127:
        out.append(rest & 127 | 128)
        rest >>= 7
    out.append(rest)
    return bytes(out)


def _text(value: str) -> bytes:
    encoded = value.encode()
    size = len(encoded)
    return (_SHORT[size] if size < 64 else whole(size)) + encoded


def _day(value: date) -> bytes:
    return whole(value.toordinal() - _EPOCH)


def _optional(branches: list[Any]) -> Writer:
    absent = branches.index("null")
    present = whole(1 - absent)
    nothing, known = whole(absent), branches[1 - absent]
    few = _FLAG if known == "boolean" else _symbols(known)
    if few is not None:  # most fields may be absent: a call within a call for each was a tenth of a door's time
        return {None: nothing, **{value: present + written for value, written in few.items()}}.__getitem__
    if known == "string":
        return _optional_text(nothing, present)
    write = writer(known)
    return lambda value: nothing if value is None else present + write(value)


def _optional_text(nothing: bytes, present: bytes) -> Writer:
    short = [present + size for size in _SHORT]

    def text(value: str | None) -> bytes:
        if value is None:
            return nothing
        encoded = value.encode()
        size = len(encoded)
        return (short[size] if size < 64 else present + whole(size)) + encoded

    return text


def _record(schema: Mapping[str, Any]) -> Writer:
    fields = [(field["name"], writer(field["type"])) for field in schema["fields"]]
    return lambda values: b"".join([write(values[name]) for name, write in fields])


def _enum(schema: Mapping[str, Any]) -> Writer:
    return (_symbols(schema) or {}).__getitem__


def _symbols(schema: Any) -> dict[Any, bytes] | None:
    """Return how each symbol of an enum is written; None for another type."""
    if not isinstance(schema, dict) or schema["type"] != "enum":
        return None
    return {symbol: whole(n) for n, symbol in enumerate(schema["symbols"])}


def _array(schema: Mapping[str, Any]) -> Writer:
    write = writer(schema["items"])

    def items(values: list[Any]) -> bytes:
        return whole(len(values)) + b"".join(map(write, values)) + b"\x00" if values else b"\x00"

    return items


_COMPOUND: Mapping[str, Callable[[Any], Writer]] = {"record": _record, "enum": _enum, "array": _array}
_SIMPLE: Mapping[str, Writer] = {
    "string": _text,
    "int": whole,
    "long": whole,
    "boolean": _FLAG.__getitem__,
    "timestamp-millis": whole,
    "date": _day,
}
