"""What the control desk may ask of a device in the field, whatever protocol it speaks.

Knows the three moments of a control (select, operate, return information) and the difference between a frame that
certainly did not leave and one whose answer was lost. Does not know protocols, or whether an order is wise.
"""

from dataclasses import dataclass
from typing import Protocol

from scada.model.addcause import AddCause
from scada.model.errors import LinkError
from scada.model.sample import SampleArray


class NothingSent(LinkError):
    """The order certainly did not leave this machine: the device stands as it stood."""


class AnswerLost(LinkError):
    """The order may have arrived and may have been carried out: nobody knows."""


@dataclass(frozen=True, slots=True)
class DeviceAnswer:
    """What the device said. ``refused`` is None when it accepted; ``detail`` its own words, for the journal."""

    refused: AddCause | None = None
    detail: str = ""


WireAction = str | float
"""``open``, ``close``, ``raise``, ``lower``, ``reset``, or the value of a set-point in its point's unit."""


class NotCarried(ValueError):
    """The wire to this device has no frame for that value; the text says why."""


class CommandLink(Protocol):
    """The way to the commands of one station, named ``STATION/BAY/command``; one request at a time.

    Nothing is ever sent twice: a lost connection ends the order that was under way. All calls raise NothingSent or
    AnswerLost, and KeyError for a command the station's maps do not place.
    """

    def select_timeout_s(self, command: str) -> float | None:
        """How long the device holds a selection, in s; None when it wants none."""
        ...

    def actions(self, command: str) -> tuple[str, ...]:
        """What the device can be told: of ``open``, ``close``, ``raise``, ``lower``, ``reset``, ``set``."""
        ...

    def nearness(self, command: str, value: float) -> float:
        """How far the return information may be from the set-point ``value`` and still tell it: half a step of it.

        Raises NotCarried when the value has no frame of its own: nothing is rounded or wrapped on the way.
        """
        ...

    async def ready(self) -> None:
        """Be connected, so that the first order need not wait for it. Raises LinkError."""
        ...

    async def return_information(self, command: str) -> SampleArray:
        """Where the device stands now, asked of the device itself: SAMPLE, shape (1,), or (0,) when it has none."""
        ...

    async def select(self, command: str, action: WireAction) -> DeviceAnswer:
        """Select, and see that the device echoes what was selected."""
        ...

    async def cancel(self, command: str) -> DeviceAnswer:
        """Withdraw a selection."""
        ...

    async def operate(self, command: str, action: WireAction) -> DeviceAnswer:
        """The frame that moves something. Accepted means that the device has begun, no more."""
        ...

    async def close(self) -> None:
        """Give the connection back; never raises."""
        ...


class CommandLinks(Protocol):
    """The ways to all stations."""

    def of(self, station: str) -> CommandLink:
        """The link to a station. Raises KeyError for one that is none of ours."""
        ...
