"""One telemetered value as a row of an array: what flows from a station to the image and the historian."""

import numpy as np
from numpy.typing import NDArray

SAMPLE = np.dtype([("point", "<i4"), ("time", "<i8"), ("value", "<f8"), ("quality", "u1"), ("cause", "u1")])
"""point: point id · time: µs since 1970 UTC, the source's time tag where the protocol gives one · value: engineering
units of the point · quality: octet of ``scada.model.quality`` · cause: ``scada.model.cause``."""

SampleArray = NDArray[np.void]
PointArray = NDArray[np.int32]
TimeArray = NDArray[np.int64]
ValueArray = NDArray[np.float64]
QualityArray = NDArray[np.uint8]


def samples(
    point: PointArray,
    time: TimeArray | int,
    value: ValueArray,
    quality: QualityArray | int,
    cause: int,
) -> SampleArray:
    """Columns to a SAMPLE array, shape (n,), n the length of ``point``; scalars are repeated.

    A value that is NaN or infinite is stored as 0.0 with INVALID set: no NaN leaves this function, because one NaN
    makes ``sum``, ``avg`` and ``max`` in PostgreSQL NaN.
    """
    batch = np.empty(len(point), dtype=SAMPLE)
    batch["point"] = point
    batch["time"] = time
    batch["value"] = value
    batch["quality"] = quality
    batch["cause"] = cause
    finite = np.isfinite(value)
    # Half the time of ``all``, and this is asked of every value that comes.
    if np.count_nonzero(finite) < len(finite):
        batch["value"][~finite] = 0.0
        batch["quality"][~finite] |= 0x80
    return batch


def no_samples() -> SampleArray:
    """An empty SAMPLE array."""
    return np.empty(0, dtype=SAMPLE)
