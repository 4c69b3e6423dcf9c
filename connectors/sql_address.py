"""SQL addresses: where a database lies that is a file of SQLite or in PostgreSQL."""

from __future__ import annotations

from sqlalchemy import exc
from sqlalchemy.engine import URL, make_url


def sql_address(url: str) -> URL:
    """Return the address with its driver named; raises ValueError, whose text is the rule that it breaks."""
    try:
        address = make_url(url)
    except exc.ArgumentError:
        raise ValueError("The database's address cannot be read.") from None  # it may hold a password
    if address.drivername in {"postgresql", "postgresql+psycopg"}:
        return address.set(drivername="postgresql+psycopg")
    if address.drivername != "sqlite" or not address.database or address.database == ":memory:":
        raise ValueError("The database lies in a file of SQLite or in PostgreSQL.")
    return address
