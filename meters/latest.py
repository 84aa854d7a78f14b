"""The newest reading of every meter: who was heard, how far each has come, and what arrives behind it.

Knows times per registry position. They only grow: a replay or a late reading never takes a meter back. Does not hold
values, and never decides what is stored: dropping what is not newer would lose late readings.
"""

import numpy as np
from numpy.typing import NDArray

from meters.registry import UNKNOWN, Registry

NEVER = np.iinfo(np.int64).min


class Latest:
    """Columns of shape (meters,) by position in ``registry``: ``time`` of the newest interval, or NEVER."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self.time: NDArray[np.int64] = np.full(len(registry), NEVER, dtype=np.int64)

    def rebased(self, registry: Registry) -> "Latest":
        """The same marks by the positions of another registry; meters it does not have are forgotten."""
        fresh = Latest(registry)
        places = registry.locate(self.registry.serial, self.registry.since)
        kept = places != UNKNOWN
        fresh.time[places[kept]] = self.time[kept]
        return fresh

    def is_late(self, positions: NDArray[np.intp], times: NDArray[np.int64]) -> NDArray[np.bool_]:
        """True where a reading is older than the newest of its meter. Shape (n,)."""
        return times < self.time[positions]

    def advance(self, positions: NDArray[np.intp], times: NDArray[np.int64]) -> None:
        """Note committed readings, in any order; a meter may appear more than once."""
        np.maximum.at(self.time, positions, times)

    @property
    def meters_heard(self) -> int:
        """How many meters have delivered at least one reading."""
        return int(np.count_nonzero(self.time != NEVER))
