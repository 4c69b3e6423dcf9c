"""Routes of the contract pages, for the gateway: public, because a contract holds no secret.

What a reader gets is negotiated: the form by `?format=` or Accept, the language by `?lang=` or Accept-Language, the
day of the codes by `?at=` (default: today in the convention's time zone).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from connectors.contract_pages import html
from connectors.contract_pages.json_forms import code_lists, entry, json_schema
from connectors.contract_pages.telling import Telling
from connectors.negotiation import preferred
from connectors.problems import problem
from schemas.codelists import CodeLists
from schemas.contracts import CONTRACTS, FAMILIES, Family
from schemas.conventions import Convention
from schemas.words import LANGUAGES

PATH = "/v1/contracts"

FORMS: Mapping[str, str] = {
    "avro": "application/vnd.apache.avro+json",
    "json-schema": "application/schema+json",
    "example": "application/vnd.migex.event+json",
    "codes": "application/vnd.migex.codes+json",
    "html": "text/html",
}
"""Forms of a contract, with their media types; the first is what a reader gets who asks for none."""

LIST_FORMS: Mapping[str, str] = {"json": "application/json", "html": "text/html"}
"""Forms of the list of contracts."""

_PLAIN = "application/json"  # whoever asks for that gets a contract's first form
_SHOWN: Any = {"responses": {404: {"description": "There is no such contract."}, 422: {"description": "A parameter."}}}

Lang = Annotated[str | None, Query(description=f"One of {', '.join(LANGUAGES)}; else what Accept-Language asks for.")]
At = Annotated[str | None, Query(description="Day of the codes, such as 2023-07-01; else today.")]


def _form_parameter(forms: Mapping[str, str]) -> Any:
    return Query(alias="format", description=f"One of {', '.join(forms)}; else what Accept asks for.")


class _Wrong(Exception):
    """A parameter that has no meaning."""


class ContractPages:
    """The contracts of a convention, to be read by anybody."""

    def __init__(self, convention: Convention, lists: CodeLists, now: Callable[[], float]) -> None:
        """`now` is the clock, in seconds since 1970."""
        self._convention = convention
        self._lists = lists
        self._now = now
        self._versions = {(each.name, each.version): each for each in CONTRACTS.values()}
        self.router = APIRouter(tags=["contracts"])
        for path, endpoint in (
            (PATH, self.overview),
            (f"{PATH}/{{family}}", self.newest),
            (f"{PATH}/{{family}}/{{version}}", self.contract),
        ):
            self.router.add_api_route(path, endpoint, methods=["GET"], **_SHOWN)

    async def overview(
        self,
        request: Request,
        *,
        form: Annotated[str | None, _form_parameter(LIST_FORMS)] = None,
        lang: Lang = None,
        at: At = None,
    ) -> Response:
        """List the contracts."""
        try:
            form, kind = _form(request, form, LIST_FORMS)
            telling = self._telling(request, lang, at)
        except _Wrong as wrong:
            return problem("bad-parameter", str(wrong))
        families = list(FAMILIES.values())
        if form == "html":
            return _answer(html.overview(families, telling, _link(request, at)), kind, telling)
        return _json([entry(family, telling, FORMS) for family in families], kind, telling)

    async def newest(self, request: Request, family: str) -> Response:
        """Lead to a family's newest contract."""
        known = FAMILIES.get(family)
        if known is None:
            return problem("unknown-family", "There is no event family of this name; GET /v1/contracts lists them.")
        query = f"?{request.url.query}" if request.url.query else ""
        return RedirectResponse(f"{PATH}/{known.name}/{known.version}{query}")

    async def contract(
        self,
        request: Request,
        family: str,
        version: str,
        *,
        form: Annotated[str | None, _form_parameter(FORMS)] = None,
        lang: Lang = None,
        at: At = None,
    ) -> Response:
        """Show one version of a family's contract."""
        known = self._versions.get((family, int(version))) if re.fullmatch("[0-9]{1,9}", version) else None
        if known is None:
            return problem("not-found", "There is no such contract; GET /v1/contracts lists them.")
        try:
            form, kind = _form(request, form, FORMS)
            telling = self._telling(request, lang, at)
        except _Wrong as wrong:
            return problem("bad-parameter", str(wrong))
        if form == "html":
            page = html.page(known, FAMILIES[family], telling, _link(request, at))
            return _answer(page, kind, telling)
        return _json(_as_json(form, known, telling), kind, telling)

    def _telling(self, request: Request, lang: str | None, at: str | None) -> Telling:
        """Return the language and day that are asked for; raises _Wrong."""
        first, *others = self._convention.languages
        offers = [first, *others, *(each for each in LANGUAGES if each not in self._convention.languages)]
        if lang is None:
            lang = preferred(request.headers.get("accept-language", ""), offers)
        elif lang not in offers:
            raise _Wrong(f"lang: one of {', '.join(LANGUAGES)}.")
        return Telling(self._convention, self._lists, lang, self._day(at))

    def _day(self, at: str | None) -> date:
        if not at:
            return self._convention.local_date(datetime.fromtimestamp(self._now(), UTC))
        try:
            if re.fullmatch(r"\d{4}-\d\d-\d\d", at, re.ASCII):
                return date.fromisoformat(at)
        except ValueError:
            pass
        raise _Wrong("at: a day, such as 2023-07-01.")


def _form(request: Request, asked: str | None, forms: Mapping[str, str]) -> tuple[str, str]:
    """Return the form and its media type; raises _Wrong."""
    if asked is not None:
        if asked not in forms:
            raise _Wrong(f"format: one of {', '.join(forms)}.")
        return asked, forms[asked]
    by_kind = {kind: form for form, kind in forms.items()}
    offers: Sequence[str] = [*by_kind, *({_PLAIN} - set(by_kind))]
    kind = preferred(request.headers.get("accept", ""), offers)
    return by_kind.get(kind, next(iter(forms))), kind


def _as_json(form: str, family: Family, telling: Telling) -> Any:
    if form == "json-schema":
        return json_schema(family, telling)
    if form == "codes":
        return code_lists(family, telling)
    return family.example if form == "example" else family.avsc


def _link(request: Request, at: str | None) -> html.Link:
    """Return where the page is; a Host header that names no host is not heard."""
    return html.Link(str(request.base_url).rstrip("/"), request.url.path, at or "")


def _json(content: Any, kind: str, telling: Telling) -> Response:
    return _answer(orjson.dumps(content, option=orjson.OPT_INDENT_2), kind, telling)


def _answer(content: str | bytes, kind: str, telling: Telling) -> Response:
    headers = {
        "Content-Language": telling.lang,
        "Vary": "Accept, Accept-Language",
        "Cache-Control": "public, max-age=300",
        **html.HEADERS,
    }
    return Response(content, media_type=kind, headers=headers)
