"""Fate docs: what the gateway's OpenAPI page says about questions and the fates that answer them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from connectors.openapi_parts import LANGUAGE, SECURITY, failures, ref, whole
from schemas.contracts import FAMILIES
from schemas.header import Door, Op
from streams.dataflows import DATAFLOWS

STATES: Mapping[str, str] = {
    "refused": "every delivery was refused",
    "accepted": "kept, and not deduplicated yet",
    "deduplicated": "the newest version is not reconciled yet",
    "counted": "in the cells that `counted_in` names",
    "not-counted": "in no cell, for the reasons given",
    "cancelled": "withdrawn by its newest version",
}
"""Where a record may be."""

VERSION_STATES: Mapping[str, str] = {
    "speaks": "it is what the record says",
    "cancels": "it withdraws the record",
    "superseded": "another version speaks",
}
"""What a version may be to its record."""


def _list(of: str) -> dict[str, Any]:
    return {"type": "array", "items": ref(of)}


def _words(words: Mapping[str, str]) -> dict[str, Any]:
    return {"enum": list(words), "description": "; ".join(f"{word}: {text}" for word, text in words.items())}


_STRING, _WHOLE = {"type": "string"}, {"type": "integer"}
_INSTANT = {"type": "string", "format": "date-time"}
_MAYBE_INSTANT = {"type": ["string", "null"], "format": "date-time"}
_CUT = _MAYBE_INSTANT | {"description": "The first complete cut that holds it; null: the figures do not show it yet."}

_FATE = whole(
    "Where a record is now and why.",
    record_no={"type": ["string", "null"], "description": "Null where a receipt asked: the number is not kept."},
    family={"enum": list(FAMILIES)},
    revision={"type": ["integer", "null"], "description": "Of the version that speaks or cancels."},
    state=_words(STATES),
    reasons=_list("FateReason"),
    counted_in=_list("FateCell"),
    not_counted_in=_list("FateOutside"),
    conflict={"type": "boolean", "description": "Whether different contents came under one revision."},
    cut=_CUT,
    versions=_list("FateVersion"),
    refusals=_list("FateRefusal"),
    as_of=ref("FateAsOf"),
)
_FATE["properties"]["receipt"] = {"type": "string", "description": "Where a receipt asked."}

SCHEMAS: Mapping[str, Any] = {
    "Fate": _FATE,
    "FateReason": whole(
        "Why, in the language of Accept-Language.",
        code=_STRING | {"description": "Of a closed set."},
        text=_STRING,
    ),
    "FateCell": whole(
        "A cell that the record is counted in.",
        table={"enum": list(DATAFLOWS)},
        title=_STRING,
        period=_STRING,
        codes={"type": "object", "description": "Dimension: code.", "additionalProperties": _STRING},
    ),
    "FateOutside": whole(
        "A table that reads such reports and does not count this one.",
        table={"enum": list(DATAFLOWS)},
        reason=ref("FateReason"),
    ),
    "FateVersion": whole(
        "A version that was accepted.",
        revision=_WHOLE,
        op={"enum": [each.name for each in Op]},
        state=_words(VERSION_STATES),
        reasons=_list("FateReason"),
        receipt=_STRING,
        recorded_at=_INSTANT,
        accepted_at=_INSTANT,
        door={"enum": [door.name.lower() for door in Door]},
        inbox=whole("Where it lies.", partition=_WHOLE, offset=_WHOLE),
        deliveries=_WHOLE,
        duplicates=_WHOLE | {"description": "Deliveries after the first, which changed nothing."},
        cut=_CUT,
    ),
    "FateRefusal": whole(
        "A delivery that was refused.",
        refused_at=_INSTANT,
        errors={
            "type": "array",
            "items": whole("A reason.", code=_STRING, field=_STRING, meaning=_STRING, remedy=_STRING),
        },
    ),
    "FateAsOf": whole(
        "What the answer rests on: all that had been answered before the question, but for what was behind.",
        inbox_behind=_WHOLE | {"description": "Messages of the record's partition that were still to be deduplicated."},
        log_behind={"type": ["integer", "null"], "description": "The same for reconciliation, where it was asked."},
        cut=_MAYBE_INSTANT | {"description": "The latest complete cut."},
    ),
    "FateError": whole("Why there is no fate.", code=_STRING, text=_STRING),
}
"""The parts of the answers, for the document's components."""

_NO_ERROR: dict[str, Any] = {"anyOf": [ref("FateError"), {"type": "null"}]}
_ONE_RECORD = whole("The records of this number.", record_no=_STRING, records=_list("Fate"))
_MANY_RECORDS = whole(
    "", record_no=_STRING, family={"type": ["string", "null"]}, records=_list("Fate"), error=_NO_ERROR
)
_MANY_RECEIPTS = whole("", receipt=_STRING, fate={"anyOf": [ref("Fate"), {"type": "null"}]}, error=_NO_ERROR)
_ANSWERS: Mapping[tuple[str, str], dict[str, Any]] = {
    ("records", "GET"): _ONE_RECORD,
    ("receipts", "GET"): ref("Fate"),
    ("records", "POST"): whole("In the order asked.", answers={"type": "array", "items": _MANY_RECORDS}),
    ("receipts", "POST"): whole("In the order asked.", answers={"type": "array", "items": _MANY_RECEIPTS}),
}
_FAILURES: Mapping[int, str] = {
    400: "The request is not whole.",
    401: "Neither an API key nor a certificate of an agency.",
    404: "You have no such record, or were never given this receipt, or there is no such family.",
    408: "The body came too slowly.",
    413: "The body is too large.",
    415: "The body is packed in a way that the gateway does not read.",
    422: "The question is not one.",
    429: "The agency asks too much at the same time.",
    503: "A worker or the feed store is away, or may have the record still before it: ask again after Retry-After.",
}


def described(path: str, method: str, most: int) -> dict[str, Any]:
    """Return what OpenAPI says about a route; `most` is how many may be asked for at once."""
    kind = path.split("/")[2]
    extra: dict[str, Any] = {"security": SECURITY, "parameters": [LANGUAGE]}
    if method == "POST":
        extra["requestBody"] = {"required": True, "content": {"application/json": {"schema": _question(kind, most)}}}
    answer = {200: {"content": {"application/json": {"schema": _ANSWERS[kind, method]}}}}
    return {"responses": answer | failures(_FAILURES), "openapi_extra": extra}


def _question(kind: str, most: int) -> dict[str, Any]:
    text = {"type": "string", "minLength": 1, "maxLength": 64}
    family = {"anyOf": [{"enum": list(FAMILIES)}, {"type": "null"}]}
    record = {"type": "object", "required": ["record_no"], "properties": {"record_no": text, "family": family}}
    items = record | {"additionalProperties": False} if kind == "records" else text
    listed = {"type": "array", "items": items, "maxItems": most}
    return {"type": "object", "required": [kind], "properties": {kind: listed}, "additionalProperties": False}
