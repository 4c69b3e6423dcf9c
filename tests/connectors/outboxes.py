"""An agency's database with an outbox, and a gateway that fails as it is told, for the tests of the outbox."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry
from sqlalchemy import Connection, text
from starlette.types import Receive, Scope, Send

from connectors.callers import Callers
from connectors.gateway import Edges, create_app
from connectors.inbox import MemoryInbox
from connectors.outbox.database import Database, definition
from ops.settings import Settings
from schemas.header import Kind
from streams.telemetry import DoorTelemetry
from tests.connectors.events import NOW, admission, event

CROSSING = "border.crossing"
ADMISSION = admission()
DEFECT = "FAILS-HERE"


class Door:
    """The real gateway over an inbox in memory, which fails as it is told."""

    def __init__(self) -> None:
        self.inbox = MemoryInbox()
        self.clock = NOW / 1000
        callers = Callers(lambda: {sha256(b"key").hexdigest(): "gpk"})
        telemetry = DoorTelemetry(CollectorRegistry(), "http", ["gpk"])
        self._app = create_app(Edges(ADMISSION, self.inbox, callers, telemetry, now=lambda: self.clock))
        self.statuses: list[int] = []  # answered to the next requests, instead of an answer
        self.loses: list[bool] = []  # whether the next answers get lost
        self.keys: list[str] = []
        self.defect = True  # fails on any request that holds `DEFECT`

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body, more = b"", True
        while more:
            part = await receive()
            body, more = body + part.get("body", b""), part.get("more_body", False)
        self.keys.append(dict(scope["headers"])[b"idempotency-key"].decode())
        if self.statuses:
            await _say(send, self.statuses.pop(0))
        elif self.defect and DEFECT.encode() in body:
            await _say(send, 500)
        else:
            whole = iter([{"type": "http.request", "body": body, "more_body": False}])

            async def again() -> Any:
                return next(whole)

            lost = bool(self.loses) and self.loses.pop(0)
            await self._app(scope, again, _nowhere if lost else send)
            if lost:
                await _say(send, 502)  # as a proxy says whose connection broke

    def records(self) -> list[tuple[str, int]]:
        """Record number and revision of what is accepted, in order, once for each delivery."""
        found = {each.header.delivery: each for each in self.inbox.entries if each.header.kind == Kind.EVENT}
        return [NUMBERS[each.header.record, each.header.revision] for each in found.values()]


async def _say(send: Send, status: int) -> None:
    headers = [(b"retry-after", b"7")] if status == 503 else []
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"{}"})


async def _nowhere(_: Any) -> None:
    """Lose the answer."""


NUMBERS: dict[tuple[bytes, int], tuple[str, int]] = {}
"""Record id and revision -> the number and revision that were written."""


class Home:
    """An agency's database with its outbox, and a clock of its own."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.database = Database(url)
        self.now = datetime(2026, 1, 1, tzinfo=UTC)
        self.script(definition(self.database.dialect))

    def script(self, sql: str) -> None:
        raw = self.database.engine.raw_connection()
        driver: Any = raw.driver_connection
        (driver.executescript if self.database.dialect == "sqlite" else driver.execute)(sql)
        raw.commit()
        raw.close()

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        with self.database.engine.begin() as connection:
            yield connection

    def insert(self, *events: object, family: str = CROSSING) -> None:
        with self.writing() as connection:
            for each in events:
                insert(connection, each, family)

    def rows(self) -> list[dict[str, Any]]:
        with self.writing() as connection:
            found = connection.execute(
                text("SELECT seq, batch, attempts, answer, verdict FROM migex_outbox ORDER BY seq")
            )
            rows = [dict(row) for row in found.mappings()]
        for row in rows:
            if isinstance(row["verdict"], str):
                row["verdict"] = json.loads(row["verdict"])
        return rows

    def answers(self) -> list[str | None]:
        return [row["answer"] for row in self.rows()]


def crossing(number: str, revision: int = 1, **changes: Any) -> dict[str, Any]:
    made = event(header__record_no=number, header__revision=revision, **changes)
    if revision > 1:
        made["header"]["op"] = "CORRECT"
    entry = ADMISSION.admit("gpk", CROSSING, made, b"12345678", NOW)
    NUMBERS[entry.header.record, revision] = (number, revision)
    return made


def insert(connection: Connection, each: object, family: str = CROSSING) -> None:
    said = each if isinstance(each, str) else json.dumps(each, indent=1)  # with line breaks, as people write it
    cast = "CAST(:event AS jsonb)" if connection.dialect.name == "postgresql" else ":event"
    connection.execute(
        text(f"INSERT INTO migex_outbox (family, event) VALUES (:f, {cast})"), {"f": family, "event": said}
    )


def key_file(home: Path) -> str:
    """Write the agency's API key below `home`; return where."""
    key = home / "gpk.key"
    key.touch(mode=0o600)
    key.write_text("key\n")
    return str(key)


def start(settings: Settings) -> subprocess.Popen[bytes]:
    """Start the poller as a process."""
    argv, environment = [sys.executable, "-m", "ops.cli", "outbox", "run"], {**os.environ, **settings.environment()}
    with (settings.home / "outbox.log").open("ab") as log:
        return subprocess.Popen(argv, env=environment, stdout=log, stderr=log)
