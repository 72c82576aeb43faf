"""The digest of the record beside the weights of a version; versions from before have none."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add it."""
    op.add_column("versions", sa.Column("record", sa.String(length=64), nullable=True))
