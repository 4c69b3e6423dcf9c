"""Preflight: the whole check of a file, and nothing kept of it.

What a row would be told is what admission says, by the same rules and codes; then whether the file says the same thing
twice, and whether the agency has published it before. A record's id is made from the agency that asks, so what others
have sent is not found, and no answer depends on it.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any, Literal, NamedTuple

from connectors.admission import Admission
from connectors.fates import Present, Sources
from connectors.rows import Row, portion
from connectors.verdicts import Arrival, Verdict, answer
from schemas.errors import Reason, Refused, Unavailable
from schemas.header import Header

CHUNK = 500
"""Rows that are checked before their findings are told."""

TURN = 50
"""Rows that are checked before others get their turn."""

Repeat = Literal["duplicate", "conflict", "older"]
"""The same revision with the same content; with another content; a newer revision is known."""


class Finding(NamedTuple):
    """What a row would be told, and what is known of its record."""

    row: int
    verdict: Verdict  # its receipt and delivery mean nothing: none was given
    in_file: Repeat | None  # as against an earlier row
    of_row: int | None  # which one
    published: Repeat | None  # as against what the agency has published


class Asker(NamedTuple):
    """Who asks: an agency, for a family, at an instant of the door's clock in ms since 1970."""

    agency: str
    family: str
    at: int


class Preflight:
    """The check of one file."""

    def __init__(self, admission: Admission, asker: Asker, sources: Sources | None) -> None:
        """`sources` tell what is published; None: nobody is asked, as when the system does not run."""
        self._admission = admission.unsealed()
        self._asker = asker
        self._sources = sources
        self._present: Present | None = None
        self._first: dict[tuple[bytes, int], tuple[bytes, int]] = {}  # record and revision: content, row
        self._summary: Counter[str] = Counter()
        self._codes: Counter[str] = Counter()
        self.broken: tuple[Reason, ...] = ()
        """Why the file could not be read on, if it could not."""
        self.unasked: str | None = None if sources else "offline"
        """Code of the reason why nobody could be asked what is published; None: all were asked."""

    @property
    def passed(self) -> bool:
        """Whether the file was read to its end and every row would be accepted."""
        return not self.broken and not self._summary["refused"]

    @property
    def summary(self) -> Mapping[str, Any]:
        """How many rows are what, and how many of the refused ones have a reason of each code."""
        names = ("rows", "accepted", "refused")
        repeats = ("duplicate", "conflict", "older")
        return {
            **{name: self._summary[name] for name in names},
            "codes": dict(sorted(self._codes.items())),
            "in_file": {each: self._summary[f"in_file {each}"] for each in repeats[:2]},
            "published": None if self.unasked else {each: self._summary[f"published {each}"] for each in repeats},
            "unasked": self.unasked,
        }

    async def findings(self, rows: Iterator[Row]) -> AsyncIterator[list[Finding]]:
        """Yield the findings of the rows, some at a time, in their order; an empty file has none."""
        while not self.broken:
            some = await asyncio.to_thread(self._read, rows)
            if not some:
                return
            found = await self._examined(some)
            for each in found:
                self._count(each)
            yield found

    def _read(self, rows: Iterator[Row]) -> list[Row]:
        """Return the next rows; reading may take long where a file is hostile, and admission is not waiting here."""
        found = []
        try:
            for row in portion(rows, CHUNK):
                found.append(row)  # those before a broken place are kept
        except Refused as refusal:
            self.broken = refusal.reasons
        return found

    async def _examined(self, rows: list[Row]) -> list[Finding]:
        agency, family, at = self._asker
        answers = []
        for number, row in enumerate(rows, 1):
            answers.append(answer(self._admission, Arrival(agency, family, bytes(8), at), row.event))
            if number % TURN == 0:
                await asyncio.sleep(0)
        known = await self._known([each.entry.header.record for each in answers if each.verdict.answer == "accepted"])
        found = []
        for row, (entry, verdict) in zip(rows, answers, strict=True):
            if verdict.answer == "refused":
                found.append(Finding(row.number, verdict, None, None, None))
            else:
                repeat, of_row = self._in_file(entry.header, row.number)
                found.append(Finding(row.number, verdict, repeat, of_row, _published(entry.header, known)))
        return found

    async def _known(self, records: list[bytes]) -> Mapping[bytes, Mapping[str, Any]]:
        """Return what deduplicate knows of these records; nothing once it could not be asked."""
        if self._sources is None or self.unasked or not records:
            return {}
        try:
            if self._present is None:
                self._present = await self._sources.present()
            return (await self._present.records(list(dict.fromkeys(records)))).found
        except Unavailable as away:
            self.unasked = away.code
            return {}

    def _in_file(self, header: Header, row: int) -> tuple[Repeat | None, int | None]:
        content, first = self._first.setdefault((header.record, header.revision), (header.digest, row))
        if first == row:
            return None, None
        return "duplicate" if content == header.digest else "conflict", first

    def _count(self, found: Finding) -> None:
        self._summary["rows"] += 1
        self._summary[found.verdict.answer] += 1
        self._summary[f"in_file {found.in_file}"] += 1
        self._summary[f"published {found.published}"] += 1
        self._codes.update({each.code for each in found.verdict.errors})


def _published(header: Header, known: Mapping[bytes, Mapping[str, Any]]) -> Repeat | None:
    versions = known.get(header.record, {"versions": ()})["versions"]
    same = [version["digest"] for version in versions if version["revision"] == header.revision]
    if same:
        return "duplicate" if header.digest.hex() in same else "conflict"
    return "older" if any(version["revision"] > header.revision for version in versions) else None
