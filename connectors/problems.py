"""Problems: answers of the gateway to a request that fails as a whole, in the form of RFC 9457."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from http import HTTPStatus
from typing import Any

import orjson
from starlette.responses import HTMLResponse, Response

from connectors.reasons import CODES

MEDIA_TYPE = "application/problem+json"

STATUS: Mapping[str, int] = {
    "bad-request": 400,
    "unauthorised": 401,
    "not-entitled": 403,
    "not-found": 404,
    "unknown-family": 404,
    "method-not-allowed": 405,
    "too-slow": 408,
    "too-large": 413,
    "too-many": 413,
    "unsupported-media-type": 415,
    "refused": 422,
    "door-defect": 500,
    "unavailable": 503,
}
"""The HTTP status of every problem."""

_MEANINGS = {
    "bad-request": "The request is not HTTP as the gateway understands it.",
    "unauthorised": "The header X-API-Key is missing, or holds no key of an agency. Nothing was counted.",
    "not-found": "There is nothing at this address; /docs lists what there is.",
    "method-not-allowed": "The address does not know this method; /docs lists what there is.",
    "too-slow": "The body did not arrive in time. Nothing was taken in; send it again.",
    "refused": "The event was refused; `errors` tells every reason. It is counted as one refused delivery.",
    "unavailable": "The door cannot keep events now. Nothing was said to be accepted; send the same request again, "
    "with the same Idempotency-Key, after the seconds in Retry-After.",
}


def meaning(code: str) -> str | None:
    """Return what a problem's or a reason's code means, or None for an unknown code."""
    return _MEANINGS.get(code) or CODES.get(code)


def problem(code: str, detail: str, *, headers: Mapping[str, str] | None = None, **members: Any) -> Response:
    """Return the problem; `members` are added to the standard ones."""
    status = STATUS[code]
    body = {
        "type": f"/v1/errors/{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        **members,
    }
    return Response(orjson.dumps(body), status, media_type=MEDIA_TYPE, headers=dict(headers or {}))


def page(code: str) -> Response:
    """Return the page that a problem's `type` leads to."""
    text = meaning(code)
    if text is None:
        return problem("not-found", "There is no such error code.")
    status = f"<p>HTTP status {STATUS[code]}</p>" if code in STATUS else ""
    return HTMLResponse(
        f"<!doctype html><html lang='en'><title>{escape(code)}</title><h1>{escape(code)}</h1>"
        f"<p>{escape(text)}</p>{status}</html>"
    )
