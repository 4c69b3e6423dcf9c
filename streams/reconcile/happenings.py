"""Natural duplicates: several reports of one happening, of which one represents it.

Two agencies report one crossing; a scanner reads a passport twice. Reports of one person, of one family, with the
same natural key (named in the contract) and, where the contract says so, the same document, are chained while each
follows the one before within the tolerance. The chain is one happening (design decision 10; conventions, 5.1 and 8.3).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from schemas import contracts
from schemas.contracts import DAY
from schemas.core import DOCUMENT, Core, decode, link_keys


class Report(NamedTuple):
    """A record as it speaks in a block now: its newest version, without identity."""

    record: bytes
    agency: int
    family: int
    recorded_at: int  # ms since 1970-01-01T00:00Z
    seq: int
    core: Core
    keys: tuple[bytes, ...]  # the core's link keys, cut once: linking asks for them many times

    def code(self, name: str) -> str | int | bytes | None:
        """Return the family's core field of that name; None where the event was written under an older contract."""
        codes = self.core.codes
        place = contracts.family(self.family).core_index[name]
        return codes[place] if place < len(codes) else None


def read_report(spoken: tuple[bytes, int, int, int, int], raw: bytes) -> Report:
    """Return the report of (record, agency, family, recorded_at, seq) whose core is these bytes.

    Raises msgspec.MsgspecError when they are no core.
    """
    core = decode(raw)
    return Report(*spoken, core, link_keys(core.keys))


class Happening(NamedTuple):
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
    groups: dict[tuple[object, ...], list[Report]] = {}
    for report in reports:
        groups.setdefault(_natural_key(report), []).append(report)
    found: list[Happening] = []
    for group in groups.values():
        if len(group) == 1:
            found.append(Happening((group[0],)))
        else:
            found.extend(Happening(tuple(sorted(chain, key=lambda r: (rank(r), r.record)))) for chain in _chains(group))
    if len(found) > 1:
        found.sort(key=lambda h: (h.report.core.at, h.report.record))
    return found


def _natural_key(report: Report) -> tuple[object, ...]:
    family = contracts.family(report.family)
    key: list[object] = [report.family]
    key.extend(report.core.day if name == DAY else report.code(name) for name in family.natural_key)
    if family.doc_key:
        key.append(_document(report.keys))
    return tuple(key)


def _document(keys: Iterable[bytes]) -> bytes | None:
    return next((key for key in keys if key[0] == DOCUMENT), None)


def _chains(group: list[Report]) -> list[list[Report]]:
    """Cut reports of equal natural key where the gap exceeds the tolerance; with a day in the key they are one."""
    family = contracts.family(group[0].family)
    if DAY in family.natural_key:
        return [group]
    tolerance_ms = family.tolerance_minutes * 60_000
    group.sort(key=lambda r: (r.core.at, r.record))
    chains = [[group[0]]]
    for report in group[1:]:
        if report.core.at - chains[-1][-1].core.at <= tolerance_ms:
            chains[-1].append(report)
        else:
            chains.append([report])
    return chains
