"""Closed days of readings compressed, where the edition of TimescaleDB can.

Knows the decision and the order of the steps. The Apache edition, which distributions ship, has no compression: there
nothing is done and the storage command says so. Late readings still fit into a compressed day, only more slowly.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import psycopg
from psycopg import sql

from historian.connection import Connection, connect, translated
from historian.instants import instant
from historian.queries import query

log = logging.getLogger(__name__)

COMPRESSION_LIMIT_S = 3600.0
_APPLICATION = "scada compression"


class Edition(StrEnum):
    """What ``timescaledb.license`` says; any other word is taken for an edition that cannot compress."""

    APACHE = "apache"
    COMMUNITY = "timescale"


@dataclass(frozen=True, slots=True)
class Compressed:
    """``allowed``: whether the edition can · ``days``: chunks compressed now."""

    allowed: bool
    days: tuple[str, ...] = ()


class CompressibleReadings(Protocol):
    """The hypertable of readings as compression needs it."""

    def license(self) -> str:
        """What the server calls its edition."""
        ...

    def open_days(self, before: int) -> Sequence[str]:
        """Chunks that ended at or before ``before`` and are not compressed, oldest first."""
        ...

    def declare(self) -> None:
        """Say how readings are compressed, if it was not said before."""
        ...

    def compress(self, chunk: str) -> None:
        """Compress one chunk, in a transaction of its own."""
        ...


def compress_closed_days(readings: CompressibleReadings, before: int) -> Compressed:
    """Compress the days that ended at or before ``before``, µs, one at a time; nothing where the edition cannot."""
    if readings.license() != Edition.COMMUNITY:
        return Compressed(allowed=False)
    days = tuple(readings.open_days(before))
    if days:
        readings.declare()
    for day in days:
        readings.compress(day)
        log.info("Readings: %s compressed", day)
    return Compressed(allowed=True, days=days)


def compress_days(dsn: str, before: int) -> Compressed:
    """The same for the database at ``dsn``. Raises StoreUnavailable."""
    with readings_of(dsn) as readings:
        return compress_closed_days(readings, before)


@contextmanager
def readings_of(dsn: str) -> Iterator["ReadingTable"]:
    """The hypertable of readings. Raises StoreUnavailable."""
    try:
        with connect(dsn, application=_APPLICATION, limit_s=COMPRESSION_LIMIT_S) as connection:
            yield ReadingTable(connection)
    except psycopg.Error as error:
        raise translated(error) from error


class ReadingTable:
    """CompressibleReadings on a connection in autocommit mode."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def license(self) -> str:
        """What the server calls its edition."""
        row = self._connection.execute(query("edition")).fetchone()
        return "" if row is None else str(row[0])

    def open_days(self, before: int) -> tuple[str, ...]:
        """Chunks that ended at or before ``before`` and are not compressed, oldest first."""
        return tuple(row[0] for row in self._connection.execute(query("days_to_compress"), {"before": instant(before)}))

    def declare(self) -> None:
        """Say how readings are compressed, if it was not said before."""
        row = self._connection.execute(query("is_compression_declared")).fetchone()
        if row is None or not row[0]:
            self._connection.execute(query("declare_compression"))

    def compressed(self) -> tuple[int, int]:
        """Days of readings, and how many of them are compressed."""
        row = self._connection.execute(query("compressed_days")).fetchone()
        return (0, 0) if row is None else (row[0], row[1])

    def compress(self, chunk: str) -> None:
        """Compress one chunk."""
        self._connection.execute(sql.SQL(query("compress_day").decode()).format(chunk=sql.Literal(chunk)))
