"""The independent count: what must come of everything that was sent, by sorting and SQL, from the specification alone.

Written from the words of the design and of the conventions, not from the folds, and it imports nothing of the product:
what it knows of a country it reads from the same files of data. It counts border crossings, of which it says
- which version of a record speaks: the greatest (revision, first recorded_at of that content); a cancellation too;
- what is one happening: reports of one person with the same document, direction and checkpoint, each at most ten
  minutes after the one before; the agency that takes precedence represents it, then the least record id;
- the cell: a crossing that was let through counts once, under the local month of its representative.

It is right only for senders who keep to what it assumes, and says so where they do not: no two contents under one
revision recorded at the same instant, and all reports of one document on one birth date are one person's.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import yaml

from ops.chaos.ledger import Account, Ledger, Record, Told

CROSSING = "border.crossing"
TOLERANCE_MS = 10 * 60_000

_DELIVERED = """
CREATE TEMP TABLE delivered (
    agency TEXT, family TEXT, record_no TEXT, revision INT, content BLOB, op TEXT, recorded_at INT, least INT, most INT,
    birth TEXT, document TEXT, number TEXT, direction TEXT, checkpoint TEXT, at INT, cell TEXT)
"""

_VERSION = """
CREATE TEMP TABLE version AS
SELECT agency, family, record_no, revision, content, op, MIN(recorded_at) AS recorded_at,
    SUM(least) AS least, SUM(most) AS most, birth, document, number, direction, checkpoint, at, cell
FROM delivered GROUP BY agency, family, record_no, revision, content
"""

_SPEAKING = """
CREATE TEMP TABLE speaking AS
SELECT *, record_id(agency, family, record_no) AS id FROM (
    SELECT *, RANK() OVER (
        PARTITION BY agency, family, record_no ORDER BY revision DESC, recorded_at DESC) AS place
    FROM version)
WHERE place = 1
"""

_HAPPENING = """
CREATE TEMP TABLE happening AS
WITH gaps AS (
    SELECT *, at - LAG(at) OVER (PARTITION BY birth, document, direction, checkpoint ORDER BY at, id) AS gap
    FROM speaking WHERE op <> 'CANCEL'),
chains AS (
    SELECT *, SUM(COALESCE(gap > {tolerance}, 1)) OVER (
        PARTITION BY birth, document, direction, checkpoint ORDER BY at, id ROWS UNBOUNDED PRECEDING) AS chain
    FROM gaps)
SELECT agency, family, record_no, id, cell, FIRST_VALUE(id) OVER (
    PARTITION BY birth, document, direction, checkpoint, chain
    ORDER BY precedence(family, agency), id) AS representative
FROM chains
""".replace("{tolerance}", str(TOLERANCE_MS))


class Assumption(Exception):
    """The senders sent what this count cannot judge."""


@dataclass(frozen=True)
class Country:
    """What the count must know of a country, from its files."""

    zone: ZoneInfo
    alpha3: str
    precedence: Mapping[Account, int]  # (family, agency) -> place; less is better
    areas: Mapping[str, str]  # ISO 3166-1 alpha-3 -> alpha-2
    let_through: frozenset[str]

    @classmethod
    def read(cls, convention: Path, countries: Path) -> Country:
        """Read a convention's file and the list of countries."""
        agreed = yaml.safe_load(convention.read_text(encoding="utf-8"))
        places = {
            (agency, family): place
            for family, agencies in agreed["precedence"].items()
            for place, agency in enumerate(agencies)
        }
        with countries.open(encoding="utf-8", newline="") as rows:
            areas = {row["code"]: row["alpha2"] for row in csv.DictReader(rows)}
        let_through = frozenset(agreed["tables"]["F06"]["universe"]["result"])
        return cls(ZoneInfo(agreed["timezone"]), agreed["country_alpha3"], places, areas, let_through)

    def month(self, at: int) -> str:
        """Return the local month of an instant in ms since 1970."""
        return datetime.fromtimestamp(at / 1000, self.zone).strftime("%Y-%m")


class Version(NamedTuple):
    """One content of a record under one revision, as it must be known, and how often it was delivered."""

    revision: int
    op: str
    recorded_at: int  # the first of that content, ms since 1970
    least: int
    most: int
    speaks: bool


class Fate(NamedTuple):
    """What must have become of a record."""

    record: Record
    id: str
    versions: list[Version]
    refused: tuple[int, int]  # least and most refused deliveries that named it
    cell: str | None  # where it counts, or would
    represented_by: str | None  # id of the record that speaks for it; None: it is cancelled or was never accepted


