"""Agencies use another registry than ours: its ids stand in messages, and the Kafka door reads by them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext
from prometheus_client import CollectorRegistry

from connectors import confluent
from connectors.other_registry import publish
from connectors.registry import create_app
from connectors.sandbox import IDS, Sandbox
from ops.settings import Registry, Settings
from ops.wire_ids import wire_ids
from schemas import contracts, conventions
from schemas.contracts import CONTRACTS, FAMILIES
from schemas.errors import Misconfigured, Refused, Unavailable
from tests.clients.served import served

CONVENTION = conventions.load()
CROSSING = FAMILIES["border.crossing"]
TOPIC = "migex.agency.gpk.border.crossing.v1"


@pytest.fixture
def other(tmp_path: Path) -> Iterator[str]:
    """Serve a registry that knows no contract and gives ids of its own: our code, for a convention without agencies."""
    sandbox = Sandbox(tmp_path / "registry.db")
    with served(create_app(replace(CONVENTION, agencies={}), CollectorRegistry(), sandbox)) as url:
        yield url
    sandbox.close()


async def test_contracts_are_put_there_once(other: str) -> None:
    async with httpx.AsyncClient(base_url=other) as registry:
        found = await publish(registry, CONVENTION)
        assert set(found) <= set(IDS)
        reported = {family for agency in CONVENTION.agencies.values() for family in agency.families}
        assert {contract.name for contract in found.values()} == reported
        assert await publish(registry, CONVENTION) == found


async def test_messages_under_its_ids_are_read_and_others_are_not(other: str, tmp_path: Path) -> None:
    found = await wire_ids(Settings(home=tmp_path, registry=Registry(url=other)), CONVENTION)
    event = contracts.model(CROSSING.name).model_validate_json(json.dumps(CROSSING.example)).model_dump()
    with SchemaRegistryClient({"url": other}) as client:
        serialise = AvroSerializer(client, conf={"auto.register.schemas": False, "use.latest.version": True})
        wire = serialise(event, SerializationContext(TOPIC, MessageField.VALUE))
    assert wire is not None
    read = confluent.decode(wire, CROSSING.name, contracts=found)
    assert read["header"]["record_no"] == event["header"]["record_no"]
    with pytest.raises(Refused, match="unknown-schema"):
        confluent.decode(wire, CROSSING.name)
    with pytest.raises(Refused, match="unknown-schema"):
        confluent.decode(confluent.encode(CROSSING, CROSSING.example), CROSSING.name, contracts=found)


async def test_without_another_registry_the_ids_are_ours(tmp_path: Path) -> None:
    assert await wire_ids(Settings(home=tmp_path), CONVENTION) == CONTRACTS


async def test_a_registry_that_is_away_or_takes_nothing_is_told(tmp_path: Path) -> None:
    with pytest.raises(Unavailable) as away:
        await wire_ids(Settings(home=tmp_path, registry=Registry(url="http://127.0.0.1:9")), CONVENTION)
    assert away.value.code == "registry-away"
    readonly = create_app(replace(CONVENTION, agencies={}), CollectorRegistry())
    with served(readonly) as url, pytest.raises(Misconfigured) as refuses:
        await wire_ids(Settings(home=tmp_path, registry=Registry(url=url)), CONVENTION)
    assert refuses.value.code == "registry-refuses"
