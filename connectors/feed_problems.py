"""Problems of the feed: answers to questions that have none, in the form of RFC 9457."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from schemas.errors import Refused, Unavailable

MEDIA_TYPE = "application/problem+json"

NOT_THERE = frozenset({"table-unknown", "cut-unknown", "generation-absent"})
"""Codes of refusals that mean 404; the others mean 422."""


def problem(
    status: int, code: str, detail: str, *, headers: Mapping[str, str] | None = None, **members: Any
) -> Response:
    """Return a problem; `code` is stable, `members` are added to the standard ones."""
    title = HTTPStatus(status).phrase
    body = {"type": f"urn:migex:problem:{code}", "title": title, "status": status, "detail": detail, **members}
    return Response(orjson.dumps(body), status, media_type=MEDIA_TYPE, headers=dict(headers or {}))


def install(app: FastAPI) -> None:
    """Make every error of the app a problem."""
    for kind, answer in (
        (Refused, _refused),
        (Unavailable, _unavailable),
        (RequestValidationError, _parameter),
        (HTTPException, _http),
        (Exception, _broken),
    ):
        app.add_exception_handler(kind, answer)


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)  # noqa: S101 starlette's handlers are typed for any error
    reasons = [{"code": r.code, "field": r.field, "rule": r.rule, "remedy": r.remedy} for r in error.reasons]
    status = 404 if error.code in NOT_THERE else 422
    first = error.reasons[0]
    return problem(status, error.code, f"{first.field}: {first.rule} {first.remedy}", errors=reasons)


async def _unavailable(_: Request, error: Exception) -> Response:
    assert isinstance(error, Unavailable)  # noqa: S101 starlette's handlers are typed for any error
    return problem(503, error.code, error.detail, headers={"Retry-After": str(error.retry_after_secs)})


async def _parameter(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 starlette's handlers are typed for any error
    errors = [
        {
            "code": "parameter-form",
            "field": str(each["loc"][-1]),
            "rule": f"{each['msg']}.",
            "remedy": "See /openapi.json for the parameters.",
        }
        for each in error.errors()
    ]
    return problem(422, "parameter-form", f"{errors[0]['field']}: {errors[0]['rule']}", errors=errors)


async def _http(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 starlette's handlers are typed for any error
    code = {404: "address-unknown", 405: "method-unknown"}.get(error.status_code, "request")
    return problem(error.status_code, code, f"{error.detail}. See / for what there is.", headers=error.headers)


async def _broken(_: Request, error: Exception) -> Response:
    """Say no more than that; the server logs the error, which is ours to mend."""
    return problem(500, getattr(error, "code", "broken"), "The feed could not answer; its log says why.")
