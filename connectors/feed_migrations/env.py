"""Runs the migrations on the connection that the feed store hands over; alembic loads this file, nobody imports it."""

from alembic import context

from connectors.feed_store.tables import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    transactional_ddl=True,  # both databases roll back CREATE TABLE
)
with context.begin_transaction():
    context.run_migrations()
