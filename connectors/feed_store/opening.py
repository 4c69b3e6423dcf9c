"""Opening the database: its address, what SQLite needs to be told, its migrations, and its errors in our words."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

import stamina
from sqlalchemy import Connection, Engine, column, create_engine, event, exc, inspect, select, table
from sqlalchemy.engine import URL

from connectors.sql_address import sql_address
from schemas.errors import Broken, Misconfigured, Unavailable

_BUSY_SECS = 5
"""How long a connection waits for its answer, and a statement for another's lock before the store is called busy."""

_FROZEN_SECS = 60
"""How long a transaction may say nothing before PostgreSQL ends it and gives its locks free: a writer that is frozen in
the middle of a step holds the lease's row. Between two statements of a step lies folding alone, some µs a cell: the
largest cut takes seconds."""

# A host that is gone says nothing, not even goodbye: without these the kernel asks after two hours whether it is there.
# Both sides give it up within some ten seconds, like a lease.
_CLIENT = {
    "connect_timeout": _BUSY_SECS,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
_SERVER = {
    "tcp_keepalives_idle": 5,
    "tcp_keepalives_interval": 2,
    "tcp_keepalives_count": 3,
    "tcp_user_timeout": 10_000,
    "lock_timeout": _BUSY_SECS * 1000,
    "idle_in_transaction_session_timeout": _FROZEN_SECS * 1000,
}
_LOCKED = "55P03"  # PostgreSQL's lock_not_available: a lock was not given within lock_timeout

MIGRATIONS = Path(__file__).parent.parent / "feed_migrations"
"""Where alembic's scripts lie: `versions/v<revision>_<name>.py`."""

_NEWEST = max(script.name[1:5] for script in MIGRATIONS.glob("versions/v*.py"))
_VERSION = table("alembic_version", column("version_num"))
_REMEDY = "Set MIGEX_FEED__URL to sqlite:///<file> or postgresql://<user>@<host>/<database>."


def open_engine(url: str) -> Engine:
    """Return an engine whose database has all its tables; raises Misconfigured or Unavailable."""
    # hide_parameters: an error's text goes into logs, and rows do not belong there
    address = _address(url)
    lite = address.drivername == "sqlite"
    patience = {} if lite else _patience(address)
    engine = create_engine(address, pool_pre_ping=not lite, hide_parameters=True, connect_args=patience)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    try:
        with errors_translated(), _address_proved(address):
            _migrate(engine)
    except BaseException:
        engine.dispose()
        raise
    return engine


def writing(engine: Engine) -> Engine:
    """Return the engine for the one writer: SQLite takes the write lock at once, not at the first write."""
    return engine.execution_options(writing=True)


def reading(engine: Engine) -> Engine:
    """Return the engine for readers: one transaction sees one state, and waits for nobody."""
    if engine.dialect.name == "sqlite":
        return engine
    return engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)


@contextmanager
def errors_translated() -> Iterator[None]:
    """Turn the database's errors into ours: what may pass by itself becomes Unavailable."""
    try:
        yield
    except exc.IntegrityError as error:
        raise Broken("feed-row-repeated", "A row that can be written once was written again.") from error
    except (exc.OperationalError, exc.InterfaceError, exc.TimeoutError) as error:
        if _is_locked(error):
            raise Unavailable("feed-busy", "Another process writes to the feed store; try again.") from error
        raise _away() from error
    except exc.InternalError as error:
        if not error.connection_invalidated:  # a transaction that said nothing for too long: the server has ended it
            raise
        raise _away() from error


def _is_locked(error: exc.SQLAlchemyError) -> bool:
    told = getattr(error, "orig", None)  # nothing, when no connection became free
    return "database is locked" in str(told) or getattr(told, "sqlstate", None) == _LOCKED


def _away() -> Unavailable:
    return Unavailable("feed-away", "The feed store's database does not answer; is it running?")


@contextmanager
def _address_proved(address: URL) -> Iterator[None]:
    """Turn what SQLite says of a wrong file into Misconfigured: at the start it is the setting that is wrong.

    A file that could be opened, and cannot be now, is away: the disk is full, or too many files are open.
    """
    try:
        yield
    except exc.DatabaseError as error:
        if "unable to open database file" in str(error.orig) and not _may_be_opened(Path(address.database or "")):
            raise Misconfigured("feed-url", f"The feed store's file has no folder to lie in. {_REMEDY}") from error
        if "file is not a database" in str(error.orig):
            raise Misconfigured("feed-url", f"The feed store's file is not an SQLite database. {_REMEDY}") from error
        raise


def _may_be_opened(file: Path) -> bool:
    place = file if file.is_file() else file.parent
    return not file.is_dir() and os.access(place, os.R_OK | os.W_OK)


def _address(url: str) -> URL:
    try:
        return sql_address(url)
    except ValueError as error:
        raise Misconfigured("feed-url", f"{error} {_REMEDY}") from error


def _patience(address: URL) -> dict[str, str | int]:
    """Return how long PostgreSQL and we wait for each other; what the address itself says goes before."""
    client: dict[str, str | int] = {name: value for name, value in _CLIENT.items() if name not in address.query}
    server = [f"-c {name}={value}" for name, value in _SERVER.items()]
    return client | {"options": " ".join((*server, *address.normalized_query.get("options", ())))}


def _prepare_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    """Set what SQLite keeps per connection; the driver must not begin transactions by itself."""
    connection.isolation_level = None
    connection.execute(f"PRAGMA busy_timeout = {_BUSY_SECS * 1000}")
    _write_ahead(connection)
    # WAL with NORMAL survives a crash of the process; a power failure may lose the last commits, never their order.
    # Position and cells lie in the same commit, so that what is lost is folded again (law L2).
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA cache_size = -65536")  # 64 MiB
    # 64 MiB of pages: a cut touches thousands, most of them the same as the cut before, which are so copied once in a
    # while and not after each commit: an eighth of aggregate's time
    connection.execute("PRAGMA wal_autocheckpoint = 16384")


@stamina.retry(on=sqlite3.OperationalError, attempts=50, timeout=_BUSY_SECS, wait_initial=0.01, wait_max=0.2)
def _write_ahead(connection: sqlite3.Connection) -> None:
    """Turn on WAL: readers do not wait for the writer, nor it for them.

    While several processes open a new file, SQLite refuses this one statement at once, whatever busy_timeout says.
    """
    connection.execute("PRAGMA journal_mode = WAL")


def _begin_sqlite(connection: Connection) -> None:
    options = connection.get_execution_options()
    connection.exec_driver_sql("BEGIN IMMEDIATE" if options.get("writing") else "BEGIN")


def _migrate(engine: Engine) -> None:
    """Bring the tables up to date, if they are not; a reader without the right to change them may so still open it."""
    with engine.connect() as connection:
        made = inspect(connection).has_table(_VERSION.name)
        found = connection.execute(select(_VERSION.c.version_num)).scalar() if made else None
    if found == _NEWEST:
        return
    # alembic is read only when there is something to do: it took a sixth of every worker's start
    import_module("connectors.feed_store.migrating").upgrade(writing(engine), found)
