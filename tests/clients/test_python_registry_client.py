"""python-schema-registry-client against the registry as it is served; another code base than Confluent's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from schema_registry.client import SchemaRegistryClient, schema
from schema_registry.client.errors import ClientError
from schema_registry.serializers import AvroMessageSerializer

from connectors.registry import create_app
from connectors.sandbox import IDS, Sandbox
from schemas import contracts, conventions
from schemas.contracts import FAMILIES, Family
from tests.clients.served import served

CROSSING = FAMILIES["border.crossing"]
SUBJECT = "migex.agency.gpk.border.crossing.v1-value"
each_family = pytest.mark.parametrize("family", FAMILIES.values(), ids=lambda f: f.name)


@pytest.fixture(scope="module")
def client() -> Iterator[SchemaRegistryClient]:
    with served(create_app(conventions.load(), CollectorRegistry())) as url:
        yield SchemaRegistryClient(url=url)


def subject_of(family: Family) -> str:
    agency = next(a for a in conventions.load().agencies.values() if family.name in a.families)
    return f"migex.agency.{agency.code}.{family.name}.v1-value"


@each_family
def test_a_serializer_writes_under_the_permanent_id_and_reads(client: SchemaRegistryClient, family: Family) -> None:
    event = contracts.model(family.name).model_validate_json(json.dumps(family.example)).model_dump()
    serializer = AvroMessageSerializer(client)
    wire = serializer.encode_record_with_schema(subject_of(family), schema.AvroSchema(family.avsc), event)
    assert wire[:5] == b"\x00" + family.schema_id.to_bytes(4, "big")
    assert serializer.decode_message(wire) == event


def test_the_clients_questions(client: SchemaRegistryClient) -> None:
    mine = schema.AvroSchema(CROSSING.avsc)
    assert SUBJECT in client.get_subjects()
    assert client.get_versions(SUBJECT) == [1]
    assert client.get_schema(SUBJECT).schema_id == CROSSING.schema_id
    assert client.check_version(SUBJECT, mine).version == 1
    assert client.register(SUBJECT, mine) == CROSSING.schema_id
    assert client.test_compatibility(SUBJECT, mine)
    assert client.get_compatibility(SUBJECT) == "FULL_TRANSITIVE"
    assert SUBJECT in client.get_schema_subject_versions(CROSSING.schema_id)[0].subject
    with pytest.raises(ClientError):
        client.update_compatibility("NONE", SUBJECT)
    with pytest.raises(ClientError):
        client.delete_subject(SUBJECT)


def test_the_sandbox_takes_and_forgets(tmp_path: Path) -> None:
    mine = schema.AvroSchema({"type": "record", "name": "Mine", "fields": [{"name": "a", "type": "string"}]})
    sandbox = Sandbox(tmp_path / "registry.db")
    with served(create_app(conventions.load(), CollectorRegistry(), sandbox)) as url:
        client = SchemaRegistryClient(url=url)
        assert client.register("mine-value", mine) == IDS.start
        assert client.get_by_id(IDS.start) == mine
        assert client.delete_subject("mine-value") == [1]
    sandbox.close()
