"""Strict JSON: one event from bytes, or the reason why they are none (RFC 8259; duplicate names are refused)."""

from __future__ import annotations

import json
import re
from typing import Any

import orjson

from connectors.reasons import WHOLE, reason
from schemas.errors import Reason, Refused

MAX_EVENT_BYTES = 64 * 1024
"""One event at most; the longest one that the contracts allow is far shorter."""

_KEY = re.compile(rb'"[ \t\n\r]*:')  # closes a name, or stands within a text: counts each name at least once


def parse(payload: bytes, max_bytes: int = MAX_EVENT_BYTES) -> dict[str, Any]:
    """Return the JSON object that the bytes hold; raises Refused."""
    if len(payload) > max_bytes:
        raise Refused((too_large(max_bytes),))
    try:
        parsed = orjson.loads(payload)  # refuses NaN, lone surrogates, bad UTF-8, and more than 1024 levels
    except orjson.JSONDecodeError:
        raise Refused((not_json(),)) from None
    if type(parsed) is not dict:
        raise Refused((reason("wrong-type", WHOLE, "An event is a JSON object.", "Send header, person and event."),))
    names = _names(parsed)
    if _quick_count(payload) != names and len(_KEY.findall(payload)) != names and _has_duplicates(payload):
        raise Refused((reason("duplicate-field", WHOLE, "A name stands once in an object.", "Send it once."),))
    return parsed


def too_large(max_bytes: int) -> Reason:
    """Return the reason for an event beyond the limit."""
    return reason("too-large", WHOLE, f"An event has at most {max_bytes} bytes.", "Leave out what the contract lacks.")


def not_json() -> Reason:
    """Return the reason for bytes that are not JSON."""
    return reason("not-json", WHOLE, "An event is one JSON object in UTF-8 (RFC 8259).", "Check how it is written.")


def _names(parsed: dict[str, Any]) -> int:
    """Count the names of the object and of those in it."""
    count = len(parsed)
    for value in parsed.values():
        if type(value) is dict:
            count += _names(value)
    return count


def _quick_count(payload: bytes) -> int:
    """Count at least every name with its repetitions: a quote before a colon, or before white space."""
    count = payload.count
    return count(b'":') + count(b'" ') + count(b'"\n') + count(b'"\t') + count(b'"\r')


def _has_duplicates(payload: bytes) -> bool:
    """Decide exactly, and slowly; asked only when the quick count leaves a doubt."""
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
