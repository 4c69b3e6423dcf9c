"""Problems: answers of the gateway to a request that fails as a whole, in the form of RFC 9457."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import orjson
from starlette.responses import Response

from connectors.error_catalogue import meaning, remedy
from connectors.texts import ENGLISH

MEDIA_TYPE = "application/problem+json"

STATUS: Mapping[str, int] = {
    "bad-request": 400,
    "unauthorised": 401,
    "not-entitled": 403,
    "not-found": 404,
    "unknown-record": 404,
    "unknown-receipt": 404,
    "unknown-family": 404,
    "method-not-allowed": 405,
    "too-slow": 408,
    "too-large": 413,
    "too-many": 413,
    "unsupported-media-type": 415,
    "bad-parameter": 422,
    "bad-question": 422,
    "refused": 422,
    "over-quota": 429,
    "too-many-at-once": 429,
    "door-defect": 500,
    "unavailable": 503,
    "fates-away": 503,
    "record-unsettled": 503,
}
"""The HTTP status of every problem."""


def problem(
    code: str,
    detail: str | None = None,
    *,
    headers: Mapping[str, str] | None = None,
    lang: str = ENGLISH,
    **members: Any,
) -> Response:
    """Return the problem; without `detail`, what the catalogue says of its code. `members` are added."""
    status = STATUS[code]
    body = {
        "type": f"/v1/errors/{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail or explained(code, lang),
        **members,
    }
    spoken = {"Content-Language": lang, "Vary": "Accept-Language"}
    return Response(orjson.dumps(body), status, media_type=MEDIA_TYPE, headers={**spoken, **(headers or {})})


def explained(code: str, lang: str) -> str:
    """Return what the catalogue says of a code: what it means and what to do."""
    return f"{meaning(code, lang)} {remedy(code, lang)}"
