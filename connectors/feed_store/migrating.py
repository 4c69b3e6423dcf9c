"""Bringing the feed store's tables up to date, by alembic."""

from __future__ import annotations

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Engine

from connectors.feed_store.opening import MIGRATIONS
from schemas.errors import Misconfigured

_MIGRATING = 0x6D69676578  # "migex": one process at a time migrates a PostgreSQL database


def upgrade(engine: Engine, found: str | None) -> None:
    """Bring the tables from the revision that was found (None: none yet) to the newest one.

    Raises Misconfigured for a revision that this version does not know.
    """
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if found is not None and found not in known:
        raise Misconfigured("feed-newer", "The feed store was made by a newer version of migex; install that one.")
    with engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_MIGRATING})")
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