class Reckoning:
    """The count of one ledger."""

    def __init__(self, ledger: Ledger, country: Country) -> None:
        """Count everything in the ledger; raises Assumption for what cannot be judged."""
        self._db = ledger.db
        self._country = country
        self._refused: dict[Record, tuple[int, int]] = {}
        self.accounts: dict[Account, dict[str, tuple[int, int]]] = {}
        """What the books must say: entry -> least and most."""
        self.misjudged = 0
        """Deliveries that were answered otherwise than they deserved."""
        self.accepted = 0
        self._reckon(ledger)

    def _reckon(self, ledger: Ledger) -> None:
        self._db.create_function("record_id", 3, record_id, deterministic=True)
        rank = self._country.precedence
        last = len(rank)
        self._db.create_function("precedence", 2, lambda f, a: rank.get((a, f), last), deterministic=True)
        self._db.execute("BEGIN")
        self._db.execute(_DELIVERED)
        accepted = (row for told in ledger.told() if (row := self._hear(told)) is not None)
        self._db.executemany("INSERT INTO delivered VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)", accepted)
        for statement in (_VERSION, _SPEAKING, _HAPPENING):
            self._db.execute(statement)
        self._db.execute("COMMIT")
        self._assume()
        self._count()

    def cells(self) -> dict[str, int]:
        """Return the figures that the feed must show."""
        query = "SELECT cell, COUNT(*) FROM happening WHERE id = representative AND cell IS NOT NULL GROUP BY cell"
        return dict(self._db.execute(query))

    def fates(self) -> Iterator[Fate]:
        """Yield what must have become of each record that an answer named, in the order of their names."""
        happened = {row[0]: row[1:] for row in self._db.execute("SELECT id, cell, representative FROM happening")}
        versions: dict[Record, list[Version]] = {}
        query = """SELECT v.agency, v.family, v.record_no, v.revision, v.op, v.recorded_at, v.least, v.most,
                s.content IS NOT NULL AND v.op <> 'CANCEL'
            FROM version v LEFT JOIN speaking s USING (agency, family, record_no, revision, content)"""
        for row in self._db.execute(query):
            revision, op, recorded_at, least, most, speaks = row[3:]
            version = Version(revision, op, recorded_at, least, most, bool(speaks))
            versions.setdefault(row[:3], []).append(version)
        for record in sorted({*versions, *self._refused}):
            name = record_id(*record)
            cell, representative = happened.get(name, (None, None))
            refused = self._refused.get(record, (0, 0))
            yield Fate(record, name, sorted(versions.get(record, [])), refused, cell, representative)

    def _hear(self, told: Told) -> tuple[Any, ...] | None:
        """Count a delivery for the books; return its row when it was accepted."""
        self.misjudged += told.answer != told.wanted
        account = told.agency, told.family
        self._add(account, "deliveries", told)
        if told.answer != "accepted":
            self._add(account, "refused", told)
            if told.record_no is not None:
                record = (*account, told.record_no)
                least, most = self._refused.get(record, (0, 0))
                self._refused[record] = least + told.least, most + told.most
            return None
        self.accepted += told.least
        return self._row(told)

    def _row(self, told: Told) -> tuple[Any, ...]:
        event = json.loads(told.line)
        header, person, crossing = event["header"], event["person"], event["event"]
        recorded_at = _ms(header["recorded_at"])
        said = {k: v for k, v in header.items() if k not in ("record_no", "revision", "recorded_at")}
        content = blake2b(json.dumps([said, person, crossing], sort_keys=True).encode(), digest_size=16).digest()
        row = (told.agency, told.family, header["record_no"], header["revision"], content, header["op"], recorded_at,
               told.least, told.most)  # fmt: skip
        if header["op"] == "CANCEL":
            return (*row, *[None] * 7)
        at = _ms(header["occurred_at"])
        document = f"{person['document']['issuer']}|{person['document']['number']}"
        where = crossing["direction"], crossing["checkpoint"], at
        return (*row, person["birth_date"], document, person["personal_no"], *where, self._cell(person, crossing, at))

    def _cell(self, person: Mapping[str, Any], crossing: Mapping[str, Any], at: int) -> str | None:
        if crossing["result"] not in self._country.let_through:
            return None
        nationalities = person["citizenship"]
        codes = (
            "F06",
            self._country.month(at),
            crossing["direction"],
            "C" if self._country.alpha3 in nationalities else "F",
            self._country.areas[nationalities[0]],
            crossing["section"],
            crossing["mode"],
            crossing["purpose"] or "_Z",
            crossing["checkpoint"],
        )
        return "|".join(codes)

    def _assume(self) -> None:
        rivals = "SELECT COUNT(*) FROM speaking GROUP BY agency, family, record_no HAVING COUNT(*) > 1"
        if self._db.execute(rivals).fetchone():
            raise Assumption("Two contents under one revision were recorded at the same instant.")
        twofold = """SELECT 1 FROM speaking WHERE op <> 'CANCEL' AND number IS NOT NULL
            GROUP BY birth, document HAVING COUNT(DISTINCT number) > 1"""
        if self._db.execute(twofold).fetchone():
            raise Assumption("One document was reported with two personal numbers.")
        other = "SELECT 1 FROM delivered WHERE family <> ?"
        if self._db.execute(other, (CROSSING,)).fetchone():
            raise Assumption(f"Only {CROSSING} can be judged.")

    def _count(self) -> None:
        """Count what the books must say of versions and records."""
        query = """SELECT v.agency, v.family, COUNT(*), COUNT(DISTINCT v.record_no), SUM(v.least), SUM(v.most),
                COUNT(*) - COUNT(DISTINCT v.record_no || ' ' || v.revision)
            FROM version v GROUP BY v.agency, v.family"""
        for agency, family, versions, records, least, most, conflicts in self._db.execute(query).fetchall():
            cancelled = self._db.execute(
                "SELECT COUNT(*) FROM speaking WHERE agency = ? AND family = ? AND op = 'CANCEL'", (agency, family)
            ).fetchone()[0]
            book = self.accounts[agency, family]
            book["duplicate"] = least - versions, most - versions
            exactly = {
                "new_version": versions,
                "superseded": versions - records,
                "cancelled": cancelled,
                "current": records - cancelled,
                "speaking": records - cancelled,
                "conflict": conflicts,
            }
            book.update((entry, (count, count)) for entry, count in exactly.items())

    def _add(self, account: Account, entry: str, told: Told) -> None:
        book = self.accounts.setdefault(account, {})
        least, most = book.get(entry, (0, 0))
        book[entry] = least + told.least, most + told.most


def _ms(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


def record_id(agency: str, family: str, record_no: str) -> str:
    """Return how the system names a record, as hexadecimal digits: a digest of whose it is and of its number."""
    name = "\x1f".join((agency, family, record_no)).encode()
    return blake2b(name, digest_size=16, person=b"migex-record").hexdigest()
