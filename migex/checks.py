"""Checks: what the events of a file would be told, found out before any of them is sent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from migex.answers import Reason
from migex.batches import Event, as_json

FORMS: Mapping[str, str] = MappingProxyType(
    {
        ".csv": "text/csv",
        ".tsv": "text/csv",
        ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        ".jsonl": "application/x-ndjson",
        ".ndjson": "application/x-ndjson",
        ".json": "application/json",
        ".avro": "application/avro",
    }
)
"""How a file's name ends, and what it is."""

_ONE_LINE = bytes.maketrans(b"\r\n", b"\t\t")  # where JSON allows the one it allows the other, and nowhere else


@dataclass(frozen=True, slots=True)
class Finding:
    """What one row would be told, and what is known of its record."""

    row: int  # line of a text, row of a sheet, else ordinal; from 1
    answer: str  # accepted or refused
    record_no: str | None
    revision: int | None
    in_file: str | None  # as against an earlier row: duplicate or conflict
    of_row: int | None  # that row
    published: str | None  # as against what the agency has published: duplicate, conflict or older
    errors: tuple[Reason, ...]

    @property
    def accepted(self) -> bool:
        """Whether the event would be taken in."""
        return self.answer == "accepted"


@dataclass(frozen=True, slots=True)
class Check:
    """The check of a file or of some events; nothing of them was taken in."""

    findings: tuple[Finding, ...]
    broken: tuple[Reason, ...]  # why the file could not be read on after the last of them
    passed: bool  # it was read to its end, and every row would be accepted
    summary: Mapping[str, Any]  # how many rows are what; docs/rows.md
    unasked: str | None  # why nobody could be asked what is published; None: all were

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Check:
        """Return the check that the gateway told; raises KeyError or TypeError when it is none."""
        findings = tuple(_finding(each) for each in told["rows"])
        broken = tuple(Reason.of(each) for each in told["broken"])
        return cls(findings, broken, told["passed"], told["summary"], told["summary"]["unasked"])


def content(events: Iterable[Event] | Path | str) -> tuple[str, bytes]:
    """Return the content type and the bytes of a file, by its path, or of events: one a line, blank ones passed over.

    Raises ValueError for a file whose name does not end as one of `FORMS`, OSError for one that cannot be read; of
    events what `migex.batches.as_json` raises.
    """
    if not isinstance(events, Path | str):
        lines = (as_json(each).translate(_ONE_LINE) for each in events)
        return FORMS[".ndjson"], b"\n".join(line for line in lines if line)
    file = Path(events)
    form = FORMS.get(file.suffix.lower())
    if form is None:
        raise ValueError(f"The name of a file of events ends in one of {', '.join(FORMS)}.")
    return form, file.read_bytes()


def _finding(told: Mapping[str, Any]) -> Finding:
    who = (told["row"], told["answer"], told["record_no"], told["revision"])
    known = (told["in_file"], told["of_row"], told["published"])
    return Finding(*who, *known, tuple(Reason.of(each) for each in told["errors"]))
