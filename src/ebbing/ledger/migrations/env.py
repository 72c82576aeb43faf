"""What Alembic runs: on the connection that the ledger has opened, in its transaction."""

from alembic import context

from ebbing.ledger.schema import Base

context.configure(connection=context.config.attributes["connection"], target_metadata=Base.metadata)
with context.begin_transaction():
    context.run_migrations()
