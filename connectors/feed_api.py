"""The feed over HTTP: tables as of any complete cut, their changes, the cuts and the books.

For the statistics committee only: disclosure control comes with releases, so that single persons may show in small
cells. Every answer about a table says as of which cut and by which generation it is; with these as `cut` and
`generation` it can be had again, byte for byte. Readers see the current generation unless they ask for another.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from email.utils import formatdate
from hashlib import blake2b
from time import perf_counter
from typing import Any

import orjson
from fastapi import FastAPI, Request
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.responses import HTMLResponse, Response

from connectors import feed_docs
from connectors.feed_docs import After, At, Detail, Format, From, Lang, Limit, Newest, Of, To, Totals, Width
from connectors.feed_page import Entry, page
from connectors.feed_problems import install
from connectors.feed_store import FeedStore, iso
from connectors.formats import json_rows, text
from connectors.table_query import FORMATS, Asked, Question, Style, Tables, place_behind
from schemas.codelists import CodeLists
from schemas.conventions import Convention
from streams.dataflows.definition import Dataflow
from streams.telemetry import FeedTelemetry

_ACCEPTED = (
    ("application/vnd.sdmx.data+csv", "sdmx-csv"),
    ("application/json", "json"),
    ("text/csv", "csv"),
)


def create_app(store: FeedStore, convention: Convention, lists: CodeLists, metrics: CollectorRegistry) -> FastAPI:
    """Return the feed's server; `metrics` are shown under /metrics, and the server's own are added to them."""
    tables = Tables(store, convention, lists)
    answers = _Answers(tables, convention, metrics, _words(convention, lists))
    app = FastAPI(title="migex feed", description=__doc__, version="1", docs_url=None, redoc_url=None)
    for path, answer, documented in (
        ("/", answers.front, feed_docs.PAGE),
        ("/health", answers.health, feed_docs.JSON),
        ("/metrics", answers.numbers, feed_docs.METRICS),
        ("/v1/tables", answers.catalogue, feed_docs.JSON),
        ("/v1/tables/{table}", answers.table, feed_docs.TABLE),
        ("/v1/tables/{table}/changes", answers.changes, feed_docs.CHANGES),
        ("/v1/cuts", answers.cuts, feed_docs.ASKED_JSON),
        ("/v1/books", answers.books, feed_docs.ASKED_JSON),
    ):
        app.add_api_route(path, answer, methods=["GET"], response_class=Response, responses=documented)
    app.middleware("http")(_measured(FeedTelemetry(metrics, [flow.id for flow in tables.flows()])))
    install(app)
    return app


@dataclass(frozen=True, slots=True)
class _Answers:
    tables: Tables
    convention: Convention
    metrics: CollectorRegistry
    words: bytes  # digest of what shows besides the cells

    def front(self) -> Response:
        """Return the page that lists the tables, for people."""
        agreed, tables = self.convention, self.tables.shown()
        titles = {name: table.title for name, table in agreed.tables.items()}
        entries = [Entry(flow.id, titles[flow.id], flow.freq, tables.periods(flow.id)) for flow in tables.flows()]
        cut = next(iter(tables.cuts()), None)
        return HTMLResponse(page(entries, agreed.languages, agreed.recipient, cut, tables.generation))

    def health(self) -> Response:
        """Say that the store answers, and which cut is the latest."""
        cut = next(iter(self.tables.shown().cuts()), None)
        return _json({"status": "up", "cut": iso(cut.tick) if cut else None})

    def numbers(self) -> Response:
        """Return the process's metrics for Prometheus."""
        return Response(generate_latest(self.metrics), media_type=CONTENT_TYPE_LATEST)

    def catalogue(self) -> Response:
        """List the tables: titles, dimensions, measures, periods, formats."""
        tables = self.tables.shown()
        return _json([self._described(flow, tables) for flow in tables.flows()])

    def table(
        self,
        request: Request,
        table: str,
        *,
        first: From = None,
        to: To = None,
        cut: At = None,
        generation: Of = None,
        detail: Detail = False,
        totals: Totals = False,
        format: Format = None,  # noqa: A002 the parameter's name
        lang: Lang = None,
        width: Width = text.WIDTH,
    ) -> Response:
        """Return a table as of a cut."""
        style = _style(request, format, lang, width)
        tables = self.tables.shown(generation)
        asked = tables.ask(Question(table, first, to, cut, detail, totals))
        headers = self._headers(tables, asked, style)
        if _known(request, headers["ETag"]):
            return Response(status_code=304, headers=headers)
        shown = tables.render(tables.read(asked), style)
        return Response(shown, media_type=FORMATS[style.format], headers=headers)

    def changes(
        self,
        request: Request,
        table: str,
        *,
        first: From = None,
        to: To = None,
        cut: At = None,
        generation: Of = None,
        after: After = None,
        limit: Limit = 1000,
        format: Format = None,  # noqa: A002 the parameter's name
        lang: Lang = None,
    ) -> Response:
        """Return how the cells of a table changed up to a cut, with their causes; more than `limit` in pages."""
        style = _style(request, format, lang, text.WIDTH)
        tables = self.tables.shown(generation)
        asked = tables.ask(Question(table, first, to, cut))
        headers = self._headers(tables, asked, style, after, limit)
        if _known(request, headers["ETag"]):
            return Response(status_code=304, headers=headers)
        changes = tables.changes(asked, after, limit)
        if len(changes) == limit:
            headers["Migex-Next"] = place_behind(changes[-1])
        shown = tables.render_changes(asked.table, changes, style)
        return Response(shown, media_type=FORMATS[style.format], headers=headers)

    def cuts(self, newest: Newest = 100, generation: Of = None) -> Response:
        """List the newest complete cuts, newest first, with the number of cells that each changed."""
        found = self.tables.shown(generation).cuts(newest)
        return _json([{"cut": iso(cut.tick), "tick": cut.tick, "cells": cut.cells} for cut in found])

    def books(self, cut: At = None, generation: Of = None) -> Response:
        """Return the books: deliveries and their answers per agency and event family, and whether they balance."""
        return _json(self.tables.shown(generation).books(cut))

    def _described(self, flow: Dataflow, tables: Tables) -> dict[str, Any]:
        agreed = self.convention.tables[flow.id]
        return {
            "id": flow.id,
            "title": dict(agreed.title),
            "freq": flow.freq,
            "dimensions": [{"id": d.id, "codelist": d.codelist, "internal": d.internal} for d in flow.dimensions],
            "measures": [{"id": m.id, "unit": m.unit} for m in flow.measures],
            "periods": tables.periods(flow.id),
            "source_confirmed": agreed.source_confirmed,
            "formats": list(FORMATS),
        }

    def _headers(self, tables: Tables, asked: Asked, style: Style, *more: object) -> dict[str, str]:
        """Return what lets a reader keep an answer: it depends on generation, cut, question and labels alone."""
        generation = tables.generation
        named = repr((generation, self.words, asked, style, more)).encode()
        return {
            "ETag": f'"{blake2b(named, digest_size=16).hexdigest()}"',
            "Last-Modified": formatdate(asked.cut, usegmt=True),
            "Migex-Cut": iso(asked.cut),
            "Migex-Generation": str(generation),
            "Cache-Control": "private, no-cache",  # keep it, but ask: there may be a newer cut, or another generation
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
