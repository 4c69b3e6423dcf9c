"""Natural duplicates: several reports of one happening, of which one represents it.

Two agencies report one crossing; a scanner reads a passport twice. Reports of one person, of one family, with the
same natural key (named in the contract) and, where the contract says so, the same document, are chained while each
follows the one before within the tolerance. The chain is one happening (design decision 10; conventions, 5.1 and 8.3).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from operator import itemgetter
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from schemas import contracts
from schemas.contracts import AGENCY, DAY, Family
from schemas.core import DECIDED, DOCUMENT, KEY_SIZE, Core, decode, link_keys
from schemas.errors import Broken

Code = str | int | bytes | None
"""The value of a core field."""

Codes = tuple[Code, ...]
_encode = msgspec.msgpack.Encoder().encode
_LINKING = contracts.FAMILIES["link.decision"]
DECISION = _LINKING.id
"""The family of an operator's decisions on who is one person: reports about reports, of which no table reads."""

_SUBJECTS = tuple(_LINKING.core_index[name] for name in ("first_record_no", "second_record_no"))
_DECIDED = bytes((DECIDED,))


class Report(msgspec.Struct, frozen=True):
    """A record as it speaks in a block now: its newest version, without identity."""

    record: bytes
    agency: int
    family: int
    recorded_at: int  # ms since 1970-01-01T00:00Z
    seq: int
    core: Core
    keys: tuple[bytes, ...]  # the core's link keys, cut once: linking asks for them many times
    raw: bytes  # the core as it came

    def code(self, name: str) -> Code:
        """Return the family's core field of that name; None where the event was written under an older contract."""
        value: Code = self.core.codes[_kind(self.family).places[name]]
        return value


def read_report(record: bytes, spoken: tuple[int, int, int, int], raw: bytes) -> Report:
    """Return the report of a record from what its header said (`schemas.header.spoken`) and the bytes of its core.

    Raises Broken when they are no core.
    """
    agency, family, seq, recorded_at = spoken
    core = decode(raw)
    missing = len(_kind(family).places) - len(core.codes)
    if missing > 0:  # written under an older contract: fields are only ever appended
        core = replace(core, codes=core.codes + (None,) * missing)
    if family == DECISION:
        core = replace(core, keys=b"".join(sorted({decided_key(each) for each in _subjects(core)})))
    return Report(record, agency, family, recorded_at, seq, core, link_keys(core.keys), raw)


def decided_key(record: bytes) -> bytes:
    """Return the link key by which an operator's decision is about a record."""
    return _DECIDED + record


def subjects(decision: Report) -> tuple[bytes, ...]:
    """Return the two records that an operator's decision is about."""
    return _subjects(decision.core)


def _subjects(core: Core) -> tuple[bytes, ...]:
    records = tuple([core.codes[place] for place in _SUBJECTS])
    if not all(isinstance(record, bytes) and len(decided_key(record)) == KEY_SIZE for record in records):
        raise Broken("core-unreadable", "A decision names no two records.")
    return records


class _Kind(NamedTuple):
    """What is asked of a family for every report, looked up once."""

    places: Mapping[str, int]
    natural: Callable[[Codes], tuple[Code, ...]]  # picks the natural key's fields
    by_day: bool
    by_agency: bool
    doc_key: bool
    tolerance_ms: int | None  # None: all with an equal natural key are one happening


@cache
def _kind(number: int) -> _Kind:
    family = contracts.family(number)
    natural = _picking([family.core_index[name] for name in family.natural_key if name not in {DAY, AGENCY}])
    by_day, by_agency = DAY in family.natural_key, AGENCY in family.natural_key
    tolerance = None if by_day or family.tolerance_minutes is None else family.tolerance_minutes * 60_000
    return _Kind(family.core_index, natural, by_day, by_agency, family.doc_key, tolerance)


def _picking(places: Sequence[int]) -> Callable[[Codes], tuple[Code, ...]]:
    if len(places) < 2:  # itemgetter would return one value bare
        return lambda codes: tuple([codes[place] for place in places])
    return itemgetter(*places)


def picking(family: Family, *names: str) -> Callable[[Report], tuple[Code, ...]]:
    """Return what reads these core fields of the family's reports at once: a third of asking for each by name."""
    pick = _picking([family.core_index[name] for name in names])
    return lambda report: pick(report.core.codes)


class Happening(msgspec.Struct, frozen=True):
    """One thing that happened to a person, with all reports of it; the first one represents it."""

    reports: tuple[Report, ...]

    @property
    def report(self) -> Report:
        """The representative: of the agency that takes precedence, then of the least record id."""
        return self.reports[0]


Rank = Callable[[Report], int]
"""The precedence of a report's agency for its family; less is better."""


def happenings(reports: Iterable[Report], rank: Rank) -> list[Happening]:
    """Return the happenings that the reports of one person tell of, in event-time order."""
    groups: dict[bytes, list[Report]] = {}
    for report in reports:
        groups.setdefault(natural_key(report), []).append(report)
    return happenings_of(groups.values(), rank)


def happenings_of(groups: Iterable[list[Report]], rank: Rank) -> list[Happening]:
    """Return the same from reports that are grouped by their natural key already."""
    found: list[Happening] = []
    for group in groups:
        if len(group) == 1:
            found.append(Happening((group[0],)))
        else:
            found.extend(Happening(tuple(sorted(chain, key=lambda r: (rank(r), r.record)))) for chain in _chains(group))
    if len(found) > 1:
        found.sort(key=lambda h: (h.report.core.at, h.report.record))
    return found


def natural_key(report: Report) -> bytes:
    """Return what reports of one happening have in common, as msgpack; only those with an equal one are compared."""
    family, core = report.family, report.core
    kind = _kind(family)
    day = core.day if kind.by_day else 0
    who = (report.agency,) if kind.by_agency else ()
    return _encode((family, day, _document(report.keys) if kind.doc_key else None, *kind.natural(core.codes), *who))


def _document(keys: Iterable[bytes]) -> bytes | None:
    for key in keys:
        if key[0] == DOCUMENT:
            return key
    return None


def _chains(group: list[Report]) -> list[list[Report]]:
    """Cut reports of equal natural key where the gap exceeds the tolerance; with a day in the key they are one."""
    tolerance = _kind(group[0].family).tolerance_ms
    if tolerance is None:
        return [group]
    group.sort(key=lambda r: (r.core.at, r.record))
    chains = [[group[0]]]
    for report in group[1:]:
        if report.core.at - chains[-1][-1].core.at <= tolerance:
            chains[-1].append(report)
        else:
            chains.append([report])
    return chains
