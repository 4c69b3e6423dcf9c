"""`migex replay FILE…`: files of events through the same doors and folds in memory, to the same tables."""

from __future__ import annotations

import base64
import re
import secrets as chance
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from connectors.admission import Admission
from connectors.confluent import decode
from connectors.entry import Entry
from connectors.feed_store.cells import of_change
from connectors.formats import text
from connectors.inbox import frame
from connectors.places import Values
from connectors.strict_json import parse
from connectors.table_view import Edition, Source, view
from connectors.verdicts import Arrival, answer, delivery_id
from ops.settings import Settings
from schemas.codelists import CodeLists
from schemas.conventions import load
from schemas.errors import Misconfigured, Refused
from schemas.frame import MAX_RECORDS, encode, tick_frame
from schemas.keys import Secrets
from streams.dataflows import DATAFLOWS
from streams.dataflows.definition import Rules
from streams.replay import Replay
from streams.topics import partition

_NAME = re.compile(r"(?:\d+-)?(?P<agency>[a-z][a-z0-9_]*)\.(?P<family>[a-z]+\.[a-z]+)\b.*")


def main(files: Sequence[Path], agency: str | None, family: str | None, table: str, settings: Settings) -> None:
    """Fold the files and print a table and what was refused.

    Without `agency` and `family` a file's name tells them: `<agency>.<family>.jsonl`. Raises Misconfigured when neither
    does, or when there is no such table.
    """
    if table not in DATAFLOWS:
        raise Misconfigured("unknown-table", f"There is no table {table!r}: choose one of {', '.join(DATAFLOWS)}.")
    replayed = Run(settings)
    for file in files:
        replayed.read(file, *_sender(file, agency, family))
    sys.stdout.write(replayed.table(table))
    answers = ", ".join(f"{count:,} {what}" for what, count in sorted(replayed.answers.items()))
    sys.stderr.write(f"{answers or 'nothing was delivered'}\n")


class Run:
    """One replay: a door, the three folds and their cells, all in memory."""

    def __init__(self, settings: Settings) -> None:
        """The keys are made for this run: no figure depends on them."""
        self._convention = load(settings.convention)
        self._lists = CodeLists.load(*self._convention.codelist_directories)
        own = Secrets(link_key=chance.token_bytes(32), digest_key=chance.token_bytes(32))
        self._admission = Admission(self._convention, self._lists, own)
        self._replay = Replay(Rules(self._convention, self._lists))
        self._waiting: list[list[Entry]] = [[] for _ in self._replay.inbox.partitions]
        self._generation = settings.generation
        self.answers: Counter[str] = Counter()

    def read(self, file: Path, agency: str, family: str) -> None:
        """Deliver every line of a file; raises Misconfigured for an unknown agency."""
        if agency not in self._convention.agencies:
            known = ", ".join(self._convention.agencies)
            raise Misconfigured("unknown-agency", f"The convention knows no agency {agency!r}: choose one of {known}.")
        now = int(time.time() * 1000)
        for number, event in enumerate(_events(file, family)):
            arrival = Arrival(agency, family, delivery_id(str(file).encode(), number.to_bytes(8, "big")), now)
            entry, verdict = answer(self._admission, arrival, event)
            self.answers[verdict.answer] += 1
            where = partition(entry.partition_key, len(self._waiting))
            self._waiting[where].append(entry)
            if len(self._waiting[where]) == MAX_RECORDS:
                self._write(where)

    def table(self, table: str) -> str:
        """Close a cut over everything read and return the table as text."""
        tick = int(time.time())
        for where, waiting in enumerate(self._waiting):
            if waiting:
                self._write(where)
            self._replay.inbox.append(where, encode(tick_frame(tick)))
        self._replay.run()
        changes = [change for key, change in self._replay.cells.items() if key.startswith(f"{table}|")]
        cells = [of_change(change, tick) for change in changes]
        source = Source(DATAFLOWS[table], self._convention, self._lists)
        return text.render(view(source, cells, Edition(tick, self._generation)))

    def _write(self, where: int) -> None:
        self._replay.inbox.append(where, frame(self._waiting[where]))
        self._waiting[where] = []


def _events(file: Path, family: str) -> Iterator[Values | Refused]:
    """Yield the events of a JSONL file, or of a file of base64 lines with Avro as it stands on an agency topic."""
    with file.open("rb") as lines:
        for line in lines:
            if not line.strip():
                continue
            try:
                yield decode(base64.b64decode(line), family) if file.suffix == ".b64" else parse(line)
            except Refused as refusal:
                yield refusal


def _sender(file: Path, agency: str | None, family: str | None) -> tuple[str, str]:
    named = _NAME.fullmatch(file.name)
    found = agency or (named and named["agency"]), family or (named and named["family"])
    if not found[0] or not found[1]:
        raise Misconfigured(
            "unnamed-sender", f"{file.name} does not say whose events it holds: give --agency and --family."
        )
    return found[0], found[1]
