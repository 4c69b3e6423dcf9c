"""Batch: the events of one HTTP body, each on its own, so that one bad event harms no other."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import NamedTuple

import msgspec

from connectors.avro_file import AVRO, Bounds, events_of, too_many
from connectors.places import Values
from connectors.reasons import WHOLE, reason
from connectors.strict_json import not_json, parse
from schemas.errors import Refused

JSON, NDJSON = "application/json", "application/x-ndjson"

COMMAS = 64
"""Commas that an event has on the average at most: an array with more of them is taken for a bomb of tiny elements."""

Event = tuple[bytes, Values | Refused]
"""An event's own bytes, and what they say, or why they say nothing."""

_array = msgspec.json.Decoder(list[msgspec.Raw])
_LINE = re.compile(rb"[^\s][^\n]*")  # what is blank is passed over without an object for each


class Batch(NamedTuple):
    """The events of a body; reading them on may raise Refused, when the body turns out to be none after all."""

    events: Iterator[Event]
    single: bool  # one event, not a batch of one


def batch_of(content_type: str, body: bytes, family: str, bounds: Bounds) -> Batch:
    """Return the events of a body; raises Refused for another content type, too many events, or no JSON at all."""
    kind = content_type.partition(";")[0].strip().lower()
    read = _READERS.get(kind)
    if read is None:
        rule = "A body is one of: {words}."
        raise Refused((reason("unsupported-media-type", WHOLE, rule, words=", ".join(_READERS)),))
    return read(body, family, bounds)


def _json(body: bytes, _family: str, bounds: Bounds) -> Batch:
    if body.lstrip(b" \t\r\n")[:1] != b"[":
        return Batch(_parsed([body], bounds), single=True)
    return Batch(_parsed(_elements(body, bounds.events), bounds), single=False)


def _ndjson(body: bytes, _family: str, bounds: Bounds) -> Batch:
    lines: list[bytes] = []
    for line in _LINE.finditer(body):
        if len(lines) == bounds.events:
            raise too_many(bounds.events)
        lines.append(line[0])
    return Batch(_parsed(lines, bounds), single=False)


def _avro(body: bytes, family: str, bounds: Bounds) -> Batch:
    return Batch(events_of(body, family, bounds), single=False)


def _parsed(payloads: Iterable[bytes], bounds: Bounds) -> Iterator[Event]:
    for payload in payloads:
        try:
            yield payload, parse(payload, bounds.event_bytes)
        except Refused as refusal:
            yield payload, refusal


def _elements(body: bytes, most: int) -> list[bytes]:
    """Return the elements of an array; msgspec makes an object of each before it can be told how many there are."""
    if body.count(b",") > most * COMMAS:
        raise too_many(most)
    try:
        found = _array.decode(body)
    except (msgspec.DecodeError, RecursionError):
        raise Refused((not_json(),)) from None
    if len(found) > most:
        raise too_many(most)
    return [bytes(raw) for raw in found]


_READERS: Mapping[str, Callable[[bytes, str, Bounds], Batch]] = MappingProxyType(
    {JSON: _json, NDJSON: _ndjson, AVRO: _avro}
)
