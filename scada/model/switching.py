"""What a person wants to operate, what was found about it, and the answer: the words control and interlocking share.

Knows the operation, the facts an answer rests on and the reason list (``scada.model.addcause``). Does not know who may
operate, how a frame looks, or how a rule is decided. Times are µs since 1970 UTC.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from scada.model.addcause import AddCause
from scada.model.quality import Quality
from scada.model.sample import SampleArray


class Action(StrEnum):
    """What is wanted of a command point. OPEN and CLOSE are for switching devices, RAISE and LOWER for tap changers,
    SET for set-points, which alone come with a value."""

    OPEN = "open"
    CLOSE = "close"
    RAISE = "raise"
    LOWER = "lower"
    RESET = "reset"
    ON = "on"
    OFF = "off"
    SET = "set"


class ControlModel(StrEnum):
    """How the device is controlled (IEC 61850-7-2, clause 20): directly, or selected before it is operated."""

    DIRECT = "direct"
    SELECT_BEFORE_OPERATE = "select_before_operate"


@dataclass(frozen=True, slots=True)
class Operation:
    """One thing wanted of one command point.

    ``station`` is the code (``TN01``), ``bay`` the bay's name, ``command`` the command point's name in its bay
    (``471.operate``), ``device`` the switching device or transformer it moves, or '' (a reset). ``value`` in ``unit``
    is what a set-point is to be.
    """

    station: str
    bay: str
    command: str
    device: str
    action: Action
    value: float | None = None
    unit: str = ""

    @property
    def wish(self) -> str:
        """What is wanted, as people write it: ``open``, or ``set 23.1 kV``."""
        return str(self.action) if self.value is None else f"{self.action} {self.value!r} {self.unit}".rstrip()

    @property
    def target(self) -> str:
        """What is operated, as people write it: ``TN01/471``, or ``TN01/131/f86.reset`` where no device moves."""
        return f"{self.station}/{self.device}" if self.device else f"{self.station}/{self.bay}/{self.command}"

    def __str__(self) -> str:
        return f"{self.target} {self.wish}"


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing an answer rests on, as it was known then.

    ``subject`` is the point's full name (``TN01/471/471.position``) or what was derived (``TN01/C41 energised``);
    ``state`` the words shown (``closed``, ``0.4 kV``, ``unknown``); ``time`` is that of the value, 0 when never heard.
    """

    subject: str
    state: str
    quality: Quality = Quality.GOOD
    time: int = 0

    def __str__(self) -> str:
        doubt = "" if self.quality == Quality.GOOD else f", {self.quality.label}"
        return f"{self.subject} is {self.state}{doubt}"


@dataclass(frozen=True, slots=True)
class Refusal:
    """One reason why not: the cause for machines, a whole sentence for people, and the facts it rests on."""

    cause: AddCause
    sentence: str
    facts: tuple[Fact, ...] = ()

    def __str__(self) -> str:
        return f"{self.cause.label} ({self.sentence})"


@dataclass(frozen=True, slots=True)
class Allowed:
    """Nothing stands against it; ``facts`` are those that were looked at. ``remarks`` inform and do not block."""

    facts: tuple[Fact, ...] = ()
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Blocked:
    """At least one reason stands against it: ``refusals`` is never empty, the weightiest first."""

    refusals: tuple[Refusal, ...]
    facts: tuple[Fact, ...] = ()

    def __post_init__(self) -> None:
        if not self.refusals:
            raise ValueError("blocked without a reason")


Decision = Allowed | Blocked


class ImageView(Protocol):
    """The present state of points, as ``scada.image.ProcessImage`` gives it."""

    def read(self, names: Sequence[str]) -> SampleArray:
        """Present state of the named points (``STATION/BAY/object``), SAMPLE, in the order asked.

        Raises KeyError with an unknown name. A point never heard of is INVALID and NOT_TOPICAL with time 0.
        """
        ...


class Interlocking(Protocol):
    """Whether the network allows an operation: topology, voltage, synchrocheck, health of the device, tap in motion.

    Local mode, tags, an intermediate or already reached position and the quality of the device's own position are the
    control desk's: they are checked before, with every operation. Called on the event loop, at select and again at
    execute; never waits, takes milliseconds.
    """

    def check(self, operation: Operation, view: ImageView, now: int) -> Decision:
        """Allowed or Blocked, with the facts used. A doubtful fact that is needed blocks."""
        ...


@dataclass(frozen=True, slots=True)
class Consequence:
    """One thing the operation would bring about, worth telling: an overload, a voltage out of range, an island."""

    subject: str
    sentence: str
    value: float = 0.0
    limit: float | None = None
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Consequences:
    """The network as it would be after the operation. It informs; it does not block.

    ``known`` is False when no answer was found, and ``reason`` then tells why. ``lost_mw`` and ``lost_customers`` count
    what the operation itself takes away; ``regained_mw`` what it brings back.
    """

    known: bool
    reason: str = ""
    overloads: tuple[Consequence, ...] = ()
    voltages: tuple[Consequence, ...] = ()
    lost_loads: tuple[str, ...] = ()
    lost_mw: float = 0.0
    lost_customers: int = 0
    regained_mw: float = 0.0
    remarks: tuple[str, ...] = ()


class WhatIf(Protocol):
    """A load flow of the network after an operation. One caller at a time, on a thread of its own: takes ~20 ms."""

    def after(self, operation: Operation, view: ImageView, now: int) -> Consequences:
        """What the operation would bring about, from the positions and measurements in ``view``; never raises."""
        ...
