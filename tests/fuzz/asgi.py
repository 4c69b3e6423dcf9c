"""ASGI without sockets: one request to an application, byte by byte as a client might send it, cheaply."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

CPU_SECS = 20
"""Seconds of CPU after which one input is taken for a hang; a hundred times what the worst of them takes."""

Headers = Sequence[tuple[bytes, bytes]]


class Reply(NamedTuple):
    """What came back."""

    status: int
    headers: Headers
    body: bytes


class Hang(Exception):
    """One input took far more CPU than any may."""


async def ask(app: Any, method: str, path: str, headers: Headers, chunks: Sequence[bytes | None]) -> Reply:
    """Return the answer; raises what the application raises. None among the chunks: the client goes away."""
    place, _, query = path.encode(errors="replace").decode().partition("?")  # servers hand on what is UTF-8
    parts: list[MutableMapping[str, Any]] = []
    rest = list(chunks or [b""])

    async def receive() -> MutableMapping[str, Any]:
        if not rest:
            await asyncio.Event().wait()  # whoever has sent all waits for the answer
        if rest[0] is None:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": rest.pop(0), "more_body": bool(rest)}

    async def send(message: MutableMapping[str, Any]) -> None:
        parts.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": place,
        "raw_path": place.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": list(headers),
        "client": ("127.0.0.1", 9),
        "server": ("127.0.0.1", 80),
    }
    await app(scope, receive, send)
    return Reply(parts[0]["status"], parts[0]["headers"], b"".join(part.get("body", b"") for part in parts[1:]))


@contextmanager
def guarded() -> Iterator[Callable[[], None]]:
    """Give what is called before each input: that has `CPU_SECS` from then on, then `Hang` is raised in it."""

    def hangs(*_: object) -> None:
        raise Hang

    def begins() -> None:
        signal.setitimer(signal.ITIMER_PROF, CPU_SECS)

    before = signal.signal(signal.SIGPROF, hangs)
    try:
        yield begins
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
