"""Doors at which bombs are laid: each reads a bomb from a file, is warm, and says the code of the answer."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import orjson
from prometheus_client import CollectorRegistry

from connectors import confluent
from connectors.file_door.reading import rows_of
from connectors.gateway import Limits
from connectors.registry import create_app
from connectors.rows import BY_FIELD
from connectors.sandbox import Sandbox
from schemas.contracts import FAMILIES
from schemas.errors import Refused
from tests.bombs.blast import Door, Go
from tests.connectors.doors import ADMISSION, CONVENTION, KEYS
from tests.connectors.doors import Door as Gateway
from tests.connectors.events import NOW, event
from tests.fuzz.asgi import ask

FAMILY = "border.crossing"
SUBJECT = f"migex.agency.gpk.{FAMILY}.v1-value"
_CHUNK = 1 << 16  # bytes that a server hands on at a time
_FILE_BYTES = 1 << 30


@cache
def gateway() -> Any:
    """Return the gateway; whoever asks before the bombs' processes are begun makes it once for all of them."""
    return Gateway(Limits()).app


def http(path: str, warm: bytes, headers: Mapping[str, str]) -> Door:
    """Return the gateway at one address; `warm` is asked first, for what is loaded then is not the bomb's."""

    def ready(file: Path) -> Go:
        app = gateway()
        chunks = _chunks(file.read_bytes())
        sent = {"X-API-Key": KEYS["gpk"], "Content-Type": "application/json", **headers}
        plain = {name: value for name, value in sent.items() if name != "Content-Encoding"}
        _asked(app, path, [warm], plain)
        return partial(_asked, app, path, chunks, sent)

    return ready


def registry(path: str) -> Door:
    """Return the registry of a sandbox at one address."""

    def ready(file: Path) -> Go:
        app = create_app(CONVENTION, CollectorRegistry(), Sandbox(Path(":memory:")))
        chunks = _chunks(file.read_bytes())
        headers = {"Content-Type": "application/json"}
        _asked(app, path, [orjson.dumps({"schema": '"string"'})], headers)
        return partial(_asked, app, path, chunks, headers)

    return ready


def _chunks(content: bytes) -> list[bytes]:
    return [content[begin : begin + _CHUNK] for begin in range(0, len(content), _CHUNK)]


def _asked(app: Any, path: str, chunks: Sequence[bytes], headers: Mapping[str, str]) -> str:
    sent = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    reply = asyncio.run(ask(app, "POST", path, sent, chunks))
    return _code(reply.status, orjson.loads(reply.body))


def _code(status: int, told: Mapping[str, Any]) -> str:
    """Return the code of an answer: of the whole, of the first event refused, or of what broke a file off."""
    if "error_code" in told:
        return str(told["error_code"])
    for each in (told, *told.get("verdicts", ()), *told.get("rows", ())):
        if each.get("errors"):
            return str(each["errors"][0]["code"])
    if told.get("broken"):
        return str(told["broken"][0]["code"])
    return str(told.get("type", status)).rpartition("/")[2]


def dropped(name: str) -> Door:
    """Return the file door's reading of a file of this name."""

    def ready(file: Path) -> Go:
        return partial(_read, file, name)

    return ready


def _read(path: Path, name: str) -> str:
    code = "read"
    with path.open("rb") as file:
        try:
            for row in rows_of(file, name, FAMILY, BY_FIELD, _FILE_BYTES):
                code = row.event.code if isinstance(row.event, Refused) else code
        except Refused as refusal:
            return refusal.code
    return code


def kafka(file: Path) -> Go:
    """Make the Kafka door's reading and admission of one message ready."""
    content = file.read_bytes()
    _message(confluent.encode(FAMILIES[FAMILY], event()))
    return partial(_message, content)


def _message(value: bytes) -> str:
    try:
        ADMISSION.admit("gpk", FAMILY, confluent.decode(value, FAMILY), bytes(8), NOW)
    except Refused as refusal:
        return refusal.code
    return "accepted"
