"""`migex totals`: what agencies say they hold, beside what the inbox holds of theirs.

Reads the whole inbox, archive first, with deduplicate's own fold, and keeps the state of one partition at a time in
memory: about a kilobyte a record of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import date, timedelta
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from ops import rebuild
from ops.settings import Settings
from schemas.conventions import load
from schemas.errors import Misconfigured
from streams.control_totals import Ledger, Total
from streams.deduplicate import Deduplicate, Version, read_state, winner
from streams.fold import Message
from streams.memory import Memory, Overlay

_STEP = 64
"""Messages folded at once."""

_EPOCH = date(1970, 1, 1)


class Wishes(NamedTuple):
    """Which totals to show."""

    archive: Path
    agency: str | None = None
    family: str | None = None
    since: date | None = None  # of those whose last day is not before it
    everything: bool = False  # those that agree too


def main(wishes: Wishes, settings: Settings, console: Console) -> int:
    """Print the totals that differ; return 1 when one does.

    Raises Misconfigured for an agency that the convention does not have, Broken when messages are missing, Unavailable
    when Kafka does not answer.
    """
    agencies = load(settings.convention).agencies
    if wishes.agency is not None and wishes.agency not in agencies:
        raise Misconfigured("unknown-agency", f"There is no agency {wishes.agency!r}: {', '.join(agencies)}.")
    codes = {agency.id: code for code, agency in agencies.items()}
    job = rebuild.job(rebuild.Wishes(wishes.archive), settings, settings.home)
    totals = [total for total in held(job.inbox, codes) if _wished(total, wishes, codes)]
    different = [total for total in totals if not total.agrees]
    console.print(_table(totals if wishes.everything else different, codes))
    console.print(f"{len(totals) - len(different):,} control totals agree, {len(different):,} differ")
    return int(bool(different))


def held(inbox: Iterable[Callable[[], Iterable[Message]]], agencies: dict[int, str]) -> list[Total]:
    """Return every control total of an inbox, given as one reading for each partition, with what the inbox holds."""
    ledger = Ledger()
    for partition, messages in enumerate(inbox):
        for version in _winners(partition, messages(), agencies):
            ledger.take(version)
    return ledger.totals()


def _winners(partition: int, messages: Iterable[Message], agencies: dict[int, str]) -> Iterator[Version]:
    state, fold = Memory(), Deduplicate(partition, 1, agencies)
    left = iter(messages)
    while some := list(islice(left, _STEP)):
        step = Overlay(state)
        fold.fold(step, some)
        step.commit()
    for key, _ in state.scan(b"r"):
        record = read_state(state, key[1:])
        if record is not None and record.versions:
            yield winner(record.versions)


def _wished(total: Total, wishes: Wishes, agencies: dict[int, str]) -> bool:
    return (
        wishes.agency in {None, agencies.get(total.agency)}
        and wishes.family in {None, total.family}
        and (wishes.since is None or _day(total.last_day) >= wishes.since)
    )


def _table(totals: Iterable[Total], agencies: dict[int, str]) -> Table:
    table = Table(title="Control totals")
    for name in ("agency", "family", "first day", "last day", "place"):
        table.add_column(name)
    for name in ("said", "held", "difference"):
        table.add_column(name, justify="right")
    for total in totals:
        place = total.checkpoint or total.region or ""
        counted = ("?", "?") if total.held is None else (f"{total.held:,}", f"{total.held - total.said:+,}")
        days = (_day(total.first_day).isoformat(), _day(total.last_day).isoformat())
        table.add_row(agencies.get(total.agency, "?"), total.family, *days, place, f"{total.said:,}", *counted)
    return table


def _day(number: int) -> date:
    return _EPOCH + timedelta(days=number)
