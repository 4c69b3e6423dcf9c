"""Batch: the events of one HTTP body, each as bytes of its own, so that one bad event harms no other."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from connectors.reasons import WHOLE, reason
from connectors.strict_json import not_json
from schemas.errors import Refused

JSON, NDJSON = "application/json", "application/x-ndjson"

_array = msgspec.json.Decoder(list[msgspec.Raw])


class Batch(NamedTuple):
    """The events of a body."""

    payloads: list[bytes]
    single: bool  # one event, not a batch of one


def batch_of(content_type: str, body: bytes, most: int) -> Batch:
    """Return the events of a body; raises Refused for another content type, too many events, or no JSON at all."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind == NDJSON:
        batch = Batch([line for line in body.split(b"\n") if line.strip()], single=False)
    elif kind != JSON:
        rule, remedy = f"A body is {JSON} or {NDJSON}.", "Say so in Content-Type."
        raise Refused((reason("unsupported-media-type", WHOLE, rule, remedy),))
    elif body.lstrip(b" \t\r\n").startswith(b"["):
        batch = Batch(_elements(body), single=False)
    else:
        batch = Batch([body], single=True)
    if len(batch.payloads) > most:
        rule, remedy = f"A request has at most {most} events.", "Send them in several requests."
        raise Refused((reason("too-many", WHOLE, rule, remedy),))
    return batch


def _elements(body: bytes) -> list[bytes]:
    try:
        return [bytes(raw) for raw in _array.decode(body)]
    except (msgspec.DecodeError, RecursionError):
        raise Refused((not_json(),)) from None
