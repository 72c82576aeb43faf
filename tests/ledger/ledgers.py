"""The PostgreSQL server that tests may use, and databases on it."""

from __future__ import annotations

import os

import pytest
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.pool import NullPool


def postgres_url() -> str:
    """The server that EBBING_POSTGRES names; where there is none the test is skipped, and in CI it fails."""
    url = os.environ.get("EBBING_POSTGRES")
    if url:
        return url
    missing = "needs a PostgreSQL server: set EBBING_POSTGRES to its URL (`.ci/postgres start FOLDER` prints one)"
    if os.environ.get("CI") == "true":
        pytest.fail(f"{missing} (in CI no postgres test may be skipped)")
    pytest.skip(missing)


def of_database(name: str) -> str:
    """The URL of a database of the server."""
    return make_url(postgres_url()).set(database=name).render_as_string()


def administer(statement: str) -> None:
    """Have the server make or drop a database."""
    engine = create_engine(postgres_url(), isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with engine.connect() as connection:
        connection.execute(text(statement))
