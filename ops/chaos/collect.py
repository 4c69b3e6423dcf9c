"""What the system says afterwards: cells and books by the feed's HTTP, and every record's fate by the workers'."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping
from typing import Any

import httpx
import orjson

from ops.chaos.ledger import Account, Record
from ops.chaos.reckon import record_id
from ops.chaos.tables import TABLES
from ops.settings import Settings
from schemas.errors import Broken

_AT_ONCE = 150
"""Records of one question; the names of more would not fit into an address."""

_TRIES = 15

Bounds = Mapping[Account, Mapping[str, tuple[int, int]]]
"""What the books must say: least and most by entry."""


class Feed:
    """The feed, asked as any reader asks it."""

    def __init__(self, http: httpx.AsyncClient, settings: Settings) -> None:
        """`http` is closed by the caller."""
        self._http = http
        self._url = "http://{}:{}".format(*settings.address("feed"))

    async def cut(self) -> str | None:
        """Return the newest cut; None: there is none, or nobody answers."""
        try:
            answer = await self._http.get(f"{self._url}/health", timeout=2)
        except httpx.TransportError:
            return None
        return orjson.loads(answer.content).get("cut") if answer.is_success else None

    async def books(self) -> dict[Account, dict[str, int]]:
        """Return the books at the newest cut; empty while nobody answers."""
        try:
            answer = await self._http.get(f"{self._url}/v1/books", timeout=5)
        except httpx.TransportError:
            return {}
        rows = orjson.loads(answer.content)["books"] if answer.is_success else []
        return {(row["agency"], row["family"]): row["counts"] for row in rows}

    async def cells(self) -> dict[str, int]:
        """Return the cells of all `TABLES` at the newest cut, by TABLE|PERIOD|code|…; raises httpx.HTTPError."""
        found: dict[str, int] = {}
        for table in TABLES:
            query = {"detail": "true", "format": "json"}
            answer = await self._http.get(f"{self._url}/v1/tables/{table}", params=query, timeout=60)
            whole = orjson.loads(answer.raise_for_status().content)
            names = whole["dimensions"]
            several = len(whole["measures"]) > 1
            for seen in whole["observations"]:
                key = [table, seen["TIME_PERIOD"], *(seen[name] for name in names)]
                if several:
                    key.append(seen["INDICATOR"])
                found["|".join(key)] = seen["OBS_VALUE"]
        return found


async def settled(feed: Feed, bounds: Bounds, secs: float) -> bool:
    """Wait until the books know all that was told, balance, and stay so for three seconds; False: not in this time."""
    end = time.monotonic() + secs
    since: float | None = None
    before: object = None
    while time.monotonic() < end:
        books = await feed.books()
        if not _complete(books, bounds) or books != before:
            since = None
        if _complete(books, bounds):
            since = since or time.monotonic()
            if time.monotonic() - since > 3.0:
                return True
        before = books
        await asyncio.sleep(0.5)
    return False


def _complete(books: Mapping[Account, Mapping[str, int]], bounds: Bounds) -> bool:
    """Whether the books know as many deliveries as were told, and as many speak as should."""
    return all(
        books.get(account, {}).get(entry, 0) >= wanted[entry][0]
        for account, wanted in bounds.items()
        for entry in ("deliveries", "speaking")
        if entry in wanted
    )


Fates = dict[Record, dict[str, Any] | None]


async def fates(http: httpx.AsyncClient, settings: Settings, records: Iterable[Record], secs: float = 30.0) -> Fates:
    """Return what the workers say of each record, as `migex trace` does; None: they never heard of it.

    What a worker does not have may be about to come to it from another one: it is asked again for so long. Raises
    Broken when a worker does not answer.
    """
    found: Fates = {}
    missing = list(records)
    end = None
    while missing:
        for begin in range(0, len(missing), _AT_ONCE):
            found.update(await _fates(http, settings, missing[begin : begin + _AT_ONCE]))
        missing = [record for record in missing if _not_there(found[record])]
        end = end or time.monotonic() + secs
        if time.monotonic() > end:
            break
        await asyncio.sleep(1.0 if missing else 0.0)
    return found


def _not_there(fate: Mapping[str, Any] | None) -> bool:
    return fate is None or (fate["block"] and fate["standing"] is None)


async def _fates(http: httpx.AsyncClient, settings: Settings, batch: list[Record]) -> Fates:
    names = {record: record_id(*record) for record in batch}
    known = await _ask(http, settings, "deduplicate", "records", names.values())
    spoken = [f"{fate['block']}-{name}" for name, fate in known.items() if fate["block"]]
    standings = await _ask(http, settings, "reconcile", "blocks", spoken)
    silent: dict[str, Any] = {"standing": None, "cells": []}
    return {
        record: known[name] | standings.get(name, silent) if name in known else None for record, name in names.items()
    }


async def _ask(
    http: httpx.AsyncClient, settings: Settings, agent: str, question: str, ids: Iterable[str]
) -> dict[str, Any]:
    listed = ",".join(ids)
    if not listed:
        return {}
    host, port = settings.address(agent)
    url = f"http://{host}:{port}/v1/state/{question}"
    for _ in range(_TRIES):
        try:
            answer = await http.get(url, params={"ids": listed}, timeout=60)
        except httpx.TransportError:  # it is being started again
            await asyncio.sleep(2.0)
            continue
        if answer.is_success:
            found: dict[str, Any] = answer.json()
            return found
        await asyncio.sleep(2.0)
    raise Broken("chaos-question", f"The {agent} worker does not answer questions about records.")
