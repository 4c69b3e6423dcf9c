"""The file door and the outbox as processes on a real Kafka: events a CPU-second of files and of an agency's table.

    python -m bench.dropped [--events 20000] [--report FILE]

From the moment at which they lie there to the last verdict, with validation, link keys and sealed bodies: of a file of
each kind the door's CPU time, of an outbox in SQLite and in PostgreSQL its poller's and that of the gateway, which does
the door's work for it. Then where the file door's time goes, by module, in one process and into frames nobody keeps.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import csv
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from io import StringIO
from pathlib import Path
from typing import Any

import orjson
import psutil
from prometheus_client import CollectorRegistry
from sqlalchemy import text

from bench.arena import arena
from bench.door import CROSSING, avro_file, crossings
from bench.meter import Meter
from bench.profile import LEAST, shares
from bench.served import Frames
from bench.sheet import Sheet, Table, asked
from connectors import confluent
from connectors.file_door.door import Edges, FileDoor
from connectors.outbox.database import Database
from ops import secrets
from ops.processes.doors import admission
from ops.processes.file_door import terms
from ops.settings import Files, Outbox, Settings, with_free_ports
from ops.status import get
from schemas.conventions import load
from streams.telemetry import DoorTelemetry, FileTelemetry
from tests.connectors.feed_databases import new_database, postgres_server
from tests.connectors.outboxes import Home
from tests.connectors.workbooks import workbook

AGENCY = "gpk"
COLUMNS = ("", "events a CPU-second", "µs an event", "events a second of the clock", "peak MB")
Event = dict[str, Any]
Rows = list[list[str | None]]
Line = tuple[str | float, ...]


def cells(event: Event) -> list[str | None]:
    """Return what a table's row says of an event; its columns are called as the contract's fields."""
    found: list[str | None] = []
    for field in CROSSING.fields:
        value: Any = event
        for part in field.path.split("."):
            value = None if value is None else value.get(part)
        found.append("|".join(value) if isinstance(value, list) else None if value is None else str(value))
    return found


def csv_file(rows: Rows) -> bytes:
    """Return a table as delimited text."""
    out = StringIO()
    csv.writer(out, delimiter=";").writerows(rows)
    return out.getvalue().encode()


def files(events: Sequence[Event]) -> dict[str, bytes]:
    """Return the same events as a file of each kind, by its name."""
    rows: Rows = [[field.path for field in CROSSING.fields], *map(cells, events)]
    return {
        "events.jsonl": b"\n".join(map(orjson.dumps, events)),
        "events.csv": csv_file(rows),
        "events.xlsx": workbook(rows),
        "events.avro": avro_file([confluent.with_times(CROSSING, event) for event in events]),
    }


def dropped(settings: Settings, name: str, content: bytes) -> Path:
    """Drop a file as an agency should; return where its verdicts will lie."""
    folder = settings.files_directory / AGENCY / "in" / CROSSING.name
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f"{name}.part"
    part.write_bytes(content)
    part.rename(folder / name)
    return settings.files_directory / AGENCY / "done" / CROSSING.name / name


@contextmanager
def running(settings: Settings, *command: str) -> Iterator[psutil.Process]:
    """Run one of migex's processes until the block ends."""
    with (settings.home / f"{command[0]}.log").open("ab") as log:
        argv = [sys.executable, "-m", "ops.cli", *command]
        process = subprocess.Popen(argv, env=settings.inherited(), stdout=log, stderr=log)
    try:
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(60)


def until(true: Callable[[], object], secs: float = 600.0) -> None:
    """Wait; raises TimeoutError when it takes too long."""
    end = time.monotonic() + secs
    while not true():
        if time.monotonic() > end:
            raise TimeoutError
        time.sleep(0.05)


def by_file(settings: Settings, events: Sequence[Event]) -> Iterator[Line]:
    """Yield a row for each kind of file."""
    with running(settings, "file-door") as door:
        until(lambda: get(*settings.address("file-door"), "/health"))
        made = files(events)
        until(
            dropped(settings, "first.jsonl", made["events.jsonl"]).exists
        )  # makes keys, and names' sounds are remembered
        for name, content in made.items():
            meter = Meter({"door": door})
            meter.begin()
            back = dropped(settings, name, content)
            until(back.exists)
            wall, used = meter.end()
            counted = json.loads((back / "summary.json").read_bytes())
            if counted["accepted"] != len(events):
                raise SystemExit(f"{name}: {counted['refused']} rows were refused: {counted['codes']}")
            rate = len(events) / used["door"].cpu_secs
            yield f"file door: {name}", rate, 1e6 / rate, len(events) / wall, used["door"].peak_bytes / 1e6


