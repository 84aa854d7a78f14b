"""What the database needs from time to time: old days dropped, closed days indexed.

Knows the statements. Does not know when: the scheduler says so and gives the instants. Works on both editions of
TimescaleDB, because it uses neither policies nor compression.
"""

import logging
from enum import StrEnum

import psycopg
from psycopg import sql

from historian.connection import connect, translated
from historian.instants import instant
from historian.queries import query

log = logging.getLogger(__name__)

UPKEEP_LIMIT_S = 3600.0
"""Indexing a day of 9.6 million readings takes about 7 s."""

_APPLICATION = "scada upkeep"


class Hypertable(StrEnum):
    """Tables that are kept for a limited time."""

    SAMPLE = "sample"
    SAMPLE_MINUTE = "sample_minute"
    SAMPLE_HOUR = "sample_hour"
    STATUS_EVENT = "status_event"
    READING = "reading"
    METER_EVENT = "meter_event"


def drop_before(dsn: str, table: Hypertable, before: int) -> tuple[str, ...]:
    """Drop the chunks of a table that end at or before ``before``, µs; returns their names. Revisions go with readings.

    Raises StoreUnavailable.
    """
    try:
        with connect(dsn, application=_APPLICATION, limit_s=UPKEEP_LIMIT_S) as connection:
            about = {"table": table.value, "before": instant(before)}
            dropped = tuple(row[0] for row in connection.execute(query("drop_chunks"), about).fetchall())
            if table is Hypertable.READING and dropped:
                connection.execute(query("forget_revisions"), {"before": instant(before)})
    except psycopg.Error as error:
        raise translated(error) from error
    if dropped:
        log.info("Retention: %d chunks of %s before %s dropped", len(dropped), table, instant(before).date())
    return dropped


def forget_sample_batches(dsn: str, before: int) -> int:
    """Forget the numbers of batches stored before ``before``, µs; returns how many.

    Keep them for longer than a spool may lie on a disk. Raises StoreUnavailable.
    """
    try:
        with connect(dsn, application=_APPLICATION, limit_s=UPKEEP_LIMIT_S) as connection:
            return connection.execute(query("forget_sample_batches"), {"before": instant(before)}).rowcount
    except psycopg.Error as error:
        raise translated(error) from error


def close_days(dsn: str, before: int) -> tuple[str, ...]:
    """Index by (meter, time) the days of readings that ended at or before ``before``, µs; returns their chunks.

    Writes go on meanwhile. An interrupted build is begun again by the next call. Raises StoreUnavailable.
    """
    closed: list[str] = []
    try:
        with connect(dsn, application=_APPLICATION, limit_s=UPKEEP_LIMIT_S) as connection:
            days = connection.execute(query("days_to_close"), {"before": instant(before)}).fetchall()
            for schema, chunk, index in days:
                names = {
                    "schema": sql.Identifier(schema),
                    "chunk": sql.Identifier(chunk),
                    "index": sql.Identifier(index),
                }
                for name in ("drop_unfinished_index", "index_closed_day"):
                    connection.execute(_filled(query(name), names))
                closed.append(chunk)
    except psycopg.Error as error:
        raise translated(error) from error
    if closed:
        log.info("Readings: %d closed days indexed by meter, up to %s", len(closed), closed[-1])
    return tuple(closed)


def _filled(statement: bytes, names: dict[str, sql.Identifier]) -> bytes:
    return sql.SQL(statement.decode()).format(**names).as_bytes()
