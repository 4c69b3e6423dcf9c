"""Errors of the client, named by what the caller must do."""

from __future__ import annotations


class MigexError(Exception):
    """The root of all errors that the client raises on purpose."""

    def __init__(self, code: str, detail: str) -> None:
        """`code` is stable, `/v1/errors/{code}` of the gateway explains its own ones; `detail` is a sentence."""
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail


class GatewayAway(MigexError):
    """The gateway cannot be reached, or cannot keep anything now: make the same call again later, it counts once."""


class GatewayRefuses(MigexError):
    """The request itself is wrong, whatever events it brings: its key, what the agency may do, or the address."""

    def __init__(self, code: str, detail: str, status: int) -> None:
        """`status` is the one of HTTP."""
        super().__init__(code, detail)
        self.status = status
