"""kcat, a client without any of our code, reads an agency's topic: with the registry where it was built with Avro."""

from __future__ import annotations

import json
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from io import BytesIO

import fastavro
import httpx
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext
from prometheus_client import CollectorRegistry

from connectors.registry import create_app
from schemas import contracts, conventions
from schemas.contracts import FAMILIES
from tests.clients.served import served

pytestmark = pytest.mark.broker

CROSSING = FAMILIES["border.crossing"]
AGENCY_TOPIC = "migex.agency.gpk.border.crossing.v1"
EVENT = contracts.model(CROSSING.name).model_validate_json(json.dumps(CROSSING.example)).model_dump()


@pytest.fixture(scope="module")
def registry() -> Iterator[str]:
    with served(create_app(conventions.load(), CollectorRegistry())) as url:
        yield url


@pytest.fixture(scope="module")
def kcat() -> str:
    """Return kcat's path."""
    return shutil.which("kcat") or pytest.skip("kcat is not installed (Debian: kcat).")


@pytest.fixture(scope="module")
def topic(broker: str, registry: str) -> str:
    """Write one event as an agency would, to a topic of the test's own; return the topic."""
    own = f"kcat-{uuid.uuid4().hex}"
    with SchemaRegistryClient({"url": registry}) as client:
        serialise = AvroSerializer(client, conf={"auto.register.schemas": False, "use.latest.version": True})
        wire = serialise(EVENT, SerializationContext(AGENCY_TOPIC, MessageField.VALUE))
    admin = AdminClient({"bootstrap.servers": broker})
    admin.create_topics([NewTopic(own, 1)])[own].result(30)
    producer = Producer({"bootstrap.servers": broker})
    producer.produce(own, wire)
    assert producer.flush(30) == 0
    return own


def read(*command: str) -> bytes:
    done = subprocess.run(command, capture_output=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def test_it_reads_the_bytes_and_the_registry_explains_them(kcat: str, broker: str, topic: str, registry: str) -> None:
    wire = read(kcat, "-C", "-q", "-e", "-b", broker, "-t", topic, "-f", "%s")
    schema = httpx.get(f"{registry}/schemas/ids/{int.from_bytes(wire[1:5], 'big')}/schema").json()
    assert fastavro.schemaless_reader(BytesIO(wire[5:]), fastavro.parse_schema(schema, named_schemas={}), None) == EVENT


def test_it_reads_avro_with_the_registry(kcat: str, broker: str, topic: str, registry: str) -> None:
    if b"Avro" not in read(kcat, "-V"):
        pytest.skip("This kcat was built without Avro, as Debian's is.")
    told = json.loads(read(kcat, "-C", "-q", "-e", "-b", broker, "-t", topic, "-s", "value=avro", "-r", registry))
    assert told["header"]["record_no"] == EVENT["header"]["record_no"]
