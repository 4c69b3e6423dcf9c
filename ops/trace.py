"""Where one record is now and why: `migex trace AGENCY RECORD`.

The answer is the one that the agency itself gets from the gateway (`connectors.fates`), asked of the same workers, with
what only the operator may see: the figure of each cell.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any

import httpx
from rich.console import Console
from rich.table import Table

from connectors.fates import Asker, Fate, Fates, Missing
from connectors.feed_store.store import FeedStore
from connectors.receipts import Receipts
from ops import secrets
from ops.asking import WORKER_SECS, Workers
from ops.settings import Settings
from schemas.codelists import CodeLists
from schemas.contracts import FAMILIES
from schemas.conventions import load
from schemas.errors import Misconfigured, Unavailable
from streams.dataflows.definition import Rules

_STATES = {
    "refused": "refused",
    "accepted": "accepted, and not deduplicated yet",
    "deduplicated": "not counted yet",
    "counted": "counted",
    "not-counted": "not counted",
    "cancelled": "not counted",
}


def main(agency: str, record_no: str, settings: Settings) -> None:
    """Print the fate of a record, under every family in which the agency has one with this number.

    Raises Misconfigured for an unknown agency, Unavailable when a worker does not answer, or when the workers of this
    host have not what is asked for.
    """
    console = Console()
    found = trace(agency, record_no, settings)
    if not found:
        console.print(
            f"[bold]{agency}[/] has no record with this number in any family. It was never accepted: ask the sender "
            "for its receipt or verdict."
        )
    for fate in found:
        _print(console, agency, fate, cells_now(fate, settings))


def trace(agency: str, record_no: str, settings: Settings) -> list[Fate]:
    """Return the fates of the agency's records of this number, in the order of the families; none: no such record.

    Raises Unavailable also while messages that may hold it are not deduplicated yet.
    """
    return asyncio.run(_traced(agency, record_no, settings))


async def _traced(agency: str, record_no: str, settings: Settings) -> list[Fate]:
    convention = load(settings.convention)
    if agency not in convention.agencies:
        known = ", ".join(convention.agencies)
        raise Misconfigured("unknown-agency", f"The convention knows no agency {agency!r}: choose one of {known}.")
    async with httpx.AsyncClient(timeout=WORKER_SECS) as http:
        with closing(Workers(settings, convention, http, _as_workers_know)) as workers:
            rules = Rules(convention, CodeLists.load(*convention.codelist_directories))
            fates = Fates(workers, rules, Receipts(secrets.load(settings.secrets)))
            asked = [(record_no, family) for family in FAMILIES]
            answers = await fates.of_records(Asker(agency, "en"), asked)
    found = [fate for answer in answers if not isinstance(answer, Missing) for fate in answer]
    behind = max((answer.behind for answer in answers if isinstance(answer, Missing)), default=0)
    if not found and behind:
        detail = f"The record is not known, and {behind} messages that may hold it are not deduplicated yet: ask again."
        raise Unavailable("record-unsettled", detail)
    return found


async def _as_workers_know() -> Mapping[int, int]:
    """Leave it to the workers to say where the inbox ends: an operator need not be let in to Kafka for this."""
    return {}


def _print(console: Console, agency: str, fate: Fate, figures: Sequence[int | None]) -> None:
    console.print(f"[bold]{agency} {fate['family']}[/]")
    table = Table("revision", "op", "recorded", "accepted", "door", "inbox", "deliveries", "state")
    for version in fate["versions"]:
        table.add_row(
            str(version["revision"]),
            version["op"],
            version["recorded_at"],
            version["accepted_at"],
            version["door"],
            "{partition}:{offset}".format(**version["inbox"]),
            str(version["deliveries"]),
            " ".join([version["state"], *(reason["code"] for reason in version["reasons"])]),
        )
    console.print(table)
    for refusal in fate["refusals"]:
        reasons = ", ".join(f"{error['code']} ({error['field']})" for error in refusal["errors"])
        console.print(f"refused at {refusal['refused_at']}: {reasons}")
    console.print(": ".join([_STATES[fate["state"]], " ".join(reason["text"] for reason in fate["reasons"])]))
    for cell, figure in zip(fate["counted_in"], figures, strict=True):
        now = "" if figure is None else f", which is {figure} at the latest cut"
        console.print(f"  counted in {_key(cell)}{now}")
    for outside in fate["not_counted_in"]:
        console.print(f"  not counted in {outside['table']}: {outside['reason']['text']}")


def _key(cell: Mapping[str, Any]) -> str:
    return "|".join([cell["table"], cell["period"], *cell["codes"].values()])


def cells_now(fate: Fate, settings: Settings) -> list[int | None]:
    """Return the present figure of each cell that the record is counted in; None before the first cut with it."""
    figures: list[int | None] = []
    with closing(FeedStore(settings.feed_url, settings.generation)) as store:
        shown = store.shown()
        for named in fate["counted_in"]:
            codes = tuple(named["codes"].values())
            cells = shown.cells(named["table"], named["period"], named["period"])
            figures.append(next((cell.measures[0] for cell in cells if cell.codes == codes), None))
    return figures
