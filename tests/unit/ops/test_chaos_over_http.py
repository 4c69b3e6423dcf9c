"""A sender of a run of chaos sends again until it is answered, and knows how often that may have counted."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from aiohttp import web

from ops.chaos.over_http import Event, HttpDoor, Request
from ops.ports import free_block

EVENTS = [Event(b'{"a": 1}', "accepted"), Event(b'{"a"', "refused")]
VERDICTS = [{"answer": "accepted", "record_no": "A"}, {"answer": "refused", "record_no": None}]


class Gateway:
    """A gateway that breaks the connection, then says "later", then answers."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.keys: list[str | None] = []

    async def take(self, request: web.Request) -> web.StreamResponse:
        self.bodies.append(await request.read())
        self.keys.append(request.headers.get("Idempotency-Key"))
        if len(self.bodies) == 1:
            assert request.transport is not None
            request.transport.abort()
        if len(self.bodies) == 2:
            return web.Response(status=503)
        return web.json_response({"verdicts": VERDICTS})


@asynccontextmanager
async def gateway(port: int) -> AsyncIterator[Gateway]:
    made = Gateway()
    app = web.Application()
    app.add_routes([web.post("/v1/events/{family}", made.take)])
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    yield made
    await runner.cleanup()


@pytest.mark.parametrize(("key", "most"), [(None, 3), ("named", 1)])
async def test_what_was_not_answered_may_have_counted_unless_it_has_a_name(key: str | None, most: int) -> None:
    port = free_block(1)
    async with gateway(port) as door, httpx.AsyncClient() as http:
        sender = HttpDoor(http, f"http://127.0.0.1:{port}", {"cbp": "secret"})
        told = await sender.deliver(Request(("cbp", "border.crossing"), EVENTS, single=False, key=key))
    assert [(each.answer, each.wanted, each.least, each.most) for each in told] == [
        ("accepted", "accepted", 1, most),
        ("refused", "refused", 1, most),
    ]
    assert set(door.bodies) == {b'{"a": 1}\n{"a"'}
    assert door.keys == [key] * 3
    assert sender.repeats == 2
