"""Apicurio Registry instead of ours: agencies write under its ids, and the Kafka door takes what they write."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient, SchemaRegistryError
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

from ops.jars import locked
from ops.ports import free_block
from ops.settings import Registry, Settings, user_cache, with_free_ports
from schemas import contracts
from schemas.contracts import FAMILIES

pytestmark = [pytest.mark.broker, pytest.mark.long, pytest.mark.timeout(600)]

VERSION = "3.0.9"
"""The newest one that runs on Java 17 and is on Maven Central."""

CROSSING = FAMILIES["border.crossing"]
TOPIC = "migex.agency.gpk.border.crossing.v1"
ROOT = Path(__file__).parents[2]
FIRST = ROOT / "examples" / "first"
FLAGS = ("-Xmx256m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Dquarkus.http.host=127.0.0.1")


def program() -> Path:
    """Return Apicurio's program, fetched by Maven once; skips where there is no way to get it."""
    folder = user_cache() / "apicurio" / VERSION
    with locked(user_cache() / "apicurio" / ".lock"):
        if not folder.is_dir():
            maven = shutil.which("mvn") or pytest.skip("Apicurio is fetched by Maven, which is not installed.")
            draft = folder.with_name(".draft")
            shutil.rmtree(draft, ignore_errors=True)
            artifact = f"-Dartifact=io.apicurio:apicurio-registry-app:{VERSION}:tar.gz:all"
            fetched = subprocess.run(
                [maven, "-q", "-B", "dependency:copy", artifact, f"-DoutputDirectory={draft}"], check=False
            )
            if fetched.returncode:
                pytest.skip(f"Maven cannot fetch Apicurio {VERSION}.")
            with tarfile.open(next(draft.glob("*.tar.gz"))) as archive:
                archive.extractall(draft, filter="data")
            draft.rename(folder)
    return next(folder.glob("*-runner.jar"))


@pytest.fixture(scope="module")
def apicurio() -> Iterator[str]:
    """Run Apicurio on a free port, in memory; give the address of its Confluent API."""
    java = shutil.which("java") or pytest.skip("Apicurio needs Java, which is not installed.")
    jar, port = program(), free_block(1)
    running = subprocess.Popen(
        [java, *FLAGS, f"-Dquarkus.http.port={port}", "-jar", str(jar)], cwd=jar.parent, stdout=subprocess.DEVNULL
    )
    url = f"http://127.0.0.1:{port}/apis/ccompat/v7"
    try:
        wait_for(f"{url}/subjects")
        yield url
    finally:
        running.terminate()
        running.wait(30)


def wait_for(url: str) -> None:
    until = time.monotonic() + 120
    while True:
        try:
            if httpx.get(url).status_code == 200:
                return
        except httpx.TransportError:
            pass
        assert time.monotonic() < until, "Apicurio did not answer"
        time.sleep(0.5)


@pytest.fixture(scope="module")
def system(broker: str, apicurio: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """The whole system with Apicurio as the agencies' registry (`broker` is asked for its check of Java and Maven)."""
    settings = with_free_ports(tmp_path_factory.mktemp("home"))
    settings = settings.model_copy(update={"registry": Registry(port=settings.registry.port, url=apicurio)})
    try:
        began = migex(settings, "up")
        assert began.returncode == 0, began.stdout + began.stderr
        yield settings
    finally:
        migex(settings, "down")


def migex(settings: Settings, *words: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "ops.cli", *words]
    return subprocess.run(argv, env=settings.inherited(), capture_output=True, text=True, check=False)


def test_the_clients_example_is_accepted(system: Settings, apicurio: str, tmp_path: Path) -> None:
    text = (FIRST / "by_kafka.py").read_text(encoding="utf-8")
    text = text.replace("127.0.0.1:9092", system.broker.bootstrap).replace("http://127.0.0.1:8081", apicurio)
    (tmp_path / "by_kafka.py").write_text(text, encoding="utf-8")
    shutil.copy(FIRST / "gpk.border.crossing.jsonl", tmp_path)
    told = subprocess.run([sys.executable, tmp_path / "by_kafka.py"], capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr
    assert json.loads(told.stdout)["answer"] == "accepted"


def test_our_own_command_publishes(system: Settings) -> None:
    file = str(FIRST / "gpk.border.crossing.jsonl")
    done = migex(system, "publish", file, "--agency", "gpk", "--family", CROSSING.name, "--via", "kafka")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "conf",
    [
        {"auto.register.schemas": True},
        {"auto.register.schemas": False},
        {"auto.register.schemas": False, "use.latest.version": True},
    ],
)
def test_a_serializer_and_a_deserializer(system: Settings, apicurio: str, conf: dict[str, bool]) -> None:
    event = contracts.model(CROSSING.name).model_validate_json(json.dumps(CROSSING.example)).model_dump()
    context = SerializationContext(TOPIC, MessageField.VALUE)
    with SchemaRegistryClient({"url": apicurio}) as client:
        wire = AvroSerializer(client, json.dumps(CROSSING.avsc), conf=conf)(event, context)
        assert AvroDeserializer(client)(wire, context) == event


def test_it_holds_others_to_our_contracts(system: Settings, apicurio: str) -> None:
    other = json.loads(
        json.dumps(CROSSING.avsc).replace('"name": "direction", "type": "string"', '"name": "x", "type": "int"')
    )
    with SchemaRegistryClient({"url": apicurio}) as client:
        assert client.get_compatibility() == "FULL_TRANSITIVE"
        with pytest.raises(SchemaRegistryError):
            client.register_schema(f"{TOPIC}-value", Schema(json.dumps(other), "AVRO"))
