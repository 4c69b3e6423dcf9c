"""Avro files: the events of an object container file (Avro 1.12, "Object Container Files"), each checked as on Kafka.

Nothing in the file is trusted: its schema must be a released contract of the family, and is then read by ours; blocks
and what they unpack to are bounded; one that is torn makes the whole file refused, for nobody can say what it held.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache, partial
from io import BytesIO
from types import MappingProxyType
from typing import Any, NamedTuple

import fastavro
import orjson

from connectors.confluent import malformed
from connectors.places import Values
from connectors.reasons import WHOLE, reason
from connectors.strict_json import too_large
from connectors.unpacking import NotPackedSo, TooMuch, of_deflate, of_snappy, unpacked
from schemas import contracts
from schemas.compatibility import logical_differences
from schemas.contracts import CONTRACTS, FAMILIES, Family
from schemas.errors import Reason, Refused

AVRO = "application/avro"
"""The media type of such a file."""

MAX_SCHEMA_BYTES = 256 * 1024
"""The longest schema of a file; the contracts are far shorter."""

MAX_DEPTH = 32
"""Levels of a schema's JSON; the contracts have a dozen."""

MAX_ENTRIES = 100
"""Entries of a file's own map; writers make two or three."""

_MAGIC, _SYNC = b"Obj\x01", 16


class Bounds(NamedTuple):
    """What one request may bring."""

    body_bytes: int  # unpacked
    event_bytes: int
    events: int


def events_of(body: bytes, family: str, bounds: Bounds) -> Iterator[tuple[bytes, Values | Refused]]:
    """Yield each datum's bytes, and the event in them or why there is none; raises Refused for the file as a whole."""
    file = _Bytes(body)
    if file.take(4) != _MAGIC:
        raise torn()
    about = _metadata(file)
    sync = file.take(_SYNC)
    contract = _contract(about.get("avro.schema", b""), family)
    unpack = _codec(about.get("avro.codec", b"null"))
    size = count = 0
    while not file.ended:
        data, packed = file.number(), file.take(file.number())
        if data < 1 or file.take(_SYNC) != sync:  # a block without data costs time and brings nothing
            raise torn()
        count += data
        if count > bounds.events:
            raise too_many(bounds.events)
        try:
            block = unpack(packed, bounds.body_bytes - size)
        except TooMuch:
            raise Refused((too_large_body(bounds.body_bytes),)) from None
        except NotPackedSo:
            raise torn() from None
        size += len(block)
        yield from _data(block, data, contract, FAMILIES[family], bounds.event_bytes)


def too_many(most: int) -> Refused:
    """Return the refusal of a request with too many events."""
    return Refused((reason("too-many", WHOLE, "A request has at most {n} events.", n=most),))


def too_large_body(most: int) -> Reason:
    """Return the reason for a body beyond the limit."""
    return reason("too-large", WHOLE, "A request has at most {n} bytes, unpacked.", n=most)


def torn() -> Refused:
    """Return the refusal of a file that is none, or no whole one."""
    rule = "A file is a whole Avro object container file; nothing of a torn one is taken in."
    return Refused((reason("malformed-avro", WHOLE, rule),))


class _Bytes:
    """Bytes that are read from the front; raises Refused where they end too early."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._at = 0

    @property
    def ended(self) -> bool:
        return self._at >= len(self._body)

    def take(self, size: int) -> bytes:
        end = self._at + size
        if size < 0 or end > len(self._body):
            raise torn()
        taken = self._body[self._at : end]
        self._at = end
        return taken

    def number(self) -> int:
        """Return a whole number of at most 64 bits: zig-zag, seven bits a byte, the lowest first."""
        value = shift = 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 127) << shift
            if byte < 128:
                return (value >> 1) ^ -(value & 1)
            shift += 7
            if shift > 63:
                raise torn()


def _metadata(file: _Bytes) -> dict[str, bytes]:
    """Return the file's own map; what we do not know in it means nothing to us."""
    found: dict[str, bytes] = {}
    left = MAX_ENTRIES
    while (entries := file.number()) != 0:
        if entries < 0:
            file.number()  # the size of the block in bytes
        left -= abs(entries)
        if left < 0:
            raise torn()
        for _ in range(abs(entries)):
            name = file.take(file.number())
            found[name[:64].decode(errors="replace")] = file.take(file.number())
    return found


