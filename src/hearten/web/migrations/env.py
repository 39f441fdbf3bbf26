"""What alembic runs: the steps, on the connection that `Database.upgrade` holds."""

from alembic import context

context.configure(connection=context.config.attributes["connection"], target_metadata=None)
with context.begin_transaction():
    context.run_migrations()
