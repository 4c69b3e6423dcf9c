"""Preflight docs: what the gateway's OpenAPI page says about the check of a file."""

from __future__ import annotations

from typing import Any

from connectors.avro_file import AVRO
from connectors.batch import JSON, NDJSON
from connectors.openapi_parts import LANGUAGE, SECURITY, failures, ref, whole
from connectors.rows import CSV, XLSX

_MAYBE_WORD, _MAYBE_WHOLE = {"type": ["string", "null"]}, {"type": ["integer", "null"]}
_REASONS = {"type": "array", "items": ref("Reason")}
_COUNTS = {"type": "object", "additionalProperties": {"type": "integer"}}


def _repeat(of: str, *words: str) -> dict[str, Any]:
    text = f"As against {of}: the same revision with equal content, with another content, or a newer one."
    return {"enum": [*words, None], "description": text}


_FINDING = whole(
    "What a row would be told.",
    row={"type": "integer", "description": "Line of a text, row of a sheet, else ordinal; from 1."},
    answer={"enum": ["accepted", "refused"]},
    record_no=_MAYBE_WORD,
    revision=_MAYBE_WHOLE,
    in_file=_repeat("an earlier row", "duplicate", "conflict"),
    of_row=_MAYBE_WHOLE | {"description": "That earlier row."},
    published=_repeat("what you have published", "duplicate", "conflict", "older"),
    errors=_REASONS,
)
_SUMMARY = whole(
    "How many rows are what.",
    rows={"type": "integer"},
    accepted={"type": "integer"},
    refused={"type": "integer"},
    codes=_COUNTS | {"description": "How many of the refused rows have a reason of this code."},
    in_file=_COUNTS,
    published={"anyOf": [_COUNTS, {"type": "null"}], "description": "Null when it could not be asked of all rows."},
    unasked=_MAYBE_WORD | {"description": "Why it could not; null: it was."},
)
_REPORT = whole(
    "The check of a file.",
    rows={"type": "array", "items": _FINDING},
    broken=_REASONS | {"description": "Why the file could not be read on after its last row here."},
    passed={"type": "boolean", "description": "The file was read to its end and every row would be accepted."},
    summary=_SUMMARY,
)
_FAILURES = {
    400: "The request is not whole.",
    401: "Neither an API key nor a certificate of an agency.",
    403: "The agency may not report this family.",
    404: "There is no such family.",
    408: "The body came too slowly.",
    413: "The body is too large.",
    415: "The body's type or packing is none that the gateway reads.",
    422: "The body as a whole cannot be read.",
    429: "The agency's quota is used up for now; ask again after Retry-After.",
    500: "The gateway failed by its own fault.",
    503: "The gateway cannot say who asks now; ask again after Retry-After.",
}


def described(most: int) -> dict[str, Any]:
    """Return what OpenAPI says about the route; `most` is how many rows a file may have."""
    binary = {"type": "string", "format": "binary"}
    text = {"type": "string", "description": f"At most {most} rows."}
    bodies = {JSON: {}, NDJSON: text, CSV: text, AVRO: binary, XLSX: binary}
    report = {JSON: {"schema": _REPORT}, CSV: {"schema": {"type": "string"}}}
    answer = {200: {"description": "What each row would be told.", "content": report}}
    content = {kind: {"schema": schema} for kind, schema in bodies.items()}
    extra = {
        "security": SECURITY,
        "parameters": [LANGUAGE],
        "requestBody": {"required": True, "content": content},
    }
    return {"responses": answer | failures(_FAILURES), "openapi_extra": extra}
