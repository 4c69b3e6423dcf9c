"""The ledger: what was sent, what the senders were told, and what the system says it made of it, in one SQLite file.

It stores and interprets nothing, and knows nothing of the product: the checker reads it. It stays after a run, so that
a difference can be looked into.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

_TABLES = """
CREATE TABLE told (agency TEXT, family TEXT, line BLOB, wanted TEXT, answer TEXT, record_no TEXT, least INT, most INT);
CREATE TABLE cell (key TEXT PRIMARY KEY, value INT);
CREATE TABLE book (agency TEXT, family TEXT, entry TEXT, count INT);
CREATE TABLE fate (agency TEXT, family TEXT, record_no TEXT, fate TEXT, PRIMARY KEY (agency, family, record_no));
"""

Account = tuple[str, str]
"""Agency and event family."""

Record = tuple[str, str, str]
"""Agency, event family, the agency's own number."""


class Told(NamedTuple):
    """One thing that was sent, and what its sender was told.

    A sender who got no answer sends again; without a delivery's name nobody knows whether the first time counted. So
    the deliveries that there may be of it lie between `least` and `most`.
    """

    agency: str
    family: str
    line: bytes  # JSON as its sender meant it, whole or broken
    wanted: str  # "accepted" or "refused", by how it was made
    answer: str  # what its sender was told; "none" where nobody was told anything
    record_no: str | None  # as the answer names it
    least: int = 1
    most: int = 1


class Ledger:
    """A ledger in a file, or in memory."""

    def __init__(self, path: Path | None = None) -> None:
        """`path` must not exist yet, or be a ledger; None: in memory."""
        self.db = sqlite3.connect(":memory:" if path is None else path, isolation_level=None, check_same_thread=False)
        self.db.execute("PRAGMA synchronous = OFF")
        if not self.db.execute("SELECT name FROM sqlite_master").fetchone():
            self.db.executescript(_TABLES)

    def close(self) -> None:
        """Close the file."""
        self.db.close()

    def tell(self, told: Iterable[Told]) -> None:
        """Add what was sent and answered."""
        self._add("INSERT INTO told VALUES (?, ?, ?, ?, ?, ?, ?, ?)", told)

    def find_cells(self, cells: Mapping[str, int]) -> None:
        """Add figures of the feed, by TABLE|PERIOD|code|…."""
        self._add("INSERT INTO cell VALUES (?, ?)", cells.items())

    def find_book(self, account: Account, counts: Mapping[str, int]) -> None:
        """Add what the books say of an account, by entry."""
        self._add("INSERT INTO book VALUES (?, ?, ?, ?)", [(*account, *pair) for pair in counts.items()])

    def find_fates(self, fates: Iterable[tuple[Record, Mapping[str, Any] | None]]) -> None:
        """Add what the workers say of records; None: they never heard of it."""
        rows = ((*record, json.dumps(fate)) for record, fate in fates)
        self._add("INSERT INTO fate VALUES (?, ?, ?, ?)", rows)

    def told(self) -> Iterator[Told]:
        """Yield everything that was sent, in the order of its answers."""
        return map(Told._make, self.db.execute("SELECT * FROM told ORDER BY rowid"))

    def cells(self) -> dict[str, int]:
        """Return the figures of the feed."""
        return dict(self.db.execute("SELECT key, value FROM cell"))

    def books(self) -> dict[Account, dict[str, int]]:
        """Return the books."""
        found: dict[Account, dict[str, int]] = {}
        for agency, family, entry, count in self.db.execute("SELECT * FROM book"):
            found.setdefault((agency, family), {})[entry] = count
        return found

    def fate(self, record: Record) -> dict[str, Any] | None:
        """Return what the workers say of a record; None: nothing."""
        query = "SELECT fate FROM fate WHERE agency = ? AND family = ? AND record_no = ?"
        row = self.db.execute(query, record).fetchone()
        fate: dict[str, Any] | None = json.loads(row[0]) if row else None
        return fate

    def _add(self, statement: str, rows: Iterable[Sequence[Any]]) -> None:
        self.db.execute("BEGIN")
        self.db.executemany(statement, rows)
        self.db.execute("COMMIT")
