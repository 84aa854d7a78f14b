"""Devices that move although nobody ordered it.

Knows where every switching device stood last and what is being operated. Does not know why something moved: protection,
staff on site and thieves look alike here.
"""

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from scada.control.readiness import in_words, position_points
from scada.model.point import DoublePoint
from scada.model.quality import Quality
from scada.model.sample import SampleArray
from scada.model.station import Station

LATE_S: Final = 60.0
"""So long after its end a movement still belongs to a command: its outcome may have been unknown."""


class MovementWatch:
    """Compares every reported end position with the one before."""

    def __init__(self, stations: Sequence[Station]) -> None:
        self._points = position_points(stations)
        self._ids = np.array(sorted(self._points), dtype=np.int32)
        self._last: dict[int, float] = {}
        self._ordered: dict[str, float | None] = {}

    def begun(self, target: str) -> None:
        """From now on a movement of ``target`` was ordered."""
        self._ordered[target] = None

    def ended(self, target: str, monotonic_s: float) -> None:
        """The command on ``target`` ended."""
        if target in self._ordered:
            self._ordered[target] = monotonic_s

    def moved(self, delta: SampleArray, monotonic_s: float) -> Iterator[tuple[str, str]]:
        """Target and sentence of every device in ``delta`` (SAMPLE) that reached another end position unordered."""
        rows = delta[np.isin(delta["point"], self._ids)]
        for row in rows:
            value = float(row["value"])
            if int(row["quality"]) != Quality.GOOD or value not in (DoublePoint.OPEN, DoublePoint.CLOSED):
                continue
            number = int(row["point"])
            before = self._last.get(number)
            self._last[number] = value
            target, point = self._points[number]
            if before is not None and before != value and not self._was_ordered(target, monotonic_s):
                yield target, f"{target} moved to {in_words(point, value)} without a command"

    def _was_ordered(self, target: str, monotonic_s: float) -> bool:
        if target not in self._ordered:
            return False
        ended = self._ordered[target]
        if ended is not None and monotonic_s - ended > LATE_S:
            del self._ordered[target]
            return False
        return True
