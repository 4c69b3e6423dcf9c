"""The small server inside a process that has no other: metrics, health, and questions about its own state."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import structlog
from aiohttp import web
from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from schemas.errors import Misconfigured, Refused, Unavailable

Answer = Callable[[str, dict[str, str]], dict[str, Any] | None]
"""A question's path below `/v1/state` and its parameters -> the answer; None: not here."""

_STATE = "/v1/state"


def create_app(registry: CollectorRegistry, answer: Answer) -> web.Application:
    """Return the app with GET /health, /metrics and /v1/state/…; adds memory and CPU of this process to `registry`."""
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)

    async def health(_: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def state(request: web.Request) -> web.Response:
        try:
            found = answer(request.path.removeprefix(_STATE), dict(request.query))
        except Refused as error:
            return _problem(422, error.code, error.detail)
        except Unavailable as error:
            return _problem(503, error.code, error.detail, {"Retry-After": str(error.retry_after_secs)})
        except (KeyError, ValueError):
            return _problem(422, "bad-question", "A parameter is missing or has the wrong form.")
        except Exception:
            # a question must not end the worker, and its parameters must not get into the log
            structlog.get_logger(__name__).exception("A question about the state failed.")
            return _problem(500, "broken", "The worker could not answer; its log says why.")
        if found is None:
            return _problem(404, "not-here", "This worker does not have it: it may belong to another one.")
        return web.json_response(found)

    app = web.Application()
    app.add_routes(
        [web.get("/health", health), web.get("/metrics", metrics), web.get(_STATE + "/{question:.+}", state)]
    )
    return app


@asynccontextmanager
async def state_server(
    registry: CollectorRegistry, answer: Answer, host: str = "127.0.0.1", port: int = 0
) -> AsyncIterator[str]:
    """Serve while the body runs; gives the address. `port` 0: a free one.

    Raises Misconfigured when the port is taken.
    """
    runner = web.AppRunner(create_app(registry, answer), access_log=None, handle_signals=False, shutdown_timeout=1.0)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            raise Misconfigured(
                "port-taken", f"Port {port} of {host} is in use by another program: set MIGEX_METRICS__BASE_PORT."
            ) from error
        yield f"http://{host}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def _problem(status: int, code: str, detail: str, headers: dict[str, str] | None = None) -> web.Response:
    """Return an RFC 9457 answer."""
    body = {"type": "about:blank", "status": status, "code": code, "detail": detail}
    return web.json_response(body, status=status, headers=headers, content_type="application/problem+json")
