"""Which meters say that their supply is gone: last gasps and power failures, counted per feeder.

Knows the newest word of each meter, by registry position: an event counts only if it is newer than what is known, and a
reading of a later interval proves that the supply is back even when the event that said so was lost. Does not know
breakers or customers.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from meters.latest import NEVER
from meters.registry import UNKNOWN, Registry
from scada.model.reading import EventCode, ProfileStatus

_GONE = (EventCode.POWER_FAILURE, EventCode.LAST_GASP)


class Outages:
    """Columns of shape (meters,) by position in ``registry``: time of the newest word, and whether it was bad."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self.time: NDArray[np.int64] = np.full(len(registry), NEVER, dtype=np.int64)
        self.is_out: NDArray[np.bool_] = np.zeros(len(registry), dtype=np.bool_)

    def rebased(self, registry: Registry) -> "Outages":
        """The same knowledge by the positions of another registry."""
        fresh = Outages(registry)
        places = registry.locate(self.registry.serial, self.registry.since)
        kept = places != UNKNOWN
        fresh.time[places[kept]] = self.time[kept]
        fresh.is_out[places[kept]] = self.is_out[kept]
        return fresh

    def note_events(self, positions: NDArray[np.intp], times: NDArray[np.int64], codes: NDArray[np.int16]) -> None:
        """Note events of any order and code; only power failure, last gasp and power returned matter here."""
        gone = np.isin(codes, _GONE)
        matters = gone | (codes == EventCode.POWER_RETURNED)
        self._note(positions[matters], times[matters], gone[matters])

    def note_readings(self, positions: NDArray[np.intp], times: NDArray[np.int64], status: NDArray[np.uint8]) -> None:
        """Note readings: one whose interval ended after the outage began, without the power-down bit, ends it."""
        supplied = (status & int(ProfileStatus.POWER_DOWN)) == 0
        newer = supplied & self.is_out[positions] & (times > self.time[positions])
        self._note(positions[newer], times[newer], np.zeros(int(np.count_nonzero(newer)), dtype=np.bool_))

    @property
    def meters_out(self) -> int:
        """How many meters are without supply."""
        return int(np.count_nonzero(self.is_out))

    def by_feeder(self) -> Mapping[str, int]:
        """Meters without supply per feeder, feeders without any left out; '' for meters of unknown feeder."""
        counts = np.bincount(self.registry.feeder[self.is_out], minlength=len(self.registry.feeders))
        return {self.registry.feeders[place]: int(counts[place]) for place in np.flatnonzero(counts)}

    def _note(self, positions: NDArray[np.intp], times: NDArray[np.int64], gone: NDArray[np.bool_]) -> None:
        order = np.argsort(times, kind="stable")
        positions, times, gone = positions[order], times[order], gone[order]
        newer = times >= self.time[positions]
        # numpy keeps the last of repeated positions, and these are in order of time
        self.time[positions[newer]] = times[newer]
        self.is_out[positions[newer]] = gone[newer]
