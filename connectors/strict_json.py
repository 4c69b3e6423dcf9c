"""Strict JSON: one event from bytes, or the reason why they are none (RFC 8259; duplicate names are refused)."""

from __future__ import annotations

import json
from typing import Any

import orjson

from connectors.reasons import WHOLE, reason
from schemas.errors import Reason, Refused

MAX_EVENT_BYTES = 64 * 1024
"""One event at most; the longest one that the contracts allow is far shorter."""


def parse(payload: bytes, max_bytes: int = MAX_EVENT_BYTES) -> dict[str, Any]:
    """Return the JSON object that the bytes hold; raises Refused."""
    if len(payload) > max_bytes:
        raise Refused((too_large(max_bytes),))
    try:
        parsed = orjson.loads(payload)  # refuses NaN, lone surrogates, bad UTF-8, and more than 1024 levels
        doubtful = payload.count(b'"') != 2 * _texts(parsed)
    except (orjson.JSONDecodeError, RecursionError):
        raise Refused((not_json(),)) from None
    if type(parsed) is not dict:
        raise Refused((reason("wrong-type", WHOLE, "An event is a JSON object.", "Send header, person and event."),))
    if doubtful and _has_duplicates(payload):
        raise Refused((reason("duplicate-field", WHOLE, "A name stands once in an object."),))
    return parsed


def too_large(max_bytes: int) -> Reason:
    """Return the reason for an event beyond the limit."""
    rule, remedy = "An event has at most {n} bytes.", "Leave out what the contract lacks."
    return reason("too-large", WHOLE, rule, remedy, n=max_bytes)


def not_json() -> Reason:
    """Return the reason for bytes that are not JSON."""
    return reason("not-json", WHOLE, "An event is one JSON object in UTF-8 (RFC 8259).")


def _texts(value: Any) -> int:
    """Count the names and texts in a value; each had two quotes, so a name that was sent twice leaves some over."""
    if type(value) is str:
        return 1
    if type(value) is list:
        return sum(map(_texts, value))
    if type(value) is not dict:
        return 0
    count = len(value)
    for each in value.values():
        if type(each) is str:
            count += 1
        elif type(each) is dict or type(each) is list:
            count += _texts(each)
    return count


def _has_duplicates(payload: bytes) -> bool:
    """Decide exactly, and slowly; asked only when quotes are left over, which a quote within a text explains too."""
    found = False

    def note(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal found
        fields = dict(pairs)
        found = found or len(fields) != len(pairs)
        return fields

    try:
        json.loads(payload, object_pairs_hook=note)
    except (ValueError, RecursionError):
        return True  # orjson read it, the standard library cannot: refuse what two readers see differently
    return found
