"""The statements that put rows into the tables, inside a transaction of the caller.

Knows which statement stores what, and how a batch is stored although the database refuses some of its rows. Does not
begin or commit, and does not know accounts.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import psycopg

from historian.account import Entry
from historian.batching import sort_by
from historian.connection import Connection, translated
from historian.copyformat import (
    ARRIVAL,
    ARRIVAL_COPY,
    METER_EVENT_COPY,
    READING_COPY,
    SAMPLE_COPY,
    CopyLayout,
    Rows,
    encode,
)
from historian.instants import instant
from historian.isolation import RefusedRow, RowsRefused, store_all_but_refused
from historian.queries import query
from historian.routing import Routed, first_of_key
from scada.model.reading import MeterEventArray, ReadingArray
from scada.model.sample import SampleArray


@dataclass(frozen=True, slots=True)
class Written:
    """What became of a batch, and the rows the database refused."""

    entry: Entry
    refused: tuple[RefusedRow, ...] = ()


def write_samples(connection: Connection, batch: SampleArray) -> Written:
    """Store telemetry, sorted by (point, time) as the index is."""
    rows = sort_by(batch, "point", "time")
    refused = _store_parts(connection, rows, lambda part: _copy(connection, "copy_samples", part, SAMPLE_COPY))
    return Written(Entry(stored=len(rows) - len(refused), rejected=_by_reason(refused)), tuple(refused))


def write_readings(connection: Connection, routed: Routed, source: str) -> Written:
    """Store readings: likely new ones by COPY into the table, the others through staging, or all when a guess fails."""
    try:
        with _savepoint(connection):
            return _write_as_routed(connection, routed, source)
    except RowsRefused:
        # A guess was wrong, or a row cannot be stored; COPY does not tell how many such rows there are.
        return _write_through_staging(connection, routed.rows, source)


def write_meter_events(connection: Connection, batch: MeterEventArray) -> Written:
    """Store entries of event logs; an entry that is there already is a duplicate."""
    connection.execute(query("create_event_arrivals"))
    stored = 0

    def store(part: Rows) -> None:
        nonlocal stored
        connection.execute(query("clear_event_arrivals"))
        _copy(connection, "copy_event_arrivals", part, METER_EVENT_COPY)
        stored += connection.execute(query("insert_event_arrivals")).rowcount

    refused = _store_parts(connection, batch, store)
    duplicate = len(batch) - stored - len(refused)
    return Written(Entry(stored=stored, duplicate=duplicate, rejected=_by_reason(refused)), tuple(refused))


def _write_as_routed(connection: Connection, routed: Routed, source: str) -> Written:
    new = routed.rows[routed.likely_new]
    if len(new):
        _copy(connection, "copy_readings", new, READING_COPY)
    entry = Entry(stored=len(new))
    if len(new) < len(routed.rows):
        connection.execute(query("create_arrivals"))
        stored, revised = _merge_arrivals(connection, routed.rows[~routed.likely_new], source)
        duplicate = len(routed.rows) - len(new) - stored - revised
        entry = Entry(stored=len(new) + stored, revised=revised, duplicate=duplicate)
    return Written(entry)


def _write_through_staging(connection: Connection, rows: ReadingArray, source: str) -> Written:
    connection.execute(query("create_arrivals"))
    stored = revised = 0

    def store(part: Rows) -> None:
        nonlocal stored, revised
        connection.execute(query("clear_arrivals"))
        part_stored, part_revised = _merge_arrivals(connection, part, source)
        stored += part_stored
        revised += part_revised

    refused = _store_parts(connection, rows, store)
    duplicate = len(rows) - stored - revised - len(refused)
    return Written(Entry(stored, revised, duplicate, _by_reason(refused)), tuple(refused))


def _merge_arrivals(connection: Connection, rows: ReadingArray, source: str) -> tuple[int, int]:
    """Readings sorted by (time, meter) → how many were stored as first of their key, how many as revisions.

    The rest was known.
    """
    arrivals = np.empty(len(rows), dtype=ARRIVAL)
    for name in READING_COPY.columns:
        arrivals[name] = rows[name]
    arrivals["first"] = first_of_key(rows)
    _copy(connection, "copy_arrivals", arrivals, ARRIVAL_COPY)
    stored = connection.execute(query("insert_first_arrivals")).rowcount
    if stored == len(arrivals):
        return stored, 0
    span = {"earliest": instant(int(rows["time"][0])), "latest": instant(int(rows["time"][-1]))}
    return stored, connection.execute(query("insert_revisions"), {**span, "source": source}).rowcount


def _copy(connection: Connection, name: str, rows: Rows, layout: CopyLayout) -> None:
    with connection.cursor() as cursor, cursor.copy(query(name)) as copy:
        copy.write(encode(rows, layout))


def _store_parts(connection: Connection, rows: Rows, store: Callable[[Rows], None]) -> list[RefusedRow]:
    def store_or_undo(part: Rows) -> None:
        with _savepoint(connection):
            store(part)

    return store_all_but_refused(rows, store_or_undo)


@contextmanager
def _savepoint(connection: Connection) -> Iterator[None]:
    """A savepoint whose errors come out in the words of the store."""
    try:
        with connection.transaction():
            yield
    except psycopg.Error as error:
        raise translated(error) from error


def _by_reason(refused: list[RefusedRow]) -> Counter[str]:
    return Counter(item.reason for item in refused)
