"""The registry's answers, in Confluent's forms and numbers."""

from __future__ import annotations

import copy
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry, Gauge

from connectors.registry import API_VERSION, CLUSTER, MAX_BYTES, MEDIA_TYPE, create_app
from schemas import conventions
from schemas.contracts import CONTRACTS, FAMILIES

SUBJECT = "migex.agency.gpk.border.crossing.v1-value"
CROSSING = FAMILIES["border.crossing"]


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    metrics = CollectorRegistry()
    Gauge("anything", "A number.", registry=metrics).set(7)
    transport = httpx.ASGITransport(create_app(conventions.load(), metrics))
    async with httpx.AsyncClient(transport=transport, base_url="http://registry") as opened:
        yield opened


def schema(avsc: Any, **more: Any) -> dict[str, Any]:
    """Return a request's body."""
    return {"schema": json.dumps(avsc), **more}


def changed(**field: Any) -> dict[str, Any]:
    """Return the crossing's contract with one field more in its event."""
    avsc = copy.deepcopy(CROSSING.avsc)
    avsc["fields"][2]["type"][1]["fields"].append({"name": "colour", **field})
    return avsc


OPTIONAL = changed(type=["null", "string"], default=None)
REQUIRED = changed(type="string")


def micros() -> dict[str, Any]:
    """Return the crossing's contract with microseconds, which has the same canonical form."""
    loaded: dict[str, Any] = json.loads(json.dumps(CROSSING.avsc).replace("timestamp-millis", "timestamp-micros"))
    return loaded


async def test_every_entitled_agency_has_a_subject_for_each_family(client: httpx.AsyncClient) -> None:
    names = (await client.get("/subjects")).json()
    agencies = conventions.load().agencies.values()
    assert names == sorted(f"migex.agency.{a.code}.{family}.v1-value" for a in agencies for family in a.families)
    some = (await client.get("/subjects", params={"subjectPrefix": "migex.agency.gpk.border.crossing."})).json()
    assert some == [SUBJECT]


@pytest.mark.parametrize("version", ["1", "latest", "-1"])
async def test_a_version_carries_the_permanent_id_and_the_whole_contract(
    client: httpx.AsyncClient, version: str
) -> None:
    answer = await client.get(f"/subjects/{SUBJECT}/versions/{version}")
    assert answer.headers["content-type"] == MEDIA_TYPE
    shown = answer.json()
    assert (shown["subject"], shown["id"], shown["version"]) == (SUBJECT, CROSSING.schema_id, 1)
    assert json.loads(shown["schema"]) == CROSSING.avsc
    assert (await client.get(f"/subjects/{SUBJECT}/versions/{version}/schema")).json() == CROSSING.avsc


@pytest.mark.parametrize("schema_id", CONTRACTS)
async def test_an_id_leads_to_its_contract_and_subjects(client: httpx.AsyncClient, schema_id: int) -> None:
    family = CONTRACTS[schema_id]
    assert json.loads((await client.get(f"/schemas/ids/{schema_id}")).json()["schema"]) == family.avsc
    assert (await client.get(f"/schemas/ids/{schema_id}/schema")).json() == family.avsc
    subjects = (await client.get(f"/schemas/ids/{schema_id}/subjects")).json()
    assert subjects
    assert all(family.name in subject for subject in subjects)
    versions = (await client.get(f"/schemas/ids/{schema_id}/versions")).json()
    assert versions == [{"subject": subject, "version": family.version} for subject in subjects]


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("/", {}),
        ("/health", {"status": "up"}),
        ("/schemas/types", ["AVRO"]),
        (f"/subjects/{SUBJECT}/versions", [1]),
        (f"/subjects/{SUBJECT}/versions/1/referencedby", []),
        ("/config", {"compatibilityLevel": "FULL_TRANSITIVE"}),
        (f"/config/{SUBJECT}?defaultToGlobal=true", {"compatibilityLevel": "FULL_TRANSITIVE"}),
        ("/mode", {"mode": "READONLY"}),
        ("/contexts", ["."]),
        ("/v1/metadata/id", CLUSTER),
        ("/v1/metadata/version", {"version": API_VERSION, "commitId": ""}),
        (f"/subjects/:.:{SUBJECT}/versions?deleted=true", [1]),
        (f"/subjects/{SUBJECT}/versions?deletedOnly=true", []),
        ("/subjects?deletedOnly=true", []),
        ("/subjects?subjectPrefix=:.:migex.agency.gpk.border&limit=1", [SUBJECT]),
        ("/subjects?offset=1000000", []),
        (f"/mode/{SUBJECT}", {"mode": "READONLY"}),
    ],
)
async def test_what_clients_ask_at_their_start(client: httpx.AsyncClient, path: str, content: object) -> None:
    answer = await client.get(path)
    assert (answer.status_code, answer.json()) == (200, content)


