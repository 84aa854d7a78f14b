"""One writer of the head-end: takes what came, has it judged, writes it, and hands over its acknowledgement.

Knows the order: committed first, acknowledged then. While the store is away the batch in hand is kept and tried again.
Several writers side by side let one decode while the other's database works, and use as many of the database's cores.
"""

import logging
import threading
from collections.abc import Callable, Sequence

from meters.inbox import Inbox
from meters.ingest import Intake, take
from meters.message import Message
from meters.registry import build_registry
from meters.settlement import Settlement
from meters.tally import Tally
from meters.validate import Limits
from scada.config import HeadEndConfig
from scada.model.errors import StoreError
from scada.model.ports import Clock, MeterStore

BACK_OFF_MIN_S, BACK_OFF_MAX_S = 0.1, 5.0

REGISTRY_AGE_S = 600.0
"""A registry is not believed for longer. Nothing unknown tells of other transformers at a meter, of one that moved, or
of another model; reading 200,000 meters costs some 0.8 s."""

_log = logging.getLogger(__name__)


class StoreWatch:
    """Whether the store answers all of its writers; logs when that changes."""

    def __init__(self, clock: Clock, in_hand: Callable[[], int]) -> None:
        self.error = ""
        self._clock = clock
        self._in_hand = in_hand
        self._away: set[str] = set()
        self._lost_at = 0
        self._lock = threading.Lock()

    @property
    def is_available(self) -> bool:
        """True while no writer waits for it."""
        return not self._away

    def note_lost(self, writer: str, error: StoreError) -> None:
        """A writer was refused."""
        with self._lock:
            if not self._away:
                self._lost_at = self._clock()
                _log.error("Database away: %s; %d messages in hand, nothing acknowledged", error, self._in_hand())
            self._away.add(writer)
            self.error = f"database away: {error}"

    def note_answered(self, writer: str) -> None:
        """A writer got through."""
        if writer not in self._away:
            return
        with self._lock:
            self._away.discard(writer)
            if not self._away:
                away = (self._clock() - self._lost_at) / 1e6
                _log.warning("Database back after %.0f s; %d messages in hand", away, self._in_hand())
                self.error = ""


class RegistryReader:
    """Reads the registry for all writers, one at a time and not too often."""

    def __init__(self, tally: Tally, clock: Clock, reload_s: float) -> None:
        self._tally = tally
        self._clock = clock
        self._reload_us = reload_s * 1e6
        self._read_at: int | None = None
        self._lock = threading.Lock()

    @property
    def is_due(self) -> bool:
        """True when it was never read, or a while ago."""
        return self._is_older_than(self._reload_us)

    @property
    def is_old(self) -> bool:
        """True when it has to be read again even if it seems to know everybody."""
        return self.is_due and self._is_older_than(REGISTRY_AGE_S * 1e6)

    def read_when_due(self, store: MeterStore) -> None:
        """Read it from the store, unless another writer just has. Raises StoreUnavailable."""
        with self._lock:
            if not self.is_due:
                return
            before = len(self._tally.registry)
            registry = build_registry(store.registered_meters())
            if len(registry) != before:
                _log.info("Registry: %d meters, before %d", len(registry), before)
            self._tally.adopt(registry)
            self._read_at = self._clock()

    def _is_older_than(self, age_us: float) -> bool:
        """A clock that was set back tells nothing of its age."""
        return self._read_at is None or not 0 <= self._clock() - self._read_at < age_us


class Writer:
    """One store, and an inbox it shares with others."""

    def __init__(
        self,
        name: str,
        config: HeadEndConfig,
        inbox: Inbox,
        store: MeterStore,
        tally: Tally,
        reader: RegistryReader,
        watch: StoreWatch,
        acknowledge: Callable[[Sequence[Message]], None],
        clock: Clock,
    ) -> None:
        self.name = name
        self._config = config
        self._inbox = inbox
        self._store = store
        self._tally = tally
        self._reader = reader
        self._watch = watch
        self._acknowledge = acknowledge
        self._clock = clock

    def write(self, stop: threading.Event, settled: Callable[[], None]) -> None:
        """Work until ``stop`` is set; ``settled`` is called after every batch, and at least every second."""
        if not self._read_registry(stop):
            return
        while not stop.is_set():
            messages = self._inbox.take(stop)
            if messages:
                if not self._settle(messages, stop):
                    return
                self._inbox.settle(messages)
                self._acknowledge(messages)
            settled()

    def _settle(self, messages: Sequence[Message], stop: threading.Event) -> bool:
        """Have a batch written; False when told to stop before the store took it."""
        intake = self._take(messages, stop)
        if intake is None:
            return False
        settlement = Settlement(messages, intake, self._tally.late(intake), self._store)
        if not self._until_stored(settlement.advance, stop):
            return False
        lag_s = (self._clock() - messages[0].received_at) / 1e6
        self._tally.settle(intake, settlement.accounts, len(messages), lag_s)
        return True

    def _take(self, messages: Sequence[Message], stop: threading.Event) -> Intake | None:
        """Open the messages; an unknown meter may be a new one, so read the registry and open them again."""
        if self._reader.is_old and not self._read_registry(stop):
            return None
        intake = self._take_once(messages)
        if not (intake.has_unknown_meters and self._reader.is_due):
            return intake
        return self._take_once(messages) if self._read_registry(stop) else None

    def _read_registry(self, stop: threading.Event) -> bool:
        return self._until_stored(lambda: self._reader.read_when_due(self._store), stop)

    def _take_once(self, messages: Sequence[Message]) -> Intake:
        config = self._config
        limits = Limits(self._clock(), config.future_s, config.memory_days, config.capture_period_s)
        return take(messages, self._tally.registry, limits, config.payload_limit_kib * 1024)

    def _until_stored(self, step: Callable[[], None], stop: threading.Event) -> bool:
        """Do ``step`` again and again until the store takes it; False when told to stop before that."""
        back_off = BACK_OFF_MIN_S
        while True:
            try:
                step()
            except StoreError as error:
                self._watch.note_lost(self.name, error)
            else:
                self._watch.note_answered(self.name)
                return True
            if stop.wait(back_off):
                return False
            back_off = min(back_off * 2, BACK_OFF_MAX_S)
