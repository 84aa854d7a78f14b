"""Brings a database to the present schema. Knows the migration files and what a database says it has.

A migration is a file ``sql/schema/NNNN_name.sql``, applied once, in one transaction with its entry in
``schema_migration``. It never changes afterwards: its SHA-256 is compared at every start.
"""

import hashlib
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files

import psycopg

from historian.connection import connect, translated
from historian.queries import query
from scada.model.errors import StoreError

log = logging.getLogger(__name__)

_FILE_NAME = re.compile(r"\d{4}_\w+\.sql")

MIGRATION_LIMIT_S = 3600.0


class MigrationError(StoreError):
    """The database's schema and the migration files do not belong together."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One migration file."""

    name: str
    statements: bytes

    @property
    def sha256(self) -> str:
        """What the database remembers of it."""
        return hashlib.sha256(self.statements).hexdigest()


def migrations() -> tuple[Migration, ...]:
    """All migration files, in order."""
    folder = files("historian") / "sql" / "schema"
    found = (entry for entry in folder.iterdir() if _FILE_NAME.fullmatch(entry.name))
    return tuple(sorted((Migration(entry.name, entry.read_bytes()) for entry in found), key=lambda m: m.name))


def outstanding(all_migrations: Sequence[Migration], applied: Mapping[str, str]) -> tuple[Migration, ...]:
    """Migrations to apply, given the applied ones as SHA-256 by name.

    Raises MigrationError when an applied file has changed or is gone, or a new one would come before an applied one.
    """
    by_name = {migration.name: migration for migration in all_migrations}
    for name, sha256 in applied.items():
        if name not in by_name:
            raise MigrationError(f"{name} was applied to this database, but this version of the program lacks it")
        if by_name[name].sha256 != sha256:
            raise MigrationError(f"{name} has changed since it was applied; undo the change and add a new migration")
    new = tuple(migration for migration in all_migrations if migration.name not in applied)
    if new and applied and new[0].name < max(applied):
        raise MigrationError(f"{new[0].name} is new but numbered before {max(applied)}, which is applied already")
    return new


def migrate(dsn: str, all_migrations: Sequence[Migration] | None = None) -> tuple[str, ...]:
    """Apply what is outstanding and return the names of it. Two processes may do so at once.

    Raises StoreUnavailable, or MigrationError when the database and the files do not belong together.
    """
    wanted = migrations() if all_migrations is None else all_migrations
    names: list[str] = []
    try:
        with connect(dsn, application="scada migrate", limit_s=MIGRATION_LIMIT_S) as connection:
            connection.execute(query("lock_migrations"))
            connection.execute(query("create_schema_migration"))
            applied: dict[str, str] = dict(connection.execute(query("applied_migrations")).fetchall())
            for migration in outstanding(wanted, applied):
                with connection.transaction():
                    connection.execute(migration.statements)
                    connection.execute(query("record_migration"), {"name": migration.name, "sha256": migration.sha256})
                log.info("Historian schema: %s applied", migration.name)
                names.append(migration.name)
    except psycopg.OperationalError as error:
        raise translated(error) from error
    except psycopg.Error as error:
        raise MigrationError(f"a migration failed and was undone: {error}") from error
    return tuple(names)
