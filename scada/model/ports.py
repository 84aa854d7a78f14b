"""What a room may ask of another without knowing it. The fakes of the tests satisfy the same contract tests."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from scada.model.reading import MeterEventArray, ReadingArray, RegisterArray
from scada.model.sample import SampleArray


@dataclass(frozen=True, slots=True)
class ReadingOutcome:
    """What became of a batch of readings or registers: received = stored + revised + duplicate."""

    stored: int
    revised: int
    duplicate: int


@dataclass(frozen=True, slots=True)
class MeterEventOutcome:
    """What became of a batch of meter events: received = stored + duplicate."""

    stored: int
    duplicate: int


READINGS, REGISTERS, METER_EVENTS = "reading", "register", "meter_event"
"""What an account may be of."""

NOT_REMOVED = 2**62
"""``removed_at`` of a meter that is installed now."""


@dataclass(frozen=True, slots=True)
class RegisteredMeter:
    """What the head-end needs to know of a meter at one metering point; a meter that moved is there twice.

    Installed in [installed_at, removed_at), µs since 1970 UTC.
    """

    id: int
    serial: int
    metering_point: str
    feeder: str = ""
    """Load behind which it is connected (``TN07/473``), or '' when unknown: outages are counted by it."""
    installed_at: int = 0
    removed_at: int = NOT_REMOVED
    capture_period_s: int = 0
    """Length of its intervals, as its model says; 0 where no model is known: then as configured."""


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A message the head-end could not accept, kept with its reason; ``payload`` may be cut, ``size`` is the whole.

    ``kind`` names the account its rows belong to: ``reading``, ``register`` or ``meter_event``.
    """

    received_at: int
    topic: str
    reason: str
    rejected: int
    size: int
    payload: bytes
    kind: str = READINGS


class SampleStore(Protocol):
    """Where telemetry goes. Calls block; use from a thread of one's own."""

    def write_samples(self, source: str, sequence: int, batch: SampleArray) -> bool:
        """Store a batch, exactly once per (source, sequence). False when it was stored before.

        Raises StoreUnavailable (keep the batch, try again with the same sequence) or StoreRejected.
        """
        ...


class ReadingStore(Protocol):
    """Where meter readings go. Calls block; use from a thread of one's own."""

    def write_readings(self, batch: ReadingArray) -> ReadingOutcome:
        """Commit a batch; same key and same value is a duplicate, another value becomes a revision.

        Raises StoreUnavailable (nothing was acknowledged, try again) or StoreRejected.
        """
        ...

    def write_quarantine(self, rows: Sequence[Quarantined]) -> None:
        """Keep rejected messages of one kind, bounded: the oldest beyond the limit go. Raises StoreUnavailable."""
        ...

    def registered_meters(self) -> Sequence[RegisteredMeter]:
        """All meters that may deliver readings now, also late ones of meters removed since. Raises StoreUnavailable."""
        ...


class RegisterStore(Protocol):
    """Where billing registers go. Calls block; use from a thread of one's own."""

    def write_registers(self, batch: RegisterArray) -> ReadingOutcome:
        """Commit a batch; same meter, boundary, register and kind is a duplicate, or a revision by another value.

        Raises StoreUnavailable (try again) or StoreRejected.
        """
        ...


class MeterEventStore(Protocol):
    """Where entries of the meters' event logs go. Calls block; use from a thread of one's own."""

    def write_meter_events(self, batch: MeterEventArray) -> MeterEventOutcome:
        """Commit a batch; an event that is there already (same meter, time and code) is a duplicate.

        Raises StoreUnavailable (try again) or StoreRejected.
        """
        ...


class MeterStore(ReadingStore, RegisterStore, MeterEventStore, Protocol):
    """Everything a head-end writes, through one connection."""


class SampleSink(Protocol):
    """Takes telemetry without waiting; never raises."""

    def offer(self, batch: SampleArray) -> None:
        """Hand over a batch; the sink owns it from here on."""
        ...


Clock = Callable[[], int]
"""Returns µs since 1970 UTC. Shells own the real one; tests inject their own."""
