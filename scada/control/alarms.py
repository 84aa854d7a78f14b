"""Alarms of the control desk: what a dispatcher must hear of, until somebody has signed that he saw it (ISA-18.2).

They tell of moments (a movement, an outcome nobody knows), not of conditions that return to normal; so acknowledging
one takes it off the list, and nothing else does, a restart least of all. The journal keeps both for ever.

Knows alarms, their priority, and who may acknowledge them. Does not know what raises them.
"""

import logging
from collections import deque
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any, Final

from scada.control.authority import Right
from scada.control.checks import Checks
from scada.control.gate import Admitted
from scada.control.journal import JournalWriter
from scada.control.recovery import drop_oldest
from scada.hashchain import ChainError
from scada.model.addcause import AddCause
from scada.model.event import EventKind, EventRecord
from scada.model.ports import Clock
from scada.model.switching import Refusal

KEPT_EVENTS: Final = 500


class Priority(StrEnum):
    """How urgent an alarm is."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


PRIORITY: Final[Mapping[EventKind, Priority]] = {
    EventKind.OUTCOME_UNKNOWN: Priority.HIGH,
    EventKind.MOVED_WITHOUT_COMMAND: Priority.HIGH,
    EventKind.FAIL_TO_OPERATE: Priority.HIGH,
    EventKind.JOURNAL_INCOMPLETE: Priority.HIGH,
    EventKind.CONTROL_TAKEN_OVER: Priority.MEDIUM,
    EventKind.EMERGENCY_OVERRIDE: Priority.LOW,
    EventKind.SET_POINT_CHANGED: Priority.LOW,
}

log = logging.getLogger(__name__)


class DeskAlarms:
    """The list of one desk. ``carried``: what the desk before left unacknowledged."""

    def __init__(self, carried: Iterable[EventRecord], journal: JournalWriter, clock: Clock) -> None:
        self.unacknowledged: dict[str, EventRecord] = {each.id: each for each in carried}
        self.events: deque[EventRecord] = deque(self.unacknowledged.values(), maxlen=KEPT_EVENTS)
        self._journal = journal
        self._clock = clock

    def sound(self, kind: EventKind, subject: str, sentence: str, *, followed: bool = False) -> None:
        """Raise an alarm, told even when it cannot be journaled. ``followed``: the next entry's flush does for both."""
        event = EventRecord(self._journal.number(), self._clock(), kind, subject, sentence)
        self.events.append(event)
        self.unacknowledged[event.id] = event
        if (oldest := drop_oldest(self.unacknowledged)) is not None:
            log.error("Alarm dropped, too many are not acknowledged: %s", oldest.sentence)
        log.warning("Alarm: %s: %s", kind, sentence)
        try:
            (self._journal.ahead if followed else self._journal)("alarm", event_body(event))
        except ChainError as error:
            log.error("The alarm is not in the journal: %s", error)

    def acknowledge(self, admitted: Admitted, checks: Checks, now: int) -> dict[str, Any] | Refusal:
        """Take an alarm off the list in the name of who signed. Raises ChainError."""
        message, person = admitted.message, admitted.person
        event = self.unacknowledged.get(message.subject)
        if event is None:
            return Refusal(AddCause.NOT_SUPPORTED, f"no alarm {message.subject} waits to be acknowledged")
        station = event.subject.split("/", 1)[0]
        if (refusal := checks.gate(now).may(person, Right.ACKNOWLEDGE, station, now)) is not None:
            return refusal
        self._journal("acknowledged", {"id": event.id, "by": person.name, "reason": message.reason})
        del self.unacknowledged[event.id]
        log.info("Alarm acknowledged by %s: %s", person.name, event.sentence)
        return {"id": message.id, "acknowledged": event_report(event)}


def event_body(event: EventRecord) -> dict[str, Any]:
    """An alarm as the journal keeps it."""
    return {"id": event.id, "event": str(event.kind), "subject": event.subject, "sentence": event.sentence}


def event_report(event: EventRecord) -> dict[str, Any]:
    """An alarm as others are told of it, as plain JSON values."""
    return {
        "id": event.id,
        "time": event.time,
        "kind": str(event.kind),
        "priority": str(PRIORITY.get(event.kind, Priority.HIGH)),
        "subject": event.subject,
        "sentence": event.sentence,
    }