def _contract(schema: bytes, family: str) -> Family:
    known = _recognised(schema)
    if known is None:
        rule = "A file's schema is a released contract of the family, logical types included."
        raise Refused((reason("unknown-schema", WHOLE, rule),))
    if known.name != family:
        raise Refused((reason("wrong-family", WHOLE, "The schema is one of the address's event family."),))
    return known


@lru_cache(maxsize=64)
def _recognised(schema: bytes) -> Family | None:
    """Return the contract that a schema is: the same canonical form (which leaves logical types out) and those too."""
    if len(schema) > MAX_SCHEMA_BYTES:
        return None
    try:
        parsed = orjson.loads(schema)
        if _deeper(parsed, MAX_DEPTH):
            return None
        found = contracts.fingerprint(parsed)
        known = next((each for each in CONTRACTS.values() if each.fingerprint == found), None)
        return known if known is not None and not logical_differences(known.avsc, parsed) else None
    except Exception:  # a schema that no library reads; which of them fails, and how, is no closed set
        return None


def _deeper(value: Any, levels: int) -> bool:
    if isinstance(value, dict):
        return levels == 0 or any(_deeper(each, levels - 1) for each in value.values())
    if isinstance(value, list):
        return levels == 0 or any(_deeper(each, levels - 1) for each in value)
    return False


def _data(
    block: bytes, count: int, contract: Family, newest: Family, most: int
) -> Iterator[tuple[bytes, Values | Refused]]:
    """Yield the data of a block; one whose instants or days are out of range is refused alone."""
    stream, reader = BytesIO(block), None if contract is newest else newest.schema
    for _ in range(count):
        begin = stream.tell()
        event: Values | Refused
        try:
            event = fastavro.schemaless_reader(stream, contract.schema, reader)
        except Exception:  # fastavro names no closed set
            stream.seek(begin)
            _pass_over(stream, contract)
            event = Refused((malformed(),))
        payload = block[begin : stream.tell()]
        yield payload, Refused((too_large(most),)) if len(payload) > most else event
    if stream.tell() != len(block):
        raise torn()


def _pass_over(stream: BytesIO, contract: Family) -> None:
    """Go to the end of a datum that has no meaning, if its bytes at least have the contract's form."""
    try:
        fastavro.schemaless_reader(stream, _without_meaning(contract.schema_id), None)
    except Exception:  # as above
        raise torn() from None


@lru_cache(maxsize=256)
def _without_meaning(schema_id: int) -> Any:
    """Return a contract's schema without logical types: what any bytes of its form can be read by."""
    return contracts.parse(_bare(CONTRACTS[schema_id].avsc))


def _bare(schema: Any) -> Any:
    if isinstance(schema, dict):
        return {name: _bare(each) for name, each in schema.items() if name not in {"logicalType", "migex"}}
    return [_bare(each) for each in schema] if isinstance(schema, list) else schema


def _codec(name: bytes) -> Callable[[bytes, int], bytes]:
    try:
        return _CODECS[name.decode()]
    except (KeyError, UnicodeDecodeError):
        rule = "A file is packed by one of: {words}."
        raise Refused((reason("unknown-codec", WHOLE, rule, words=", ".join(_CODECS)),)) from None


def _plain(packed: bytes, room: int) -> bytes:
    if len(packed) > room:
        raise TooMuch
    return packed


def _of_snappy(packed: bytes, room: int) -> bytes:
    """Unpack Avro's form of Snappy: behind the block stands a checksum of what was packed, the highest byte first."""
    block = of_snappy(packed[:-4], room)
    if zlib.crc32(block) != int.from_bytes(packed[-4:], "big"):
        raise NotPackedSo
    return block


_CODECS: Mapping[str, Callable[[bytes, int], bytes]] = MappingProxyType(
    {
        "null": _plain,
        "deflate": of_deflate,
        "snappy": _of_snappy,
        "zstandard": partial(unpacked, "zstd"),
    }
)
