"""Line: HTTP to one gateway, which is asked until it answers or patience ends."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Mapping

import httpx

from migex.errors import GatewayAway, GatewayRefuses

AGAIN = frozenset({408, 429, 500, 502, 503, 504})
"""Statuses under which nothing was said to be taken in; the same request is sent again."""

FIRST_WAIT_SECS, LONGEST_WAIT_SECS = 0.2, 5.0

_chance = secrets.SystemRandom()


class Line:
    """A gateway and the patience that is had with it."""

    def __init__(self, url: str, headers: Mapping[str, str], patience_secs: float, http: httpx.Client) -> None:
        """`http` is closed with the line."""
        self._url = url.rstrip("/")
        self._headers = headers
        self._patience_secs = patience_secs
        self._http = http
        self._closed = threading.Event()

    def ask(
        self,
        method: str,
        path: str,
        *,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """Return the answer; raises GatewayAway when there is none in time, or only "later".

        Between two attempts it waits as long as Retry-After says, else longer each time, by chance a little more or
        less, so that many who wait do not come back at once.
        """
        until = time.monotonic() + self._patience_secs
        wait = FIRST_WAIT_SECS
        both = {**self._headers, **(headers or {})}
        while True:
            asked: float | None = None
            try:
                response = self._http.request(
                    method, f"{self._url}{path}", content=content, headers=both, params=params
                )
                if response.status_code not in AGAIN:
                    return response
                away = f"The gateway answered {response.status_code}: send the same again later."
                asked = _retry_after(response)
            except httpx.TransportError as error:
                away = f"The gateway at {self._url} does not answer ({type(error).__name__})."
            wait = min(wait * 2, LONGEST_WAIT_SECS)
            pause = asked if asked is not None else _chance.uniform(wait / 2, wait)
            if time.monotonic() + pause > until or self._closed.wait(pause):
                raise GatewayAway("gateway-away", away)

    def close(self) -> None:
        """Close the connections; whoever waits for the next attempt is told that the gateway is away."""
        self._closed.set()
        self._http.close()


def refusal(response: httpx.Response) -> GatewayRefuses:
    """Return what a problem says (RFC 9457) as an error; the text is the gateway's own."""
    status = response.status_code
    try:
        problem = response.json()
        return GatewayRefuses(problem["type"].rpartition("/")[2], problem["detail"], status)
    except (ValueError, KeyError, TypeError, AttributeError):
        return GatewayRefuses("no-gateway", f"What answered {status} at this address is no gateway of migex.", status)


def _retry_after(response: httpx.Response) -> float | None:
    asked = response.headers.get("retry-after", "")
    return float(asked) if asked.isascii() and asked.isdigit() else None
