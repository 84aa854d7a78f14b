"""Something that happened and that a person should hear of: the smallest record alarms will be built on.

Knows when, what kind, about what, and a sentence. Does not know who must acknowledge it, or how it is shown.
"""

from dataclasses import dataclass
from enum import StrEnum


class EventKind(StrEnum):
    """What the control desk raises."""

    FAIL_TO_OPERATE = "fail to operate"
    OUTCOME_UNKNOWN = "outcome unknown"
    MOVED_WITHOUT_COMMAND = "movement without command"
    EMERGENCY_OVERRIDE = "emergency override"
    CONTROL_TAKEN_OVER = "control taken over"
    CONTROL_LOST = "control lost"
    JOURNAL_INCOMPLETE = "journal incomplete"
    SET_POINT_CHANGED = "set-point changed without command"


@dataclass(frozen=True, slots=True)
class EventRecord:
    """One event; ``time`` in µs since 1970 UTC, ``subject`` what it is about (``TN01/471``), ``id`` a UUIDv7."""

    id: str
    time: int
    kind: EventKind
    subject: str
    sentence: str
