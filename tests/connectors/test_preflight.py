"""Preflight: what each row of a file would be told, and that nothing of it is kept or betrayed."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest

from connectors.quotas import Quota, Quotas
from connectors.rows import CSV, XLSX
from tests.connectors.doors import KEYS, NDJSON, Door, opened
from tests.connectors.events import cancellation, event, line
from tests.connectors.test_rows import avro, flat, table
from tests.connectors.workbooks import workbook

PATH = "/v1/preflight/border.crossing"
OF_CSV = {"Content_Type": CSV}


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    async with opened(Door()) as door:
        yield door


async def check(door: Door, content: bytes, agency: str = "gpk", path: str = PATH, **headers: str) -> Any:
    sent = {"X-API-Key": KEYS[agency], **NDJSON} | {name.replace("_", "-"): text for name, text in headers.items()}
    return await door.client.post(path, content=content, headers=sent)


def lines(*events: bytes) -> bytes:
    return b"\n".join(events)


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (table(flat(event()), flat(event(event__mode="ROCKET"))), CSV),
        (
            workbook([list(flat(event())), *[list(flat(e).values()) for e in (event(), event(event__mode="ROCKET"))]]),
            XLSX,
        ),
        (lines(line(), line(event__mode="ROCKET")), NDJSON["Content-Type"]),
        (b"[" + line() + b"," + line(event__mode="ROCKET") + b"]", "application/json"),
        (avro(event(), event(event__mode="ROCKET")), "application/avro"),
    ],
)
async def test_each_row_is_told_what_it_would_be_told(door: Door, content: bytes, kind: str) -> None:
    response = await check(door, content, Content_Type=kind)
    assert response.status_code == 200, response.text
    told = response.json()
    good, bad = told["rows"]
    assert (good["answer"], good["record_no"], good["errors"]) == ("accepted", "A-17", [])
    real = (await door.post(b"[" + line(event__mode="ROCKET") + b"]")).json()["verdicts"][0]
    assert bad["errors"] == real["errors"]
    assert (told["passed"], told["broken"], told["summary"]["codes"]) == (False, [], {"not-in-codelist": 1})


async def test_nothing_is_kept_or_counted(door: Door) -> None:
    assert (await check(door, lines(line(), b"{"))).json()["summary"]["rows"] == 2
    assert door.inbox.entries == []
    assert door.count("migex_door_answers_total", agency="gpk", answer="accepted") == 0


async def test_repeats_within_the_file_are_told(door: Door) -> None:
    again = line(header__recorded_at="2018-03-01T11:00:00+03:00")
    told = (await check(door, lines(line(), again, line(event__mode="RAIL"), line(header__revision=2)))).json()
    assert [(each["in_file"], each["of_row"]) for each in told["rows"]] == [
        (None, None),
        ("duplicate", 1),
        ("conflict", 1),
        (None, None),
    ]
    assert told["summary"]["in_file"] == {"duplicate": 1, "conflict": 1}
    assert told["passed"] is True


async def test_what_the_agency_has_published_is_told(door: Door) -> None:
    await door.post(line())
    await door.post(orjson.dumps(cancellation(revision=3)))
    door.folded.deduplicate()
    rows = [line(), line(event__mode="RAIL"), line(header__revision=2), line(header__revision=4)]
    told = (await check(door, lines(*rows, line(header__record_no="B-1")))).json()
    assert [each["published"] for each in told["rows"]] == ["duplicate", "conflict", "older", None, None]
    assert told["summary"]["published"] == {"duplicate": 1, "conflict": 1, "older": 1}
    assert told["summary"]["unasked"] is None


async def test_no_answer_depends_on_what_others_have_sent(door: Door) -> None:
    rows = lines(line(), line(event__mode="RAIL"), line(header__revision=2), b"{", line(event__mode="ROCKET"))
    before = await check(door, rows, agency="mvd")
    await door.post(line())
    await door.post(line(header__revision=2, header__op="CORRECT"))
    door.folded.deduplicate()
    after = await check(door, rows, agency="mvd")
    assert before.status_code == after.status_code == 200
    assert before.content == after.content
    assert {each["published"] for each in after.json()["rows"]} == {None}


async def test_what_could_not_be_asked_is_said(door: Door) -> None:
    door.folded.away = "deduplicate"
    told = (await check(door, line())).json()
    assert (told["rows"][0]["published"], told["summary"]["published"]) == (None, None)
    assert told["summary"]["unasked"] == "worker-away"


async def test_the_report_is_csv_for_those_who_ask(door: Door) -> None:
    content = lines(line(header__record_no="=1+1"), line(event__mode="ROCKET", person__sex=7))
    response = await check(door, content, Accept="text/csv", Accept_Language="ru")
    assert response.headers["content-type"].startswith(CSV)
    found = list(csv.DictReader(io.StringIO(response.content.decode("utf-8-sig"))))
    assert [(each["row"], each["answer"], each["field"]) for each in found] == [
        ("1", "accepted", ""),
        ("2", "refused", "person.sex"),
        ("2", "refused", "event.mode"),
    ]
    assert found[0]["record_no"] == "'=1+1"
    assert "справочника" in found[2]["rule"]


async def test_a_file_that_breaks_off_says_so_at_its_end(door: Door) -> None:
    good = table(*[flat(event())] * 600)
    told = (await check(door, good + b'"A-1\r\n', **OF_CSV)).json()
    assert (len(told["rows"]), told["passed"], [each["code"] for each in told["broken"]]) == (600, False, ["bad-table"])
    response = await check(door, good + b'"A-1\r\n', Accept=CSV, **OF_CSV)
    last = list(csv.reader(io.StringIO(response.content.decode("utf-8-sig"))))[-1]
    assert (last[0], last[1], last[7]) == ("", "refused", "bad-table")


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"x,y\n1,2\n", CSV, 422),
        (b"PK", XLSX, 422),
        (b"{}", "text/plain", 415),
        (b"[" + b"1," * 5000 + b"1]", "application/json", 200),
    ],
)
async def test_a_body_that_is_no_file_is_refused_whole(door: Door, content: bytes, kind: str, status: int) -> None:
    response = await check(door, content, Content_Type=kind)
    assert response.status_code == status
    if status != 200:
        assert response.headers["content-type"] == "application/problem+json"


async def test_who_asks_must_be_known_and_entitled(door: Door) -> None:
    assert (await door.client.post(PATH, content=line(), headers=NDJSON)).status_code == 401
    assert (await check(door, line(), agency="refugee")).status_code == 403
    assert (await check(door, line(), path="/v1/preflight/no.such")).status_code == 404


async def test_rows_count_against_the_quota_and_a_report_is_under_way_until_it_is_sent() -> None:
    quotas = Quotas(Quota(events_per_sec=0.001, burst=2, requests=1))
    async with opened(Door(quotas=quotas)) as door:
        assert (await check(door, lines(*[line()] * 10))).status_code == 200
        assert (await check(door, line())).status_code == 429
    with quotas.request("mvd"):
        pass
    assert not quotas._under_way["gpk"]
