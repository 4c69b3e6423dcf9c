"""Over HTTP: one agency's request, sent until there is an answer, as real clients do, and what was answered."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import httpx

from ops.chaos.ledger import Account, Told

_LATER = frozenset({408, 429, 500, 502, 503, 504})
"""Statuses under which nothing was said to be accepted."""

AGAIN_SECS = 0.2
"""Before something is sent again."""


class Event(NamedTuple):
    """One event as its sender means it, and the answer that it deserves ("accepted" or "refused")."""

    line: bytes
    wanted: str


class Request(NamedTuple):
    """Some events of one agency and family in one body; alone, one may stand as an object."""

    account: Account
    events: Sequence[Event]
    single: bool
    key: str | None  # Idempotency-Key


class HttpDoor:
    """The gateway, as agencies see it."""

    def __init__(self, http: httpx.AsyncClient, url: str, keys: Mapping[str, str]) -> None:
        """`http` is closed by the caller; `keys` are the agencies' own."""
        self._http = http
        self._url = url
        self._keys = keys
        self.repeats = 0
        """Requests that were sent again, because no answer came."""

    async def deliver(self, request: Request) -> list[Told]:
        """Send until there is an answer, and return what it says of each event.

        What was sent without a name and not answered may have been taken each time: so many deliveries more there may
        be. Under a name, it counts once.
        """
        unanswered = 0
        while (answer := await self._ask(request)) is None:
            unanswered += 1
            self.repeats += 1
            await asyncio.sleep(AGAIN_SECS)
        most = 1 + (0 if request.key is not None else unanswered)
        verdicts = [answer] if request.single else answer["verdicts"]
        return [
            Told(*request.account, event.line, event.wanted, verdict["answer"], verdict["record_no"], 1, most)
            for event, verdict in zip(request.events, verdicts, strict=True)
        ]

    async def _ask(self, request: Request) -> dict[str, Any] | None:
        """Return what the door said; None: nothing that says what became of it. Waits while there is no door at all."""
        agency, family = request.account
        headers = {"X-API-Key": self._keys[agency]}
        headers["Content-Type"] = "application/json" if request.single else "application/x-ndjson"
        if request.key is not None:
            headers["Idempotency-Key"] = request.key
        body = b"\n".join(event.line for event in request.events)
        while True:
            try:
                answer = await self._http.post(f"{self._url}/v1/events/{family}", content=body, headers=headers)
            except httpx.ConnectError:  # nobody heard anything
                await asyncio.sleep(AGAIN_SECS)
                continue
            except httpx.TransportError:
                return None
            if answer.status_code in _LATER:
                return None
            told: dict[str, Any] = answer.json()
            return told
