"""The historian in memory. Satisfies the same contract tests as the real one, and can be away."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from scada.model.errors import RowsRejected, StoreRejected, StoreUnavailable
from scada.model.ports import MeterEventOutcome, Quarantined, ReadingOutcome, RegisteredMeter
from scada.model.reading import MeterEventArray, ReadingArray, RegisterArray
from scada.model.sample import SampleArray

EARLIEST, LATEST = 946_684_800_000_000, 4_102_444_800_000_000

Key = tuple[int, ...]
Value = tuple[int, ...]


@dataclass
class FakeHistorian:
    """SampleStore and MeterStore.

    ``is_away``: every call finds the database away. ``forgets_answers``: the next call does its work, but its answer is
    lost, as when the connection dies during COMMIT.
    """

    registered: list[RegisteredMeter] = field(default_factory=list)
    quarantine_limit: int = 10_000
    is_away: bool = False
    forgets_answers: bool = False
    samples: list[tuple[object, ...]] = field(default_factory=list)
    batches: list[tuple[str, int]] = field(default_factory=list)
    readings: dict[Key, Value] = field(default_factory=dict)
    revisions: list[tuple[Key, Value]] = field(default_factory=list)
    registers: dict[Key, Value] = field(default_factory=dict)
    register_revisions: list[tuple[Key, Value]] = field(default_factory=list)
    events: set[tuple[int, int, int]] = field(default_factory=set)
    quarantine: list[Quarantined] = field(default_factory=list)
    _lost: dict[bytes, ReadingOutcome | MeterEventOutcome] = field(default_factory=dict)

    def write_samples(self, source: str, sequence: int, batch: SampleArray) -> bool:
        self._arrive()
        if (source, sequence) in self.batches:
            return False
        good = np.isfinite(batch["value"]) & _plausible(batch["time"]) & (batch["point"] > 0)
        self.batches.append((source, sequence))
        self.samples += batch[good].tolist()
        self._answer()
        if not good.all():
            raise RowsRejected("value is not finite", rejected=int((~good).sum()))
        return True

    def write_readings(self, batch: ReadingArray) -> ReadingOutcome:
        self._arrive()
        known = self._lost.pop(batch.tobytes(), None)
        if isinstance(known, ReadingOutcome):
            return known
        if not np.all(_plausible(batch["time"]) & (batch["meter"] > 0) & (batch["import_wh"] >= 0)):
            raise StoreRejected("a row cannot be stored")
        outcome = _merged(batch.tolist(), 2, self.readings, self.revisions)
        self._answer(batch.tobytes(), outcome)
        return outcome

    def write_registers(self, batch: RegisterArray) -> ReadingOutcome:
        self._arrive()
        known = self._lost.pop(batch.tobytes(), None)
        if isinstance(known, ReadingOutcome):
            return known
        plausible = _plausible(batch["time"]) & _plausible(batch["taken_at"])
        if not np.all(plausible & (batch["meter"] > 0) & (batch["value"] >= 0)):
            raise StoreRejected("a row cannot be stored")
        rows = batch[["time", "meter", "obis", "kind", "taken_at", "value", "status", "flag", "method"]].tolist()
        outcome = _merged(rows, 4, self.registers, self.register_revisions)
        self._answer(batch.tobytes(), outcome)
        return outcome

    def write_meter_events(self, batch: MeterEventArray) -> MeterEventOutcome:
        self._arrive()
        known = self._lost.pop(batch.tobytes(), None)
        if isinstance(known, MeterEventOutcome):
            return known
        if not np.all(_plausible(batch["time"]) & (batch["meter"] > 0)):
            raise StoreRejected("a row cannot be stored")
        before = len(self.events)
        self.events.update(batch.tolist())
        stored = len(self.events) - before
        outcome = MeterEventOutcome(stored, len(batch) - stored)
        self._answer(batch.tobytes(), outcome)
        return outcome

    def write_quarantine(self, rows: Sequence[Quarantined]) -> None:
        self._arrive()
        self.quarantine = [*self.quarantine, *rows][-self.quarantine_limit :]

    def registered_meters(self) -> Sequence[RegisteredMeter]:
        self._arrive()
        return list(self.registered)

    def _arrive(self) -> None:
        if self.is_away:
            raise StoreUnavailable("the database is away")

    def _answer(self, work: bytes = b"", outcome: ReadingOutcome | MeterEventOutcome | None = None) -> None:
        if self.forgets_answers:
            self.forgets_answers = False
            if outcome is not None:
                self._lost[work] = outcome
            raise StoreUnavailable("the connection died during COMMIT")


def _merged(
    rows: list[Value], width: int, first: dict[Key, Value], revisions: list[tuple[Key, Value]]
) -> ReadingOutcome:
    """Rows whose first ``width`` columns are their key."""
    stored = revised = 0
    for row in rows:
        key, value = row[:width], row[width:]
        if key not in first:
            first[key] = value
            stored += 1
        elif first[key] != value and (key, value) not in revisions:
            revisions.append((key, value))
            revised += 1
    return ReadingOutcome(stored, revised, len(rows) - stored - revised)


def _plausible(time: np.typing.NDArray[np.int64]) -> np.typing.NDArray[np.bool_]:
    return (time >= EARLIEST) & (time < LATEST)
