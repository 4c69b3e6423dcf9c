"""Avro bytes that lie: data whose lengths, counts and branches are not what follows, and files made of such blocks."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from random import Random
from typing import Any

import cramjam
from backports import zstd

from connectors.avro_writer import whole
from schemas.contracts import FAMILIES, without_nested_null
from tests.fuzz import mutants, odd

_EPOCH = date(1970, 1, 1).toordinal()
NUMBERS = (
    0,
    1,
    -1,
    2,
    63,
    64,
    -64,
    127,
    2**14,
    -(2**31),
    2**31,
    2**40,
    2**62,
    2**63 - 1,
    -(2**63),
    11_017,
    253_402_300_800_000,
)
"""Lengths, counts, days and instants at the limits of whatever reads them."""

OVERLONG = (b"\x80" * 9 + b"\x01", b"\xff" * 9 + b"\x7f", b"\xff" * 12, b"\x80\x00", b"\x80" * 30, b"\xff")
"""Whole numbers that are longer than they need be, or never end."""


def datum(chance: Random, family: str, lies: float) -> bytes:
    """Return an event in Avro whose every number is a lie with this chance."""
    return _written(chance, FAMILIES[family].avsc, mutants.sound(chance, family), lies)


def _written(chance: Random, schema: Any, value: Any, lies: float) -> bytes:
    if isinstance(schema, list):
        return _branch(chance, schema, value, lies)
    kind = schema if isinstance(schema, str) else schema["type"]
    if kind in _COMPOUND:
        return _COMPOUND[kind](chance, schema, value, lies)
    return _number(chance, _meant(schema, value), lies)


def _record(chance: Random, schema: Any, value: Any, lies: float) -> bytes:
    values = value if isinstance(value, dict) else {}
    return b"".join([_written(chance, each["type"], values.get(each["name"]), lies) for each in schema["fields"]])


def _array(chance: Random, schema: Any, value: Any, lies: float) -> bytes:
    inner = b"".join([_written(chance, schema["items"], each, lies) for each in value])
    if chance.random() < 0.3:  # a negative count is followed by the size in bytes
        return _number(chance, -len(value), lies) + _number(chance, len(inner), lies) + inner + b"\x00"
    return _number(chance, len(value), lies) + inner + b"\x00"


def _text(chance: Random, _: Any, value: Any, lies: float) -> bytes:
    said = odd.text(chance, odd.PERSONAL) if chance.random() < lies else value
    written = said.encode(errors="surrogatepass")
    return _number(chance, len(written), lies) + written


def _flag(chance: Random, _: Any, value: Any, lies: float) -> bytes:
    return chance.choice((b"\x02", b"\xff", b"")) if chance.random() < lies else bytes([value])


def _enum(chance: Random, schema: Any, value: Any, lies: float) -> bytes:
    return _number(chance, schema["symbols"].index(value), lies)


_COMPOUND: Mapping[str, Callable[[Random, Any, Any, float], bytes]] = {
    "record": _record,
    "array": _array,
    "string": _text,
    "boolean": _flag,
    "enum": _enum,
}


def _branch(chance: Random, schema: list[Any], value: Any, lies: float) -> bytes:
    absent = schema.index("null")
    if value is None:
        return _number(chance, absent, lies)
    inner, _ = without_nested_null(schema)
    return _number(chance, 1 - absent, lies) + _written(chance, inner, value, lies)


def _meant(schema: Any, value: Any) -> int:
    if not isinstance(value, str):
        return int(value or 0)
    if isinstance(schema, Mapping) and schema.get("logicalType") == "date":
        return date.fromisoformat(value).toordinal() - _EPOCH
    return int(datetime.fromisoformat(value).timestamp() * 1000)


def _number(chance: Random, value: int, lies: float) -> bytes:
    if chance.random() >= lies:
        return whole(value)
    return chance.choice((whole(chance.choice(NUMBERS)), whole(value + 1), whole(value - 1), chance.choice(OVERLONG)))


def message(chance: Random, family: str) -> bytes:
    """Return what might be a Confluent message of the family."""
    known = FAMILIES[family].schema_id
    schema_id = known if chance.random() < 0.9 else chance.choice((0, 1, 2, 10**6, 2**32 - 1))
    head = bytes([chance.choice((0,) * 15 + (1,))]) + schema_id.to_bytes(4, "big")
    said = head + datum(chance, family, chance.choice((0, 0, 0.005, 0.02, 0.3)))
    return mutants.torn(chance, said) if chance.random() < 0.3 else said


def file(chance: Random, family: str) -> bytes:
    """Return what might be an Avro object container file of the family."""
    codec = chance.choice(list(PACKERS))
    lies = chance.choice((0, 0, 0, 0.03, 0.2))
    sync = chance.randbytes(16)
    out = [b"Obj\x01", _metadata(chance, family, codec, lies), sync]
    for _ in range(chance.choice((0, 1, 1, 2, 5))):
        data = [datum(chance, family, chance.choice((0, 0, 0.01))) for _ in range(chance.choice((1, 1, 2, 6)))]
        packed = PACKERS[codec](b"".join(data))
        if chance.random() < lies:
            packed = mutants.torn(chance, packed)
        out += [_number(chance, len(data), lies), _number(chance, len(packed), lies), packed]
        out.append(sync if chance.random() >= lies / 4 else chance.randbytes(16))
    made = b"".join(out)
    return mutants.torn(chance, made) if chance.random() < 0.2 else made


def _metadata(chance: Random, family: str, codec: str, lies: float) -> bytes:
    said = (
        codec if chance.random() > lies else chance.choice(("lzma", "bzip2", "xz", "", "NULL", "deflate\x00", "\u0130"))
    )
    words: Sequence[tuple[bytes, bytes]] = [
        (b"avro.codec", said.encode()),
        (b"avro.schema", _schema(chance, family, lies)),
    ]
    words = [*words, *([(b"more", odd.text(chance).encode(errors="surrogatepass"))] * chance.choice((0, 0, 1, 200)))]
    inner = b"".join([_number(chance, len(part), lies / 8) + part for word in words for part in word])
    return _number(chance, len(words), lies / 4) + inner + b"\x00"


def _schema(chance: Random, family: str, lies: float) -> bytes:
    avsc = FAMILIES[family].avsc
    if chance.random() >= lies:
        return _TEXTS[family]
    return chance.choice((mutants.torn(chance, _TEXTS[family]), json.dumps(schema(chance, avsc)).encode()))


_TEXTS = {name: json.dumps(family.avsc).encode() for name, family in FAMILIES.items()}

WORDS = [
    *odd.listed(
        "null boolean int long float double bytes string record error enum fixed array map uuid date decimal duration "
        "timestamp-micros Event Header Person Document R E a.R .R"
    ),
    "",
    "ё",
    "x" * 300,
]
MEMBERS = odd.listed(
    "type name namespace fields items values symbols size default aliases doc logicalType precision scale core "
    "personal migex order"
)


def schema(chance: Random, avsc: Any) -> Any:
    """Return a schema with up to five things changed in it."""
    changed = json.loads(json.dumps(avsc))
    for _ in range(chance.choice((1, 1, 2, 5))):
        found = list(mutants.places(changed))
        if not found:
            break
        _, owner, name = chance.choice(found)
        kind = chance.randrange(7)
        if kind == 0:
            del owner[name]
        elif kind == 1:
            owner[name] = chance.choice(WORDS)
        elif kind == 2:
            _, others, other = chance.choice(found)
            owner[name] = json.loads(json.dumps(others[other])) if other in others or isinstance(others, list) else None
        elif kind == 3 and isinstance(owner, dict):
            owner[chance.choice(MEMBERS)] = chance.choice((odd.value(chance), chance.choice(WORDS), [], {}, -1, 2**31))
        elif kind == 4:
            owner[name] = chance.choice(
                ({"type": owner[name]}, [owner[name]], ["null", owner[name]], {"type": "array", "items": owner[name]})
            )
        else:
            owner[name] = chance.choice(
                (odd.value(chance), {"type": "array", "items": "null"}, {"type": "fixed", "name": "F", "size": 0})
            )
    return changed


def _deflated(data: bytes) -> bytes:
    packing = zlib.compressobj(wbits=-15)
    return packing.compress(data) + packing.flush()


def _snapped(data: bytes) -> bytes:
    return bytes(cramjam.snappy.compress_raw(data)) + zlib.crc32(data).to_bytes(4, "big")


PACKERS: Mapping[str, Callable[[bytes], bytes]] = {
    "null": bytes,
    "deflate": _deflated,
    "snappy": _snapped,
    "zstandard": zstd.compress,
}
