"""The feed over HTTP."""

from __future__ import annotations

import csv
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from io import StringIO
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, seed, settings
from prometheus_client import CollectorRegistry
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import positive_data_acceptance

from connectors.feed_api import create_app
from connectors.feed_store import FeedStore, Manifest
from streams.fold import CellChange, CutClosed
from tests.connectors.feed_tables import CONVENTION, LISTS, at

FIRST, SECOND, THIRD = at("2018-02-20T10:00"), at("2018-02-20T10:00:05"), at("2018-06-01")
SDMX_CSV = "application/vnd.sdmx.data+csv; version=2.0.0"
CROSSING = "F06|2018-01|IN|F|PL|PL|ROAD|WORK"


def change(key: str, *measures: int, **causes: tuple[int, int]) -> CellChange:
    return CellChange(key, measures[0], measures, {cause.replace("_", "-"): n for cause, n in causes.items()})


CUTS = (
    CutClosed(FIRST, (change(f"{CROSSING}|KOZLOVICHI", 3, on_time=(3, 0)), change(f"{CROSSING}|BREST-TERESPOL", 4))),
    CutClosed(
        SECOND,
        (
            change(f"{CROSSING}|KOZLOVICHI", 2, cancellation=(0, 1)),
            change("F01|2018-01|ARR|RU|BY-HM|U", 9),
            change("BOOKS||1|1|deliveries|D0", 7),
            change("BOOKS||1|1|new_version|D0", 7),
            change("BOOKS||1|1|current|D0", 7),
            change("BOOKS||1|1|speaking|R0", 7),
        ),
    ),
    CutClosed(THIRD, (change("BOOKS||1|1|speaking|R0", 6), change(f"{CROSSING}|BREST-TERESPOL", 5, late=(1, 0)))),
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[FeedStore]:
    with closing(FeedStore(f"sqlite:///{tmp_path}/feed.db", 1)) as opened:
        with opened.begin(0) as step:
            for cut in CUTS:
                step.write(cut)
            step.advance(0, 1)
        yield opened


@pytest.fixture
async def feed(store: FeedStore) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(store, CONVENTION, LISTS, CollectorRegistry())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://feed") as client:
        yield client


async def figures(feed: httpx.AsyncClient, path: str) -> list[tuple[str, ...]]:
    """Return (codes…, period, value, status) of an answer in CSV."""
    answer = await feed.get(path)
    assert answer.status_code == 200, answer.text
    names = ("DIRECTION", "CHECKPOINT", "TIME_PERIOD", "OBS_VALUE", "OBS_STATUS", "CUT", "AFTER_FINAL")
    return [tuple(row[n] for n in names if n in row) for row in csv.DictReader(StringIO(answer.text))]


# --- tables ---


async def test_a_table_is_given_as_of_the_latest_cut(feed: httpx.AsyncClient) -> None:
    (row,) = await figures(feed, "/v1/tables/F06?format=csv")
    assert row == ("IN", "2018-01", "7", "A", "2018-06-01T00:00:00Z", "Y")


@pytest.mark.parametrize(
    ("cut", "value"),
    [
        ("2018-02-20T10:00:00Z", "7"),
        ("2018-02-20T10:00:04Z", "7"),  # between two cuts: the older one holds
        ("2018-02-20T13:00:05%2B03:00", "6"),
        (str(SECOND), "6"),
        ("2018-05-31T23:59:59Z", "6"),
    ],
)
async def test_a_table_can_be_had_as_of_any_complete_cut(feed: httpx.AsyncClient, cut: str, value: str) -> None:
    answer = await feed.get(f"/v1/tables/F06?format=csv&cut={cut}")
    (row,) = csv.DictReader(StringIO(answer.text))
    assert (row["OBS_VALUE"], row["OBS_STATUS"]) == (value, "P")
    assert answer.headers["migex-cut"] in {"2018-02-20T10:00:00Z", "2018-02-20T10:00:05Z"}


async def test_the_checkpoint_is_shown_when_asked_for(feed: httpx.AsyncClient) -> None:
    rows = await figures(feed, "/v1/tables/F06?format=csv&detail=true")
    assert {row[1]: row[3] for row in rows} == {"KOZLOVICHI": "2", "BREST-TERESPOL": "5"}


async def test_periods_of_any_frequency_limit_a_table(feed: httpx.AsyncClient) -> None:
    for span, rows in (("from=2018", 1), ("from=2018-Q1&to=2018-S1", 1), ("to=2017", 0), ("from=2018-02", 0)):
        assert len(await figures(feed, f"/v1/tables/F06?format=csv&{span}")) == rows


async def test_the_net_is_there_and_totals_only_when_asked_for(feed: httpx.AsyncClient) -> None:
    assert [row[0] for row in await figures(feed, "/v1/tables/F01?format=csv")] == ["ARR", "NET"]
    assert len(await figures(feed, "/v1/tables/F01?format=csv&totals=true")) == 8  # RU, _T, CIS, EAEU


@pytest.mark.parametrize(
    ("query", "accept", "media_type", "begins"),
    [
        ("", "*/*", "text/plain; charset=utf-8", "F06  Пересечение"),
        ("?lang=en", "text/html", "text/plain; charset=utf-8", "F06  Border"),
        ("?format=csv", "*/*", "text/csv; charset=utf-8", "REF_AREA,"),
        ("", "text/csv", "text/csv; charset=utf-8", "REF_AREA,"),
        ("?format=sdmx-csv", "*/*", f"{SDMX_CSV}; charset=utf-8", "STRUCTURE,"),
        ("", "application/vnd.sdmx.data+csv;version=2.0.0", f"{SDMX_CSV}; charset=utf-8", "STRUCTURE,"),
        ("?format=json", "*/*", "application/json", "{"),
        ("", "application/json", "application/json", "{"),
        ("?format=csv", "application/json", "text/csv; charset=utf-8", "REF_AREA,"),
    ],
)  # fmt: skip
async def test_the_format_is_the_one_asked_for(
    feed: httpx.AsyncClient, query: str, accept: str, media_type: str, begins: str
) -> None:
    answer = await feed.get(f"/v1/tables/F06{query}", headers={"Accept": accept})
    assert (answer.status_code, answer.headers["content-type"]) == (200, media_type)
    assert answer.text.startswith(begins)


# --- keeping an answer ---


async def test_an_answer_need_not_be_sent_twice(feed: httpx.AsyncClient, store: FeedStore) -> None:
    first = await feed.get("/v1/tables/F06?format=csv")
    assert first.headers["last-modified"] == "Fri, 01 Jun 2018 00:00:00 GMT"
    assert first.headers["migex-generation"] == "1"
    tag = first.headers["etag"]
    again = await feed.get("/v1/tables/F06?format=csv", headers={"If-None-Match": f'"other", W/{tag}'})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    pinned = await feed.get(f"/v1/tables/F06?format=csv&cut={THIRD}")
    assert (pinned.headers["etag"], pinned.content) == (tag, first.content)
    with store.begin(0) as step:
        step.write(CutClosed(THIRD + 1, ()))
        step.advance(1, 2)
    newer = await feed.get("/v1/tables/F06?format=csv", headers={"If-None-Match": tag})
    assert (newer.status_code, newer.headers["migex-cut"]) == (200, "2018-06-01T00:00:01Z")


async def test_different_questions_have_different_tags(feed: httpx.AsyncClient) -> None:
    paths = ("F06", "F01", "F06?detail=true", "F06?format=csv", "F06?lang=en", "F06?from=2018-01", "F06?width=50",
             f"F06?cut={FIRST}", "F06/changes", "F06/changes?limit=5")  # fmt: skip
    tags = [(await feed.get(f"/v1/tables/{path}")).headers["etag"] for path in paths]
    assert len(set(tags)) == len(paths)


# --- changes ---


async def test_changes_come_with_their_causes_in_pages(feed: httpx.AsyncClient) -> None:
    first = await feed.get("/v1/tables/F06/changes?format=json&limit=3")
    assert [(c["CUT"][11:19], c["CHECKPOINT"], c["figures"]["CROSSINGS"]) for c in first.json()] == [
        ("10:00:00", "BREST-TERESPOL", [0, 4]),
        ("10:00:00", "KOZLOVICHI", [0, 3]),
        ("10:00:05", "KOZLOVICHI", [3, 2]),
    ]
    assert first.json()[2]["causes"] == {"cancellation": {"stated": 0, "withdrawn": 1}}
    following = {"format": "json", "limit": "3", "after": first.headers["migex-next"]}
    rest = await feed.get("/v1/tables/F06/changes", params=following)
    assert [c["figures"]["CROSSINGS"] for c in rest.json()] == [[4, 5]]
    assert "migex-next" not in rest.headers


async def test_changes_up_to_a_cut(feed: httpx.AsyncClient) -> None:
    answer = await feed.get(f"/v1/tables/F06/changes?format=csv&cut={FIRST}")
    assert len(answer.text.splitlines()) == 3
    assert (await feed.get("/v1/tables/F06/changes?lang=en")).text.startswith("Cut ")


# --- problems ---


@pytest.mark.parametrize(
    ("path", "status", "code", "field"),
    [
        ("/v1/tables/F99", 404, "table-unknown", "table"),
        ("/v1/tables/F06?cut=2040-01-01T00:00:00Z", 404, "cut-unknown", "cut"),
        ("/v1/tables/F06?cut=0", 404, "cut-unknown", "cut"),
        ("/v1/tables/F06?cut=2018-02-20", 422, "cut-form", "cut"),
        ("/v1/tables/F06?cut=2018-02-20T10:00", 422, "cut-form", "cut"),
        ("/v1/tables/F06?cut=now", 422, "cut-form", "cut"),
        ("/v1/tables/F06?cut=0001-01-01T00:00%2B14:00", 422, "cut-form", "cut"),
        ("/v1/tables/F06?cut=9999-12-31T23:59-14:00", 422, "cut-form", "cut"),
        ("/v1/tables/F06?cut=99999999999999999999999", 422, "cut-form", "cut"),
        ("/v1/tables/F06?cut=9999-12-31T23:59Z", 404, "cut-unknown", "cut"),
        ("/v1/tables/F06?from=2018-13", 422, "period-form", "from"),
        ("/v1/tables/F06?to=%D0%B4", 422, "period-form", "to"),
        ("/v1/tables/F06?from=2018-02&to=2018-01", 422, "period-order", "from"),
        ("/v1/tables/F06?format=xlsx", 422, "format-unknown", "format"),
        ("/v1/tables/F06/changes?format=sdmx-csv", 422, "format-unknown", "format"),
        ("/v1/tables/F06?lang=fr", 422, "language-unknown", "lang"),
        ("/v1/tables/F06?detail=perhaps", 422, "parameter-form", "detail"),
        ("/v1/tables/F06?width=1", 422, "parameter-form", "width"),
        ("/v1/tables/F06/changes?limit=0", 422, "parameter-form", "limit"),
        ("/v1/tables/F06/changes?after=x", 422, "after-form", "after"),
        ("/v1/tables/F06/changes?after=%C2%B2,a,b", 422, "after-form", "after"),
        ("/v1/books?cut=1", 404, "cut-unknown", "cut"),
    ],
)
async def test_a_question_without_an_answer_is_told_why(
    feed: httpx.AsyncClient, path: str, status: int, code: str, field: str
) -> None:
    answer = await feed.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    problem = answer.json()
    assert (problem["type"], problem["status"]) == (f"urn:migex:problem:{code}", status)
    (error,) = problem["errors"]
    assert (error["code"], error["field"]) == (code, field)
    assert error["rule"].endswith(".")
    assert error["remedy"].endswith(".")


async def test_an_unknown_address_is_a_problem_too(feed: httpx.AsyncClient) -> None:
    for answer, status in ((await feed.get("/v2"), 404), (await feed.post("/v1/tables"), 405)):
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")


async def test_before_the_first_cut_the_feed_says_so(tmp_path: Path) -> None:
    with closing(FeedStore(f"sqlite:///{tmp_path}/empty.db", 1)) as empty:
        app = create_app(empty, CONVENTION, LISTS, CollectorRegistry())
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://feed") as feed:
            assert (await feed.get("/v1/tables/F06")).json()["detail"].startswith("cut: No cut is complete yet.")
            assert (await feed.get("/health")).json() == {"status": "up", "cut": None}
            assert "none yet" in (await feed.get("/")).text
            assert (await feed.get("/v1/cuts")).json() == []


async def test_a_store_that_is_away_means_try_again(store: FeedStore, tmp_path: Path) -> None:
    app = create_app(store, CONVENTION, LISTS, CollectorRegistry())
    store.close()
    (tmp_path / "feed.db").unlink()
    (tmp_path / "feed.db").mkdir()
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://feed") as feed:
        answer = await feed.get("/health")
    assert (answer.status_code, answer.headers["content-type"]) == (503, "application/problem+json")
    assert int(answer.headers["retry-after"]) > 0


# --- cuts, books, catalogue, page, metrics ---


async def test_the_cuts_are_listed(feed: httpx.AsyncClient) -> None:
    assert (await feed.get("/v1/cuts?newest=2")).json() == [
        {"cut": "2018-06-01T00:00:00Z", "tick": THIRD, "cells": 2},
        {"cut": "2018-02-20T10:00:05Z", "tick": SECOND, "cells": 6},
    ]


async def test_the_books_say_whether_they_balance(feed: httpx.AsyncClient) -> None:
    now = (await feed.get("/v1/books")).json()
    then = (await feed.get(f"/v1/books?cut={SECOND}")).json()
    assert (then["balanced"], now["balanced"]) == (True, False)
    (row,) = now["books"]
    assert (row["agency"], row["family"], row["counts"]["deliveries"]) == ("gpk", "border.crossing", 7)
    assert row["equations"][-1] == {"left": "current", "right": "speaking + quarantined", "difference": 1}


async def test_the_catalogue_describes_every_table_of_the_convention(feed: httpx.AsyncClient) -> None:
    tables = {table["id"]: table for table in (await feed.get("/v1/tables")).json()}
    assert set(tables) >= {"F01", "F06", "F11"}
    assert tables["F06"]["periods"] == ["2018-01", "2018-01"]
    assert tables["F11"]["periods"] is None
    assert tables["F06"]["dimensions"][-1] == {"id": "CHECKPOINT", "codelist": "CHECKPOINT", "internal": True}
    assert set(tables["F06"]["title"]) == {"ru", "be", "en"}


async def test_the_page_for_people_links_what_there_is(feed: httpx.AsyncClient) -> None:
    page = (await feed.get("/")).text
    links = [part.split('"')[0].replace("&amp;", "&") for part in page.split('href="')[1:]]
    assert len(links) > 15
    assert [link for link in links if (await feed.get(link)).status_code != 200] == []
    assert "2018-06-01 00:00:00 UTC" in page
    assert "Border crossings" in page
    assert "Пересечение государственной границы" in page


async def test_the_openapi_document_names_every_parameter(feed: httpx.AsyncClient) -> None:
    paths = (await feed.get("/openapi.json")).json()["paths"]
    names = {each["name"] for each in paths["/v1/tables/{table}"]["get"]["parameters"]}
    assert names == {"table", "from", "to", "cut", "generation", "detail", "totals", "format", "lang", "width"}


def test_whatever_is_asked_the_answer_is_one_that_the_document_foresees(store: FeedStore) -> None:
    app = create_app(store, CONVENTION, LISTS, CollectorRegistry())
    operations = schemathesis.openapi.from_asgi("/openapi.json", app).get_all_operations()
    for found in operations:
        assert isinstance(found, Ok)
        operation = found.ok()

        @seed(1)
        @settings(max_examples=15, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        @given(operation.as_strategy())
        def ask(case: schemathesis.Case[Any]) -> None:
            case.call_and_validate(excluded_checks=[positive_data_acceptance])  # a period is more than a string

        ask()


async def test_questions_are_counted_by_table_format_and_status(feed: httpx.AsyncClient) -> None:
    for path in ("F06?format=csv", "F06?from=x", "NO?format=virus", "F06/changes"):
        await feed.get(f"/v1/tables/{path}")
    metrics = (await feed.get("/metrics")).text
    for labels in ('format="csv",status="200",table="F06"', 'format="text",status="422",table="F06"',
                   'format="other",status="404",table="other"', 'format="text",status="200",table="F06"'):  # fmt: skip
        assert f"migex_feed_requests_total{{{labels}}} 1.0" in metrics


async def test_readers_see_another_generation_at_once_when_it_is_switched_to(
    feed: httpx.AsyncClient, store: FeedStore
) -> None:
    path = "/v1/tables/F06?format=csv&detail=true&to=2018-01"
    before = await feed.get(path)
    rules = Manifest(1, "c", "l")
    store.generations.enrol(1, rules)
    store.generations.begin(2, rules)
    with store.at(2).begin(0) as step:
        step.write(CutClosed(THIRD, (change(f"{CROSSING}|KOZLOVICHI", 9),)))
        step.advance(0, 1)
    store.generations.ready(2)
    assert (await feed.get(path, headers={"If-None-Match": before.headers["etag"]})).status_code == 304
    asked = await feed.get(f"{path}&generation=2")
    assert asked.headers["migex-generation"] == "2"

    store.generations.switch(2, "rehearsed")
    after = await feed.get(path, headers={"If-None-Match": before.headers["etag"]})
    assert (after.status_code, after.text, after.headers["etag"]) == (200, asked.text, asked.headers["etag"])
    assert (await feed.get(f"{path}&generation=1")).text == before.text
    assert (await feed.get("/v1/books")).json()["generation"] == 2
    assert [cut["tick"] for cut in (await feed.get("/v1/cuts")).json()] == [THIRD]
    assert "Generation <b>2</b>" in (await feed.get("/")).text


@pytest.mark.parametrize("path", ["/v1/tables/F06", "/v1/tables/F06/changes", "/v1/cuts", "/v1/books"])
async def test_a_generation_that_is_not_there_is_404(feed: httpx.AsyncClient, path: str) -> None:
    answer = await feed.get(f"{path}?generation=7")
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (404, "generation-absent")
