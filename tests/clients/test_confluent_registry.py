"""Confluent's own client against the registry as it is served: what an agency would run, unchanged."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest
from confluent_kafka.schema_registry import (
    AsyncSchemaRegistryClient,
    Schema,
    SchemaRegistryClient,
    SchemaRegistryError,
)
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext
from prometheus_client import CollectorRegistry

from connectors.registry import create_app
from schemas import contracts, conventions
from schemas.contracts import FAMILIES, Family
from tests.clients.served import served

each_family = pytest.mark.parametrize("family", FAMILIES.values(), ids=lambda f: f.name)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """Serve the registry."""
    with served(create_app(conventions.load(), CollectorRegistry())) as address:
        yield address


@pytest.fixture
def client(url: str) -> Iterator[SchemaRegistryClient]:
    with SchemaRegistryClient({"url": url}) as opened:
        yield opened


def topic_of(family: Family) -> str:
    agency = next(a for a in conventions.load().agencies.values() if family.name in a.families)
    return f"migex.agency.{agency.code}.{family.name}.v1"


def context(family: Family) -> SerializationContext:
    return SerializationContext(topic_of(family), MessageField.VALUE)


def event_of(family: Family) -> dict[str, object]:
    return contracts.model(family.name).model_validate_json(json.dumps(family.example)).model_dump()


SETTINGS = [
    pytest.param({"auto.register.schemas": True}, id="auto register"),
    pytest.param({"auto.register.schemas": True, "normalize.schemas": True}, id="normalised"),
    pytest.param({"auto.register.schemas": False}, id="look up"),
    pytest.param({"auto.register.schemas": False, "use.latest.version": True}, id="latest"),
]


@each_family
@pytest.mark.parametrize("settings", SETTINGS)
def test_a_serializer_writes_under_the_permanent_id_and_a_deserializer_reads(
    client: SchemaRegistryClient, family: Family, settings: dict[str, bool]
) -> None:
    text = json.dumps(family.avsc)
    write = AvroSerializer(client, text, conf=settings)
    wire = write(event_of(family), context(family))
    assert wire is not None
    assert wire[:5] == b"\x00" + family.schema_id.to_bytes(4, "big")
    assert AvroDeserializer(client)(wire, context(family)) == event_of(family)


def test_a_serializer_without_a_schema_takes_the_registrys(client: SchemaRegistryClient) -> None:
    family = FAMILIES["border.crossing"]
    write = AvroSerializer(client, conf={"auto.register.schemas": False, "use.latest.version": True})
    wire = write(event_of(family), context(family))
    assert AvroDeserializer(client)(wire, context(family)) == event_of(family)


def test_a_schema_that_breaks_the_contract_cannot_be_written_with(client: SchemaRegistryClient) -> None:
    family = FAMILIES["border.crossing"]
    other = json.dumps(family.avsc).replace("timestamp-millis", "timestamp-micros")
    with pytest.raises(SchemaRegistryError) as told:
        AvroSerializer(client, other)(event_of(family), context(family))
    assert (told.value.http_status_code, told.value.error_code) == (409, 409)
    assert "logical type" in str(told.value)


def test_an_agency_cannot_write_what_it_is_not_entitled_to(client: SchemaRegistryClient) -> None:
    family = FAMILIES["permit.decision"]
    write = AvroSerializer(client, json.dumps(family.avsc))
    foreign = SerializationContext("migex.agency.gpk.permit.decision.v1", MessageField.VALUE)
    with pytest.raises(SchemaRegistryError, match="read-only"):
        write(event_of(family), foreign)


@each_family
def test_the_clients_questions(client: SchemaRegistryClient, family: Family) -> None:
    subject = f"{topic_of(family)}-value"
    mine = Schema(json.dumps(family.avsc), "AVRO")
    assert subject in client.get_subjects()
    assert client.get_versions(subject) == [1]
    latest = client.get_latest_version(subject)
    assert (latest.schema_id, latest.version, latest.subject) == (family.schema_id, 1, subject)
    assert client.get_version(subject, 1).schema_id == family.schema_id
    assert json.loads(client.get_schema(family.schema_id).schema_str) == family.avsc
    assert client.lookup_schema(subject, mine).schema_id == family.schema_id
    assert client.register_schema(subject, mine) == family.schema_id
    assert client.test_compatibility(subject, mine)
    assert client.get_compatibility(subject) == "FULL_TRANSITIVE"
    assert client.get_config(subject).compatibility_level == "FULL_TRANSITIVE"
    assert {v.subject for v in client.get_schema_versions(family.schema_id)} >= {subject}


CROSSINGS = f"{topic_of(FAMILIES['border.crossing'])}-value"


@pytest.mark.parametrize(
    ("ask", "code"),
    [
        (lambda client: client.delete_subject(CROSSINGS), 42205),
        (lambda client: client.set_compatibility(CROSSINGS, "NONE"), 42205),
        (lambda client: client.get_schema(99), 40403),
        (lambda client: client.get_latest_version("nobody-value"), 40401),
    ],
)
def test_refusals_reach_the_client_as_its_own_errors(
    client: SchemaRegistryClient, ask: Callable[[SchemaRegistryClient], object], code: int
) -> None:
    with pytest.raises(SchemaRegistryError) as told:
        ask(client)
    assert told.value.error_code == code


async def test_the_asynchronous_client(url: str) -> None:
    family = FAMILIES["border.crossing"]
    async with AsyncSchemaRegistryClient({"url": url}) as client:
        assert (await client.get_latest_version(CROSSINGS)).schema_id == family.schema_id
        assert await client.register_schema(CROSSINGS, Schema(json.dumps(family.avsc), "AVRO")) == family.schema_id
