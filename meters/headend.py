"""The meter head-end: readings from the broker into the store, acknowledged only when they are committed.

Knows two threads: one serves the connection, one decodes, judges and writes batches. Does not know the database: it
writes through ``ReadingStore`` and ``MeterEventStore``. While the store is away the batch in hand is kept and tried
again, nothing is acknowledged, and the broker holds back what exceeds the receive maximum.

The account changes in one step per settled batch, just before its acknowledgements are handed over. A message whose
acknowledgement is then lost comes again and is counted again, as received and as duplicate.
"""

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo

from meters.account import Account
from meters.connection import Broker, Connection, Delivery
from meters.inbox import Inbox
from meters.ingest import Intake, Message, take
from meters.latest import Latest
from meters.outage import Outages
from meters.registry import Registry, build_registry
from meters.settlement import Settlement
from meters.topic import ROOT
from meters.validate import Limits
from scada.config import HeadEndConfig
from scada.model.errors import StoreError
from scada.model.ports import Clock, MeterEventStore, ReadingStore

BACK_OFF_MIN_S, BACK_OFF_MAX_S = 0.1, 5.0
REPORT_MIN_S = 60
FAILURE_GLANCE_S = 0.2
"""How often ``run`` looks whether a thread has failed."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class HeadEndStats:
    """What the head-end did since its start. ``rejected`` by the word of its reason.

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
    events: Account
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
    """One worker. Several may share the load through ``shared_group``, each with its own client id."""

    def __init__(
        self,
        config: HeadEndConfig,
        broker: Broker,
        readings: ReadingStore,
        events: MeterEventStore,
        clock: Clock,
        zone: tzinfo = UTC,
    ) -> None:
        self._config = config
        self._readings = readings
        self._events = events
        self._clock = clock
        self._report = _Report(config.capture_period_s, zone, clock())
        self._inbox = Inbox(config.batch_rows, config.batch_age_s)
        share = f"$share/{config.shared_group}/" if config.shared_group else ""
        self._connection = Connection(
            broker, config.client_id, f"{share}{ROOT}/#", config.receive_maximum, clock, self._inbox.put
        )
        self._writing_stopped = threading.Event()
        self._serving_stopped = threading.Event()
        self._threads: list[threading.Thread] = []
        self._failure: Exception | None = None
        empty = build_registry(())
        self._registry = empty
        self._registry_read_at: int | None = None
        self._latest = Latest(empty)
        self._outages = Outages(empty)
        self._concentrators: dict[str, str] = {}
        self._account = Account()
        self._event_account = Account()
        self._messages = 0
        self._max_lag_s = 0.0
        self._store_error = ""
        self._store_lost_at: int | None = None

    def start(self) -> None:
        """Start both threads. Connecting and reading the registry are tried until they succeed."""
        self._threads = [
            threading.Thread(target=self._guard, args=(self._serve,), name="head-end wire"),
            threading.Thread(target=self._guard, args=(self._write,), name="head-end store"),
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Settle the batch in hand if the store is there, acknowledge it, leave the broker; the session stays.

        One that was never started only releases what it holds.
        """
        self._writing_stopped.set()
        if not self._threads:
            self._connection.close()
            return
        self._inbox.wake()
        serving, writing = self._threads
        writing.join()
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
        account, latest = self._account, self._latest
        return HeadEndStats(
            messages=self._messages,
            received=account.received,
            stored=account.stored,
            revised=account.revised,
            duplicate=account.duplicate,
            rejected={reason.word: count for reason, count in account.rejected.items()},
            late=account.late,
            doubtful={word: count for word, count in account.doubtful.items() if count},
            events=self._event_account,
            meters_registered=latest.registry.installed,
            meters_heard=latest.meters_heard,
            meters_out=self._outages.by_feeder(),
            concentrators_online=sum(state == "online" for state in list(self._concentrators.values())),
            in_hand=in_hand,
            lag_s=(self._clock() - oldest) / 1e6 if oldest is not None else 0.0,
            max_lag_s=self._max_lag_s,
            connected=self._connection.is_connected,
            database_available=self._store_lost_at is None,
            stale_acknowledgements=self._connection.stale_acknowledgements,
            last_error=self._store_error or self._connection.last_error,
        )

    def _guard(self, work: Callable[[], None]) -> None:
        """Do a thread's work; a bug in one thread must not leave the other working for nobody."""
        try:
            work()
        except Exception as error:  # a thread has nowhere to raise; run() raises it
            _log.exception("%s ended by a bug", threading.current_thread().name)
            self._failure = error
            self._writing_stopped.set()

    # -- the thread of the wire

    def _serve(self) -> None:
        self._connection.serve(self._serving_stopped)

    # -- the thread of the store

    def _write(self) -> None:
        if not self._until_stored(self._read_registry):
            return
        while not self._writing_stopped.is_set():
            deliveries = self._inbox.take(self._writing_stopped)
            if deliveries and not self._settle(deliveries):
                return
            self._inbox.settle()
            self._report.log_when_due(self._clock(), self._account)

    def _settle(self, deliveries: Sequence[Delivery]) -> bool:
        """Write a batch and hand over its acknowledgements; False when told to stop before the store took it."""
        messages = [delivery.message for delivery in deliveries]
        intake = self._take(messages)
        if intake is None:
            return False
        late = self._latest.is_late(intake.reading_position, intake.readings["time"])
        settlement = Settlement(messages, intake, int(late.sum()), self._readings, self._events)
        if not self._until_stored(settlement.advance):
            return False
        readings, events = settlement.accounts
        self._account += readings
        self._event_account += events
        self._messages += len(messages)
        self._note(intake)
        self._max_lag_s = max(self._max_lag_s, (self._clock() - messages[0].received_at) / 1e6)
        self._connection.acknowledge(deliveries)
        return True

    def _take(self, messages: Sequence[Message]) -> Intake | None:
        """Open the messages; an unknown meter may be a new one, so read the registry and open them again."""
        intake = self._take_with(messages, self._registry)
        if not (intake.has_unknown_meters and self._registry_is_old()):
            return intake
        return self._take_with(messages, self._registry) if self._until_stored(self._read_registry) else None

    def _take_with(self, messages: Sequence[Message], registry: Registry) -> Intake:
        config = self._config
        limits = Limits(self._clock(), config.future_s, config.memory_days, config.capture_period_s)
        return take(messages, registry, limits, config.payload_limit_kib * 1024)

    def _note(self, intake: Intake) -> None:
        readings, events = intake.readings, intake.events
        self._latest.advance(intake.reading_position, readings["time"])
        self._outages.note_events(intake.event_position, events["time"], events["code"])
        self._outages.note_readings(intake.reading_position, readings["time"], readings["status"])
        self._concentrators.update(intake.states)

    def _registry_is_old(self) -> bool:
        read_at = self._registry_read_at
        return read_at is None or self._clock() - read_at >= self._config.registry_reload_s * 1e6

    def _read_registry(self) -> None:
        registry = build_registry(self._readings.registered_meters())
        if len(registry) != len(self._registry):
            _log.info("Registry: %d meters, before %d", len(registry), len(self._registry))
        self._latest = self._latest.rebased(registry)
        self._outages = self._outages.rebased(registry)
        self._registry = registry
        self._registry_read_at = self._clock()

    def _until_stored(self, step: Callable[[], None]) -> bool:
        """Do ``step`` again and again until the store takes it; False when told to stop before that."""
        back_off = BACK_OFF_MIN_S
        while True:
            try:
                step()
            except StoreError as error:
                self._note_store_lost(error)
            else:
                self._note_store_restored()
                return True
            if self._writing_stopped.wait(back_off):
                return False
            back_off = min(back_off * 2, BACK_OFF_MAX_S)

    def _note_store_lost(self, error: StoreError) -> None:
        if self._store_lost_at is None:
            self._store_lost_at = self._clock()
            _log.error("Database away: %s; %d messages in hand, nothing acknowledged", error, self.stats().in_hand)
        self._store_error = f"database away: {error}"

    def _note_store_restored(self) -> None:
        if self._store_lost_at is not None:
            away = (self._clock() - self._store_lost_at) / 1e6
            _log.warning("Database back after %.0f s; %d messages in hand", away, self.stats().in_hand)
            self._store_lost_at = None
            self._store_error = ""


class _Report:
    """One log line per interval, at its end: what the account gained."""

    def __init__(self, period_s: int, zone: tzinfo, now: int) -> None:
        self._period = max(period_s, REPORT_MIN_S) * 1_000_000
        self._zone = zone
        self._next = now // self._period * self._period + self._period
        self._before = Account()

    def log_when_due(self, now: int, account: Account) -> None:
        """Log when an interval has ended since the last line."""
        if now < self._next:
            return
        ended = datetime.fromtimestamp(self._next / 1e6, UTC).astimezone(self._zone)
        _log.info("%s", account.since(self._before).sentence(f"Readings {ended:%H:%M}"))
        self._before = account
        self._next = now // self._period * self._period + self._period
