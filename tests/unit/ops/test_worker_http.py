"""Metrics, health and questions of a process without a server of its own."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry, Counter

from ops.worker_http import state_server
from schemas.errors import Misconfigured, Reason, Refused, Unavailable


def answer(path: str, query: dict[str, str]) -> dict[str, Any] | None:
    match path:
        case "/record":
            return {"id": query["id"]}
        case "/refused":
            raise Refused((Reason("bad-id", "id", "must be hexadecimal.", "Send the receipt."),))
        case "/away":
            raise Unavailable("moving", "The partition is moving.", 7)
        case "/broken":
            raise ZeroDivisionError
    return None


@pytest.mark.parametrize(
    ("url", "status", "part"),
    [
        ("/health", 200, '"ok"'),
        ("/metrics", 200, "things_total 3.0"),
        ("/metrics", 200, "process_resident_memory_bytes"),
        ("/v1/state/record?id=7", 200, '{"id": "7"}'),
        ("/v1/state/record", 422, "bad-question"),
        ("/v1/state/refused", 422, "bad-id"),
        ("/v1/state/away", 503, "moving"),
        ("/v1/state/broken", 500, "broken"),
        ("/v1/state/nothing", 404, "not-here"),
    ],
)
async def test_answers(url: str, status: int, part: str) -> None:
    registry = CollectorRegistry()
    Counter("things", "Things.", registry=registry).inc(3)
    async with state_server(registry, answer) as address, httpx.AsyncClient(base_url=address) as client:
        got = await client.get(url)
    assert (got.status_code, part in got.text) == (status, True)
    assert got.headers.get("Retry-After") == ("7" if status == 503 else None)


async def test_listens_on_loopback_only_unless_told() -> None:
    async with state_server(CollectorRegistry(), answer) as address:
        assert address.startswith("http://127.0.0.1:")


async def test_taken_port_names_the_setting() -> None:
    async with state_server(CollectorRegistry(), answer) as address:
        port = int(address.rpartition(":")[2])
        with pytest.raises(Misconfigured, match=rf"Port {port} .*MIGEX_METRICS__BASE_PORT"):
            async with state_server(CollectorRegistry(), answer, port=port):
                pass
