"""The shared fixtures give what they promise."""

import psycopg
import pytest

pytestmark = pytest.mark.integration


def test_a_fresh_database_is_migrated_and_empty(database: str) -> None:
    with psycopg.connect(database) as connection:
        assert connection.execute("SELECT count(*) FROM sample").fetchone() == (0,)
        assert connection.execute("SELECT count(*) FROM reading").fetchone() == (0,)
