"""Gateway: the door for events over HTTP.

`POST /v1/events/{family}` takes one event, an array or NDJSON from the agency that the API key names. Each event has
its own verdict. Everything is in the inbox, refusals too, before the answer is given.
"""

from __future__ import annotations

import asyncio
import hmac
import os
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import orjson
from fastapi import FastAPI
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from connectors import problems
from connectors.admission import Admission
from connectors.batch import Batch, batch_of
from connectors.gateway_docs import describe, request_body
from connectors.inbox import Inbox
from connectors.problems import problem
from connectors.reasons import WHOLE, reason
from connectors.strict_json import MAX_EVENT_BYTES, parse
from connectors.verdicts import Answer, Arrival, answer, delivery_id, observe
from schemas.contracts import FAMILIES
from schemas.errors import Reason, Refused, Unavailable
from streams.telemetry import DoorTelemetry

TURN = 50
"""Events of a batch that are admitted before other requests get their turn."""


PATIENCE = 8
"""Times the largest body that are read, and thrown away, before the answer: senders seldom listen while they send."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one request may bring."""

    body_bytes: int = 8 * 1024 * 1024
    event_bytes: int = MAX_EVENT_BYTES
    events: int = 10_000
    body_secs: float = 60.0  # for a body to arrive


@dataclass(frozen=True, slots=True)
class Edges:
    """What the gateway needs from outside."""

    admission: Admission
    inbox: Inbox
    agencies: Mapping[str, str]  # SHA-256 of an API key, as hexadecimal digits -> agency
    telemetry: DoorTelemetry
    metrics: CollectorRegistry
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
    for path, endpoint in (
        ("/v1/errors/{code}", desk.error),
        ("/health", desk.health),
        ("/ready", desk.ready),
        ("/metrics", desk.numbers),
    ):
        app.add_api_route(path, endpoint, methods=["GET"], tags=["operations"])
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Unavailable, _unavailable)
    app.add_exception_handler(Exception, _defect)
    describe(app)
    return app


class _Desk:
    def __init__(self, edges: Edges) -> None:
        self._edges = edges
        self._hashes = [(bytes.fromhex(key), agency) for key, agency in edges.agencies.items()]

    def taking(self, family: str) -> Callable[[Request], Awaitable[Response]]:
        """Return the endpoint of one family."""

        async def take(request: Request) -> Response:
            return await self._take(request, family)

        take.__doc__ = "Report events: one object, an array, or NDJSON."
        return take

    async def unknown(self, request: Request) -> Response:
        """Refuse a family that there is not; counted as one delivery, for the sender is known."""
        return await self._take(request, str(request.path_params["family"]))

    async def error(self, code: str) -> Response:
        """Explain an error code."""
        return problems.page(code)

    async def health(self) -> Response:
        """Say that the process lives."""
        return Response(b'{"status":"up"}', media_type="application/json")

    async def ready(self) -> Response:
        """Say whether events can be kept now."""
        if await self._edges.inbox.reachable():
            return Response(b'{"status":"ready"}', media_type="application/json")
        return problem("unavailable", "Kafka does not answer.", headers={"Retry-After": "5"})

    async def numbers(self) -> Response:
        """Return the metrics in Prometheus' text format."""
        return Response(generate_latest(self._edges.metrics), media_type=CONTENT_TYPE_LATEST)

    async def _take(self, request: Request, family: str) -> Response:
        began = time.perf_counter()
        agency = self._agency(request.headers.get("x-api-key", ""))
        if agency is None:
            return problem("unauthorised", "Send the agency's API key in the header X-API-Key.")
        visit = _Visit(self._edges, agency, family, request.headers.get("idempotency-key"))
        try:
            batch = await self._batch(request, agency, family)
        except Refused as refusal:
            response = await visit.refuse_whole(refusal.reasons[0])
        except TimeoutError:
            return problem("too-slow", "The body did not arrive in time.")
        except ClientDisconnect:
            return problem("bad-request", "The connection ended before the body did.")
        else:
            response = await (visit.take_one(batch.payloads[0]) if batch.single else visit.take_all(batch.payloads))
        self._edges.telemetry.batch_took(time.perf_counter() - began)
        return response

    async def _batch(self, request: Request, agency: str, family: str) -> Batch:
        """Return the request's events as bytes; raises Refused when it fails as a whole."""
        self._edges.admission.entitled(agency, family)
        limits = self._edges.limits
        async with asyncio.timeout(limits.body_secs):
            body = await _read(request, limits.body_bytes)
        return batch_of(request.headers.get("content-type", ""), body, limits.events)

    def _agency(self, key: str) -> str | None:
        """Return whose key it is; every known key is compared, each in constant time."""
        digest = sha256(key.encode()).digest()
        found = None
        for known, agency in self._hashes:
            if hmac.compare_digest(known, digest):
                found = agency
        return found


