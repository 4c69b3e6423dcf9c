"""The engine we are compared with: a Kafka Streams program (`bench/kafka_streams/`), built once, run on our broker."""

from __future__ import annotations

import hashlib
import io
import json
import os
import random
import re
import shutil
import subprocess
import uuid
import zlib
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import fastavro
import psutil
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from bench.meter import Meter
from bench.rounds import BROKER, Round
from ops.jars import java, locked
from schemas.errors import Broken, Misconfigured, Unavailable
from streams.kafka import Kafka

FOLDER = Path(__file__).parent / "kafka_streams"
RESOURCES = FOLDER / "src" / "main" / "resources"
ENGINE = "Kafka Streams"
PROCESS = "JVM"
GUARANTEE = "exactly_once_v2"
PARTITIONS = 8
DUPLICATES = 0.10
HEAP = "2g"

_NATIONS = ("DE", "FR", "PL", "UA", "SY", "TR", "IN", "BR", "US", "CN", "MA", "NG")
_TYPES = ("ENTRY", "EXIT", "REFUSAL", "TRANSIT")


class Peer(NamedTuple):
    """A built program and the topic that it reads."""

    program: Path
    topic: str
    records: int
    unique: int
    cells: Counter[str]
    """What it must count: cell -> unique events."""


class Warm(NamedTuple):
    """The second half of the input, when most of the JIT's work is done."""

    rate: float
    cpu_rate: float


def built(cache: Path) -> Path:
    """Return the directory with the program's jars, building it with Maven the first time.

    Raises Misconfigured when Maven is missing, Unavailable when it cannot fetch or build.
    """
    sources = [FOLDER / "pom.xml", *sorted(path for path in (FOLDER / "src").rglob("*") if path.is_file())]
    named = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:8]
    folder = cache / "bench" / f"kafka-streams-{named}"
    with locked(cache / "bench" / ".lock"):
        if not folder.is_dir():  # it comes by rename, so it is complete
            _build(folder)
    return folder