async def test_all_schemas_are_listed_page_by_page(client: httpx.AsyncClient) -> None:
    whole = (await client.get("/schemas")).json()
    assert [each["subject"] for each in whole] == (await client.get("/subjects")).json()
    assert {each["id"] for each in whole} == set(CONTRACTS)
    assert (await client.get("/schemas?offset=1&limit=2&latestOnly=true")).json() == whole[1:3]


async def test_the_greatest_id_is_told_when_asked_for(client: httpx.AsyncClient) -> None:
    assert (await client.get("/schemas/ids/1?fetchMaxId=true&format=resolved")).json()["maxId"] == max(CONTRACTS)


async def test_metrics_are_prometheus_text(client: httpx.AsyncClient) -> None:
    assert "anything 7.0" in (await client.get("/metrics")).text


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/subjects/nobody-value/versions", 404, 40401),
        ("/subjects/nobody-value/versions/latest", 404, 40401),
        (f"/subjects/{SUBJECT}/versions/2", 404, 40402),
        (f"/subjects/{SUBJECT}/versions/0", 422, 42202),
        (f"/subjects/{SUBJECT}/versions/first", 422, 42202),
        (f"/subjects/{SUBJECT}/versions/99999999999999999999", 422, 42202),
        ("/schemas/ids/99", 404, 40403),
        ("/schemas/ids/99/versions", 404, 40403),
        ("/schemas/ids/one", 422, 422),
        ("/config/nobody-value", 404, 40401),
        ("/mode/nobody-value", 404, 40401),
        ("/associations/resources/-/topic?resourceType=topic&associationType=value", 404, 404),
        ("/subjects/nobody-value/metadata?key=a&value=b", 404, 40401),
        (f"/subjects/{SUBJECT}/metadata?key=a&value=b", 404, 40402),
        ("/schemas/guids/00000000-0000-0000-0000-000000000000", 404, 404),
        ("/exporters", 404, 404),
        ("/subjects?deleted=perhaps", 422, 422),
    ],
)
async def test_what_is_not_there_is_told_in_json(client: httpx.AsyncClient, path: str, status: int, code: int) -> None:
    answer = await client.get(path)
    assert (answer.status_code, answer.json()["error_code"]) == (status, code)
    assert answer.headers["content-type"] == MEDIA_TYPE
    assert answer.json()["message"]


def bare(value: Any) -> Any:
    """Return the schema without words and attributes."""
    if isinstance(value, list):
        return [bare(each) for each in value]
    kept = {"type", "name", "namespace", "fields", "symbols", "items", "default", "logicalType"}
    return {key: bare(each) for key, each in value.items() if key in kept} if isinstance(value, dict) else value


@pytest.mark.parametrize("avsc", [CROSSING.avsc, bare(CROSSING.avsc)], ids=["the contract", "without words"])
async def test_registering_an_equal_schema_returns_its_id(client: httpx.AsyncClient, avsc: Any) -> None:
    answer = await client.post(f"/subjects/{SUBJECT}/versions?normalize=false", json=schema(avsc))
    assert (answer.status_code, answer.json()) == (200, {"id": CROSSING.schema_id})
    found = await client.post(f"/subjects/{SUBJECT}?normalize=true", json=schema(avsc, schemaType="AVRO"))
    assert (found.status_code, found.json()["id"], found.json()["version"]) == (200, CROSSING.schema_id, 1)


