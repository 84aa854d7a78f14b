"""Missing intervals of load profiles: the words of the gap ledger, shared by who decides and who stores.

Knows states, causes and columns. Which state may follow which is decided in ``meters.gaps``.
"""

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray


class GapState(IntEnum):
    """Where a gap stands. RECOVERED: every interval of it is stored. Numbers are stored and never re-used."""

    MISSING = 1
    """Waits for its next request."""
    REQUESTED = 2
    """Asked for; the answer or the interval itself is awaited."""
    RECOVERED = 3
    NO_DATA = 4
    """The meter has answered that it has nothing of this time."""
    PERMANENT = 5
    """The meter's memory has run out; only estimation can fill it."""

    @property
    def label(self) -> str:
        """The state in words, e.g. ``no data``."""
        return self.name.lower().replace("_", " ")


class GapCause(IntEnum):
    """What was seen when the gap was found."""

    METER_SILENT = 1
    CONCENTRATOR_SILENT = 2
    """Most meters of the concentrator lack the same intervals."""
    SUPPLY_LOST = 3
    """The meter's last word before was a power failure or a last gasp."""

    @property
    def label(self) -> str:
        """The cause in words, e.g. ``concentrator silent``."""
        return self.name.lower().replace("_", " ")


RUN = np.dtype([("meter", "<i4"), ("first", "<i8"), ("last", "<i8")])
"""Consecutive intervals of one meter: ends of the first and of the last of them, µs since 1970 UTC."""

GAP = np.dtype(
    [
        ("id", "<i8"),
        ("meter", "<i4"),
        ("first", "<i8"),
        ("last", "<i8"),
        ("state", "u1"),
        ("cause", "u1"),
        ("attempts", "<i2"),
        ("next_try", "<i8"),
    ]
)
"""One entry of the ledger. id: 0 when not stored yet · next_try: µs; MISSING: ask again then, REQUESTED: give up
waiting then."""

METER_TIME = np.dtype([("meter", "<i4"), ("time", "<i8")])
"""That a reading is there: meter id and its time, µs."""

EXPECTED = np.dtype([("meter", "<i4"), ("concentrator", "<i4"), ("since", "<i8"), ("until", "<i8")])
"""Who should deliver: meter id, number of its concentrator (−1 with own modem), installed in [since, until), µs."""

RunArray = NDArray[np.void]
GapArray = NDArray[np.void]
MeterTimeArray = NDArray[np.void]
ExpectedArray = NDArray[np.void]
