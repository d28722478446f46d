"""Alembic's entry: runs the revisions on the connection (and in the transaction) that `migrate.upgrade` opened."""

from alembic import context

from homeostat.store.database import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, render_as_batch=True)
context.run_migrations()
