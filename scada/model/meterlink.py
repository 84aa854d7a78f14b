"""How supply is disconnected and reconnected at a meter, whoever asks: the one way there.

Knows the words and the three outcomes. Does not know authority, queue or wire. Like every order of this system, it is
done, refused or unknown: after silence nobody may claim that somebody has light.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class SupplyAction(StrEnum):
    """What the disconnect control (OBIS 0-0:96.3.10) is told."""

    DISCONNECT = "disconnect"
    RECONNECT = "reconnect"


@dataclass(frozen=True, slots=True)
class SupplyOutcome:
    """``ending``: done, refused or unknown · ``why``: in words when not done · ``state``: what it says, or ''."""

    serial: int
    ending: str
    why: str = ""
    state: str = ""


class SupplyControl(Protocol):
    """The disconnect controls of all meters. Calls block until the order has ended; use from a thread of one's own."""

    def operate(self, serial: int, action: SupplyAction, *, requested_by: str, within_s: float) -> SupplyOutcome:
        """Tell one meter. Nothing is sent twice. Raises StoreUnavailable when the order could not even be entered."""
        ...
