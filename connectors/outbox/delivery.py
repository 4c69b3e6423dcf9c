"""Delivery: one request to the gateway, and what its answer means for the rows in it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import httpx
import orjson

from connectors.outbox.table import Row

TIMEOUT_SECS = 60.0
_OF_THE_FAMILY = frozenset({403, 404})
"""Statuses with which the gateway refuses every event of a family alike."""

_OF_THE_BODY = frozenset({400, 413, 415, 422})
"""Statuses with which it refuses a body because of what is in it."""

_DEFECT = 500
_NAME = re.compile(r"[\w-]{1,64}(\.[\w-]{1,64}){0,8}", re.ASCII)


class Told(NamedTuple):
    """The gateway answered each row."""

    verdicts: Sequence[dict[str, Any]]


class TooMuch(NamedTuple):
    """Something in the request fails all of it: fewer rows at once will show what."""


class Defect(NamedTuple):
    """The gateway itself failed on what is in the request."""


class Away(NamedTuple):
    """Nobody answered who could; the same request is sent again."""

    reason: str
    retry_after_secs: float | None = None


Outcome = Told | TooMuch | Defect | Away


class Gateway:
    """The gateway, as one agency speaks to it."""

    def __init__(self, client: httpx.Client, key: Callable[[], str]) -> None:
        """`client` has the gateway's address; `key` gives the API key, asked each time, so that it can be replaced."""
        self._client = client
        self._key = key

    def send(self, family: str, rows: Sequence[Row], idempotency_key: str) -> Outcome:
        """Send the rows as one request; nothing is raised for anything that the gateway or the network does."""
        headers = {
            "X-API-Key": self._key(),
            "Content-Type": "application/x-ndjson",
            "Idempotency-Key": idempotency_key,
        }
        body = b"\n".join(map(_line, rows))
        try:
            answer = self._client.post(f"/v1/events/{_segment(family)}", content=body, headers=headers)
        except httpx.HTTPError as error:
            return Away(f"The gateway does not answer: {type(error).__name__}.")
        return _outcome(answer, len(rows))


def _segment(family: str) -> str:
    """Return a family as a part of a path; what cannot be one's name is "_", of which the gateway says that it is none.

    Else a row could lead elsewhere, and wait for ever with all others for an answer to itself.
    """
    return family if _NAME.fullmatch(family) else "_"


def _line(row: Row) -> bytes:
    """Return an event as one line, for in JSON line breaks stand where blanks may; what is no event stays none."""
    line = row.event.replace("\n", " ").encode()
    return line if line.strip() else b'""'  # a blank line would be passed over


def _outcome(answer: httpx.Response, rows: int) -> Outcome:
    said = _said(answer)
    status = answer.status_code
    verdicts = said.get("verdicts")
    if status == httpx.codes.OK and isinstance(verdicts, list) and len(verdicts) == rows:
        return Told(verdicts)
    refused = said.get("answer") == "refused"  # the gateway's own word: a proxy before it would not say so
    if refused and status in _OF_THE_FAMILY:
        return Told([said] * rows)
    if refused and status in _OF_THE_BODY:
        return Told([said]) if rows == 1 else TooMuch()
    if status == _DEFECT:
        return Defect()
    reason = f"The gateway's address answered {status}: {said.get('detail', 'not as a gateway does')}"
    return Away(reason[:500], _seconds(answer.headers.get("Retry-After")))


def _said(answer: httpx.Response) -> dict[str, Any]:
    try:
        said = orjson.loads(answer.content)
    except orjson.JSONDecodeError:
        return {}
    return said if isinstance(said, dict) else {}


def _seconds(header: str | None) -> float | None:
    return float(header) if header is not None and header.isdecimal() else None
