"""The doors: events a second through admission, beside a plain fastavro encode loop of the same events in the same run.

    python -m bench.door [--events 20000] [--http URL --key-file FILE] [--report FILE]

Events a CPU-second of one process, the best of three rounds, with validation, link keys and sealed bodies; then over
HTTP, in batches of 500, four at once, by the CPU time of a gateway that makes frames and forgets them; and where the
time goes. With `--http`, also through a running gateway into Kafka, in events a second of the clock.
"""

from __future__ import annotations

import argparse
import asyncio
import copy
import cProfile
import gzip
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime
from io import BytesIO
from pathlib import Path
from random import Random
from typing import Any

import fastavro
import orjson

from bench.profile import LEAST, shares
from bench.served import rate, served
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


async def through_http(lines: Sequence[bytes], url: str, key: str) -> float:
    """Return events a second of the clock through a running gateway."""
    began = time.perf_counter()
    tally = await publish_http(lines, Target(url, CROSSING.name, key))
    if tally.accepted != len(lines):
        raise SystemExit(f"{tally.refused} events were refused: {dict(tally.codes)}")
    return len(lines) / (time.perf_counter() - began)


def over_http(admission: Admission, lines: Sequence[bytes], events: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Return events a CPU-second of a gateway that is really served, by the form of the batch."""
    batches = [lines[begin : begin + MAX_RECORDS] for begin in range(0, len(lines), MAX_RECORDS)]
    typed = [confluent.with_times(CROSSING, event) for event in events]
    files = [avro_file(typed[begin : begin + MAX_RECORDS]) for begin in range(0, len(typed), MAX_RECORDS)]
    ndjson = [b"\n".join(batch) for batch in batches]
    forms: dict[str, tuple[Sequence[bytes], dict[str, str]]] = {
        "NDJSON": (ndjson, {"Content-Type": "application/x-ndjson"}),
        "NDJSON packed by gzip": (
            [gzip.compress(each, 6) for each in ndjson],
            {"Content-Type": "application/x-ndjson", "Content-Encoding": "gzip"},
        ),
        "a JSON array": ([b"[" + b",".join(batch) + b"]" for batch in batches], {"Content-Type": "application/json"}),
        "an Avro file": (files, {"Content-Type": "application/avro"}),
    }
    with served(admission, "gpk") as where:
        return {
            f"over HTTP: {form}": max(rate(where, CROSSING.name, *body, len(lines)) for _ in range(ROUNDS))
            for form, body in forms.items()
        }


def avro_file(events: Sequence[dict[str, Any]]) -> bytes:
    """Return the events as an object container file."""
    out = BytesIO()
    fastavro.writer(out, CROSSING.schema, events, codec="deflate")
    return out.getvalue()


def where_it_goes(work: Callable[[], None], rate_of_all: float) -> Table:
    """Return the shares of the door's modules; what built-in functions take is their callers'."""
    profiler = cProfile.Profile()
    profiler.runcall(work)
    modules, _ = shares(profiler)
    rows = [(name, share * 1e6 / rate_of_all, share * 100) for name, share in modules.most_common() if share >= LEAST]
    return Table("Where the HTTP door's time goes, by module", ("module", "µs an event", "%"), rows)


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
    door = whole_door(admission, lines, parse, now)
    kafka = whole_door(admission, avro, lambda value: confluent.decode(value, CROSSING.name), now)
    rates = {
        "fastavro encodes them, and nothing else": best(plain(events), len(events)),
        "admission: JSON to inbox entry": best(admission_alone(admission, lines, now), len(events)),
        "HTTP door: JSON to frames and verdicts": best(door, len(events)),
        "Kafka door: Avro to frames and verdicts": best(kafka, len(events)),
    }
    rates |= over_http(admission, lines, events)
    if chosen.http and chosen.key_file:
        clock = asyncio.run(through_http(lines, chosen.http, chosen.key_file.read_text().strip()))
        rates["through a running gateway, by the clock, client and Kafka too"] = clock
    reference = next(iter(rates.values()))
    rows = [(what, rate, 1e6 / rate, rate / reference) for what, rate in rates.items()]
    notes = (f"border crossings of {len(lines[0])} bytes JSON, {len(avro[0])} bytes Avro; best of {ROUNDS} rounds",)
    columns = ("", "events a CPU-second", "µs an event", "of plain encoding")
    sheet = Sheet(chosen.report)
    sheet.add(Table("The doors", columns, rows, notes))
    sheet.add(where_it_goes(door, rates["HTTP door: JSON to frames and verdicts"]))


if __name__ == "__main__":
    main()
