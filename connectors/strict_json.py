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
        parsed = orjson.loads(payload)  # refuses NaN, lone surrogates, bad UTF-8
        doubtful = _may_have_duplicates(payload, parsed)
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):  # the second for more than 254 levels
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


def _may_have_duplicates(payload: bytes, parsed: Any) -> bool:
    """Say, fast, whether a name may have been sent twice: then what was read has fewer quotes than what was sent.

    That is exact as long as no text holds a quote itself; where one may, the answer is yes. Raises JSONEncodeError for
    what is nested too deep to be written again.
    """
    escaped = b'\\"' in payload or b"\\u0022" in payload
    return escaped or payload.count(b'"') != orjson.dumps(parsed).count(b'"')


def _has_duplicates(payload: bytes) -> bool:
    """Decide exactly, and slowly."""
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
