"""What a scan loop may ask of a station without knowing its protocol.

Knows the shape of an answer. Does not know sockets, protocols or periods' meaning.
"""

from dataclasses import dataclass, field
from typing import Protocol

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
    """What one scan brought: samples, and the reads that failed while others were answered."""

    batch: SampleArray = field(default_factory=no_samples)
    failed: tuple[FailedRead, ...] = ()


class StationLink(Protocol):
    """One connection to one station. ``open``, ``scan`` and ``close`` are called one at a time."""

    @property
    def periods(self) -> tuple[float, ...]:
        """The periods, in s, at which ``scan`` wants to be called; every point belongs to one of them."""
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
