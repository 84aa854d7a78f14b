"""What somebody else has read of a station while a scan was under way: the scan brings nothing newer of it.

Knows points and moments. Does not know who reads, or when a scan begins and ends.
"""

from dataclasses import replace

import numpy as np

from scada.model.sample import PointArray
from substations.link import ScanAnswer


class Superseded:
    """When which point was read past the scan, until ``clear``."""

    def __init__(self) -> None:
        self._read_at: dict[int, int] = {}

    def note(self, points: PointArray, now: int) -> None:
        """``points``, ids, were read by somebody else at ``now``, µs UTC."""
        self._read_at |= dict.fromkeys(points.tolist(), now)

    def clear(self) -> None:
        """Whatever is read from now on is newer."""
        self._read_at.clear()

    def without(self, answer: ScanAnswer) -> ScanAnswer:
        """The answer without what it had read before.

        A position read before an order, and brought after the one that the order had, would be taken for a movement.
        Events keep the device's own time, which cannot be compared with ours, and are never left out.
        """
        if not self._read_at:
            return answer
        told, read = answer.batch[: answer.of_source], answer.batch[answer.of_source :]
        moments = np.array([self._read_at.get(point, 0) for point in read["point"].tolist()], dtype=np.int64)
        return replace(answer, batch=np.concatenate([told, read[read["time"] > moments]]))
