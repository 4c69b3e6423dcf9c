"""Error pages: what each code means and what to do, as a page for people and as JSON, in three languages; public."""

from __future__ import annotations

from html import escape
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from connectors.contract_pages import html
from connectors.error_catalogue import catalogue, meaning, remedy
from connectors.negotiation import preferred
from connectors.problems import STATUS, problem
from connectors.texts import ENGLISH
from schemas.words import LANGUAGES

PATH = "/v1/errors"

OFFERS = (ENGLISH, *(each for each in LANGUAGES if each != ENGLISH))
"""The languages of answers, the default first."""

_JSON, _HTML = "application/json", "text/html"
_WORDS = {
    "en": ("Errors", "What to do", "HTTP status", "All errors"),
    "ru": ("Ошибки", "Что делать", "Статус HTTP", "Все ошибки"),
    "be": ("Памылкі", "Што рабіць", "Статус HTTP", "Усе памылкі"),
}
_SHOWN: dict[int | str, dict[str, Any]] = {
    200: {"content": {_JSON: {"schema": {"$ref": "#/components/schemas/Error"}}, _HTML: {}}},
    404: {"description": "There is no such code.", "content": {"application/problem+json": {}}},
}

Lang = Annotated[str | None, Query(description=f"One of {', '.join(OFFERS)}; else what Accept-Language asks for.")]


def spoken(request: Request) -> str:
    """Return the language in which the sender wants to be answered."""
    return preferred(request.headers.get("accept-language", ""), OFFERS)


def error_pages() -> APIRouter:
    """Return the routes of the error catalogue."""
    router = APIRouter(tags=["errors"])
    router.add_api_route(PATH, _overview, methods=["GET"], responses={200: {"content": {_JSON: {}, _HTML: {}}}})
    router.add_api_route(f"{PATH}/{{code}}", _error, methods=["GET"], responses=_SHOWN)
    return router


async def _overview(request: Request, *, lang: Lang = None) -> Response:
    """List all error codes."""
    chosen = lang if lang in OFFERS else spoken(request)
    codes = list(catalogue())
    if _form(request) == _JSON:
        return _answer(orjson.dumps([_told(code, chosen) for code in codes]), _JSON, chosen)
    rows = "".join(
        f'<tr><th scope="row"><a href="{PATH}/{code}?lang={chosen}"><code>{code}</code></a></th>'
        f"<td>{escape(meaning(code, chosen))}</td></tr>"
        for code in codes
    )
    title = _WORDS[chosen][0]
    return _answer(_page(title, f"<h1>{title}</h1><table>{rows}</table>", PATH, chosen), _HTML, chosen)


async def _error(request: Request, code: str, *, lang: Lang = None) -> Response:
    """Explain an error code."""
    chosen = lang if lang in OFFERS else spoken(request)
    if code not in catalogue():
        return problem("not-found", lang=chosen)
    if _form(request) == _JSON:
        return _answer(orjson.dumps(_told(code, chosen)), _JSON, chosen)
    _, to_do, status, every = _WORDS[chosen]
    answered = f"<p>{status}: {STATUS[code]}</p>" if code in STATUS else ""
    body = (
        f"<h1><code>{code}</code></h1><p>{escape(meaning(code, chosen))}</p>"
        f"<h2>{to_do}</h2><p>{escape(remedy(code, chosen))}</p>{answered}"
        f'<p><a href="{PATH}?lang={chosen}">{every}</a></p>'
    )
    return _answer(_page(code, body, f"{PATH}/{code}", chosen), _HTML, chosen)


def _told(code: str, lang: str) -> dict[str, Any]:
    return {"code": code, "status": STATUS.get(code), "meaning": meaning(code, lang), "remedy": remedy(code, lang)}


def _form(request: Request) -> str:
    return preferred(request.headers.get("accept", ""), (_JSON, _HTML))


def _page(title: str, body: str, path: str, lang: str) -> str:
    languages = " ".join(f'<a href="{path}?lang={each}" hreflang="{each}" lang="{each}">{each}</a>' for each in OFFERS)
    return (
        f'<!doctype html><html lang="{lang}"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{html.STYLE}</style></head>'
        f"<body><header><strong>migex</strong><nav>{languages}</nav></header>"
        f"<main id='content'>{body}</main></body></html>"
    )


def _answer(content: str | bytes, kind: str, lang: str) -> Response:
    headers = {"Content-Language": lang, "Vary": "Accept, Accept-Language", **html.HEADERS}
    return Response(content, media_type=kind, headers=headers)