@pytest.mark.parametrize(
    ("subject", "body", "status", "code"),
    [
        (SUBJECT, schema(OPTIONAL), 422, 42205),  # it might follow, but contracts are released by review
        (SUBJECT, schema(REQUIRED), 409, 409),
        (SUBJECT, schema(micros()), 409, 409),
        (SUBJECT, schema(FAMILIES["permit.decision"].avsc), 409, 409),
        ("nobody-value", schema(CROSSING.avsc), 422, 42205),
        (SUBJECT, schema({"type": "strong"}), 422, 42201),
        (SUBJECT, schema("string"), 409, 409),
        (SUBJECT, schema([]), 422, 42201),
        (SUBJECT, schema({"type": "record", "name": "X"}), 422, 42201),
        (SUBJECT, {"schema": "{"}, 422, 42201),
        (SUBJECT, {"schema": "[" * 100_000}, 422, 42201),
        (SUBJECT, {"schema": 7}, 422, 42201),
        (SUBJECT, {}, 422, 42201),
        (SUBJECT, [], 422, 42201),
        (SUBJECT, schema(CROSSING.avsc, schemaType="PROTOBUF"), 422, 42201),
        (SUBJECT, schema(CROSSING.avsc, references=[{"name": "a", "subject": "b", "version": 1}]), 422, 42201),
    ],
)
async def test_anything_else_is_not_registered(
    client: httpx.AsyncClient, subject: str, body: Any, status: int, code: int
) -> None:
    answer = await client.post(f"/subjects/{subject}/versions", json=body)
    assert (answer.status_code, answer.json()["error_code"]) == (status, code)
    assert (await client.get(f"/subjects/{SUBJECT}/versions")).json() == [1]


@pytest.mark.parametrize("content", [b"", b"\xff\x00", b"{", b'{"schema": "\\ud800"}', b"[" * 100_000])
async def test_bytes_that_are_no_request_are_told(client: httpx.AsyncClient, content: bytes) -> None:
    answer = await client.post(f"/subjects/{SUBJECT}/versions", content=content)
    assert (answer.status_code, answer.json()["error_code"]) == (422, 42201)


async def test_a_request_is_bounded(client: httpx.AsyncClient) -> None:
    answer = await client.post(f"/subjects/{SUBJECT}/versions", content=b" " * (MAX_BYTES + 1))
    assert (answer.status_code, answer.json()["error_code"]) == (413, 413)


async def test_looking_up_what_is_not_there(client: httpx.AsyncClient) -> None:
    assert (await client.post("/subjects/nobody-value", json=schema(CROSSING.avsc))).json()["error_code"] == 40401
    assert (await client.post(f"/subjects/{SUBJECT}", json=schema(micros()))).json()["error_code"] == 40403


@pytest.mark.parametrize("version", ["/latest", "/1", ""])
@pytest.mark.parametrize(
    ("avsc", "compatible", "words"),
    [
        (CROSSING.avsc, True, ""),
        (OPTIONAL, True, ""),
        (REQUIRED, False, "cannot read"),
        (micros(), False, "logical type"),
    ],
)
async def test_compatibility(client: httpx.AsyncClient, version: str, avsc: Any, compatible: bool, words: str) -> None:
    path = f"/compatibility/subjects/{SUBJECT}/versions{version}"
    assert (await client.post(path, json=schema(avsc))).json() == {"is_compatible": compatible}
    told = (await client.post(f"{path}?verbose=true", json=schema(avsc))).json()
    assert told["is_compatible"] is compatible
    assert words in " ".join(told["messages"])


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "/config"),
        ("PUT", f"/config/{SUBJECT}"),
        ("DELETE", f"/config/{SUBJECT}"),
        ("PUT", "/mode"),
        ("PUT", f"/mode/{SUBJECT}"),
        ("DELETE", f"/subjects/{SUBJECT}?permanent=true"),
        ("DELETE", f"/subjects/{SUBJECT}/versions/1"),
    ],
)
async def test_nothing_can_be_changed(client: httpx.AsyncClient, method: str, path: str) -> None:
    answer = await client.request(method, path, json={"compatibility": "NONE", "mode": "READWRITE"})
    assert (answer.status_code, answer.json()["error_code"]) == (422, 42205)


async def test_another_method_is_told_in_json(client: httpx.AsyncClient) -> None:
    answer = await client.post("/subjects")
    assert (answer.status_code, answer.json()["error_code"]) == (405, 405)
