"""The agency's database: PostgreSQL or SQLite, what each of them needs to be told, and its errors in our words."""

from __future__ import annotations

import fcntl
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, Protocol

import psycopg
import structlog
from sqlalchemy import Connection, Engine, create_engine, event, exc, text
from sqlalchemy.engine import URL

from connectors.sql_address import sql_address
from schemas.errors import Misconfigured, Unavailable

_log = structlog.get_logger(__name__)

Dialect = Literal["postgresql", "sqlite"]
DIALECTS: tuple[Dialect, ...] = ("postgresql", "sqlite")

CHANNEL = "migex_outbox"
_LOCK = 0x6D69676578  # one poller a database: the advisory lock's number, "migex" in ASCII
_LOOK_SECS = 0.1
_BUSY_SECS = 30
_REMEDY = "Set MIGEX_OUTBOX__DATABASE to sqlite:///<file> or postgresql://<user>@<host>/<database>."


class Stop(Protocol):
    """Whether to end: `threading.Event`."""

    def is_set(self) -> bool:
        """Return whether it was asked to end."""

    def wait(self, timeout: float) -> bool:
        """Return when it was asked to end, or after so many seconds."""


def definition(dialect: Dialect) -> str:
    """Return the SQL that makes the outbox in an empty schema."""
    return Path(__file__).with_name(f"{dialect}.sql").read_text(encoding="utf-8")


class Database:
    """One database; raises Misconfigured for an address that is none of ours."""

    def __init__(self, url: str) -> None:
        """Nothing is connected yet."""
        address = _address(url)
        self.dialect: Dialect = "sqlite" if address.drivername == "sqlite" else "postgresql"
        # hide_parameters: an error's text goes into logs, and events do not belong there
        self.engine: Engine = create_engine(address, hide_parameters=True)
        self._file = address.database or ""
        if self.dialect == "sqlite":
            event.listen(self.engine, "connect", _prepare_sqlite)

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Give a transaction; raises Unavailable when the database does not answer, Misconfigured without an outbox."""
        with _translated(), self.engine.begin() as connection:
            yield connection

    def instant(self, at: datetime) -> Any:
        """Return an instant as this database keeps it."""
        return at.astimezone(UTC).isoformat(timespec="milliseconds") if self.dialect == "sqlite" else at

    @contextmanager
    def alone(self, stop: Stop) -> Iterator[bool]:
        """Wait until no other poller works on this outbox; gives False when it was stopped before.

        Raises Unavailable when the database does not answer.
        """
        if self.dialect == "sqlite":
            with Path(f"{self._file}.migex-outbox").open("w") as file:
                yield _until(stop, lambda: _flocked(file.fileno()))
            return
        with self._own() as connection:
            taken = text("SELECT pg_try_advisory_lock(:lock)").bindparams(lock=_LOCK)
            yield _until(stop, lambda: bool(connection.execute(taken).scalar()))

    @contextmanager
    def bell(self) -> Iterator[Bell]:
        """Give what waits for new rows; raises Unavailable when the database does not answer."""
        if self.dialect == "sqlite":
            with _translated(), self.engine.connect() as connection:
                yield _Versions(connection)
            return
        with self._own() as connection:
            own = connection.connection.driver_connection
            assert isinstance(own, psycopg.Connection)  # noqa: S101  # the driver that the address names
            own.execute(f"LISTEN {CHANNEL}")
            yield _Notices(own)

    @contextmanager
    def _own(self) -> Iterator[Connection]:
        """Give a connection that ends with the block, and with it its locks; it holds no transaction open."""
        with _translated(), self.engine.connect() as connection:
            connection.execution_options(isolation_level="AUTOCOMMIT")
            try:
                yield connection
            finally:
                connection.invalidate()

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()


class Bell(Protocol):
    """Says when rows may have come."""

    def wait(self, secs: float, stop: Stop) -> None:
        """Return when rows may have come, when asked to end, or after so many seconds."""


class _Notices:
    """PostgreSQL's NOTIFY, on a connection of its own."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection

    def wait(self, secs: float, stop: Stop) -> None:
        while secs > 0 and not stop.is_set():
            step = min(secs, 1.0)  # so that a stop is heard
            with _translated():
                if list(self._connection.notifies(timeout=step, stop_after=1)):
                    return
            secs -= step


class _Versions:
    """SQLite's number of the last commit by another connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._seen = self._version()

    def wait(self, secs: float, stop: Stop) -> None:
        while secs > 0 and not stop.wait(_LOOK_SECS):
            secs -= _LOOK_SECS
            before, self._seen = self._seen, self._version()
            if self._seen != before:
                return

    def _version(self) -> int:
        with _translated():
            found: int = self._connection.exec_driver_sql("PRAGMA data_version").scalar_one()
            self._connection.rollback()
        return found


def _until(stop: Stop, taken: Callable[[], bool]) -> bool:
    """Return whether it was taken before it was asked to end."""
    if taken():
        return True
    _log.info("Another poller looks after the outbox; this one waits for its end.")
    while not stop.wait(1.0):
        if taken():
            return True
    return False


def _flocked(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _prepare_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    connection.execute(f"PRAGMA busy_timeout = {_BUSY_SECS * 1000}")
    # a row that is no text must not make all others unreadable
    connection.text_factory = lambda found: found.decode(errors="replace")


def _address(url: str) -> URL:
    try:
        return sql_address(url)
    except ValueError as error:
        raise Misconfigured("outbox-database", f"{error} {_REMEDY}") from error


@contextmanager
def _translated() -> Iterator[None]:
    """Turn the database's errors into ours: what may pass by itself becomes Unavailable."""
    try:
        yield
    except exc.ProgrammingError as error:
        raise _missing(error) from error
    except (exc.OperationalError, exc.InterfaceError, psycopg.OperationalError) as error:
        if "no such table" in str(error):
            raise _missing(error) from error
        raise Unavailable("outbox-away", "The outbox's database does not answer; it is tried again.") from error


def _missing(error: Exception) -> Misconfigured:
    said = type(error.__cause__ or error).__name__
    rule = f"The database has no outbox, or gives no right to it ({said})"
    return Misconfigured("no-outbox", f"{rule}: `migex outbox sql` prints its definition with the rights it needs.")
