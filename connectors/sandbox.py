"""Sandbox: schemas that clients registered themselves, for trying things out; ids of their own, kept in SQLite.

Never in production: there the registry is filled by review and read-only (design, decision 6). The doors take nothing
that is written under these ids.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from connectors.registry_errors import (
    NO_VERSION,
    NOT_DELETED_SUBJECT,
    NOT_DELETED_VERSION,
    NOT_PERMITTED,
    RegistryError,
)
from connectors.subject_entries import Entry

IDS = range(1_000_000, 2_000_000)
"""Schema ids of the sandbox; a contract never has one."""

MAX_ENTRIES = 5_000
"""Versions of all subjects at most."""

_TABLES = """
CREATE TABLE IF NOT EXISTS schemas (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS versions (
  subject TEXT NOT NULL, version INTEGER NOT NULL, id INTEGER NOT NULL REFERENCES schemas (id),
  deleted INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (subject, version)
);
"""


class Sandbox:
    """What was registered, in one file that outlives the process."""

    def __init__(self, path: Path, most: int = MAX_ENTRIES) -> None:
        """Open the file, or make it; it takes `most` versions."""
        self._most = most
        path.parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._db.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;" + _TABLES)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def entries(self, subject: str | None = None, schema_id: int | None = None) -> list[Entry]:
        """Return all versions, those of a subject, or those with an id; the deleted ones too."""
        rows = self._db.execute(
            "SELECT subject, version, id, text, deleted FROM versions JOIN schemas USING (id)"
            " WHERE (?1 IS NULL OR subject = ?1) AND (?2 IS NULL OR id = ?2) ORDER BY subject, version",
            (subject, schema_id),
        )
        return [
            Entry(name, version, number, json.loads(text), bool(gone)) for name, version, number, text, gone in rows
        ]

    def subjects(self) -> Iterator[tuple[str, bool]]:
        """Yield the subjects, and whether all their versions are deleted."""
        for name, gone in self._db.execute("SELECT subject, MIN(deleted) FROM versions GROUP BY subject"):
            yield name, bool(gone)

    def schema(self, schema_id: int) -> Any:
        """Return the schema with an id, or None."""
        row = self._db.execute("SELECT text FROM schemas WHERE id = ?", (schema_id,)).fetchone()
        return None if row is None else json.loads(row[0])

    def greatest_id(self) -> int:
        """Return the greatest id given so far, 0 when there is none."""
        return int(self._db.execute("SELECT COALESCE(MAX(id), 0) FROM schemas").fetchone()[0])

    def add(self, subject: str, version: int, avsc: Any) -> int:
        """Keep a version, and return its schema's id; raises RegistryError 42205 when there is no more room."""
        text = json.dumps(avsc, ensure_ascii=False, sort_keys=True)
        with self._transaction():
            if self._db.execute("SELECT COUNT(*) FROM versions").fetchone()[0] >= self._most:
                raise RegistryError(422, NOT_PERMITTED, f"The sandbox keeps {self._most} versions: delete some.")
            self._db.execute(
                "INSERT OR IGNORE INTO schemas SELECT COALESCE(MAX(id) + 1, ?), ? FROM schemas", (IDS.start, text)
            )
            (schema_id,) = self._db.execute("SELECT id FROM schemas WHERE text = ?", (text,)).fetchone()
            self._db.execute("INSERT INTO versions VALUES (?, ?, ?, 0)", (subject, version, schema_id))
        return int(schema_id)

    def delete(self, subject: str, versions: list[int], *, permanent: bool) -> list[int]:
        """Hide versions, or forget hidden ones for ever, and return them; raises RegistryError 40405, 40407.

        Ids are never given twice, so the schemas themselves stay.
        """
        entries = {each.version: each for each in self.entries(subject)}
        if permanent and not all(entries[version].deleted for version in versions):
            whole = len(versions) == len(entries)
            code, what = (NOT_DELETED_SUBJECT, "Subject") if whole else (NOT_DELETED_VERSION, "Version")
            raise RegistryError(404, code, f"{what} was not deleted first before being permanently deleted.")
        if not permanent and all(entries[version].deleted for version in versions):
            raise RegistryError(404, NO_VERSION, "It is deleted already; permanent=true forgets it.")
        act = "DELETE FROM versions" if permanent else "UPDATE versions SET deleted = 1"
        with self._transaction():
            self._db.executemany(
                f"{act} WHERE subject = ? AND version = ?",
                [(subject, version) for version in versions],
            )
        return versions

    def _transaction(self) -> _Transaction:
        return _Transaction(self._db)


class _Transaction:
    """All of it or nothing, with the file locked from the first statement on."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def __enter__(self) -> None:
        self._db.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: object, *_: object) -> None:
        self._db.execute("COMMIT" if kind is None else "ROLLBACK")
