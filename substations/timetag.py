"""Time tags of the field: which ones can be believed.

Knows limits. Does not know clocks, protocols or points: ``now`` is an argument.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from scada.model.sample import TimeArray

OLDEST_US: Final = 946_684_800_000_000
"""2000-01-01: a device whose clock says less has none (many start at 1970, 1984 or 1990)."""
FUTURE_US: Final = 60_000_000
"""A clock may run ahead of ours by a minute before its time is no time."""


def believable(times: TimeArray, now: int) -> tuple[TimeArray, NDArray[np.bool_]]:
    """Times with ``now`` in place of those no working clock would give, and where that was so; shape (n,) each."""
    wrong = (times < OLDEST_US) | (times > now + FUTURE_US)
    return np.where(wrong, np.int64(now), times), wrong
