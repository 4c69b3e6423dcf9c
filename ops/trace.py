"""Where one record is now and why: `migex trace AGENCY RECORD`."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import httpx
from rich.console import Console
from rich.table import Table

from connectors.feed_store.store import FeedStore
from ops.crews import addresses
from ops.settings import Settings
from schemas.contracts import FAMILIES
from schemas.conventions import load
from schemas.errors import Misconfigured, Unavailable
from schemas.header import record_id
from streams.topics import Topics, partition

_STANDING = {
    "counted": "counted",
    "represented": "not counted, because another report of the same happening represents it",
    "outside": "not counted, because no table counts what it reports",
    "quarantined": "not counted, because a fold failed on it: it waits in quarantine for its next version",
    "silent": "not counted yet: its statement has not reached its block",
}


def main(agency: str, record_no: str, settings: Settings) -> None:
    """Print the fate of a record, under every family in which the agency has one with this number.

    Raises Misconfigured for an unknown agency, Unavailable when a worker does not answer, or when the workers of this
    host have not what is asked for.
    """
    console = Console()
    found = [fate for family in FAMILIES if (fate := trace(agency, family, record_no, settings)) is not None]
    if not found:
        console.print(
            f"[bold]{agency}[/] has no record with this number in any family. It was never accepted: ask the sender "
            "for its receipt or verdict."
        )
    for fate in found:
        _print(console, fate, cells_now(fate, settings))


def trace(agency: str, family: str, record_no: str, settings: Settings) -> dict[str, Any] | None:
    """Return a record's versions, standing and cells, or None when the agency has no such record of this family."""
    convention = load(settings.convention)
    if agency not in convention.agencies:
        known = ", ".join(convention.agencies)
        raise Misconfigured("unknown-agency", f"The convention knows no agency {agency!r}: choose one of {known}.")
    record = record_id(agency, family, record_no)
    settings = settings.model_copy(update={"generation": _shown(settings)})
    topics = Topics.of(settings.generation, convention)
    home = partition(record, topics.partitions("inbox"))
    versions = _ask(settings, "deduplicate", home, "record", {"id": record.hex()})
    if versions is None:
        return None
    fate = {"agency": agency, "family": family, "record": record.hex(), **versions, "standing": None, "cells": []}
    if block := versions["block"]:
        home = partition(block.to_bytes(4, "big"), topics.partitions("log"))
        asked = {"id": record.hex(), "block": str(block)}
        fate.update(_ask(settings, "reconcile", home, "block", asked) or {"standing": "silent"})
    del fate["block"]  # a birth date: it stays inside
    return fate


def _shown(settings: Settings) -> int:
    """Return the generation that readers see."""
    with closing(FeedStore(settings.feed_url, settings.generation)) as store:
        return store.shown().generation


def _ask(settings: Settings, agent: str, home: int, question: str, query: dict[str, str]) -> dict[str, Any] | None:
    """Ask the worker that has the partition open; None: it does not know of the record.

    Raises Unavailable when a worker does not answer, or when none on this host has the partition.
    """
    for address in addresses(settings, agent, settings.generation):
        owned = _get(agent, address, "partitions", {})
        if owned is not None and home in owned["partitions"]:
            return _get(agent, address, question, query)
    raise Unavailable(
        "partition-elsewhere",
        f"No {agent} worker of this host has partition {home} open: ask on the host whose worker has it, or again when "
        "it is open. `migex status` says what is open here.",
    )


def _get(agent: str, address: tuple[str, int], question: str, query: dict[str, str]) -> dict[str, Any] | None:
    host, port = address
    try:
        answer = httpx.get(f"http://{host}:{port}/v1/state/{question}", params=query, timeout=10.0)
    except httpx.TransportError as error:
        raise Unavailable("worker-away", f"A {agent} worker does not answer: `migex status` shows why.") from error
    if answer.status_code == httpx.codes.NOT_FOUND:
        return None
    answer.raise_for_status()
    told: dict[str, Any] = answer.json()
    return told


def _print(console: Console, fate: dict[str, Any], figures: dict[str, int]) -> None:
    console.print(f"[bold]{fate['agency']} {fate['family']}[/]  record {fate['record']}")
    table = Table("revision", "op", "recorded", "deliveries", "speaks")
    for version in fate["versions"]:
        table.add_row(
            str(version["revision"]),
            version["op"],
            version["recorded_at"],
            str(version["deliveries"]),
            "yes" if version["speaks"] else "no",
        )
    console.print(table)
    if fate["refused_deliveries"]:
        console.print(f"refused deliveries: {fate['refused_deliveries']}")
    if fate["cancelled"]:
        console.print("not counted, because its newest version cancels it")
    elif fate["standing"] is not None:
        console.print(_STANDING[fate["standing"]])
    for cell in fate["cells"]:
        console.print(
            f"  counted in {cell}" + (f", which is {figures[cell]} at the latest cut" if cell in figures else "")
        )
    if fate.get("represented_by"):
        console.print(f"  represented by record {fate['represented_by']}")


def cells_now(fate: dict[str, Any], settings: Settings) -> dict[str, int]:
    """Return the present figure of each cell that the record is counted in; nothing before the first cut."""
    figures = {}
    with closing(FeedStore(settings.feed_url, settings.generation)) as store:
        shown = store.shown()
        for key in fate["cells"]:
            table, period, *codes = key.split("|")
            for cell in shown.cells(table, period, period):
                if list(cell.codes) == codes:
                    figures[key] = cell.measures[0]
    return figures