class _Visit:
    """One request of one agency."""

    def __init__(self, edges: Edges, agency: str, family: str, key: str | None) -> None:
        self._edges = edges
        self._agency = agency
        self._family = family
        self._key = None if key is None else f"{agency} {family} {key}".encode()
        self._accepted_at = int(edges.now() * 1000)

    async def take_all(self, payloads: Sequence[bytes]) -> Response:
        """Answer a batch: every event its own verdict, in order."""
        answers = []
        for index, payload in enumerate(payloads):
            answers.append(self._answer(index, payload))
            if index % TURN == TURN - 1:
                await asyncio.sleep(0)
        await self._keep(answers)
        verdicts = [each.verdict for each in answers]
        accepted = sum(verdict.answer == "accepted" for verdict in verdicts)
        summary = {"accepted": accepted, "refused": len(verdicts) - accepted}
        return Response(orjson.dumps({"verdicts": verdicts, "summary": summary}), media_type="application/json")

    async def take_one(self, payload: bytes) -> Response:
        """Answer a single event by the status too."""
        one = self._answer(0, payload)
        await self._keep([one])
        if one.verdict.answer == "accepted":
            return Response(one.verdict.encode(), 202, media_type="application/json")
        return _refused("refused", "The event was refused.", one)

    async def refuse_whole(self, why: Reason) -> Response:
        """Answer a request that fails as a whole: one refused delivery."""
        one = answer(self._edges.admission, self._arrival(-1, b""), Refused((why,)))
        await self._keep([one])
        return _refused(why.code if why.code in problems.STATUS else "refused", f"{why.rule} {why.remedy}", one)

    def _answer(self, index: int, payload: bytes) -> Answer:
        try:
            event: dict[str, Any] | Refused = parse(payload, self._edges.limits.event_bytes)
        except Refused as refusal:
            event = refusal
        return answer(self._edges.admission, self._arrival(index, payload), event)

    def _arrival(self, index: int, payload: bytes) -> Arrival:
        """Name the delivery: with an Idempotency-Key, a repeat of the same bytes has the same name."""
        name = self._edges.chance(8) if self._key is None else delivery_id(self._key, b"%d" % index, payload)
        return Arrival(self._agency, self._family, name, self._accepted_at)

    async def _keep(self, answers: list[Answer]) -> None:
        began = time.perf_counter()
        await self._edges.inbox.put([each.entry for each in answers])
        self._edges.telemetry.inbox_acked(time.perf_counter() - began)
        observe(self._edges.telemetry, self._agency, answers)


async def _read(request: Request, max_bytes: int) -> bytes:
    """Return the body; raises Refused when it is too large, having let the sender finish within reason."""
    if request.headers.get("content-encoding", "identity") != "identity":
        rule, remedy = "The gateway reads bodies without Content-Encoding.", "Send it uncompressed."
        raise Refused((reason("unsupported-media-type", WHOLE, rule, remedy),))
    body, size = bytearray(), 0
    async for chunk in request.stream():
        size += len(chunk)
        if size <= max_bytes:
            body += chunk
        elif size > max_bytes * PATIENCE:
            break
    if size > max_bytes:
        rule = f"A request has at most {max_bytes} bytes."
        raise Refused((reason("too-large", WHOLE, rule, "Send less at once."),))
    return bytes(body)


def _refused(code: str, detail: str, one: Answer) -> Response:
    verdict = one.verdict
    return problem(
        code,
        detail,
        answer=verdict.answer,
        record_no=verdict.record_no,
        revision=verdict.revision,
        delivery=verdict.delivery,
        errors=verdict.errors,
    )


async def _http(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 400
    code = {404: "not-found", 405: "method-not-allowed"}.get(status, "bad-request")
    return problem(code, problems.meaning(code) or "")


async def _unavailable(request: Request, error: Exception) -> Response:
    seconds = error.retry_after_secs if isinstance(error, Unavailable) else 5
    detail = "Events cannot be kept now; nothing was said to be accepted."
    return problem("unavailable", detail, headers={"Retry-After": str(seconds)})


async def _defect(request: Request, error: Exception) -> Response:
    return problem("door-defect", "The gateway failed by its own fault; nothing was said to be accepted.")