def _build(folder: Path) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise Misconfigured("maven-missing", "The program to compare with is built by Maven, once (Debian: maven).")
    draft = folder.with_name(f".{folder.name}.{os.getpid()}")
    command = [maven, "-q", "-B", "-f", str(FOLDER / "pom.xml"), "package", f"-Dout={draft}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        shutil.rmtree(draft, ignore_errors=True)
        errors = [line for line in done.stdout.splitlines() if "ERROR" in line]
        raise Unavailable("peer-unavailable", f"Maven could not build it: {(errors or ['no reason given'])[0][:400]}")
    draft.rename(folder)


def load(kafka: Kafka, program: Path, records: int) -> Peer:
    """Write a topic with so many records, each a message as its program expects them, and return what it must count."""
    topic = f"bench-crossings-{records}"
    admin = AdminClient(kafka.librdkafka())
    for created in admin.create_topics([NewTopic(topic, PARTITIONS, 1)]).values():
        created.result(30)
    schema = fastavro.parse_schema(json.loads(RESOURCES.joinpath("border_crossing.avsc").read_bytes()))
    producer = Producer({**kafka.librdkafka(), "linger.ms": 20, "acks": "all"})
    cells: Counter[str] = Counter()
    for event, again in events(records):
        out = io.BytesIO()
        fastavro.schemaless_writer(out, schema, event)
        _send(producer, topic, event["person_key"].encode(), out.getvalue())
        if not again:
            cells[_cell(event)] += 1
    if producer.flush(60):
        raise Unavailable("peer-load", "Kafka did not take all records within a minute.")
    return Peer(program, topic, records, cells.total(), cells)


def _send(producer: Producer, topic: str, key: bytes, value: bytes) -> None:
    while True:
        try:
            producer.produce(topic, value, key, partition=zlib.crc32(key) % PARTITIONS)
        except BufferError:
            producer.poll(0.1)
        else:
            producer.poll(0)
            return


def events(records: int) -> Iterator[tuple[dict[str, Any], bool]]:
    """Yield events, each tenth or so once more among the next 300, and whether it came before."""
    chance = random.Random(7)
    recent: list[dict[str, Any]] = []
    number = count = 0
    while count < records:
        event = _event(number, chance)
        recent.append(event)
        del recent[:-300]
        yield event, False
        number, count = number + 1, count + 1
        if count < records and chance.random() < DUPLICATES:
            yield chance.choice(recent), True
            count += 1


def _event(number: int, chance: random.Random) -> dict[str, Any]:
    at = 1_700_000_000_000 + number * 13
    return {
        "event_id": str(uuid.UUID(int=chance.getrandbits(128))),
        "agency": "BORDER",
        "agency_seq": number,
        "person_key": f"p{chance.randrange(200_000):09}",
        "event_type": chance.choice(_TYPES),
        "event_time": at,
        "recorded_time": at + 5000,
        "crossing_point": f"BCP-{chance.randrange(120):03}",
        "mode": chance.choice(("LAND", "AIR", "SEA", "RAIL")),
        "nationality": chance.choice(_NATIONS),
        "birth_year": chance.randrange(1940, 2015),
        "sex": chance.choice("MF"),
        "doc_type": "PASSPORT",
        "doc_hash": f"{chance.getrandbits(64):016x}",
        "visa_class": "C",
        "purpose": chance.choice(("WORK", "TOURISM", "STUDY", None)),
        "origin": chance.choice(_NATIONS),
        "destination": chance.choice(_NATIONS),
        "stay_days": chance.randrange(1, 90),
        "revision": 0,
        "flags": 0,
    }


def _cell(event: dict[str, Any]) -> str:
    day = datetime.fromtimestamp(event["event_time"] / 1000, UTC).date().isoformat()
    return "|".join((day, event["crossing_point"], event["nationality"], event["event_type"]))


def run(peer: Peer, bootstrap: str, broker: psutil.Process, scratch: Path) -> tuple[Round, Warm]:
    """Let it count its topic once, from nothing; raises Broken when it fails or counts otherwise than it must."""
    scratch.mkdir(parents=True, exist_ok=True)
    dump = scratch / "cells.tsv"
    command = [java(), f"-Xmx{HEAP}", f"-Dbs={bootstrap}", f"-Ddir={scratch / 'state'}", f"-Ddump={dump}"]
    command += ["-cp", f"{peer.program}/*:{peer.program}/lib/*", "peer.Peer"]
    command += [peer.topic, str(peer.records), str(peer.unique), GUARANTEE, "0"]
    with (scratch / "log").open("ab") as log:
        program = psutil.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
    meter = Meter({PROCESS: program, BROKER: broker})
    try:
        _until(program, "BEGIN")
        meter.begin()
        _until(program, "END")
        wall, usage = meter.end()
        warm = _warm(_until(program, "RESULT"))
        program.wait(120)
    finally:
        if program.poll() is None:
            program.kill()
            program.wait()
    counted = dict(line.rstrip("\n").split("\t") for line in dump.open(encoding="utf-8"))
    if {cell: int(count) for cell, count in counted.items()} != peer.cells:
        raise Broken("peer-differs", f"{ENGINE} did not count its cells as they were sent.")
    return Round(ENGINE, peer.records, wall, usage), warm


def _until(program: psutil.Popen, word: str) -> str:
    """Return the program's next line, which begins with the word."""
    line: str = program.stdout.readline()
    if not line.startswith(word):
        raise Broken("peer-failed", f"{ENGINE} said {line.strip()!r} instead of {word}; its log says why.")
    return line


def _warm(line: str) -> Warm:
    said = dict(re.findall(r"(\w+)=(\S+)", line))
    return Warm(float(said["second_half_rate"]), float(said["second_half_cpu_rate"]))
