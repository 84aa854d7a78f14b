"""An intake on its way into the store: every step is done once, however often the store goes away in between.

Knows the steps and what each has become. Does not wait, and knows no broker: whoever calls ``advance`` decides when to
try again, and acknowledges only when it returned.

Rows the database refuses for good are found by halving and rejected one by one, so one of them costs itself only. When
more than MAX_REFUSED are refused at once, it is the database that is wrong and not the rows: then nothing is rejected
and the batch is kept, because a rejected reading is lost.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from meters.account import Account
from meters.ingest import Accounts, Intake
from meters.message import Message
from meters.opened import PAYLOAD_KEPT
from meters.rejection import Reason
from scada.model.errors import StoreRejected, StoreUnavailable
from scada.model.ports import METER_EVENTS, READINGS, REGISTERS, MeterStore, Quarantined, ReadingOutcome

MAX_REFUSED = 100
"""Refused rows of one batch that are believed to be the rows' own fault."""


class _Load:
    """Rows to be written, as slices still to do; ``account`` grows with every committed slice."""

    def __init__(self, rows: NDArray[np.void], write: Callable[[NDArray[np.void]], Account]) -> None:
        self.rows = rows
        self.account = Account()
        self.refused: list[slice] = []
        self._write = write
        self._to_do = [slice(0, len(rows))] if len(rows) else []

    def advance(self) -> None:
        """Write what is left. Raises StoreUnavailable; what was committed before stays done."""
        while self._to_do:
            part = self._to_do[-1]
            try:
                outcome = self._write(self.rows[part])
            except StoreRejected as error:
                self._split(self._to_do.pop(), error)
                continue
            self._to_do.pop()
            self.account += outcome

    def _split(self, part: slice, error: StoreRejected) -> None:
        if part.stop - part.start > 1:
            middle = (part.start + part.stop) // 2
            self._to_do += [slice(middle, part.stop), slice(part.start, middle)]
            return
        self.refused.append(part)
        if len(self.refused) > MAX_REFUSED:
            self._to_do += self.refused
            self.refused = []
            raise StoreUnavailable(f"the database refuses more than {MAX_REFUSED} rows of a batch: {error}") from error


class Settlement:
    """One intake of ``messages`` being written to the store. ``late`` is the count of its late readings."""

    def __init__(self, messages: Sequence[Message], intake: Intake, late: int, store: MeterStore) -> None:
        self.intake = intake
        self._messages = messages
        self._late = late
        self._store = store
        self._readings = _Load(intake.readings.rows, _counted(store.write_readings))
        self._registers = _Load(intake.registers.rows, _counted(store.write_registers))
        self._events = _Load(intake.events.rows, lambda rows: _event_account(store, rows))
        self._quarantine: list[list[Quarantined]] | None = None

    def advance(self) -> None:
        """Do what is left, in order: readings, registers, events, quarantine.

        Raises StoreUnavailable: call again later, nothing is done twice and nothing must be acknowledged yet.
        """
        self._readings.advance()
        self._registers.advance()
        self._events.advance()
        if self._quarantine is None:
            self._quarantine = self._to_quarantine()
        while self._quarantine:
            self._store.write_quarantine(self._quarantine[0])
            self._quarantine.pop(0)

    @property
    def accounts(self) -> Accounts:
        """What became of everything, once ``advance`` has returned."""
        written = Accounts(
            self._readings.account + _refusals(self._readings) + Account(late=self._late),
            self._registers.account + _refusals(self._registers),
            self._events.account + _refusals(self._events),
        )
        return self.intake.accounts + written

    def _to_quarantine(self) -> list[list[Quarantined]]:
        """What was refused, by the account it concerns."""
        intake = self.intake
        refused = [
            *intake.quarantined,
            *self._refused(self._readings, intake.readings.source, READINGS),
            *self._refused(self._registers, intake.registers.source, REGISTERS),
            *self._refused(self._events, intake.events.source, METER_EVENTS),
        ]
        kinds = [[each for each in refused if each.kind == kind] for kind in (READINGS, REGISTERS, METER_EVENTS)]
        return [each for each in kinds if each]

    def _refused(self, load: _Load, source: NDArray[np.intp], kind: str) -> list[Quarantined]:
        found = []
        for part in load.refused:
            message = self._messages[int(source[part.start])]
            payload = load.rows[part].tobytes()[:PAYLOAD_KEPT]
            word = Reason.STORE_REFUSED.word
            size = len(message.payload)
            found.append(Quarantined(message.received_at, message.topic, word, 1, size, payload, kind))
        return found


def _counted(write: Callable[[NDArray[np.void]], ReadingOutcome]) -> Callable[[NDArray[np.void]], Account]:
    def counted(rows: NDArray[np.void]) -> Account:
        outcome = write(rows)
        return Account(outcome.stored, outcome.revised, outcome.duplicate)

    return counted


def _event_account(store: MeterStore, rows: NDArray[np.void]) -> Account:
    outcome = store.write_meter_events(rows)
    return Account(stored=outcome.stored, duplicate=outcome.duplicate)


def _refusals(load: _Load) -> Account:
    return Account(rejected={Reason.STORE_REFUSED: len(load.refused)} if load.refused else {})
