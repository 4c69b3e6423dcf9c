"""The independent count: what must come of everything that was sent, by sorting and SQL, from the specification alone.

It imports nothing of the product: what it knows of a country it reads from the same files of data. It says
- which version of a record speaks: the greatest (revision, first recorded_at of that content); a cancellation too;
- who is one person: reports with the same birth date that share a personal number, a document or a name, directly or
  through others;
- what is one happening: a person's reports of one family that agree in what its rule names (`ops.chaos.tables`); the
  agency that takes precedence represents it, then the least record id;
- its cells: those that the representative's words put it into, once.

It is right only for senders who keep to what it assumes, and says so where they do not: no two contents under one
revision recorded at the same instant, and no two personal numbers among reports that hang together.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from hashlib import blake2b
from typing import Any, NamedTuple

from ops.chaos.ledger import Account, Ledger, Record, Told
from ops.chaos.tables import PERSONS_TOO, RULES, Country, Said

_DELIVERED = """
CREATE TEMP TABLE delivered (
    agency TEXT, family TEXT, record_no TEXT, revision INT, content BLOB, op TEXT, recorded_at INT, least INT, most INT,
    birth TEXT, keys TEXT, at INT, same TEXT, tolerance INT, cells TEXT)
"""

_VERSION = """
CREATE TEMP TABLE version AS
SELECT agency, family, record_no, revision, content, op, MIN(recorded_at) AS recorded_at,
    SUM(least) AS least, SUM(most) AS most, birth, keys, at, same, tolerance, cells
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

_LINK = """
CREATE TEMP TABLE link AS
SELECT speaking.id, birth || ' ' || each.value AS key, speaking.id AS person
FROM speaking, json_each(speaking.keys) AS each WHERE op <> 'CANCEL'
"""

_LINK_INDEXES = ("CREATE INDEX temp.by_key ON link (key, person)", "CREATE INDEX temp.by_id ON link (id, person)")

_MEET = """
UPDATE link SET person = (SELECT MIN(person) FROM link AS other WHERE other.{what} = link.{what})
WHERE person > (SELECT MIN(person) FROM link AS other WHERE other.{what} = link.{what})
"""
"""Whoever shares a key, then each report's keys take the least name among them; repeated until nothing changes."""

_HAPPENING = """
CREATE TEMP TABLE happening AS
WITH gaps AS (
    SELECT *, at - LAG(at) OVER (PARTITION BY person, family, same ORDER BY at, id) AS gap
    FROM (SELECT *, COALESCE((SELECT person FROM link WHERE link.id = speaking.id), id) AS person
        FROM speaking WHERE op <> 'CANCEL')),
chains AS (
    SELECT *, SUM(COALESCE(gap > tolerance, gap IS NULL)) OVER (
        PARTITION BY person, family, same ORDER BY at, id ROWS UNBOUNDED PRECEDING) AS chain
    FROM gaps)
SELECT id, person, cells, FIRST_VALUE(id) OVER (
    PARTITION BY person, family, same, chain ORDER BY precedence(family, agency), id) AS representative
FROM chains
"""
"""Without a tolerance all reports of equal words are one chain: the day stands in them."""

_CELLS = """
SELECT cell.value, COUNT(*), COUNT(DISTINCT person) FROM happening, json_each(happening.cells) AS cell
WHERE happening.id = representative GROUP BY cell.value
"""


class Assumption(Exception):
    """The senders sent what this count cannot judge."""


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
    cells: list[str]  # where it counts, or would
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
        self._db.create_function("precedence", 2, lambda f, a: rank.get((f, a), last), deterministic=True)
        self._db.execute("BEGIN")
        self._db.execute(_DELIVERED)
        accepted = (row for told in ledger.told() if (row := self._hear(told)) is not None)
        self._db.executemany("INSERT INTO delivered VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)", accepted)
        for statement in (_VERSION, _SPEAKING, _LINK, *_LINK_INDEXES):
            self._db.execute(statement)
        while self._db.execute(_MEET.format(what="key")).rowcount + self._db.execute(_MEET.format(what="id")).rowcount:
            pass
        self._db.execute(_HAPPENING)
        self._db.execute("COMMIT")
        self._assume()
        self._count()

    def cells(self) -> dict[str, int]:
        """Return the figures that the feed must show, but for those that it derives (`ops.chaos.tables.derived`)."""
        figures: dict[str, int] = {}
        for cell, acts, persons in self._db.execute(_CELLS):
            several = cell.startswith(PERSONS_TOO)
            figures |= {f"{cell}|ACTS": acts, f"{cell}|PERSONS": persons} if several else {cell: acts}
        return figures

    def fates(self) -> Iterator[Fate]:
        """Yield what must have become of each record that an answer named, in the order of their names."""
        happened = {row[0]: row[1:] for row in self._db.execute("SELECT id, cells, representative FROM happening")}
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
            cells, representative = happened.get(name, ("[]", None))
            refused = self._refused.get(record, (0, 0))
            yield Fate(record, name, sorted(versions.get(record, [])), refused, json.loads(cells), representative)

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
        header, person, happened = event["header"], event["person"], event["event"]
        recorded_at = _ms(header["recorded_at"])
        said = {k: v for k, v in header.items() if k not in ("record_no", "revision", "recorded_at")}
        content = blake2b(json.dumps([said, person, happened], sort_keys=True).encode(), digest_size=16).digest()
        row = (told.agency, told.family, header["record_no"], header["revision"], content, header["op"], recorded_at,
               told.least, told.most)  # fmt: skip
        if header["op"] == "CANCEL":
            return (*row, *[None] * 6)
        rule, at = RULES[told.family], _ms(header["occurred_at"])
        report = Said(self._country.day(at), person, happened)
        document = person.get("document")
        same = [happened[name] for name in rule.same]
        same += [str(report.day)] if rule.minutes is None else []
        same += [document and f"{document['issuer']}|{document['number']}"] if rule.document else []
        tolerance = None if rule.minutes is None else rule.minutes * 60_000
        birth = person.get("birth_date") or str(person["birth_year"])
        cells = list(rule.cells(report, self._country))
        return (*row, birth, json.dumps(_keys(person)), at, json.dumps(same), tolerance, json.dumps(cells))

    def _assume(self) -> None:
        rivals = "SELECT COUNT(*) FROM speaking GROUP BY agency, family, record_no HAVING COUNT(*) > 1"
        if self._db.execute(rivals).fetchone():
            raise Assumption("Two contents under one revision were recorded at the same instant.")
        twofold = "SELECT 1 FROM link WHERE key LIKE '% number %' GROUP BY person HAVING COUNT(DISTINCT key) > 1"
        if self._db.execute(twofold).fetchone():
            raise Assumption("Reports that hang together name two personal numbers.")

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


def _keys(person: Mapping[str, Any]) -> list[str]:
    """Return what makes reports with one birth date one person's; a name does so only beside a whole birth date."""
    document, number = person.get("document"), person.get("personal_no")
    keys = []
    if number is not None:
        register = person["citizenship"][0] if document is None else document["issuer"]
        keys.append(f"number {register} {number}")
    if document is not None:
        keys.append(f"document {document['issuer']} {document['number']}")
    if person.get("birth_date"):
        keys.append(f"name {person['surname']}, {person['given_names']}")
    return keys


def _ms(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


def record_id(agency: str, family: str, record_no: str) -> str:
    """Return how the system names a record, as hexadecimal digits: a digest of whose it is and of its number."""
    name = "\x1f".join((agency, family, record_no)).encode()
    return blake2b(name, digest_size=16, person=b"migex-record").hexdigest()
