"""What a scan loop may ask of a station without knowing its protocol.

Knows the shape of an answer. Does not know sockets, protocols or periods' meaning.
"""

from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from scada.model.cause import Cause
from scada.model.quality import Quality
from scada.model.sample import PointArray, SampleArray, no_samples


@dataclass(frozen=True, slots=True)
class FailedRead:
    """Points a living station did not deliver: they keep their value and get ``quality``."""

    points: PointArray
    quality: Quality
    reason: str


@dataclass(frozen=True, slots=True)
class ScanAnswer:
    """What one scan brought: samples, and the reads that failed while others were answered.

    The first ``of_source`` samples carry the time of the device's own clock, the others the moment they were read.
    """

    batch: SampleArray = field(default_factory=no_samples)
    failed: tuple[FailedRead, ...] = ()
    of_source: int = 0


@dataclass(frozen=True, slots=True)
class LinkCounts:
    """What passed over the link since the start: requests, and those that failed or were refused.

    ``events``: time-tagged records of the device's own sequence of events, or notifications; ``events_rejected`` of
    them name no point; ``events_lost`` were overwritten by the device before they could be read, ``event_overflow`` is
    its flag for that; ``wrong_times`` carry the receive time because no working clock gives theirs.
    """

    round_trips: int = 0
    errors: int = 0
    events: int = 0
    events_rejected: int = 0
    events_lost: int = 0
    event_overflow: bool = False
    wrong_times: int = 0


@runtime_checkable
class FreezingLink(Protocol):
    """A link to devices that freeze their integrated totals. ``freeze`` is called in turn with ``scan``."""

    @property
    def frozen(self) -> PointArray:
        """Ids of the totals the devices freeze."""
        ...

    async def freeze(self) -> ScanAnswer:
        """Freeze now and read what was frozen: COUNTER_INTERROGATION samples dated to the freeze, and what failed.

        Raises LinkError when the station did not answer: then nobody knows whether it froze.
        """
        ...


class StationLink(Protocol):
    """One connection to one station. ``open``, ``scan`` and ``close`` are called one at a time."""

    @property
    def periods(self) -> tuple[float, ...]:
        """The periods, in s, at which ``scan`` wants to be called; every point belongs to one of them."""
        ...

    @property
    def counts(self) -> LinkCounts:
        """What passed over the link."""
        ...

    async def open(self) -> None:
        """Connect. Raises LinkError."""
        ...

    async def scan(self, period_s: float, cause: Cause) -> ScanAnswer:
        """What the points of this period have to say: for SPONTANEOUS what is new since the last scan, or simply the
        present values where the protocol cannot tell; for any other cause the present value of every point.

        Raises LinkError when the station did not answer at all; the link is then to be closed.
        """
        ...

    async def close(self) -> None:
        """Disconnect; never raises, waits no longer than the station's timeout."""
        ...
