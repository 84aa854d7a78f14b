"""Takes telemetry from the scan without making it wait, and sees that every sample reaches the database once.

Knows when to write, when to spool and when to try again. Does not know SQL or files.

    offer → waiting (memory) → stored
                 │  database away           ↑ replayed, oldest first, when it is back
                 └────────→ spooled (disk) ─┘
                 disk refuses too: held in memory up to a limit, beyond it dropped, counted and logged

Samples that arrive while a spool is being replayed are stored directly, so that the present is visible at once; every
sample carries its own time, and a batch is stored once by its (source, sequence), so order between batches is free.
"""

import logging
import threading
import uuid
from collections import deque
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from historian.batching import Batcher
from historian.outage import Outage
from historian.spool import Spool, SpooledBatch
from scada.model.errors import RowsRejected, SpoolError, StoreRejected, StoreUnavailable
from scada.model.ports import Clock, SampleStore
from scada.model.sample import SAMPLE, SampleArray

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SinkLimits:
    """When to write and how much to hold. Times in µs."""

    batch_rows: int = 10_000
    batch_age_us: int = 500_000
    waiting_rows: int = 2_000_000
    """About 50 MB; at 5,000 samples/s more than six minutes without database and disk."""
    spool_bytes: int = 4096 * 2**20
    retry_first_us: int = 500_000
    retry_last_us: int = 10_000_000


@dataclass(frozen=True, slots=True)
class SinkStats:
    """Where the samples are, in rows: offered + recovered = stored + spooled + waiting + rejected + dropped.

    recovered: found in the spool of an earlier run · rejected: refused by the database · last_error: of the database
    or else the disk, '' while both serve · since: µs, when the database was lost, None while it serves · lag_s: age of
    the oldest sample that is not stored.
    """

    offered: int
    recovered: int
    stored: int
    spooled: int
    waiting: int
    rejected: int
    dropped: int
    last_error: str
    since: int | None
    lag_s: float


@dataclass(slots=True)
class _Tally:
    offered: int = 0
    recovered: int = 0
    stored: int = 0
    spooled: int = 0
    held: int = 0
    rejected: int = 0
    dropped: int = 0


