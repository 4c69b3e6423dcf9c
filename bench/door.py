"""The doors: events a second through admission, beside a plain fastavro encode loop of the same events in the same run.

    python -m bench.door [--events 20000] [--http URL --key-file FILE] [--report FILE]

Events a CPU-second of one process, the best of three rounds. With `--http`, also through a running gateway in NDJSON
batches of 500, four at once, in events a second of the clock.
"""

from __future__ import annotations

import argparse
import asyncio
import copy
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime
from io import BytesIO
from pathlib import Path
from random import Random
from typing import Any

import fastavro
import httpx
import orjson

from bench.sheet import Sheet, Table, asked
from connectors import confluent
from connectors.admission import Admission
from connectors.inbox import frame
from connectors.sealing import Sealer
from connectors.strict_json import parse
from connectors.verdicts import Arrival, answer
from ops.processes.doors import spare_the_collector
from ops.publish_http import Target, publish_http
from schemas.codelists import CodeLists
from schemas.contracts import FAMILIES
from schemas.conventions import load
from schemas.frame import MAX_RECORDS
from schemas.keys import Secrets

CROSSING = FAMILIES["border.crossing"]
ROUNDS = 3
SECRETS = Secrets(link_key=bytes(32), digest_key=bytes(32))


def crossings(count: int) -> Iterator[dict[str, Any]]:
    """Yield synthetic crossings, all fields filled, every tenth of a person with a Cyrillic name."""
    chance = Random(7)
    for number in range(count):
        event = copy.deepcopy(CROSSING.example)
        event["header"]["record_no"] = f"B-{time.time_ns():x}-{number}"
        event["header"]["occurred_at"] = f"2018-03-{1 + number % 28:02}T{number % 24:02}:15:00+03:00"
        person = event["person"]
        person["surname"] = "".join(chance.choices("ABEIKLMNOPRST" if number % 10 else "АБВГДЕЖЗИКЛМ", k=9))
        person["birth_date"] = f"{chance.randint(1940, 2000)}-{chance.randint(1, 12):02}-{chance.randint(1, 28):02}"
        person["document"]["number"] = f"AB{chance.randint(1_000_000, 9_999_999)}"
        yield event


def best(work: Callable[[], None], events: int) -> float:
    """Return events a CPU-second in the best of some rounds."""
    seconds = []
    for _ in range(ROUNDS):
        began = time.process_time()
        work()
        seconds.append(time.process_time() - began)
    return events / min(seconds)


def plain(events: Sequence[dict[str, Any]]) -> Callable[[], None]:
    """Return the loop we are compared with: fastavro writes the events, which are decoded and typed already."""
    typed = [copy.deepcopy(event) for event in events]
    for event in typed:
        for part, name in (("header", "occurred_at"), ("header", "recorded_at"), ("event", "queued_at")):
            event[part][name] = datetime.fromisoformat(event[part][name])
        for part, name in (("person", "birth_date"), ("event", "document_expires")):
            event[part][name] = date.fromisoformat(event[part][name])

    def work() -> None:
        for event in typed:
            fastavro.schemaless_writer(BytesIO(), CROSSING.schema, event)

    return work


def admission_alone(admission: Admission, lines: Sequence[bytes], now: int) -> Callable[[], None]:
    """Return: JSON to entry, as either door does it."""

    def work() -> None:
        for line in lines:
            admission.admit("gpk", CROSSING.name, parse(line), b"delivery", now)

    return work


def whole_door(
    admission: Admission, payloads: Sequence[bytes], read: Callable[[bytes], dict[str, Any]], now: int
) -> Callable[[], None]:
    """Return: bytes to verdicts as JSON, and to frames of the inbox; all a door does but the network."""

    def work() -> None:
        for begin in range(0, len(payloads), MAX_RECORDS):
            answers = [
                answer(admission, Arrival("gpk", CROSSING.name, b"delivery", now), read(payload))
                for payload in payloads[begin : begin + MAX_RECORDS]
            ]
            orjson.dumps([each.verdict for each in answers])
            frame([each.entry for each in answers])

    return work


async def through_http(lines: Sequence[bytes], url: str, key: str) -> tuple[float, float]:
    """Return events a second of the clock, and a CPU-second of the gateway, through a running one."""
    spent, began = await cpu_seconds(url), time.perf_counter()
    tally = await publish_http(lines, Target(url, CROSSING.name, key))
    seconds, spent = time.perf_counter() - began, await cpu_seconds(url) - spent
    if tally.accepted != len(lines):
        raise SystemExit(f"{tally.refused} events were refused: {dict(tally.codes)}")
    return len(lines) / seconds, len(lines) / spent


async def cpu_seconds(url: str) -> float:
    """Return the CPU time that the gateway has taken so far, from its own metrics."""
    async with httpx.AsyncClient() as client:
        text = (await client.get(f"{url}/metrics")).text
    return next(float(line.split()[1]) for line in text.splitlines() if line.startswith("process_cpu_seconds_total"))


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--events", type=int, default=20_000)
    options.add_argument("--http", metavar="URL")
    options.add_argument("--key-file", type=Path)
    asked(options)
    chosen = options.parse_args(argv)
    convention = load()
    admission = Admission(
        convention, CodeLists.load(*convention.codelist_directories), SECRETS, Sealer(lambda *_: bytes(32))
    )
    now = int(time.time() * 1000)
    events = list(crossings(chosen.events))
    lines = [orjson.dumps(event) for event in events]
    avro = [confluent.encode(CROSSING, event) for event in events]
    spare_the_collector()
    kafka = whole_door(admission, avro, lambda value: confluent.decode(value, CROSSING.name), now)
    rates = {
        "fastavro encodes them, and nothing else": best(plain(events), len(events)),
        "admission: JSON to inbox entry": best(admission_alone(admission, lines, now), len(events)),
        "HTTP door: JSON to frames and verdicts": best(whole_door(admission, lines, parse, now), len(events)),
        "Kafka door: Avro to frames and verdicts": best(kafka, len(events)),
    }
    if chosen.http and chosen.key_file:
        clock, cpu = asyncio.run(through_http(lines, chosen.http, chosen.key_file.read_text().strip()))
        rates |= {"through a running gateway": cpu, "the same by the clock, client and Kafka too": clock}
    reference = next(iter(rates.values()))
    rows = [(what, rate, 1e6 / rate, rate / reference) for what, rate in rates.items()]
    notes = (f"border crossings of {len(lines[0])} bytes JSON, {len(avro[0])} bytes Avro; best of {ROUNDS} rounds",)
    columns = ("", "events a CPU-second", "µs an event", "of plain encoding")
    Sheet(chosen.report).add(Table("The doors", columns, rows, notes))


if __name__ == "__main__":
    main()
