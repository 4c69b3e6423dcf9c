"""Builders of records and frames for the laws: what a door would have written, without a door."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from hashlib import blake2b
from typing import NamedTuple

from schemas import core, frame, header
from schemas.about import subject_key
from schemas.codelists import CodeLists
from schemas.contracts import FAMILIES, Family
from schemas.conventions import load
from schemas.header import Header, Kind, Op
from streams.dataflows.definition import Rules
from streams.topics import partition

CROSSING, DECISION = FAMILIES["border.crossing"], FAMILIES["link.decision"]
DAY_MS = 86_400_000


@cache
def rules() -> Rules:
    convention = load()
    return Rules(convention, CodeLists.load(*convention.codelist_directories))


def digest16(*parts: object) -> bytes:
    return blake2b(repr(parts).encode(), digest_size=16).digest()


def link_key(kind: int, name: object) -> bytes:
    return bytes([kind]) + digest16("key", kind, name)


class Crossing(NamedTuple):
    """One version of a crossing record as an agency would send it."""

    record: str
    revision: int = 1
    person: int = 1
    birth: int = 19800101
    day: int = 17600
    minute: int = 0
    direction: str = "IN"
    checkpoint: str = "BREST"
    op: int = Op.CREATE
    agency: int = 1
    recorded_at: int = 17601 * DAY_MS
    number: int | None = None  # personal number
    document: int | None = None  # another document than the person's usual one


class Decision(NamedTuple):
    """One version of an operator's decision whether two records are of one person."""

    record: str
    linking: str  # LINK or UNLINK
    first: Crossing
    second: Crossing
    birth: int
    revision: int = 1
    op: int = Op.CREATE
    day: int = 17610
    recorded_at: int = 17611 * DAY_MS
    agency: int = 15


class Entry(NamedTuple):
    """A delivery as it lies in the inbox."""

    header: Header
    core: bytes


def delivery(crossing: Crossing, nth: int = 0, accepted_at: int = 0) -> Entry:
    """Return the nth delivery of a version."""
    at = crossing.day * DAY_MS + crossing.minute * 60_000
    keys = [link_key(core.DOCUMENT, crossing.document or crossing.person), link_key(core.NAME, crossing.person)]
    if crossing.number is not None:
        keys.append(link_key(core.PERSONAL_NO, crossing.number))
    values = {"direction": crossing.direction, "checkpoint": crossing.checkpoint, "section": "PL", "mode": "CAR",
              "purpose": None, "result": "PASSED"}  # fmt: skip
    codes = tuple(values.get(name) for name in CROSSING.core_fields)
    said = core.Core(crossing.day, at, b"".join(sorted(keys)), crossing.birth, 1, ("UZB",), codes)
    return _entry(crossing, CROSSING, said, nth, accepted_at)


def decided(decision: Decision, nth: int = 0, accepted_at: int = 0) -> Entry:
    """Return the nth delivery of a version of a decision."""
    first, second = (_record(each, CROSSING) for each in (decision.first, decision.second))
    values = {"linking": decision.linking, "ground": "DOCUMENT", "first_record_no": first, "second_record_no": second}
    codes = tuple(values.get(name) for name in DECISION.core_fields)
    key = subject_key(DECISION.name, [first, second])
    said = core.Core(decision.day, decision.day * DAY_MS, key, decision.birth, 0, (), codes)
    return _entry(decision, DECISION, said, nth, accepted_at)


def _record(version: Crossing | Decision, family: Family) -> bytes:
    agency = next(a.code for a in rules().convention.agencies.values() if a.id == version.agency)
    return header.record_id(agency, family.name, version.record)


def _entry(version: Crossing | Decision, family: Family, said: core.Core, nth: int, accepted_at: int) -> Entry:
    cancelled = version.op == Op.CANCEL
    packed = Header(
        Kind.EVENT,
        version.op,
        version.agency,
        family.id,
        version.revision,
        0,
        0 if cancelled else version.birth,
        family.schema_id,
        1,
        0,
        version.recorded_at,
        accepted_at,
        _record(version, family),
        digest16(version._replace(recorded_at=0, revision=0)),
        digest16(version, nth)[:8],
    )
    return Entry(packed, b"" if cancelled else core.encode(said))


def inbox_frame(entries: Sequence[Entry]) -> bytes:
    """Return the frame in which a door would write these entries."""
    cores = [entry.core for entry in entries]
    bodies = [b""] * len(entries)
    return frame.encode(
        frame.Frame(
            -1,
            0,
            -1,
            0,
            header.pack([e.header for e in entries]),
            frame.sizes(cores),
            b"".join(cores),
            frame.sizes(bodies),
            b"",
            b"",
        )
    )


def place(entry: Entry, partitions: int) -> int:
    """Return the inbox partition of an entry."""
    return partition(entry.header.record, partitions)
