"""The statements that put rows into the tables, inside a transaction of the caller.

Knows which statement stores what and in which order. Does not begin or commit. Raises BatchRefused for rows the
database refuses; of telemetry, whose batches are stored under one number, only those rows are left out.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import numpy as np
import psycopg

from historian.account import Entry
from historian.batching import sort_by
from historian.connection import AlreadyStored, Connection, translated
from historian.copyformat import (
    ARRIVAL,
    ARRIVAL_COPY,
    METER_EVENT_COPY,
    READING_COPY,
    REGISTER_ARRIVAL,
    REGISTER_ARRIVAL_COPY,
    SAMPLE_COPY,
    CopyLayout,
    Rows,
    encode,
)
from historian.instants import instant
from historian.isolation import RefusedRow, store_all_but_refused
from historian.queries import query
from historian.rollup import note_changed
from historian.routing import Routed, first_of_key
from scada.model.reading import MeterEventArray, ReadingArray, RegisterArray
from scada.model.sample import SampleArray

DAY_US = 86_400_000_000
"""Chunks of readings are days, in UTC."""


def write_samples(connection: Connection, batch: SampleArray) -> list[RefusedRow]:
    """Store telemetry, sorted as its index is; returns the rows the database refuses, after storing the others."""
    note_changed(connection, batch["time"])
    return store_all_but_refused(sort_by(batch, "point", "time"), partial(_copy_samples, connection))


def write_readings(connection: Connection, routed: Routed, source: str) -> Entry:
    """Store readings: likely new ones by COPY into the table, the others through staging, or all when a guess fails."""
    try:
        with _savepoint(connection):
            return _write_as_routed(connection, routed, source)
    except AlreadyStored:
        # COPY stops at the first known row and does not tell how many there are.
        stored, revised = _merge(connection, routed.rows, source)
        return Entry(stored, revised, duplicate=len(routed.rows) - stored - revised)


def write_registers(connection: Connection, rows: RegisterArray, source: str) -> Entry:
    """Store billing registers; a few for each meter and day, so all of them go through staging."""
    key = ("time", "meter", "obis", "kind")
    rows = sort_by(rows, *key)
    connection.execute(query("create_register_arrivals"))
    _copy(connection, "copy_register_arrivals", _arrivals(rows, REGISTER_ARRIVAL, key), REGISTER_ARRIVAL_COPY)
    stored = connection.execute(query("insert_first_registers")).rowcount
    revised = _revise(connection, "insert_register_revisions", rows, source) if stored < len(rows) else 0
    return Entry(stored, revised, duplicate=len(rows) - stored - revised)


def write_meter_events(connection: Connection, batch: MeterEventArray) -> Entry:
    """Store entries of event logs; an entry that is there already is a duplicate."""
    connection.execute(query("create_event_arrivals"))
    _copy(connection, "copy_event_arrivals", batch, METER_EVENT_COPY)
    stored = connection.execute(query("insert_event_arrivals")).rowcount
    return Entry(stored, duplicate=len(batch) - stored)


def _write_as_routed(connection: Connection, routed: Routed, source: str) -> Entry:
    all_new = bool(routed.likely_new.all())
    new = routed.rows if all_new else routed.rows[routed.likely_new]
    doubtful = routed.rows[~routed.likely_new]
    if len(new):
        _copy(connection, "copy_readings", new, READING_COPY)
    if not len(doubtful):
        return Entry(stored=len(new))
    stored, revised = _merge(connection, doubtful, source)
    return Entry(len(new) + stored, revised, duplicate=len(doubtful) - stored - revised)


def _merge(connection: Connection, rows: ReadingArray, source: str) -> tuple[int, int]:
    """Readings sorted by (time, meter) → how many were stored as first of their key, how many as revisions.

    The rest was known.
    """
    connection.execute(query("create_arrivals"))
    _copy(connection, "copy_arrivals", _arrivals(rows, ARRIVAL, ("time", "meter")), ARRIVAL_COPY)
    stored = connection.execute(query("insert_first_arrivals")).rowcount
    if stored == len(rows):
        return stored, 0
    return stored, _revise(connection, "insert_revisions", rows, source)


def _revise(connection: Connection, statement: str, rows: Rows, source: str) -> int:
    """Arrivals that are sorted by time, day by day: a span of one chunk makes each lookup 3 µs, several 30."""
    connection.execute(query("look_up_plainly"))
    days = np.split(rows, np.flatnonzero(np.diff(rows["time"] // DAY_US)) + 1)
    return sum(connection.execute(query(statement), {**_span(day), "source": source}).rowcount for day in days)


def _arrivals(rows: Rows, dtype: np.dtype[np.void], key: tuple[str, ...]) -> Rows:
    """Sorted rows as they go through staging: each with the mark whether it is the first of its key."""
    arrivals = np.empty(len(rows), dtype=dtype)
    assert rows.dtype.names is not None
    for name in rows.dtype.names:
        arrivals[name] = rows[name]
    arrivals["first"] = first_of_key(rows, *key)
    return arrivals


def _span(rows: Rows) -> dict[str, object]:
    """The times between which sorted rows lie, so that the planner leaves out the other chunks."""
    return {"earliest": instant(int(rows["time"][0])), "latest": instant(int(rows["time"][-1]))}


def _copy_samples(connection: Connection, rows: Rows) -> None:
    with _savepoint(connection):
        _copy(connection, "copy_samples", rows, SAMPLE_COPY)


def _copy(connection: Connection, name: str, rows: Rows, layout: CopyLayout) -> None:
    with connection.cursor() as cursor, cursor.copy(query(name)) as copy:
        copy.write(encode(rows, layout))


@contextmanager
def _savepoint(connection: Connection) -> Iterator[None]:
    """A savepoint whose errors come out in the words of the store."""
    try:
        with connection.transaction():
            yield
    except psycopg.Error as error:
        raise translated(error) from error
