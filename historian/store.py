"""Writes telemetry, readings, billing registers and meter events to the database, each exactly once.

Knows the transactions. Does not know when to write, nor what to do while the database is away: that is the sink's and
the head-end's business. Calls block, for at most the link's time limit and a bit.
"""

import uuid
from collections import Counter
from collections.abc import Iterable, Sequence

from historian import writing
from historian.account import Entry, IngestAccount
from historian.connection import TRANSACTION_LIMIT_S, Connection, DatabaseLink, OnLink
from historian.instants import instant
from historian.quarantine import quarantine_row, quarantined_rows, storable
from historian.queries import query
from historian.routing import Router
from scada.model.errors import RowsRejected
from scada.model.point import Point
from scada.model.ports import (
    METER_EVENTS,
    NOT_REMOVED,
    READINGS,
    REGISTERS,
    Clock,
    MeterEventOutcome,
    Quarantined,
    ReadingOutcome,
    RegisteredMeter,
)
from scada.model.reading import MeterEventArray, ReadingArray, RegisterArray
from scada.model.sample import SampleArray

QUARANTINE_LIMIT = 10_000

REMOVED_LATELY_US = 70 * 86_400_000_000
"""Late readings of a removed meter are taken as long as any meter's memory lasts, and some days more."""


class HistorianStore(OnLink):
    """SampleStore and MeterStore on one connection, opened at the first call and after each loss.

    ``worker`` names who writes, in the account and in the server's list of sessions; each object is one run of it.
    Stores that write readings side by side share a ``router``.
    After StoreUnavailable, call again with the same rows: if they were stored although the answer was lost, the
    outcome is the one of the first attempt.
    """

    def __init__(
        self,
        dsn: str,
        *,
        worker: str,
        clock: Clock,
        quarantine_limit: int = QUARANTINE_LIMIT,
        limit_s: float = TRANSACTION_LIMIT_S,
        router: Router | None = None,
    ) -> None:
        self._link = DatabaseLink(dsn, application=worker, limit_s=limit_s)
        self._worker = worker
        self._clock = clock
        self._quarantine_limit = quarantine_limit
        self._router = router or Router()
        run = uuid.uuid4()
        self._reading_account = IngestAccount(worker, run, READINGS)
        self._register_account = IngestAccount(worker, run, REGISTERS)
        self._event_account = IngestAccount(worker, run, METER_EVENTS)
        self._accounts = {
            READINGS: self._reading_account,
            REGISTERS: self._register_account,
            METER_EVENTS: self._event_account,
        }

    def write_points(self, points: Iterable[Point]) -> None:
        """Make the points known by name. Raises StoreUnavailable, or StoreRejected for a name with two ids."""
        rows = [
            {
                "id": point.id,
                "name": point.name,
                "station": point.station,
                "bay": point.bay,
                "kind": point.kind.value,
                "unit": point.unit,
                "title_vi": point.title_vi,
                "title_en": point.title_en,
            }
            for point in points
        ]
        with self._link.transaction() as connection, connection.cursor() as cursor:
            cursor.executemany(query("upsert_points"), rows)

    def write_samples(self, source: str, sequence: int, batch: SampleArray) -> bool:
        """Store a batch, exactly once per (source, sequence). False when it was stored before.

        Raises StoreUnavailable (keep the batch, try again with the same sequence), or RowsRejected when the database
        refused some rows: they are in the quarantine, the others are stored and the batch is settled.
        """
        with self._link.transaction() as connection:
            batch_row = {"source": source, "sequence": sequence, "rows": len(batch)}
            if connection.execute(query("insert_sample_batch"), batch_row).rowcount == 0:
                return False
            refused = writing.write_samples(connection, batch)
            if refused:
                self._keep(connection, quarantined_rows(refused, topic=f"sample/{source}", now=self._clock()))
        if refused:
            raise RowsRejected(f"{refused[0].reason} ({len(refused)} of {len(batch)} rows)", rejected=len(refused))
        return True

    def write_readings(self, batch: ReadingArray) -> ReadingOutcome:
        """Commit a batch; same key and same values is a duplicate, any other value becomes a revision.

        Raises StoreUnavailable (try again with the same batch), or StoreRejected when a row cannot be stored: then
        nothing of the batch is.
        """
        routed = self._router.route(batch)
        work = routed.rows.tobytes()
        with self._link.transaction() as connection:
            entry = self._reading_account.settled(connection, work)
            if entry is None:
                entry = writing.write_readings(connection, routed, self._worker)
                self._reading_account.book(connection, work, entry)
        self._reading_account.committed(work)
        self._router.stored(routed.rows)
        return ReadingOutcome(entry.stored, entry.revised, entry.duplicate)

    def write_registers(self, batch: RegisterArray) -> ReadingOutcome:
        """Commit billing registers; the same again is a duplicate, another value of one key becomes a revision.

        Raises StoreUnavailable (try again with the same batch), or StoreRejected: then nothing is stored.
        """
        work = batch.tobytes()
        with self._link.transaction() as connection:
            entry = self._register_account.settled(connection, work)
            if entry is None:
                entry = writing.write_registers(connection, batch, self._worker)
                self._register_account.book(connection, work, entry)
        self._register_account.committed(work)
        return ReadingOutcome(entry.stored, entry.revised, entry.duplicate)

    def write_meter_events(self, batch: MeterEventArray) -> MeterEventOutcome:
        """Commit a batch; an event that is there already (same meter, time and code) is a duplicate.

        Raises StoreUnavailable (try again with the same batch), or StoreRejected: then nothing is stored.
        """
        work = batch.tobytes()
        with self._link.transaction() as connection:
            entry = self._event_account.settled(connection, work)
            if entry is None:
                entry = writing.write_meter_events(connection, batch)
                self._event_account.book(connection, work, entry)
        self._event_account.committed(work)
        return MeterEventOutcome(entry.stored, entry.duplicate)

    def write_quarantine(self, rows: Sequence[Quarantined]) -> None:
        """Keep rejected messages of one kind, the newest up to the limit, and count what they held as rejected.

        Raises StoreUnavailable: try again with the same messages.
        """
        work = tuple(rows)
        account = self._accounts[work[0].kind if work else READINGS]
        rejected: Counter[str] = Counter()
        for message in work:
            rejected[storable(message.reason)] += message.rejected
        with self._link.transaction() as connection:
            if account.settled(connection, work) is None:
                self._keep(connection, work)
                account.book(connection, work, Entry(rejected=rejected))
        account.committed(work)

    def registered_meters(self) -> Sequence[RegisteredMeter]:
        """All meters that are installed now or were lately, by id. Raises StoreUnavailable."""
        about = {"not_removed": NOT_REMOVED, "since": instant(self._clock() - REMOVED_LATELY_US)}
        with self._link.transaction() as connection:
            rows = connection.execute(query("registered_meters"), about).fetchall()
        return [RegisteredMeter(*row) for row in rows]

    def _keep(self, connection: Connection, rows: Sequence[Quarantined]) -> None:
        newest = rows[-self._quarantine_limit :]
        with connection.cursor() as cursor:
            cursor.executemany(query("insert_quarantine"), [quarantine_row(row) for row in newest])
            cursor.execute(query("trim_quarantine"), {"limit": self._quarantine_limit})
