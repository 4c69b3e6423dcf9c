"""HTTP connections: who is at the other end by certificate, and how long a request's head may take.

uvicorn verifies client certificates but does not tell the application of them, and waits for ever for a head.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_BYTES = 256 * 1024
"""Bytes of a request's head at most; what is read at once may hold some of the body, too."""

HEAD_SECS = 20.0
"""Seconds from the connection, or the end of the request before, to the end of a head."""


class Connection(HttpToolsProtocol):
    """uvicorn's connection, which tells the peer's certificate and gives up those who never get to the point."""

    _head: int | None = 0  # bytes of the head that have come; None: it is complete
    _given_up: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn says so too
        """Begin to wait for the first head."""
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._have_head()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count what comes of the head."""
        if self._head is not None:
            self._head += len(data)
            if self._head > HEAD_BYTES:
                self.transport.close()
                return
        super().data_received(data)

    def on_message_begin(self) -> None:
        """Begin to wait for the head of a further request; tell the peer's certificate."""
        super().on_message_begin()
        if self._head is None:
            self._head = 0
            self._await_head()
        extensions: dict[str, Any] = self.scope.setdefault("extensions", {})
        extensions["tls"] = {"peercert": self.transport.get_extra_info("peercert")}

    def on_headers_complete(self) -> None:
        """Stop waiting."""
        self._have_head()
        super().on_headers_complete()

    def _await_head(self) -> None:
        self._given_up = self.loop.call_later(HEAD_SECS, self.transport.close)

    def _have_head(self) -> None:
        self._head = None
        if self._given_up is not None:
            self._given_up.cancel()