class TelemetrySink:
    """A SampleSink with a thread of its own: ``start``, any number of ``offer``, ``close``.

    ``name`` is part of the source under which batches are stored; a spool left by an earlier run keeps the source of
    that run. ``rows`` is the dtype of what is offered: events travel the same way as samples. Tests call ``turn``
    instead of starting the thread.
    """

    def __init__(
        self,
        store: SampleStore,
        spool_folder: Path,
        *,
        name: str,
        clock: Clock,
        limits: SinkLimits | None = None,
        rows: np.dtype[np.void] = SAMPLE,
    ) -> None:
        self._store = store
        self._folder = spool_folder
        self._dtype = rows
        self._clock = clock
        self._limits = limits or SinkLimits()
        self._source = f"{name}/{uuid.uuid4().hex}"
        self._sequence = 0
        self._thread: threading.Thread | None = None
        self._closing = False

        # Shared with the callers of offer and stats, guarded by _changed; what follows below is the worker's own.
        self._changed = threading.Condition()
        self._intake = Batcher(rows, max_rows=self._limits.batch_rows, max_age_us=self._limits.batch_age_us)
        self._tally = _Tally()
        self._dropping_since: int | None = None
        self._oldest_held: int | None = None
        self._oldest_spooled: int | None = None
        self._database = Outage(self._limits.retry_first_us, self._limits.retry_last_us)
        self._disk = Outage(self._limits.retry_first_us, self._limits.retry_last_us)

        self._held: deque[SpooledBatch] = deque()
        self._spool: Spool | None = None
        self._open_spool()

    def offer(self, batch: SampleArray) -> None:
        """Hand over a batch, which must not change afterwards. Never waits for disk or database, never raises."""
        now = self._clock()
        with self._changed:
            wakes = self._intake.due_at() is None
            self._tally.offered += len(batch)
            waiting = self._tally.held + self._intake.rows
            fits = waiting + len(batch) <= self._limits.waiting_rows
            transition = fits == (self._dropping_since is not None)
            if fits:
                self._intake.add(batch, now)
            else:
                self._tally.dropped += len(batch)
            if transition:
                self._dropping_since = None if fits else now
            dropped = self._tally.dropped
            if wakes or self._intake.due_at() == 0:
                self._changed.notify()
        if transition and fits:
            log.warning("Telemetry is taken again; %d samples have been dropped in all", dropped)
        elif transition:
            log.error("Telemetry is being dropped: %d samples wait in memory, %s", waiting, self.stats().last_error)

    def stats(self) -> SinkStats:
        """Where the samples are now; the counts of one answer belong together."""
        now = self._clock()
        with self._changed:
            tally = self._tally
            oldest = [self._intake.oldest, self._oldest_held, self._oldest_spooled]
            since = min((time for time in oldest if time is not None), default=now)
            return SinkStats(
                offered=tally.offered,
                recovered=tally.recovered,
                stored=tally.stored,
                spooled=tally.spooled,
                waiting=tally.held + self._intake.rows,
                rejected=tally.rejected,
                dropped=tally.dropped,
                last_error=self._database.error or self._disk.error,
                since=self._database.since,
                lag_s=max(0, now - since) / 1e6,
            )

    def start(self) -> None:
        """Begin to write."""
        self._thread = threading.Thread(target=self._run, name="telemetry sink", daemon=True)
        self._thread.start()

    def close(self, timeout: float) -> SinkStats:
        """Store or spool what waits, and end; after ``timeout`` seconds at most.

        What is still in memory then is counted as waiting and logged.
        """
        with self._changed:
            self._closing = True
            self._changed.notify()
        if self._thread is None:
            self._finish()
        else:
            self._thread.join(timeout)
        stats = self.stats()
        if stats.waiting:
            log.error("Telemetry sink ended with %d samples neither stored nor spooled", stats.waiting)
        return stats

    def turn(self) -> int | None:
        """One round of work: store what is due, one spooled batch as well; spool it when the database is away.

        Returns when the next round is due, µs; None when only an offer can make one due.
        """
        now = self._clock()
        self._collect(now)
        if self._database.may_try(now):
            self._deliver(now)
        if self._database.since is not None and self._disk.may_try(now):
            self._spool_held()
        return self._next_due(now)

    def _run(self) -> None:
        while self._pause(self._guarded_turn()):
            pass
        self._finish()

    def _guarded_turn(self) -> int | None:
        try:
            return self.turn()
        except Exception:
            # A bug in one round must not end the thread that telemetry depends on; what it held is still held.
            log.exception("Telemetry sink: a round of work failed and is repeated")
            return self._clock() + self._limits.retry_last_us

    def _pause(self, due: int | None) -> bool:
        """Wait until ``due`` or until something changes. False when the sink is to end."""
        with self._changed:
            pause_s = None if due is None else (due - self._clock()) / 1e6
            if not self._closing and (pause_s is None or pause_s > 0):
                self._changed.wait(pause_s)
            return not self._closing

    def _finish(self) -> None:
        now = self._clock()
        self._collect(now)
        self._deliver(now)
        self._spool_held()
        if self._spool is not None:
            self._spool.close()
            self._spool = None

    def _next_due(self, now: int) -> int | None:
        with self._changed:
            dues = [self._intake.due_at()]
            backlog = bool(self._held) or self._tally.spooled > 0
        if backlog:
            dues.append(max(self._database.retry_at, self._disk.retry_at, now))
        return min((due for due in dues if due is not None), default=None)

    def _collect(self, now: int) -> None:
        """Move what is due from the intake to ``_held``, as batches with their final names."""
        while True:
            with self._changed:
                due = self._intake.due_at()
                if due is None or (due > now and not self._closing):
                    return
                offered_at = self._intake.oldest or now
                rows = self._intake.take()
                self._tally.held += len(rows)
                self._sequence += 1
                self._held.append(SpooledBatch(self._source, self._sequence, offered_at, rows))
                self._oldest_held = self._held[0].offered_at

    def _deliver(self, now: int) -> None:
        attempted = False
        try:
            while self._held:
                attempted = True
                rejected = self._write(self._held[0])
                with self._changed:
                    rows = self._forget_held()
                    self._tally.stored += rows - rejected
                    self._tally.rejected += rejected
            if self._spool is not None and self._spool.rows and self._disk.may_try(now):
                attempted = True
                self._replay_one(self._spool)
        except StoreUnavailable as error:
            self._database_failed(error)
        else:
            if attempted:
                self._database_served()

    def _database_failed(self, error: StoreUnavailable) -> None:
        with self._changed:
            news = self._database.lost(self._clock(), str(error))
        if news:
            log.warning("Historian lost: %s; telemetry is spooled to %s", error, self._folder)

    def _database_served(self) -> None:
        with self._changed:
            away_s = self._database.restored(self._clock())
        if away_s is not None:
            log.info("Historian back after %.0f s; %d spooled samples to replay", away_s, self._tally.spooled)

    def _write(self, batch: SpooledBatch) -> int:
        """Store one batch and return how many of its rows were refused. Raises StoreUnavailable."""
        try:
            self._store.write_samples(batch.source, batch.sequence, batch.rows)
        except RowsRejected as refusal:
            log.error("Historian refused samples: %s", refusal)
            return refusal.rejected
        except StoreRejected as refusal:
            log.error("Historian refused a batch of %d samples: %s", len(batch.rows), refusal)
            return len(batch.rows)
        return 0

    def _replay_one(self, spool: Spool) -> None:
        before, lost_before = spool.rows, spool.lost_rows
        rejected = 0
        try:
            batch = spool.oldest()
            if batch is not None:
                rejected = self._write(batch)
                spool.stored()
        except SpoolError as error:
            self._disk_refused(error)
        else:
            self._disk_served()
        finally:
            gone, lost = before - spool.rows, spool.lost_rows - lost_before
            with self._changed:
                self._tally.spooled -= gone
                self._tally.dropped += lost
                self._tally.rejected += rejected
                self._tally.stored += gone - lost - rejected
                self._oldest_spooled = spool.oldest_offered_at
        if gone and not spool.rows:
            log.info("Spool replayed: all spooled telemetry is stored")

    def _spool_held(self) -> None:
        """Put what is held on the disk; what the disk refuses stays held."""
        if not self._held:
            return
        spool = self._spool or self._open_spool()
        if spool is None:
            return
        try:
            while self._held:
                spool.append(self._held[0])
                with self._changed:
                    self._tally.spooled += self._forget_held()
                    self._oldest_spooled = spool.oldest_offered_at
        except SpoolError as error:
            self._disk_refused(error)
        else:
            self._disk_served()

    def _open_spool(self) -> Spool | None:
        try:
            self._spool = Spool(self._folder, limit_bytes=self._limits.spool_bytes, rows=self._dtype)
        except SpoolError as error:
            self._disk_refused(error)
            return None
        with self._changed:
            self._tally.recovered += self._spool.rows
            self._tally.spooled += self._spool.rows
            self._oldest_spooled = self._spool.oldest_offered_at
        if self._spool.rows:
            log.info("Spool %s: %d samples of an earlier run will be stored", self._folder, self._spool.rows)
        return self._spool

    def _disk_refused(self, error: SpoolError) -> None:
        with self._changed:
            news = self._disk.lost(self._clock(), str(error))
        if news:
            log.error("Spool refused: %s; telemetry is held in memory", error)

    def _disk_served(self) -> None:
        with self._changed:
            away_s = self._disk.restored(self._clock())
        if away_s is not None:
            log.info("Spool %s serves again after %.0f s", self._folder, away_s)

    def _forget_held(self) -> int:
        rows = len(self._held.popleft().rows)
        self._tally.held -= rows
        self._oldest_held = self._held[0].offered_at if self._held else None
        return rows
