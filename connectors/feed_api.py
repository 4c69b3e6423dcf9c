"""The feed over HTTP: tables as of any complete cut, their changes, the cuts and the books.

For the statistics committee only: disclosure control comes with releases, so that single persons may show in small
cells. Every answer about a table says as of which cut it is; with that cut as `cut` it can be had again, byte for byte.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from email.utils import formatdate
from hashlib import blake2b
from time import perf_counter
from typing import Annotated, Any

import orjson
from fastapi import FastAPI, Query, Request
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.responses import HTMLResponse, Response

from connectors.feed_page import Entry, page
from connectors.feed_problems import install
from connectors.feed_store import FeedStore, iso
from connectors.formats import json_rows, text
from connectors.formats.words import LANGUAGES
from connectors.table_query import FORMATS, MAX_CHANGES, Asked, Question, Style, Tables, place_behind
from schemas.codelists import CodeLists
from schemas.conventions import Convention
from streams.dataflows.definition import Dataflow
from streams.telemetry import FeedTelemetry

_ACCEPTED = (
    ("application/vnd.sdmx.data+csv", "sdmx-csv"),
    ("application/json", "json"),
    ("text/csv", "csv"),
)

From = Annotated[str | None, Query(alias="from", description="First period, such as 2018-01, 2018-Q1 or 2018.")]
To = Annotated[str | None, Query(description="Last period, of any frequency.")]
At = Annotated[
    str | None, Query(description="As of the newest complete cut up to this instant, such as 2018-03-01T00:00:00Z.")
]
Detail = Annotated[bool, Query(description="Keep internal dimensions, such as the checkpoint of F06.")]
Totals = Annotated[bool, Query(description="Add rows for all areas together, the CIS and the EAEU.")]
After = Annotated[str | None, Query(description="Go on behind this place: the header Migex-Next of the page before.")]
Limit = Annotated[int, Query(ge=1, le=MAX_CHANGES, description="Changes of one answer at most.")]
Format = Annotated[str | None, Query(description=f"One of {', '.join(FORMATS)}; else what Accept asks for, else text.")]
Lang = Annotated[str | None, Query(description=f"Language of text: {', '.join(LANGUAGES)}.")]
Width = Annotated[int, Query(ge=20, le=10_000, description="Columns of a line of text.")]
Newest = Annotated[int, Query(ge=1, le=10_000, description="How many cuts.")]


def create_app(store: FeedStore, convention: Convention, lists: CodeLists, metrics: CollectorRegistry) -> FastAPI:
    """Return the feed's server; `metrics` are shown under /metrics, and the server's own are added to them."""
    tables = Tables(store, convention, lists)
    answers = _Answers(store, tables, convention, metrics, _words(convention, lists))
    app = FastAPI(title="migex feed", description=__doc__, version="1", docs_url=None, redoc_url=None)
    for path, answer in (
        ("/", answers.front),
        ("/health", answers.health),
        ("/metrics", answers.numbers),
        ("/v1/tables", answers.catalogue),
        ("/v1/tables/{table}", answers.table),
        ("/v1/tables/{table}/changes", answers.changes),
        ("/v1/cuts", answers.cuts),
        ("/v1/books", answers.books),
    ):
        app.add_api_route(path, answer, methods=["GET"], response_class=Response)
    app.middleware("http")(_measured(FeedTelemetry(metrics, [flow.id for flow in tables.flows()])))
    install(app)
    return app


@dataclass(frozen=True, slots=True)
class _Answers:
    store: FeedStore
    tables: Tables
    convention: Convention
    metrics: CollectorRegistry
    words: bytes  # digest of what shows besides the cells

    def front(self) -> Response:
        """Return the page that lists the tables, for people."""
        titles = {name: table.title for name, table in self.convention.tables.items()}
        entries = [
            Entry(flow.id, titles[flow.id], flow.freq, self.store.periods(flow.id)) for flow in self.tables.flows()
        ]
        cut, agreed = self.store.latest_cut(), self.convention
        return HTMLResponse(page(entries, agreed.languages, agreed.recipient, cut, self.store.generation))

    def health(self) -> Response:
        """Say that the store answers, and which cut is the latest."""
        cut = self.store.latest_cut()
        return _json({"status": "up", "cut": iso(cut.tick) if cut else None})

    def numbers(self) -> Response:
        """Return the process's metrics for Prometheus."""
        return Response(generate_latest(self.metrics), media_type=CONTENT_TYPE_LATEST)

    def catalogue(self) -> Response:
        """List the tables: titles, dimensions, measures, periods, formats."""
        return _json([self._described(flow) for flow in self.tables.flows()])

    def table(
        self,
        request: Request,
        table: str,
        *,
        first: From = None,
        to: To = None,
        cut: At = None,
        detail: Detail = False,
        totals: Totals = False,
        format: Format = None,  # noqa: A002 the parameter's name
        lang: Lang = None,
        width: Width = text.WIDTH,
    ) -> Response:
        """Return a table as of a cut."""
        style = _style(request, format, lang, width)
        asked = self.tables.ask(Question(table, first, to, cut, detail, totals))
        headers = self._headers(asked, style)
        if _known(request, headers["ETag"]):
            return Response(status_code=304, headers=headers)
        shown = self.tables.render(self.tables.read(asked), style)
        return Response(shown, media_type=FORMATS[style.format], headers=headers)

    def changes(
        self,
        request: Request,
        table: str,
        *,
        first: From = None,
        to: To = None,
        cut: At = None,
        after: After = None,
        limit: Limit = 1000,
        format: Format = None,  # noqa: A002 the parameter's name
        lang: Lang = None,
    ) -> Response:
        """Return how the cells of a table changed up to a cut, with their causes; more than `limit` in pages."""
        style = _style(request, format, lang, text.WIDTH)
        asked = self.tables.ask(Question(table, first, to, cut))
        headers = self._headers(asked, style, after, limit)
        if _known(request, headers["ETag"]):
            return Response(status_code=304, headers=headers)
        changes = self.tables.changes(asked, after, limit)
        if len(changes) == limit:
            headers["Migex-Next"] = place_behind(changes[-1])
        shown = self.tables.render_changes(asked.table, changes, style)
        return Response(shown, media_type=FORMATS[style.format], headers=headers)

    def cuts(self, newest: Newest = 100) -> Response:
        """List the newest complete cuts, newest first, with the number of cells that each changed."""
        return _json([{"cut": iso(cut.tick), "tick": cut.tick, "cells": cut.cells} for cut in self.store.cuts(newest)])

    def books(self, cut: At = None) -> Response:
        """Return the books: deliveries and their answers per agency and event family, and whether they balance."""
        return _json(self.tables.books(cut))

    def _described(self, flow: Dataflow) -> dict[str, Any]:
        agreed = self.convention.tables[flow.id]
        return {
            "id": flow.id,
            "title": dict(agreed.title),
            "freq": flow.freq,
            "dimensions": [{"id": d.id, "codelist": d.codelist, "internal": d.internal} for d in flow.dimensions],
            "measures": [{"id": m.id, "unit": m.unit} for m in flow.measures],
            "periods": self.store.periods(flow.id),
            "source_confirmed": agreed.source_confirmed,
            "formats": list(FORMATS),
        }

    def _headers(self, asked: Asked, style: Style, *more: object) -> dict[str, str]:
        """Return what lets a reader keep an answer: it depends on cut, question, titles and labels alone."""
        generation = self.store.generation
        named = repr((generation, self.words, asked, style, more)).encode()
        return {
            "ETag": f'"{blake2b(named, digest_size=16).hexdigest()}"',
            "Last-Modified": formatdate(asked.cut, usegmt=True),
            "Migex-Cut": iso(asked.cut),
            "Migex-Generation": str(generation),
            "Cache-Control": "private, no-cache",  # keep it, but ask each time: a newer cut may be there
            "Vary": "Accept",
        }


