"""Devices that move although nobody ordered it.

Knows where every switching device stood last and which position was ordered. Does not know why something moved:
protection, staff on site and thieves look alike here.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from scada.control.readiness import in_words, position_points
from scada.model.point import DoublePoint
from scada.model.quality import Quality
from scada.model.sample import SampleArray
from scada.model.station import Station

LATE_S: Final = 60.0
"""So long after an outcome nobody knew, the position that was ordered may still come."""


@dataclass(slots=True)
class _Ordered:
    wanted: float
    until: float | None = None


class MovementWatch:
    """Compares every reported end position with the one before. Only the position that was ordered is expected, and
    only until it came: a breaker that trips right after its closing moved without a command."""

    def __init__(self, stations: Sequence[Station]) -> None:
        self._points = position_points(stations)
        # By point id, with one place more for all ids beyond: a look-up costs 2 µs where a search costs 200.
        self._is_position = np.zeros(max(self._points, default=0) + 2, dtype=np.bool_)
        self._is_position[list(self._points)] = True
        self._last: dict[int, float] = {}
        self._ordered: dict[str, _Ordered] = {}

    def begun(self, target: str, wanted: float) -> None:
        """The order leaves that brings ``target`` to ``wanted``."""
        self._ordered[target] = _Ordered(wanted)

    def arrived(self, target: str) -> None:
        """The command on ``target`` ended, and what it was to do is done or will not be."""
        self._ordered.pop(target, None)

    def in_doubt(self, target: str, monotonic_s: float) -> None:
        """The command on ``target`` ended, and nobody knows whether it is being carried out."""
        if (ordered := self._ordered.get(target)) is not None:
            ordered.until = monotonic_s + LATE_S

    def moved(self, delta: SampleArray, monotonic_s: float) -> Iterator[tuple[str, str]]:
        """Target and sentence of every device in ``delta`` (SAMPLE) that reached another end position unordered."""
        places = np.minimum(delta["point"], len(self._is_position) - 1)
        for row in delta[self._is_position[places]]:
            value = float(row["value"])
            if int(row["quality"]) != Quality.GOOD or value not in (DoublePoint.OPEN, DoublePoint.CLOSED):
                continue
            number = int(row["point"])
            before = self._last.get(number)
            self._last[number] = value
            target, point = self._points[number]
            if before is not None and before != value and not self._was_ordered(target, value, monotonic_s):
                yield target, f"{target} moved to {in_words(point, value)} without a command"

    def _was_ordered(self, target: str, value: float, monotonic_s: float) -> bool:
        ordered = self._ordered.get(target)
        if ordered is not None and ordered.until is not None and monotonic_s > ordered.until:
            del self._ordered[target]
            return False
        return ordered is not None and ordered.wanted == value
