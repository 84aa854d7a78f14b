"""Which meter has which id, stands at which metering point and hangs on which feeder: columns, sorted by serial.

Knows what it was built from, and finds 20,000 serials among 200,000 in about 2 ms. Does not know where the list comes
from nor when it was read. It tells today's installation: identity *at the time of a reading* (rule V1 for late data
across an exchange) needs the installation history and is the validation job's business.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from meters.payload import point_check
from scada.model.ports import RegisteredMeter

UNKNOWN = -1


@dataclass(frozen=True, slots=True)
class Registry:
    """Columns of shape (meters,), sorted by serial; a position is an index into them.

    ``feeder`` indexes ``feeders``; ``feeders[0]`` is '', the feeder of meters whose feeder is not known.
    """

    serial: NDArray[np.int64]
    id: NDArray[np.int32]
    point_check: NDArray[np.uint32]
    feeder: NDArray[np.int32]
    feeders: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.serial)

    def locate(self, serials: NDArray[np.int64]) -> NDArray[np.intp]:
        """Positions of the serials, UNKNOWN where one is not registered. Same shape as the argument."""
        if not len(self.serial):
            return np.full(serials.shape, UNKNOWN, dtype=np.intp)
        places = np.minimum(np.searchsorted(self.serial, serials), len(self.serial) - 1)
        return np.where(self.serial[places] == serials, places, UNKNOWN)


def build_registry(meters: Sequence[RegisteredMeter]) -> Registry:
    """The registry of the meters. Raises ValueError when a serial or an id appears twice."""
    count = len(meters)
    serial = np.fromiter((meter.serial for meter in meters), dtype=np.int64, count=count)
    ids = np.fromiter((meter.id for meter in meters), dtype=np.int32, count=count)
    checks = np.fromiter((point_check(meter.metering_point) for meter in meters), dtype=np.uint32, count=count)
    feeders = ("", *sorted({meter.feeder for meter in meters} - {""}))
    index = {name: place for place, name in enumerate(feeders)}
    feeder = np.fromiter((index[meter.feeder] for meter in meters), dtype=np.int32, count=count)
    _refuse_twins("serial", serial)
    _refuse_twins("id", ids)
    order = np.argsort(serial)
    return Registry(serial[order], ids[order], checks[order], feeder[order], feeders)


def _refuse_twins(name: str, column: NDArray[np.int64] | NDArray[np.int32]) -> None:
    values, counts = np.unique(column, return_counts=True)
    if np.any(counts > 1):
        raise ValueError(f"{name} {values[counts > 1][0]} belongs to more than one registered meter")
