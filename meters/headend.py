"""The meter head-end: readings from the broker into the store, acknowledged only when they are committed.

Knows its threads: one serves the connection, and a writer for each store decodes, judges and writes batches. Does not
know the database: it writes through ``MeterStore``. While the store is away the batches in hand are kept and tried
again, nothing is acknowledged, and the broker holds back what exceeds the receive maximum or the memory allowed.

The account changes in one step per settled batch, just before its acknowledgements are handed over. A message whose
acknowledgement is then lost comes again and is counted again, as received and as duplicate.
"""

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo

from meters.account import Account
from meters.connection import Broker, Connection
from meters.inbox import Inbox
from meters.tally import Tally
from meters.topic import ROOT
from meters.writer import RegistryReader, StoreWatch, Writer
from scada.config import HeadEndConfig
from scada.model.ports import Clock, MeterStore

REPORT_MIN_S = 60
FAILURE_GLANCE_S = 0.2
"""How often ``run`` looks whether a thread has failed."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Counts:
    """An account as it is told: ``rejected`` by the word of its reason, zeros left out."""

    received: int
    stored: int
    revised: int
    duplicate: int
    rejected: Mapping[str, int]
    doubtful: Mapping[str, int]

    @classmethod
    def of(cls, account: Account) -> "Counts":
        """The counts of an account."""
        return Counts(
            account.received,
            account.stored,
            account.revised,
            account.duplicate,
            {reason.word: count for reason, count in account.rejected.items() if count},
            {word: count for word, count in account.doubtful.items() if count},
        )


@dataclass(frozen=True, slots=True)
class HeadEndStats:
    """What the head-end did since its start, with readings; ``registers`` and ``events`` have counts of their own.

    received = stored + revised + duplicate + rejected, always. lag_s: age of the oldest message that is not yet
    acknowledged; max_lag_s: longest time from receipt to commit. ``meters_out``: meters without supply per feeder.
    """

    messages: int
    received: int
    stored: int
    revised: int
    duplicate: int
    rejected: Mapping[str, int]
    late: int
    doubtful: Mapping[str, int]
    registers: Counts
    events: Counts
    meters_registered: int
    meters_heard: int
    meters_out: Mapping[str, int]
    concentrators_online: int
    in_hand: int
    lag_s: float
    max_lag_s: float
    connected: bool
    database_available: bool
    stale_acknowledgements: int
    last_error: str


class HeadEnd:
    """One worker. Several may share the load through ``shared_group``, each with its own client id.

    Each of ``stores`` is written by a thread of its own, and must be a connection of its own.
    """

    def __init__(
        self,
        config: HeadEndConfig,
        broker: Broker,
        stores: Sequence[MeterStore],
        clock: Clock,
        zone: tzinfo = UTC,
    ) -> None:
        self._clock = clock
        self._report = _Report(config.capture_period_s, zone, clock())
        self._tally = Tally()
        self._inbox = Inbox(config.batch_rows, config.batch_age_s, config.in_hand_mib * 2**20)
        share = f"$share/{config.shared_group}/" if config.shared_group else ""
        self._connection = Connection(
            broker,
            config.client_id,
            f"{share}{ROOT}/#",
            config.receive_maximum,
            clock,
            self._inbox.put,
            self._inbox.has_room,
        )
        self._watch = StoreWatch(clock, self._inbox.__len__)
        reader = RegistryReader(self._tally, clock, config.registry_reload_s)
        acknowledge = self._connection.acknowledge
        self._writers = [
            Writer(
                f"head-end store {n}", config, self._inbox, store, self._tally, reader, self._watch, acknowledge, clock
            )
            for n, store in enumerate(stores, start=1)
        ]
        self._writing_stopped = threading.Event()
        self._serving_stopped = threading.Event()
        self._threads: list[threading.Thread] = []
        self._failure: Exception | None = None

    def start(self) -> None:
        """Start all threads. Connecting and reading the registry are tried until they succeed."""
        self._threads = [threading.Thread(target=self._guard, args=(self._serve,), name="head-end wire")]
        self._threads += [
            threading.Thread(target=self._guard, args=(lambda writer=each: self._write(writer),), name=each.name)
            for each in self._writers
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Settle the batches in hand if the store is there, acknowledge them, leave the broker; the session stays.

        One that was never started only releases what it holds.
        """
        self._writing_stopped.set()
        if not self._threads:
            self._connection.close()
            return
        self._inbox.wake()
        serving, *writing = self._threads
        for thread in writing:
            thread.join()
        self._serving_stopped.set()
        self._connection.wake()
        serving.join()
        self._threads = []

    def run(self, stop: threading.Event) -> None:
        """Work until ``stop`` is set. A bug in either thread ends both and is raised here."""
        self.start()
        try:
            while not stop.wait(FAILURE_GLANCE_S) and self._failure is None:
                continue
        finally:
            self.stop()
        if self._failure is not None:
            raise self._failure

    def stats(self) -> HeadEndStats:
        """The state of this moment. Any thread."""
        # in hand first: when it says nothing, the account read after it is complete
        in_hand, oldest = len(self._inbox), self._inbox.oldest_received_at
        tally = self._tally
        accounts, latest = tally.accounts, tally.latest
        readings = Counts.of(accounts.readings)
        return HeadEndStats(
            messages=tally.messages,
            received=readings.received,
            stored=readings.stored,
            revised=readings.revised,
            duplicate=readings.duplicate,
            rejected=readings.rejected,
            late=accounts.readings.late,
            doubtful=readings.doubtful,
            registers=Counts.of(accounts.registers),
            events=Counts.of(accounts.events),
            meters_registered=latest.registry.installed,
            meters_heard=latest.meters_heard,
            meters_out=tally.meters_out(),
            concentrators_online=tally.concentrators_online,
            in_hand=in_hand,
            lag_s=(self._clock() - oldest) / 1e6 if oldest is not None else 0.0,
            max_lag_s=tally.max_lag_s,
            connected=self._connection.is_connected,
            database_available=self._watch.is_available,
            stale_acknowledgements=self._connection.stale_acknowledgements,
            last_error=self._watch.error or self._connection.last_error,
        )

    def _guard(self, work: Callable[[], None]) -> None:
        """Do a thread's work; a bug in one thread must not leave the other working for nobody."""
        try:
            work()
        except Exception as error:  # a thread has nowhere to raise; run() raises it
            _log.exception("%s ended by a bug", threading.current_thread().name)
            self._failure = error
            self._writing_stopped.set()
            self._inbox.wake()

    def _serve(self) -> None:
        self._connection.serve(self._serving_stopped)

    def _write(self, writer: Writer) -> None:
        writer.write(self._writing_stopped, self._tell_when_due)

    def _tell_when_due(self) -> None:
        self._report.log_when_due(self._clock(), self._tally.accounts.readings)


class _Report:
    """One log line per interval, at its end: what the account gained."""

    def __init__(self, period_s: int, zone: tzinfo, now: int) -> None:
        self._period = max(period_s, REPORT_MIN_S) * 1_000_000
        self._zone = zone
        self._next = now // self._period * self._period + self._period
        self._before = Account()
        self._lock = threading.Lock()

    def log_when_due(self, now: int, account: Account) -> None:
        """Log when an interval has ended since the last line."""
        if now < self._next:
            return
        with self._lock:
            if now >= self._next:
                self._log(now, account)

    def _log(self, now: int, account: Account) -> None:
        ended = datetime.fromtimestamp(self._next / 1e6, UTC).astimezone(self._zone)
        _log.info("%s", account.since(self._before).sentence(f"Readings {ended:%H:%M}"))
        self._before = account
        self._next = now // self._period * self._period + self._period
