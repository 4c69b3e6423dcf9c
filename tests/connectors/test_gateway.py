"""The gateway: what each request is answered, and that everything answered is in the inbox."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest

from connectors.receipts import SIZE
from connectors.verdicts import Arrival, answer
from schemas import core as cores
from schemas.header import Kind, record_id
from tests.connectors.doors import ADMISSION, NDJSON, Door, codes, opened
from tests.connectors.events import event, line


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    async with opened(Door()) as door:
        yield door


async def test_one_event_is_accepted(door: Door) -> None:
    response = await door.post(line())
    verdict = response.json()
    assert response.status_code == 202
    assert (verdict["answer"], verdict["record_no"], verdict["revision"]) == ("accepted", "A-17", 1)
    assert (len(verdict["receipt"]), verdict["errors"], verdict["source"]) == (SIZE, [], None)
    assert [each.header.delivery.hex() for each in door.inbox.entries] == [verdict["delivery"]]
    assert door.count("migex_receipts_total", door="http", agency="gpk", answer="accepted") == 1


async def test_one_event_is_refused_with_all_its_reasons(door: Door) -> None:
    response = await door.post(line(event__mode="ROCKET", person__sex="m"))
    problem = response.json()
    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"
    assert problem["type"] == "/v1/errors/refused"
    assert codes(problem) == [("wrong-type", "person.sex"), ("not-in-codelist", "event.mode")]
    assert problem["record_no"] == "A-17"
    (entry,) = door.inbox.entries
    assert (entry.header.kind, entry.header.record) == (Kind.REFUSED, record_id("gpk", "border.crossing", "A-17"))
    assert door.count("migex_refusals_total", door="http", agency="gpk", code="not-in-codelist") == 1


@pytest.mark.parametrize("form", ["array", "ndjson"])
async def test_in_a_batch_each_event_has_its_own_verdict(door: Door, form: str) -> None:
    lines = [line(header__record_no=f"A-{n}") for n in range(120)]
    lines[7] = line(header__record_no="A-7", event__mode="ROCKET")
    if form == "array":
        response = await door.post(b"[" + b",".join(lines) + b"]")
    else:
        lines[50] = b'{"header": oops'
        response = await door.post(b"\n".join(lines) + b"\n\r\n\n", **NDJSON)
    answer = response.json()
    refused = 1 if form == "array" else 2
    assert response.status_code == 200
    by_code = {"not-in-codelist": 1} if form == "array" else {"not-in-codelist": 1, "not-json": 1}
    assert answer["summary"] == {"accepted": 120 - refused, "refused": refused, "codes": by_code}
    assert codes(answer["verdicts"][7]) == [("not-in-codelist", "event.mode")]
    assert [each["delivery"] for each in answer["verdicts"]] == [e.header.delivery.hex() for e in door.inbox.entries]
    assert len({e.header.delivery for e in door.inbox.entries}) == 120
    if form == "ndjson":
        assert codes(answer["verdicts"][50]) == [("not-json", "(event)")]
        assert answer["verdicts"][50]["record_no"] is None


async def test_an_empty_batch_is_answered(door: Door) -> None:
    for content, headers in ((b"[]", {}), (b"", NDJSON)):
        response = await door.post(content, **headers)
        assert (response.status_code, response.json()) == (
            200,
            {"verdicts": [], "summary": {"accepted": 0, "refused": 0, "codes": {}}},
        )
    assert door.inbox.entries == []


async def slow() -> AsyncIterator[bytes]:
    yield b"["
    await asyncio.sleep(2)
    yield b"]"


@pytest.mark.parametrize(
    ("content", "family", "headers", "answered"),
    [
        (b"no json", "border.crossing", {}, (422, "not-json")),
        (b"", "border.crossing", {}, (422, "not-json")),
        (b"[1, 2", "border.crossing", {}, (422, "not-json")),
        (b"[" * 100_000, "border.crossing", {}, (422, "not-json")),
        (b"17", "border.crossing", {}, (422, "wrong-type")),
        (b"{" + b" " * 21_000 + b"}", "border.crossing", {}, (422, "too-large")),
        (bytes(300_001), "border.crossing", {}, (413, "too-large")),
        (bytes(3_000_000), "border.crossing", {}, (413, "too-large")),
        (b"[" + b"{}," * 200 + b"{}]", "border.crossing", {}, (413, "too-many")),
        (line(), "border.crossings", {}, (404, "unknown-family")),
        (line(), "permit.decision", {}, (403, "not-entitled")),
        (line(), "border.crossing", {"Content-Type": "text/xml"}, (415, "unsupported-media-type")),
        (line(), "border.crossing", {"Content-Encoding": "br"}, (415, "unsupported-media-type")),
        (line(), "border.crossing", {"Content-Encoding": "gzip"}, (422, "bad-encoding")),
    ],
)
async def test_what_fails_as_a_whole_is_one_refused_delivery(
    door: Door, content: bytes, family: str, headers: dict[str, str], answered: tuple[int, str]
) -> None:
    status, code = answered
    response = await door.post(content, family, **headers)
    problem = response.json()
    assert (response.status_code, problem["status"]) == (status, status)
    assert codes(problem) == [(code, "(event)")]
    (entry,) = door.inbox.entries
    assert (entry.header.kind, entry.header.agency) == (Kind.REFUSED, 1)
    assert problem["delivery"] == entry.header.delivery.hex()
    assert (await door.client.get(problem["type"])).json()["code"] == problem["type"].rpartition("/")[2]


async def test_a_large_event_in_a_batch_is_refused_alone(door: Door) -> None:
    answer = (await door.post(line() + b"\n" + b"{" + b" " * 21_000 + b"}\n" + line(), **NDJSON)).json()
    assert [each["answer"] for each in answer["verdicts"]] == ["accepted", "refused", "accepted"]
    assert codes(answer["verdicts"][1]) == [("too-large", "(event)")]


async def test_nobody_is_nobodys_delivery(door: Door) -> None:
    for headers in ({}, {"X-API-Key": "guess"}, {"X-API-Key": ""}):
        response = await door.client.post("/v1/events/border.crossing", content=line(), headers=headers)
        assert (response.status_code, response.json()["type"]) == (401, "/v1/errors/unauthorised")
    assert door.inbox.entries == []


async def test_a_body_that_comes_too_slowly_is_given_up(door: Door) -> None:
    response = await door.post(slow())
    assert (response.status_code, door.inbox.entries) == (408, [])


async def test_without_the_inbox_nothing_is_said_to_be_accepted(door: Door) -> None:
    door.inbox.away = True
    for content in (line(), b"[]x", line(event__mode="ROCKET")):
        response = await door.post(content)
        assert (response.status_code, response.headers["retry-after"]) == (503, "5")
        assert "verdict" not in response.text
    assert (await door.client.get("/ready")).status_code == 503
    assert (await door.client.get("/health")).status_code == 200
    assert door.count("migex_receipts_total", door="http", agency="gpk", answer="accepted") == 0


async def test_a_repeat_under_one_idempotency_key_is_the_same_delivery(door: Door) -> None:
    batch = line(header__record_no="A-1") + b"\n" + line(header__record_no="A-2")
    for key in ("k1", "k1", "k2"):
        await door.post(batch, **NDJSON, **{"Idempotency-Key": key})
    names = [each.header.delivery for each in door.inbox.entries]
    assert names[:2] == names[2:4]
    assert len(set(names)) == 4
    await door.post(line(), **{"Idempotency-Key": "k1"})
    assert door.inbox.entries[-1].header.delivery not in names, "other bytes under a used key are another delivery"
    await door.post(line())
    await door.post(line())
    assert door.inbox.entries[-1].header.delivery != door.inbox.entries[-2].header.delivery


async def test_agencies_differ_by_their_key(door: Door) -> None:
    await door.post(line(), agency="gpk")
    await door.post(line(), agency="mvd")
    assert [each.header.agency for each in door.inbox.entries] == [1, 2]
    assert len({each.header.record for each in door.inbox.entries}) == 2


async def test_a_large_batch_lets_others_be_served(door: Door) -> None:
    batch = asyncio.create_task(door.post(b"\n".join([line()] * 200), **NDJSON))
    await asyncio.sleep(0)
    served = 0
    while not batch.done():
        await door.client.get("/health")
        await asyncio.sleep(0)  # the client in process does not wait for anything
        served += 1
    assert served > 2
    assert (await batch).status_code == 200


async def test_other_addresses_are_problems_too(door: Door) -> None:
    assert (await door.client.get("/nothing")).json()["type"] == "/v1/errors/not-found"
    assert (await door.client.put("/v1/events/border.crossing")).json()["type"] == "/v1/errors/method-not-allowed"


async def test_the_page_shows_every_family_with_its_example(door: Door) -> None:
    document = (await door.client.get("/openapi.json")).json()
    assert (await door.client.get("/docs")).status_code == 200
    for family, agency in (("border.crossing", "gpk"), ("permit.decision", "mvd")):
        body = document["paths"][f"/v1/events/{family}"]["post"]["requestBody"]
        shown = body["content"]["application/json"]["examples"]["one event"]["value"]
        assert (await door.post(orjson.dumps(shown), family, agency)).status_code == 202
    text = json.dumps(document)
    for reference in set(text.split('"#/components/schemas/')[1:]):
        assert reference.partition('"')[0] in document["components"]["schemas"]


def test_a_defect_of_the_door_is_told_counted_and_not_spelt_out(capsys: pytest.CaptureFixture[str]) -> None:
    clock: Any = "a clock that fails"
    one = answer(ADMISSION, Arrival("gpk", "border.crossing", bytes(8), clock), event())
    logged = capsys.readouterr().out
    assert [each.code for each in one.verdict.errors] == ["door-defect"]
    assert (one.entry.header.kind, one.verdict.record_no) == (Kind.REFUSED, "A-17")
    assert "TypeError" in logged
    assert "KARIMOV" not in logged


async def test_no_marked_identity_is_answered_logged_or_kept(
    door: Door, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    marked: dict[str, Any] = {
        "person__surname": "ZQXSURNAME", "person__given_names": "ZQXGIVEN", "person__patronymic": "ZQXPATRONYMIC",
        "person__personal_no": "ZQX0NO", "event__visa_no": "ZQX0VISA", "event__vehicle_no": "ZQX0CAR",
        "person__document": {"type": "P", "issuer": "UZB", "number": "ZQX0DOC"},
    }  # fmt: skip
    broken: list[bytes] = [line(**marked)]
    for path in marked:
        broken += [line(**{**marked, path: value}) for value in (7, ["ZQX"], {"ZQX": "ZQX"}, "ZQX" * 60, "ZQX\n")]
    broken += [line(**marked)[:-5], b"ZQX" + line(**marked), line(**marked, event__ZQX="ZQX"), line(**marked, ZQX=1)]
    broken += [line(**marked, header__occurred_at="0001-01-01T00:00:00Z"), line(**marked, event__mode="ZQX")]
    with caplog.at_level(logging.DEBUG):
        responses = [await door.post(each) for each in broken]
        responses += [await door.post(b"\n".join(broken), **NDJSON)]
    assert len({response.status_code for response in responses}) == 3
    assert "ZQX" not in "".join(response.text for response in responses)
    assert "ZQX" not in caplog.text + "".join(capsys.readouterr())
    for entry in door.inbox.entries:
        assert b"ZQX" not in b"".join((entry.core, entry.body, *entry.header[12:]))
    accepted = [e for e in door.inbox.entries if e.header.kind == Kind.EVENT]
    assert len(accepted) == 2
    assert cores.decode(accepted[0].core).birth == 19800517
    assert orjson.loads(responses[0].content)["answer"] == "accepted"
