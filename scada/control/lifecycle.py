"""The life of a command as a table: in which state what may happen, and what follows.

Knows states, events and outcomes. Does not know devices, persons, clocks or why something happened. An event that is
not in the table for a state is a bug, except those in ``IGNORED``: the field may say a thing twice.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final


class State(StrEnum):
    """How far a command has come. The last five are ends."""

    REQUESTED = "requested"
    CHECKED = "checked"
    RESERVED = "reserved"
    SELECTED = "selected"
    APPROVED = "approved"
    EXECUTED = "executed"
    CONFIRMED = "confirmed"
    TERMINATED = "terminated"
    VERIFIED = "verified"
    REFUSED = "refused"
    CANCELLED = "cancelled"
    TIMED_OUT = "timed_out"
    UNKNOWN = "unknown"


class Event(StrEnum):
    """What happens to a command. EXECUTE is the moment before the frame leaves; LOST is a lost link or a restart."""

    CHECK = "check"
    RESERVE = "reserve"
    SELECT = "select"
    APPROVE = "approve"
    EXECUTE = "execute"
    CONFIRM = "confirm"
    TERMINATE = "terminate"
    VERIFY = "verify"
    REFUSE = "refuse"
    CANCEL = "cancel"
    TIME_OUT = "time_out"
    LOSE = "lose"


class Outcome(StrEnum):
    """What may be claimed at the end."""

    COMPLETED = "completed"
    REFUSED = "refused"
    UNKNOWN = "unknown"


_BEFORE_FRAME: Final = (State.REQUESTED, State.CHECKED, State.RESERVED, State.SELECTED, State.APPROVED)
_AFTER_FRAME: Final = (State.EXECUTED, State.CONFIRMED, State.TERMINATED)

TRANSITIONS: Final[Mapping[tuple[State, Event], State]] = {
    (State.REQUESTED, Event.CHECK): State.CHECKED,
    (State.CHECKED, Event.RESERVE): State.RESERVED,
    (State.RESERVED, Event.SELECT): State.SELECTED,
    (State.SELECTED, Event.APPROVE): State.APPROVED,
    (State.SELECTED, Event.EXECUTE): State.EXECUTED,
    (State.APPROVED, Event.EXECUTE): State.EXECUTED,
    (State.EXECUTED, Event.CONFIRM): State.CONFIRMED,
    (State.CONFIRMED, Event.TERMINATE): State.TERMINATED,
    (State.TERMINATED, Event.VERIFY): State.VERIFIED,
    # Before the frame everything that goes wrong is harmless and told as what it is.
    **{(state, Event.REFUSE): State.REFUSED for state in _BEFORE_FRAME},
    **{(state, Event.CANCEL): State.CANCELLED for state in _BEFORE_FRAME},
    **{(state, Event.TIME_OUT): State.TIMED_OUT for state in _BEFORE_FRAME},
    **{(state, Event.LOSE): State.REFUSED for state in _BEFORE_FRAME},
    # Only the device's own no is a refusal after the frame; silence and late positions prove nothing.
    (State.EXECUTED, Event.REFUSE): State.REFUSED,
    **{(state, Event.TIME_OUT): State.UNKNOWN for state in _AFTER_FRAME},
    **{(state, Event.LOSE): State.UNKNOWN for state in _AFTER_FRAME},
}

IGNORED: Final = frozenset({(state, Event.CONFIRM) for state in (*_AFTER_FRAME[1:], State.VERIFIED, State.UNKNOWN)})
"""A confirmation that comes again, or after the end, changes nothing."""

OUTCOMES: Final[Mapping[State, Outcome]] = {
    State.VERIFIED: Outcome.COMPLETED,
    State.REFUSED: Outcome.REFUSED,
    State.CANCELLED: Outcome.REFUSED,
    State.TIMED_OUT: Outcome.REFUSED,
    State.UNKNOWN: Outcome.UNKNOWN,
}
"""The ends, and what each allows to be claimed."""


STOPPED: Final = "the desk was stopped"
FAULT: Final = "a fault of this program ended it; the log tells which"
"""Why a command may end that nobody ended."""


class ImpossibleTransition(RuntimeError):
    """An event the table does not allow: a bug of ours, never the field's doing."""


def following(state: State, event: Event) -> State:
    """The state after ``event``. Raises ImpossibleTransition."""
    if (state, event) in IGNORED:
        return state
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise ImpossibleTransition(f"{event} in state {state}") from None


def has_sent(state: State) -> bool:
    """Whether a frame that moves something may have left in this state."""
    return state in (*_AFTER_FRAME, State.VERIFIED, State.UNKNOWN)
