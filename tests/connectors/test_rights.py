"""No agency can write or read for another: every agency against every route that the gateway has."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from itertools import product

import orjson
import pytest
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute, Route

from connectors.gateway import PUBLIC
from schemas.contracts import FAMILIES
from tests.connectors.doors import CONVENTION, KEYS, Door, opened
from tests.connectors.events import event, line, own

EVENTS = "/v1/events/"
AGENCIES = list(CONVENTION.agencies)


def routes(door: Door) -> Iterator[BaseRoute]:
    """Yield the routes of the app as they are, whoever added them; those of a router within it, too."""
    waiting = list(door.app.routes)
    for route in waiting:
        inner = getattr(route, "original_router", None)  # FastAPI's own, for a router that was included
        if inner is None:
            yield route
        else:
            waiting += inner.routes


def is_public(path: str) -> bool:
    return any(path == each or path.startswith((f"{each}/", f"{each}{{")) for each in PUBLIC)


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    async with opened(Door()) as door:
        yield door


def private(door: Door) -> list[APIRoute]:
    """Return the routes that ask who asks; each must be a kind that this file tries out."""
    found = [route for route in routes(door) if isinstance(route, Route | APIRoute) and not is_public(route.path)]
    # records and receipts: `test_nobody_is_told_of_anothers_records`; preflight: `test_preflight`
    own = (EVENTS, "/v1/records", "/v1/receipts", "/v1/preflight")
    strange = [route.path for route in found if not (isinstance(route, APIRoute) and route.path.startswith(own))]
    assert strange == [], "say in this test how one agency would try to get at another one's by this route"
    return [route for route in found if isinstance(route, APIRoute)]


def test_every_route_is_public_or_tried_out(door: Door) -> None:
    others = [route for route in routes(door) if not isinstance(route, Route | APIRoute)]
    assert others == [], "a mount would hide its routes from this test"
    assert set(door.app.openapi()["paths"]) <= {
        route.path_format for route in routes(door) if isinstance(route, Route | APIRoute)
    }
    assert {route.path for route in private(door)} >= {f"{EVENTS}{family}" for family in FAMILIES}


async def test_public_routes_tell_everybody_the_same(door: Door) -> None:
    for route in routes(door):
        if isinstance(route, Route | APIRoute) and is_public(route.path):
            path = route.path.format(family="border.crossing", version=1, code="refused")
            told = {(await door.client.get(path, headers={"X-API-Key": key})).content for key in (*KEYS.values(), "")}
            assert len(told) == 1, route.path


async def test_without_a_key_nothing_is_taken_or_told(door: Door) -> None:
    for route in private(door):
        for method, headers in product(route.methods or (), ({}, {"X-API-Key": ""}, {"X-API-Key": "key of"})):
            response = await door.client.request(method, route.path, content=line(), headers=headers)
            assert (response.status_code, response.json()["type"]) == (401, "/v1/errors/unauthorised")
    assert door.inbox.entries == []


@pytest.mark.parametrize("agency", AGENCIES)
async def test_an_agency_writes_for_itself_and_what_it_may(door: Door, agency: str) -> None:
    sender = CONVENTION.agencies[agency]
    for route in (route for route in private(door) if route.path.startswith(EVENTS)):
        family = route.path.removeprefix(EVENTS)
        example = own(family, agency) if family in FAMILIES else event()
        response = await door.post(orjson.dumps(example), family, agency)
        if family in sender.families:
            assert (response.status_code, response.json()["answer"]) == (202, "accepted"), (agency, family)
        else:
            code = "not-entitled" if family in FAMILIES else "unknown-family"
            assert response.json()["type"] == f"/v1/errors/{code}", (agency, family)
    assert {entry.header.agency for entry in door.inbox.entries} == {sender.id}


@pytest.mark.parametrize("agency", AGENCIES)
async def test_claiming_to_be_another_is_of_no_use(door: Door, agency: str) -> None:
    family = CONVENTION.agencies[agency].families[0]
    told = orjson.dumps(own(family, agency))
    for other in AGENCIES:
        claims = {"X-Agency": other, "Authorization": f"Bearer {KEYS[other]}", "Cookie": f"key={KEYS[other]}"}
        response = await door.post(told, family, agency, **claims)
        assert response.status_code == 202
        response = await door.client.post(f"{EVENTS}{family}?agency={other}", content=told, headers=claims)
        assert response.status_code == 401
    assert {entry.header.agency for entry in door.inbox.entries} == {CONVENTION.agencies[agency].id}


async def test_agencies_repeat_only_their_own_deliveries(door: Door) -> None:
    names = set()
    for agency in AGENCIES:
        family = CONVENTION.agencies[agency].families[0]
        await door.post(orjson.dumps(own(family, agency)), family, agency, **{"Idempotency-Key": "the same"})
        names.add((door.inbox.entries[-1].header.delivery, door.inbox.entries[-1].header.record))
    assert len(names) == len(AGENCIES)
    assert len({delivery for delivery, _ in names}) == len(AGENCIES)


@pytest.mark.parametrize("agency", AGENCIES)
async def test_nobody_is_told_of_anothers_records(door: Door, agency: str) -> None:
    family = CONVENTION.agencies[agency].families[0]
    receipt = (await door.post(orjson.dumps(own(family, agency)), family, agency)).json()["receipt"]
    door.folded.cut()
    for other in AGENCIES:
        mine = other == agency
        number = event(family)["header"]["record_no"]
        for path in (f"/v1/records/{number}?family={family}", f"/v1/receipts/{receipt}"):
            assert ((await door.ask(path, other)).status_code == 200) is mine, (path, other)
        key = {"X-API-Key": KEYS[other]}
        asked = {"records": [{"record_no": number, "family": family}]}
        (answer,) = (await door.client.post("/v1/records", json=asked, headers=key)).json()["answers"]
        assert bool(answer["records"]) is mine
        (answer,) = (await door.client.post("/v1/receipts", json={"receipts": [receipt]}, headers=key)).json()[
            "answers"
        ]
        assert bool(answer["fate"]) is mine