def _style(request: Request, asked: str | None, lang: str | None, width: int) -> Style:
    """Return how the answer is to look: the parameter `format`, else what Accept names, else text."""
    accepted = request.headers.get("accept", "")
    name = asked or next((name for kind, name in _ACCEPTED if kind in accepted), "text")
    request.state.format = name
    return Style(name, lang, width)


def _known(request: Request, tag: str) -> bool:
    """Whether the reader has this answer already (RFC 9110, 13.1.2)."""
    tags = [each.strip().removeprefix("W/") for each in request.headers.get("if-none-match", "").split(",")]
    return tag in tags or tags == ["*"]


def _words(convention: Convention, lists: CodeLists) -> bytes:
    """Return a digest of everything besides the cells that shows in an answer: titles, labels, deadlines."""
    rows = [(name, row) for name in lists for row in lists[name].rows]
    return blake2b(repr((convention, rows)).encode(), digest_size=16).digest()


Answering = Callable[[Request], Awaitable[Response]]


def _measured(telemetry: FeedTelemetry) -> Callable[[Request, Answering], Awaitable[Response]]:
    """Return the middleware that counts answers about tables."""

    async def measure(request: Request, answer: Answering) -> Response:
        began = perf_counter()
        response = await answer(request)
        table = request.path_params.get("table")
        if table is not None:
            shown = getattr(request.state, "format", "")
            telemetry.answered(table, shown, response.status_code, perf_counter() - began)
        return response

    return measure


def _json(content: object) -> Response:
    return Response(orjson.dumps(content, option=orjson.OPT_INDENT_2), media_type=json_rows.MEDIA_TYPE)
