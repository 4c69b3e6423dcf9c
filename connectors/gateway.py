"""Gateway: the door for events over HTTP.

`POST /v1/events/{family}` takes one event, an array, NDJSON or an Avro file from the agency that the API key or the
client certificate names. Each event has its own verdict. Everything is in the inbox, refusals too, before the answer
is given. An agency that brings more than its quota is asked to wait; nothing of that request is taken in or counted.
"""

from __future__ import annotations

import os
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from fastapi import APIRouter, FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from connectors.admission import Admission
from connectors.avro_file import Bounds
from connectors.batch import batch_of
from connectors.bodies import body_of
from connectors.callers import Callers
from connectors.error_pages import error_pages, spoken
from connectors.gateway_docs import describe, ready_answers, request_body
from connectors.inbox import Inbox
from connectors.problems import problem
from connectors.quotas import OverQuota, Quota, Quotas
from connectors.strict_json import MAX_EVENT_BYTES
from connectors.visits import Place, Visit, Visitor
from schemas.contracts import FAMILIES
from schemas.errors import Refused, Unavailable
from streams.telemetry import DoorTelemetry

PUBLIC = ("/v1/errors", "/v1/contracts", "/health", "/ready", "/docs", "/redoc", "/openapi.json")
"""Addresses, with what lies below them, that tell everybody the same; all others ask who asks."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one request may bring."""

    body_bytes: int = 8 * 1024 * 1024  # unpacked
    event_bytes: int = MAX_EVENT_BYTES
    events: int = 10_000
    body_secs: float = 60.0  # for a body to arrive


@dataclass(frozen=True, slots=True)
class Edges:
    """What the gateway needs from outside."""

    admission: Admission
    inbox: Inbox
    callers: Callers
    telemetry: DoorTelemetry
    quotas: Quotas = field(default_factory=lambda: Quotas(Quota()))
    pages: Sequence[APIRouter] = ()  # what it shows besides, each under an address of `PUBLIC` or asking `callers`
    limits: Limits = Limits()
    now: Callable[[], float] = time.time  # seconds since 1970
    chance: Callable[[int], bytes] = os.urandom


def create_app(edges: Edges) -> FastAPI:
    """Return the gateway; it neither starts nor stops what stands behind its edges."""
    app = FastAPI(title="migex gateway", description=__doc__, version="1", default_response_class=Response)
    desk = _Desk(edges)
    for family in FAMILIES:
        app.add_api_route(
            f"/v1/events/{family}",
            desk.taking(family),
            methods=["POST"],
            operation_id=family,
            summary=FAMILIES[family].avsc["doc"],
            tags=["events"],
            openapi_extra=request_body(family),
        )
    app.add_api_route("/v1/events/{family}", desk.unknown, methods=["POST"], include_in_schema=False)
    for pages in (error_pages(), *edges.pages):
        app.include_router(pages)
    for path, endpoint in (("/health", desk.health), ("/ready", desk.ready)):
        app.add_api_route(path, endpoint, methods=["GET"], tags=["operations"], responses=ready_answers(path))
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Unavailable, _unavailable)
    app.add_exception_handler(Exception, _defect)
    describe(app)
    return app


class _Desk:
    def __init__(self, edges: Edges) -> None:
        self._edges = edges
        self._place = Place(edges.admission, edges.inbox, edges.telemetry, edges.chance)
        limits = edges.limits
        self._bounds = Bounds(limits.body_bytes, limits.event_bytes, limits.events)

    def taking(self, family: str) -> Callable[[Request], Awaitable[Response]]:
        """Return the endpoint of one family."""

        async def take(request: Request) -> Response:
            return await self._take(request, family)

        take.__doc__ = "Report events: one object, an array, NDJSON, or an Avro object container file."
        return take

    async def unknown(self, request: Request) -> Response:
        """Refuse a family that there is not; counted as one delivery, for the sender is known."""
        return await self._take(request, str(request.path_params["family"]))

    async def health(self) -> Response:
        """Say that the process lives."""
        return Response(b'{"status":"up"}', media_type="application/json")

    async def ready(self, request: Request) -> Response:
        """Say whether events can be kept now."""
        if await self._edges.inbox.reachable():
            return Response(b'{"status":"ready"}', media_type="application/json")
        return problem("unavailable", lang=spoken(request), headers={"Retry-After": "5"})

    async def _take(self, request: Request, family: str) -> Response:
        agency = self._edges.callers.agency(request)
        if agency is None:
            return problem("unauthorised", lang=spoken(request), headers={"WWW-Authenticate": "X-API-Key"})
        try:
            with self._edges.quotas.request(agency):
                return await self._answer(request, agency, family)
        except OverQuota as over:
            return problem(over.code, lang=spoken(request), headers={"Retry-After": str(over.retry_after_secs)})

    async def _answer(self, request: Request, agency: str, family: str) -> Response:
        began = time.perf_counter()
        key = request.headers.get("idempotency-key")
        visit = Visit(self._place, Visitor(agency, family, key, spoken(request), int(self._edges.now() * 1000)))
        try:
            self._edges.admission.entitled(agency, family)
            body = await body_of(request, self._bounds.body_bytes, self._edges.limits.body_secs)
            kind = request.headers.get("content-type", "")
            response = await visit.take(batch_of(kind, body, family, self._bounds))
        except Refused as refusal:
            response = await visit.refuse(refusal.reasons[0])
        except TimeoutError:
            return problem("too-slow", lang=spoken(request))
        except ClientDisconnect:
            return problem("bad-request", lang=spoken(request))
        self._edges.quotas.spend(agency, visit.events)
        self._edges.telemetry.batch_took(time.perf_counter() - began)
        return response


async def _http(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 400
    code = {404: "not-found", 405: "method-not-allowed"}.get(status, "bad-request")
    allowed = error.headers if isinstance(error, HTTPException) else None
    return problem(code, lang=spoken(request), headers=allowed)


async def _unavailable(request: Request, error: Exception) -> Response:
    seconds = error.retry_after_secs if isinstance(error, Unavailable) else 5
    return problem("unavailable", lang=spoken(request), headers={"Retry-After": str(seconds)})


async def _defect(request: Request, error: Exception) -> Response:
    return problem("door-defect", lang=spoken(request))
