"""Publish a first event to the agency's own topic, with Confluent's client as it comes.

migex up                                          # Kafka, the registry and the Kafka door
.venv/bin/python examples/first/by_kafka.py       # prints the verdict
"""

from __future__ import annotations

import json
import os
import time
from datetime import date, datetime
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

KAFKA = {"bootstrap.servers": os.environ.get("BOOTSTRAP", "127.0.0.1:9092")}
REGISTRY = os.environ.get("REGISTRY", "http://127.0.0.1:8081")
if "PASSWORD" in os.environ:  # where Kafka asks who speaks; for SASL_SSL name the CA too: ssl.ca.location
    KAFKA |= {"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "SCRAM-SHA-512"}
    KAFKA |= {"sasl.username": "agency.gpk", "sasl.password": os.environ["PASSWORD"]}
IN, OUT = "migex.agency.gpk.border.crossing.v1", "migex.agency.gpk.verdicts.v1"
EVENT = Path(__file__).with_name("gpk.border.crossing.jsonl")


def first_event() -> dict[str, Any]:
    """Return the event with dates as Python has them; a number of its own, so that each run is a new record."""
    event: dict[str, Any] = json.loads(EVENT.read_text(encoding="utf-8"))
    event["header"]["record_no"] = f"FIRST-{time.time_ns()}"
    for part, field in (("header", "occurred_at"), ("header", "recorded_at"), ("event", "queued_at")):
        event[part][field] = datetime.fromisoformat(event[part][field])
    for part, field in (("person", "birth_date"), ("event", "document_expires")):
        event[part][field] = date.fromisoformat(event[part][field])
    return event


def main() -> None:
    """Publish, and wait for the verdict."""
    verdicts = Consumer({**KAFKA, "group.id": "agency.gpk.first-event", "enable.auto.commit": False})
    end = verdicts.get_watermark_offsets(TopicPartition(OUT, 0), timeout=10)[1]
    verdicts.assign([TopicPartition(OUT, 0, end)])

    serialise = AvroSerializer(
        SchemaRegistryClient({"url": REGISTRY}), conf={"auto.register.schemas": False, "use.latest.version": True}
    )
    producer = Producer({**KAFKA, "acks": "all"})
    producer.produce(IN, serialise(first_event(), SerializationContext(IN, MessageField.VALUE)))
    producer.flush()

    verdict = verdicts.poll(30)
    print(verdict.value().decode() if verdict else "no verdict within 30 s: does `migex status` show kafka-door up?")
    verdicts.close()


if __name__ == "__main__":
    main()
