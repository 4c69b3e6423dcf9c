"""What the gateway bears: packed bodies, bombs, quotas, keys that end, readiness, languages."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator, Callable
from hashlib import sha256

import pytest
from backports import zstd

from connectors.callers import Callers, names
from connectors.error_catalogue import catalogue, meaning
from connectors.problems import STATUS
from connectors.quotas import OverQuota, Quota, Quotas
from connectors.texts import sentences
from schemas.errors import Unavailable
from tests.connectors.doors import KEYS, NDJSON, Door, codes, opened
from tests.connectors.events import line


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    async with opened(Door()) as door:
        yield door


# ---------------------------------------------------------------- packed bodies


@pytest.mark.parametrize(
    ("encoding", "pack"), [("gzip", gzip.compress), ("zstd", zstd.compress), ("GZIP", gzip.compress)]
)
async def test_a_packed_body_says_the_same(door: Door, encoding: str, pack: Callable[[bytes], bytes]) -> None:
    lines = b"\n".join(line(header__record_no=f"A-{n}") for n in range(200))
    plain = await door.post(lines, **NDJSON, **{"Idempotency-Key": "k"})
    packed = await door.post(pack(lines), **NDJSON, **{"Idempotency-Key": "k", "Content-Encoding": encoding})
    assert packed.json() == plain.json()
    assert packed.json()["summary"]["accepted"] == 200


@pytest.mark.parametrize(("encoding", "pack"), [("gzip", gzip.compress), ("zstd", zstd.compress)])
async def test_what_unpacks_to_more_than_the_limit_is_refused(
    door: Door, encoding: str, pack: Callable[[bytes], bytes]
) -> None:
    response = await door.post(pack(bytes(300_001)), **{"Content-Encoding": encoding})
    assert (response.status_code, codes(response.json())) == (413, [("too-large", "(event)")])
    response = await door.post(pack(b" " * 299_000 + b"[]"), **{"Content-Encoding": encoding})
    assert response.status_code == 200


# ---------------------------------------------------------------- quotas


def test_who_has_spent_more_than_he_had_waits_until_it_is_worked_off() -> None:
    now = 0.0
    quotas = Quotas(Quota(events_per_sec=10, burst=100, requests=1), {"mvd": Quota(1, 1, 2)}, lambda: now)
    with quotas.request("gpk"):
        quotas.spend("gpk", 150)
    for seconds, waits in ((0.0, 6), (3.0, 3), (4.95, 1)):
        now = seconds
        with pytest.raises(OverQuota) as over, quotas.request("gpk"):
            pass
        assert (over.value.code, over.value.retry_after_secs) == ("over-quota", waits)
    with quotas.request("mvd"):
        pass
    now = 5.2
    with quotas.request("gpk"), pytest.raises(OverQuota, match="too-many-at-once"), quotas.request("gpk"):
        pass
    now = 1000.0
    with quotas.request("gpk"):
        quotas.spend("gpk", 99)  # no more than the burst was saved up
    with quotas.request("gpk"):
        quotas.spend("gpk", 0)
    with pytest.raises(OverQuota), quotas.request("gpk"):
        pass


async def test_over_its_quota_an_agency_waits_and_the_others_do_not() -> None:
    now = [0.0]
    quotas = Quotas(Quota(events_per_sec=1, burst=2, requests=4), now=lambda: now[0])
    async with opened(Door(quotas=quotas)) as door:
        first = await door.post(b"\n".join([line()] * 3), **NDJSON)
        second = await door.post(line())
        other = await door.post(line(), agency="mvd")
        now[0] = 2.0
        third = await door.post(line())
    assert [each.status_code for each in (first, second, other, third)] == [200, 429, 202, 202]
    assert second.headers["retry-after"] == "2"
    assert second.json()["type"] == "/v1/errors/over-quota"
    assert len(door.inbox.entries) == 5, "what was not taken in is not counted"


async def test_what_is_refused_as_a_whole_costs_too() -> None:
    quotas = Quotas(Quota(events_per_sec=1, burst=1, requests=4), now=lambda: 0.0)
    async with opened(Door(quotas=quotas)) as door:
        assert (await door.post(b"no json")).status_code == 422
        assert (await door.post(b"no json")).status_code == 429


# ---------------------------------------------------------------- who asks


async def test_a_key_ends_at_once_and_two_hold_together(door: Door) -> None:
    second = sha256(b"second").hexdigest()
    door.keys[second] = "gpk"
    assert (await door.post(line(), **{"X-API-Key": "second"})).status_code == 202
    assert (await door.post(line())).status_code == 202
    del door.keys[sha256(KEYS["gpk"].encode()).hexdigest()]
    assert (await door.post(line())).status_code == 401
    assert (await door.post(line(), **{"X-API-Key": "second"})).status_code == 202


async def test_while_keys_cannot_be_read_nobody_is_let_in() -> None:
    def away() -> dict[str, str]:
        raise Unavailable("keys-away", "They cannot be read.")

    async with opened(Door(callers=Callers(away))) as door:
        response = await door.post(line())
    assert (response.status_code, response.headers["retry-after"]) == (503, "5")
    assert door.inbox.entries == []


def test_the_names_of_a_certificate() -> None:
    subject = ((("countryName", "BY"),), (("commonName", "gpk.example"),))
    alternative = (("DNS", "a.example"), ("IP Address", "127.0.0.1"), ("URI", "urn:x"))
    assert list(names({})) == []
    assert list(names({"subject": subject})) == ["gpk.example"]
    assert list(names({"subject": subject, "subjectAltName": alternative})) == ["a.example", "urn:x"]


# ---------------------------------------------------------------- languages and pages


@pytest.mark.parametrize(
    ("asked", "lang"),
    [("", "en"), ("ru", "ru"), ("be-BY,ru;q=0.5", "be"), ("de, ru;q=0.1", "ru"), ("de", "en"), ("*", "en")],
)
async def test_answers_are_in_the_language_of_the_sender(door: Door, asked: str, lang: str) -> None:
    rule = sentences()("A code of the list {list}.", lang).format(list="CHECKPOINT")
    one = await door.post(line(event__checkpoint="NOWHERE"), **{"Accept-Language": asked})
    batch = await door.post(line(event__checkpoint="NOWHERE"), **NDJSON, **{"Accept-Language": asked})
    for response, answer in ((one, one.json()), (batch, batch.json()["verdicts"][0])):
        assert response.headers["content-language"] == lang
        assert answer["errors"][0]["rule"].startswith(rule.rstrip("."))
    nobody = await door.post(line(), **{"Accept-Language": asked, "X-API-Key": "guess"})
    assert nobody.json()["detail"].startswith(meaning("unauthorised", lang))


@pytest.mark.parametrize("lang", ["en", "ru", "be"])
async def test_every_code_has_a_page_for_people_and_for_programs(door: Door, lang: str) -> None:
    spoken = {"Accept-Language": lang}
    listed = (await door.client.get("/v1/errors", headers=spoken)).json()
    assert [each["code"] for each in listed] == list(catalogue())
    for each in listed:
        address = f"/v1/errors/{each['code']}"
        assert (await door.client.get(address, headers=spoken)).json() == each
        page = await door.client.get(address, headers={**spoken, "Accept": "text/html"})
        assert (page.headers["content-type"], page.headers["content-language"]) == ("text/html; charset=utf-8", lang)
        assert f'<html lang="{lang}">' in page.text
        assert each["code"] in page.text
        assert each["status"] == STATUS.get(each["code"])
    overview = await door.client.get("/v1/errors", headers={**spoken, "Accept": "text/html"})
    assert all(f"/v1/errors/{code}?lang={lang}" in overview.text for code in catalogue())


async def test_nothing_else_has_a_page(door: Door) -> None:
    missing = await door.client.get("/v1/errors/<script>")
    assert (missing.status_code, "script" in missing.text) == (404, False)
