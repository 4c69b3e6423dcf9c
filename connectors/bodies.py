"""Bodies: what a request brings, read within a time and unpacked under a cap."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from starlette.requests import Request

from connectors.avro_file import too_large_body
from connectors.reasons import WHOLE, reason
from connectors.unpacking import NotPackedSo, TooMuch, Unpacking
from schemas.errors import Refused

PATIENCE = 8
"""Times the largest body that are read, and thrown away, before the answer: senders seldom listen while they send."""

ENCODINGS: Mapping[str, str] = {"": "", "identity": "", "gzip": "gzip", "x-gzip": "gzip", "zstd": "zstd"}
"""Content-Encoding -> how to unpack it."""


async def body_of(request: Request, max_bytes: int, secs: float) -> bytes:
    """Return the body, unpacked; raises Refused for what is too large or not packed as it says.

    Raises TimeoutError when it has not come after so many seconds, ClientDisconnect when the connection ended before.
    """
    codec = ENCODINGS.get(request.headers.get("content-encoding", "").strip().lower())
    if codec is None:
        rule = "A body is packed by gzip or zstd, or not at all."
        raise Refused((reason("unsupported-media-type", WHOLE, rule),))
    async with asyncio.timeout(secs):
        return await _read(request, Unpacking(codec, max_bytes), max_bytes)


async def _read(request: Request, unpacking: Unpacking, max_bytes: int) -> bytes:
    """Return the body; a sender that is refused may finish within reason, so that it hears why."""
    refusal: Refused | None = None
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        try:
            if refusal is None:
                unpacking.add(chunk)
        except TooMuch:
            refusal = Refused((too_large_body(max_bytes),))
        except NotPackedSo:
            refusal = _broken()
        if size > max_bytes * PATIENCE:
            break
    if refusal is not None:
        raise refusal
    try:
        return unpacking.done()
    except NotPackedSo:
        raise _broken() from None


def _broken() -> Refused:
    return Refused((reason("bad-encoding", WHOLE, "The body is whole and packed as Content-Encoding says."),))
