"""The registry's sandbox: what clients register there, under ids of its own, outlives the process."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
from prometheus_client import CollectorRegistry

from connectors.registry import create_app
from connectors.sandbox import IDS, MAX_ENTRIES, Sandbox
from schemas import conventions
from schemas.contracts import CONTRACTS, FAMILIES

MINE = "my.topic-value"
CONTRACT = "migex.agency.gpk.border.crossing.v1-value"
V1 = {"type": "record", "name": "Mine", "fields": [{"name": "a", "type": "string"}]}
V2 = {**V1, "fields": [*V1["fields"], {"name": "b", "type": ["null", "int"], "default": None}]}
OTHER = {**V1, "fields": [{"name": "a", "type": "bytes"}]}


@asynccontextmanager
async def registry(home: Path, most: int = MAX_ENTRIES) -> AsyncIterator[httpx.AsyncClient]:
    """Serve the registry with its sandbox in this directory, as a process would that is started there."""
    sandbox = Sandbox(home / "registry.db", most)
    app = create_app(conventions.load(), CollectorRegistry(), sandbox)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://registry") as client:
        yield client
    sandbox.close()


def schema(avsc: Any) -> dict[str, str]:
    return {"schema": json.dumps(avsc)}


async def register(client: httpx.AsyncClient, avsc: Any, subject: str = MINE) -> Any:
    return (await client.post(f"/subjects/{subject}/versions", json=schema(avsc))).json()


async def test_what_is_registered_outlives_the_process(tmp_path: Path) -> None:
    async with registry(tmp_path) as client:
        assert (await client.get("/mode")).json() == {"mode": "READWRITE"}
        first = await register(client, V1)
        assert first == {"id": IDS.start}
        assert await register(client, {**V1, "doc": "Only words."}) == first
        assert await register(client, V1, "another-value") == first
        assert await register(client, V2) == {"id": IDS.start + 1}
    async with registry(tmp_path) as client:
        assert (await client.get(f"/subjects/{MINE}/versions")).json() == [1, 2]
        shown = (await client.get(f"/subjects/{MINE}/versions/latest")).json()
        assert (shown["id"], shown["version"], json.loads(shown["schema"])) == (IDS.start + 1, 2, V2)
        assert json.loads((await client.get(f"/schemas/ids/{IDS.start}")).json()["schema"]) == V1
        assert (await client.get(f"/schemas/ids/{IDS.start}/subjects")).json() == ["another-value", MINE]
        assert (await client.get("/schemas/ids/1?fetchMaxId=true")).json()["maxId"] == IDS.start + 1
        assert MINE in (await client.get("/subjects")).json()
        assert (await client.post(f"/subjects/{MINE}", json=schema(V1))).json()["version"] == 1


async def test_contracts_are_there_as_ever_and_may_be_followed(tmp_path: Path) -> None:
    crossing = FAMILIES["border.crossing"]
    follower = json.loads(json.dumps(crossing.avsc))
    follower["fields"][2]["type"][1]["fields"].append({"name": "lane", "type": ["null", "int"], "default": None})
    async with registry(tmp_path) as client:
        assert await register(client, crossing.avsc, CONTRACT) == {"id": crossing.schema_id}
        assert (await register(client, follower, CONTRACT))["id"] in IDS
        assert (await client.get(f"/subjects/{CONTRACT}/versions")).json() == [1, 2]
        assert (await client.delete(f"/subjects/{CONTRACT}")).json()["error_code"] == 42205
    assert not set(CONTRACTS) & set(IDS)


async def test_a_version_follows_all_before_it(tmp_path: Path) -> None:
    async with registry(tmp_path) as client:
        await register(client, V1)
        refused = await register(client, OTHER)
        assert refused["error_code"] == 409
        assert "the type differs (string -> bytes)" in refused["message"]


async def test_deleting_hides_and_then_forgets(tmp_path: Path) -> None:
    async with registry(tmp_path) as client:
        await register(client, V1)
        await register(client, V2)
        early = await client.delete(f"/subjects/{MINE}/versions/1?permanent=true")
        assert (early.status_code, early.json()["error_code"]) == (404, 40407)
        assert (await client.delete(f"/subjects/{MINE}/versions/1")).json() == 1
        assert (await client.delete(f"/subjects/{MINE}/versions/1")).json()["error_code"] == 40402
        assert (await client.get(f"/subjects/{MINE}/versions")).json() == [2]
        assert (await client.get(f"/subjects/{MINE}/versions?deletedOnly=true")).json() == [1]
        assert (await client.get(f"/subjects/{MINE}/versions/1")).json()["error_code"] == 40402
        assert (await client.get(f"/subjects/{MINE}/versions/1?deleted=true")).json()["id"] == IDS.start
        assert (await client.delete(f"/subjects/{MINE}?permanent=true")).json()["error_code"] == 40405
        assert (await client.delete(f"/subjects/{MINE}")).json() == [1, 2]
        assert MINE not in (await client.get("/subjects")).json()
        assert (await client.get("/subjects?deletedOnly=true")).json() == [MINE]
        assert (await client.delete(f"/subjects/{MINE}?permanent=true")).json() == [1, 2]
        assert (await client.get(f"/subjects/{MINE}/versions?deleted=true")).json()["error_code"] == 40401
        assert (await client.get(f"/schemas/ids/{IDS.start}")).status_code == 200  # messages written with it are there
        assert await register(client, V2) == {"id": IDS.start + 1}


async def test_a_subject_is_a_name_and_the_sandbox_has_an_end(tmp_path: Path) -> None:
    async with registry(tmp_path, most=1) as client:
        assert (await register(client, V1, "x" * 256))["error_code"] == 42205
        assert (await register(client, V1, "a%00b"))["error_code"] == 42205
        assert "id" in await register(client, V1, "a-value")
        full = await register(client, V1, "b-value")
        assert (full["error_code"], "delete some" in full["message"]) == (42205, True)
