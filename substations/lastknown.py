"""What a station last said of each of its points: told again, with a doubt, when it says nothing.

Knows points, values and qualities. Does not know why nothing came.
"""

from collections.abc import Sequence

import numpy as np

from scada.model.cause import Cause
from scada.model.point import Point
from scada.model.quality import Quality
from scada.model.sample import PointArray, QualityArray, SampleArray, ValueArray, samples


class LastKnown:
    """Of ``points``; one never heard of is 0 and INVALID. ``ids`` ascend."""

    def __init__(self, points: Sequence[Point]) -> None:
        self.ids: PointArray = np.array(sorted(point.id for point in points), dtype=np.int32)
        self._values = np.zeros(len(self.ids))
        self._qualities = np.full(len(self.ids), Quality.INVALID, dtype=np.uint8)

    def take(self, batch: SampleArray) -> None:
        """Samples of these points came."""
        rows = np.searchsorted(self.ids, batch["point"])
        self._values[rows] = batch["value"]
        self._qualities[rows] = batch["quality"]

    def of(self, points: PointArray) -> tuple[ValueArray, QualityArray]:
        """Value and quality of these points, in their order."""
        rows = np.searchsorted(self.ids, points)
        return self._values[rows], self._qualities[rows]

    def doubted(self, points: PointArray, quality: Quality, now: int) -> SampleArray:
        """The last of these points again, with ``quality`` added to theirs."""
        values, qualities = self.of(points)
        return samples(points, now, values, qualities | np.uint8(quality), Cause.SPONTANEOUS)
