"""Publish over HTTP: events in batches to the gateway, and what it answered."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterable
from typing import NamedTuple

import httpx
import orjson
import stamina

from migex.batches import MOST, Batch, batches
from migex.line import AGAIN
from ops.tally import Tally
from schemas.errors import Broken, MigexError, Misconfigured, Unavailable

_FINAL = frozenset({401, 403, 404, 405, 415})
"""Statuses that every other batch would get too."""


class Target(NamedTuple):
    """Where and as whom to publish."""

    url: str  # of the gateway, such as http://127.0.0.1:8080
    family: str
    api_key: str


async def publish_http(
    lines: Iterable[bytes],
    target: Target,
    *,
    client: httpx.AsyncClient | None = None,
    at_once: int = 4,
    batch: int = MOST,
    patience_secs: float = 120,
    advance: Callable[[int], None] = lambda _: None,
) -> Tally:
    """Send every line as one event and return what was answered; blank lines are passed over.

    Requests that were not answered, or answered "later", are sent again under the same Idempotency-Key, so they count
    once; after `patience_secs` Unavailable is raised. Misconfigured: the key, the agency's rights or the address are
    wrong. `advance` is told the number of events answered each time; `client` is closed at the end.
    """
    tally = Tally()
    run = secrets.token_hex(8)
    requests = enumerate(batches(lines, batch))

    async def sender(http: httpx.AsyncClient) -> None:
        for number, request in requests:  # one iterator for all senders
            response = await _ask(http, target, request, f"{run}-{number}", patience_secs)
            _note(tally, request, response)
            advance(len(request.lines))

    try:
        async with client or httpx.AsyncClient(timeout=60) as http, asyncio.TaskGroup() as group:
            for _ in range(at_once):
                group.create_task(sender(http))
    except BaseExceptionGroup as several:
        ours = [error for error in several.exceptions if isinstance(error, MigexError)]
        raise ours[0] if ours else several.exceptions[0] from None
    return tally


async def _ask(
    http: httpx.AsyncClient, target: Target, request: Batch, key: str, patience_secs: float
) -> httpx.Response:
    """Return the gateway's answer; raises Unavailable when there is none in time, Misconfigured when all would fail."""
    headers = {"X-API-Key": target.api_key, "Content-Type": request.content_type, "Idempotency-Key": key}
    url = f"{target.url}/v1/events/{target.family}"
    again = stamina.retry_context(
        on=(httpx.TransportError, Unavailable), attempts=None, timeout=patience_secs, wait_initial=0.2, wait_max=2
    )
    try:
        async for attempt in again:
            with attempt:
                response = await http.post(url, content=request.body, headers=headers)
                if response.status_code in AGAIN:
                    raise Unavailable("gateway-away", f"The gateway answered {response.status_code}: try again later.")
                if response.status_code in _FINAL:
                    raise Misconfigured("not-taken", _problem(response))
                return response
    except httpx.TransportError as error:
        detail = (
            f"The gateway at {target.url} does not answer ({type(error).__name__}): does `migex status` show it up?"
        )
        raise Unavailable("gateway-away", detail) from error
    raise Broken("no-attempt", "No attempt was made.")


def _note(tally: Tally, request: Batch, response: httpx.Response) -> None:
    answer = orjson.loads(response.content)
    # without a list: one event, or a body that was refused as a whole, one delivery either way
    verdicts = answer.get("verdicts", [answer])
    if len(verdicts) != len(request.lines):
        raise Broken("verdicts-count", f"{len(request.lines)} events were sent and {len(verdicts)} answered.")
    for verdict in verdicts:
        tally.told(verdict)


def _problem(response: httpx.Response) -> str:
    """Return what a problem says; the text is the gateway's own, not the event's."""
    try:
        return f"The gateway answered {response.status_code}: {orjson.loads(response.content)['detail']}"
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return f"Something at this address answered {response.status_code}, but not as a gateway does."
