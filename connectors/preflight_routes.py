"""Preflight over HTTP, for the gateway: `POST /v1/preflight/{family}` checks a file and takes nothing in.

The bodies are those of events, and CSV and XLSX besides, whose columns are called as the contract's fields are. The
answer is streamed while the file is read. Rows count against the agency's quota as events do.
"""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

from fastapi import APIRouter
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from connectors.admission import Admission
from connectors.avro_file import AVRO, Bounds
from connectors.batch import JSON
from connectors.bodies import body_of
from connectors.callers import Callers
from connectors.error_pages import spoken
from connectors.fates import Sources
from connectors.negotiation import preferred
from connectors.preflight import Asker, Finding, Preflight
from connectors.preflight_docs import described
from connectors.preflight_report import FORMS, report
from connectors.problems import STATUS, problem
from connectors.quotas import OverQuota, Quotas
from connectors.rows import XLSX, rows
from connectors.rows.reading import WHOLE_BYTES
from connectors.strict_json import MAX_EVENT_BYTES
from connectors.texts import said, translated
from schemas.contracts import FAMILIES
from schemas.errors import Reason, Refused

PATH = "/v1/preflight/{family}"


@dataclass(frozen=True, slots=True)
class Most:
    """What one preflight may bring; more than a request of events, because nothing of it is kept."""

    body_bytes: int = 56 * 1024 * 1024  # unpacked
    workbook_bytes: int = 12 * 1024 * 1024  # packed, for its texts are held besides
    event_bytes: int = MAX_EVENT_BYTES
    rows: int = 50_000
    body_secs: float = 120.0  # for a body to arrive


class PreflightRoutes:
    """The one route."""

    def __init__(
        self,
        admission: Admission,
        sources: Sources,
        doors: tuple[Callers, Quotas],
        now: Callable[[], float],
        most: Most = Most(),  # frozen
    ) -> None:
        """`doors` are the gateway's; `now` in seconds since 1970."""
        self._admission = admission
        self._sources = sources
        self._callers, self._quotas = doors
        self._now = now
        self._most = most
        self.router = APIRouter(tags=["events"])
        self.router.add_api_route(PATH, self.check, methods=["POST"], **described(self._most.rows))

    async def check(self, request: Request, family: str) -> Response:
        """Check a file of events: what each row would be told. Nothing is taken in, counted or kept."""
        agency = self._callers.agency(request)
        if agency is None:
            return problem("unauthorised", lang=spoken(request), headers={"WWW-Authenticate": "X-API-Key"})
        return _Work(lambda: self._answer(request, agency, family), self._quotas, agency, spoken(request))

    async def _answer(self, request: Request, agency: str, family: str) -> Response:
        lang = spoken(request)
        self._quotas.spend(agency, 0)
        try:
            self._admission.entitled(agency, family)
            kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
            body = await body_of(request, self._bytes(kind), self._most.body_secs)
        except Refused as refusal:
            return _refused(refusal.reasons, lang)
        except TimeoutError:
            return problem("too-slow", lang=lang)
        except ClientDisconnect:
            return problem("bad-request", lang=lang)
        bounds = Bounds(self._most.body_bytes, self._most.event_bytes, self._most.rows)
        preflight = Preflight(self._admission, Asker(agency, family, int(self._now() * 1000)), self._sources)
        findings = preflight.findings(rows(io.BytesIO(body), kind, FAMILIES[family], bounds))
        first: list[Finding] = await anext(findings, [])
        if preflight.broken and not first:  # later it is told at the end of the report
            return _refused(preflight.broken, lang)
        form = preferred(request.headers.get("accept", ""), tuple(FORMS))
        pieces = report(preflight, self._counted(agency, first, findings), form, lang)
        headers = {"Content-Language": lang, "Vary": "Accept, Accept-Language", "Cache-Control": "no-store"}
        return StreamingResponse(pieces, media_type=form, headers=headers)

    def _bytes(self, kind: str) -> int:
        """Return how long a body may be: all that one takes in memory stays below 64 MiB."""
        if kind in {JSON, AVRO}:
            return min(self._most.body_bytes, WHOLE_BYTES)
        return min(self._most.body_bytes, self._most.workbook_bytes) if kind == XLSX else self._most.body_bytes

    async def _counted(
        self, agency: str, first: list[Finding], others: AsyncIterator[list[Finding]]
    ) -> AsyncIterator[list[Finding]]:
        yield first
        self._quotas.spend(agency, len(first))
        async for some in others:
            self._quotas.spend(agency, len(some))
            yield some


class _Work(Response):
    """An answer that is one of the agency's requests under way until its last byte is sent, or nobody listens."""

    def __init__(self, make: Callable[[], Awaitable[Response]], quotas: Quotas, agency: str, lang: str) -> None:
        super().__init__()
        self._make, self._quotas, self._agency, self._lang = make, quotas, agency, lang

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            with self._quotas.request(self._agency):
                response = await self._make()
                await response(scope, receive, send)
        except OverQuota as over:
            again = problem(over.code, lang=self._lang, headers={"Retry-After": str(over.retry_after_secs)})
            await again(scope, receive, send)


def _refused(reasons: tuple[Reason, ...], lang: str) -> Response:
    first = reasons[0]
    detail = f"{said(first.rule, lang)} {said(first.remedy, lang)}"
    errors = [translated(each, lang) for each in reasons]
    return problem(first.code if first.code in STATUS else "refused", detail, lang=lang, errors=errors)
