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


@dataclass(frozen=True, slots=True)
class SupplyPlace:
    """Where a meter is installed; ``feeder`` is ``TN07/473``, or '' when unknown."""

    serial: int
    metering_point: str
    feeder: str


class SupplyControl(Protocol):
    """The disconnect controls of all meters. Calls block until the order has ended; use from a thread of one's own.

    Its one caller is the control desk.
    """

    def place(self, serial: int) -> SupplyPlace | None:
        """Where a meter is installed; None when no installed meter has this serial. Raises StoreUnavailable."""
        ...

    def operate(self, serial: int, action: SupplyAction, *, requested_by: str, within_s: float) -> SupplyOutcome:
        """Tell one meter. Nothing is sent twice. Raises StoreUnavailable: then nobody knows whether it was entered."""
        ...