def by_outbox(settings: Settings, url: str, events: Sequence[Event]) -> Iterator[Line]:
    """Yield a row for the poller and one for the gateway."""
    key = settings.secrets / "api-keys" / f"{AGENCY}.key"
    own = Outbox(database=url, key_file=str(key), idle_secs=1.0)
    settings = settings.model_copy(update={"outbox": own})
    with ExitStack() as open_:
        home = Home(url)
        database = open_.enter_context(closing(home.database))
        gateway = open_.enter_context(running(settings, "gateway"))
        until(lambda: get(*settings.address("gateway"), "/health"))
        poller = open_.enter_context(running(settings, "outbox", "run"))
        put(database, events)  # makes keys, and names' sounds are remembered
        until(lambda: not waiting(database))
        meter = Meter({"poller": poller, "gateway": gateway})
        meter.begin()
        put(database, events)
        until(lambda: not waiting(database))
        wall, used = meter.end()
    for name, usage in used.items():
        rate = len(events) / usage.cpu_secs
        yield f"outbox, {database.dialect}: {name}", rate, 1e6 / rate, len(events) / wall, usage.peak_bytes / 1e6


def put(database: Database, events: Sequence[Event]) -> None:
    """Write events into the outbox, in one transaction."""
    cast = "CAST(:event AS jsonb)" if database.dialect == "postgresql" else ":event"
    rows = [{"family": CROSSING.name, "event": orjson.dumps(event).decode()} for event in events]
    with database.writing() as connection:
        connection.execute(text(f"INSERT INTO migex_outbox (family, event) VALUES (:family, {cast})"), rows)


def waiting(database: Database) -> bool:
    """Whether a row has no verdict; raises SystemExit when one was refused."""
    with database.writing() as connection:
        if connection.execute(text("SELECT 1 FROM migex_outbox WHERE answer = 'refused' LIMIT 1")).first():
            raise SystemExit("A row was refused.")
        return bool(connection.execute(text("SELECT 1 FROM migex_outbox WHERE sent_at IS NULL LIMIT 1")).first())


def where_it_goes(settings: Settings, files: Mapping[str, bytes]) -> Iterator[Table]:
    """Yield the shares of the modules in each file's way through the door, into an inbox that keeps nothing."""
    convention = load(settings.convention)
    metrics = CollectorRegistry()
    telemetry, told = DoorTelemetry(metrics, "file", (AGENCY,)), FileTelemetry(metrics, (AGENCY,))
    door = FileDoor(Edges(admission(settings, convention), Frames(), telemetry, told), terms(settings, convention))
    door.prepare()
    dropped(settings, "first.jsonl", files["events.jsonl"])  # as above
    asyncio.run(door.turn(AGENCY, asyncio.Event()))
    for name, content in files.items():
        dropped(settings, name, content)
        profiler = cProfile.Profile()
        profiler.runcall(asyncio.run, door.turn(AGENCY, asyncio.Event()))
        modules, _ = shares(profiler)
        rows = [(module, share * 100) for module, share in modules.most_common() if share >= LEAST]
        yield Table(f"Where the file door's time goes, by module: {name}", ("module", "%"), rows)


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--events", type=int, default=20_000)
    asked(options)
    chosen = options.parse_args(argv)
    sheet = Sheet(chosen.report)
    events = list(crossings(chosen.events))
    with arena() as found, postgres_server() as server:
        settings = found.settings.model_copy(update={"files": Files(settle_secs=0, look_secs=0.1)})
        secrets.make(settings.secrets, load(settings.convention).agencies)
        found.topics()
        rows = list(by_file(settings, events))
        for url in (f"sqlite:///{settings.home}/agency.db", new_database(server)):
            rows += by_outbox(settings, url, events)
        notes = (f"{len(events):,} border crossings each, {len(CROSSING.fields)} columns",)
        sheet.add(Table("Files and outboxes, into Kafka", COLUMNS, rows, notes))
    with tempfile.TemporaryDirectory(prefix="migex-bench-") as scratch:
        settings = with_free_ports(Path(scratch), files=Files(settle_secs=0))
        secrets.make(settings.secrets, load(settings.convention).agencies)
        for table in where_it_goes(settings, files(events)):
            sheet.add(table)


if __name__ == "__main__":
    main()
