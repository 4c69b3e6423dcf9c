"""Confluent's Java serialiser against the registry as it is served, where Maven knows a place that has it."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
from pathlib import Path

import fastavro
import pytest
from prometheus_client import CollectorRegistry

from connectors.registry import create_app
from ops.jars import locked
from ops.settings import user_cache
from schemas import contracts, conventions
from schemas.contracts import FAMILIES
from tests.clients.served import served

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]

VERSION = "7.9.0"
PROGRAM = Path(__file__).with_name("RegistryClient.java")
CROSSING = FAMILIES["border.crossing"]
TOPIC = "migex.agency.gpk.border.crossing.v1"
POM = f"""<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>migex</groupId><artifactId>confluent</artifactId><version>1</version>
<dependencies><dependency>
<groupId>io.confluent</groupId><artifactId>kafka-avro-serializer</artifactId><version>{VERSION}</version>
</dependency></dependencies></project>
"""


def jars(draft: Path) -> Path:
    """Return the directory of the serialiser's jars, fetched by Maven once; skips where there is no way to get them.

    They are not on Maven Central: a mirror or a repository of the reader's own Maven settings must have them.
    """
    folder = user_cache() / "confluent" / VERSION
    with locked(user_cache() / "confluent" / ".lock"):
        if not folder.is_dir():
            maven = shutil.which("mvn") or pytest.skip("Maven is not installed.")
            (draft / "pom.xml").write_text(POM, encoding="utf-8")
            goal = ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={draft / 'jars'}"]
            fetched = subprocess.run(
                [maven, "-q", "-B", "-f", draft / "pom.xml", *goal], stdout=subprocess.DEVNULL, check=False
            )
            if fetched.returncode:
                pytest.skip("Maven finds no io.confluent:kafka-avro-serializer: it is not on Maven Central.")
            shutil.move(draft / "jars", folder)
    return folder


def test_confluents_java_serializer_writes_the_bytes_that_ours_does(tmp_path: Path) -> None:
    java = shutil.which("java") or pytest.skip("Java is not installed.")
    found = jars(tmp_path)
    schema, event = tmp_path / "schema.avsc", tmp_path / "event.json"
    schema.write_text(json.dumps(CROSSING.avsc), encoding="utf-8")
    values = contracts.model(CROSSING.name).model_validate_json(json.dumps(CROSSING.example)).model_dump()
    text, ours = io.StringIO(), io.BytesIO()
    fastavro.json_writer(text, CROSSING.schema, [values])
    event.write_text(text.getvalue(), encoding="utf-8")
    fastavro.schemaless_writer(ours, CROSSING.schema, values)
    with served(create_app(conventions.load(), CollectorRegistry())) as registry:
        command = [java, "-cp", f"{found}/*", str(PROGRAM), registry, TOPIC, str(schema), str(event)]
        told = subprocess.run(command, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr
    *wires, answers = told.stdout.splitlines()
    assert wires == [(b"\x00" + CROSSING.schema_id.to_bytes(4, "big") + ours.getvalue()).hex()] * 4
    assert answers == f"true [1] {CROSSING.schema_id} 1 FULL_TRANSITIVE READONLY true"
