"""What is known of a point over a bucket of time, as a row of an array.

Knows the row and the levels. Does not know how rows are made (SQL) or kept.
"""

from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

ROLLUP = np.dtype(
    [
        ("time", "<i8"),
        ("count", "<i4"),
        ("valid", "<i4"),
        ("valid_s", "<f8"),
        ("minimum", "<f8"),
        ("maximum", "<f8"),
        ("mean", "<f8"),
        ("weighted_mean", "<f8"),
        ("last", "<f8"),
        ("last_quality", "u1"),
        ("quality", "u1"),
    ]
)
"""time: start of the bucket, µs UTC · count: samples · valid: samples neither INVALID nor NOT_TOPICAL · valid_s: the
seconds in which the value in force was valid · minimum, maximum, mean: of the valid samples · weighted_mean: of the
value in force, by time · last, last_quality: of the last sample · quality: every doubt in the bucket. NaN: nothing was
valid."""

RollupArray = NDArray[np.void]


class Level(StrEnum):
    """How finely a course is told."""

    RAW = "raw"
    MINUTE = "minute"
    HOUR = "hour"


RAW_UP_TO_S = 6 * 3600.0
"""At the integrity scan's 300 s at least 72 samples, on a busy feeder some 10,000: as many as one can look at."""

MINUTES_UP_TO_S = 3 * 86400.0
"""4,320 rows."""


def level_for(span_s: float) -> Level:
    """The level that tells a span without flooding whoever reads it."""
    if span_s <= RAW_UP_TO_S:
        return Level.RAW
    return Level.MINUTE if span_s <= MINUTES_UP_TO_S else Level.HOUR
