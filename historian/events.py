"""The sequence of events: changes of status points with the source's time and that of their receipt.

Knows the statements. Does not know what makes a change an event (``scada.image``), nor the disk that keeps events while
the database is away (the sink: it satisfies ``SampleStore`` with rows of STATUS_EVENT).
"""

from collections.abc import Sequence

import psycopg

from historian.connection import TRANSACTION_LIMIT_S, Connection, DatabaseLink, OnLink, translated
from historian.copyformat import STATUS_EVENT_COPY, Rows, decode, encode
from historian.instants import instant
from historian.isolation import store_all_but_refused
from historian.quarantine import quarantine_row, quarantined_rows
from historian.queries import query
from scada.model.errors import RowsRejected
from scada.model.ports import Clock
from scada.model.statusevent import StatusEventArray

MOST_EVENTS = 1_000_000


class EventDatabase(OnLink):
    """Stores and answers for events, on one connection, opened at the first call and after each loss."""

    def __init__(self, dsn: str, *, application: str, clock: Clock, limit_s: float = TRANSACTION_LIMIT_S) -> None:
        self._link = DatabaseLink(dsn, application=application, limit_s=limit_s)
        self._clock = clock

    def write_samples(self, source: str, sequence: int, batch: StatusEventArray) -> bool:
        """Store a batch of events, each exactly once per (source, sequence). False when it was stored before.

        None is merged with another, whatever its point and time. Raises StoreUnavailable (try again with the same
        sequence), or RowsRejected when some are refused: those are in the quarantine, the others are stored.
        """
        with self._link.transaction() as connection:
            about = {"source": source, "sequence": sequence, "rows": len(batch)}
            if connection.execute(query("insert_status_event_batch"), about).rowcount == 0:
                return False

            def copy(rows: Rows) -> None:
                _copy(connection, rows)

            refused = store_all_but_refused(batch, copy)
            with connection.cursor() as cursor:
                for row in quarantined_rows(refused, topic=f"event/{source}", now=self._clock()):
                    cursor.execute(query("insert_quarantine"), quarantine_row(row))
        if refused:
            raise RowsRejected(f"{refused[0].reason} ({len(refused)} of {len(batch)} events)", rejected=len(refused))
        return True

    def events_between(
        self, since: int, until: int, points: Sequence[int] = (), *, limit: int = MOST_EVENTS
    ) -> StatusEventArray:
        """Events whose source time lies in [since, until), µs: by source time, those of one instant as they arrived.

        ``points``: only of these, all when empty. Of more than ``limit`` the newest. Raises StoreUnavailable.
        """
        about = {"since": instant(since), "until": instant(until), "limit": limit, "points": list(points)}
        name = "status_events_of_points" if points else "status_events_between"
        with (
            self._link.transaction() as connection,
            connection.cursor() as cursor,
            cursor.copy(query(name), about) as copy,
        ):
            return decode(b"".join(copy), STATUS_EVENT_COPY)

    def counts(self) -> tuple[int, int]:
        """Stored events, and the rows that the stored batches say they brought: equal, but for rows refused."""
        with self._link.transaction() as connection:
            row = connection.execute(query("count_status_events")).fetchone()
        return (int(row[0]), int(row[1])) if row else (0, 0)


def _copy(connection: Connection, rows: Rows) -> None:
    try:
        with (
            connection.transaction(),
            connection.cursor() as cursor,
            cursor.copy(query("copy_status_events")) as copy,
        ):
            copy.write(encode(rows, STATUS_EVENT_COPY))
    except psycopg.Error as error:
        raise translated(error) from error


def forget_event_batches(dsn: str, before: int) -> int:
    """Forget the numbers of batches of events stored before ``before``, µs; returns how many.

    Keep them for longer than a spool may lie on a disk. Raises StoreUnavailable.
    """
    with DatabaseLink(dsn, application="scada upkeep") as link, link.transaction() as connection:
        return connection.execute(query("forget_event_batches"), {"before": instant(before)}).rowcount
