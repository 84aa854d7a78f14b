"""Devices that move, and set-points that change, although nobody ordered it.

Knows where every switching device and set-point stood last and what was ordered. Does not know why something changed:
protection, staff on site and thieves look alike here.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from scada.control.readiness import CLOSE, in_words, position_points, set_point_points
from scada.model.event import EventKind
from scada.model.point import DoublePoint, Point
from scada.model.quality import Quality
from scada.model.sample import SampleArray
from scada.model.station import Station

LATE_S: Final = 60.0
"""So long after an outcome nobody knew, the position that was ordered may still come."""
STALE_US: Final = 5_000_000
"""A scan that was under way while a value was set brings the one before, read up to so long before it is told."""
Unordered = tuple[EventKind, str, str]
"""What happened, to which target, in a sentence."""


@dataclass(slots=True)
class _Ordered:
    wanted: float
    until: float | None = None


@dataclass(frozen=True, slots=True)
class _Watched:
    """A point and how far two of its values may be apart and still be the same."""

    target: str
    point: Point
    near: float
    is_position: bool

    def is_end(self, value: float) -> bool:
        """Whether the value is one to stand at: on their way devices pass through others."""
        return not self.is_position or value in (DoublePoint.OPEN, DoublePoint.CLOSED)

    def told(self, before: float, value: float) -> Unordered:
        """The change in words."""
        now = in_words(self.point, value)
        if self.is_position:
            return EventKind.MOVED_WITHOUT_COMMAND, self.target, f"{self.target} moved to {now} without a command"
        sentence = f"{self.target} changed from {in_words(self.point, before)} to {now} without a command"
        return EventKind.SET_POINT_CHANGED, self.target, sentence


class MovementWatch:
    """Compares every reported end position and set-point with the one before. Only what was ordered is expected, and
    only until it came: a breaker that trips right after its closing moved without a command."""

    def __init__(self, stations: Sequence[Station]) -> None:
        positions, values = position_points(stations), set_point_points(stations)
        self._watched = {number: _Watched(*each, 0.0, is_position=True) for number, each in positions.items()}
        # Within the deadband nothing is reported either; what creeps is told when it has left the value told last.
        self._watched |= {
            number: _Watched(target, point, max(point.deadband or 0.0, CLOSE), is_position=False)
            for number, (target, point) in values.items()
        }
        # By point id, with one place more for all ids beyond: a look-up costs 2 µs where a search costs 200.
        self._is_watched = np.zeros(max(self._watched, default=0) + 2, dtype=np.bool_)
        self._is_watched[list(self._watched)] = True
        self._last: dict[int, float] = {}
        self._read_at: dict[int, int] = {}
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

    def moved(self, delta: SampleArray, monotonic_s: float) -> Iterator[Unordered]:
        """Everything in ``delta`` (SAMPLE) that reached another end position, or another value, unordered."""
        places = np.minimum(delta["point"], len(self._is_watched) - 1)
        for row in delta[self._is_watched[places]]:
            number, value = int(row["point"]), float(row["value"])
            each = self._watched[number]
            if int(row["quality"]) != Quality.GOOD or not each.is_end(value):
                continue
            if not each.is_position and self._is_stale(number, int(row["time"])):
                continue
            before = self._last.get(number)
            if before is not None and abs(before - value) <= each.near:
                continue
            self._last[number] = value
            if before is not None and not self._was_ordered(each, value, monotonic_s):
                yield each.told(before, value)

    def _is_stale(self, number: int, time: int) -> bool:
        """Whether a value was read before the one known already."""
        known = self._read_at.get(number, 0)
        if known - STALE_US < time < known:
            return True
        self._read_at[number] = time
        return False

    def _was_ordered(self, each: _Watched, value: float, monotonic_s: float) -> bool:
        ordered = self._ordered.get(each.target)
        if ordered is not None and ordered.until is not None and monotonic_s > ordered.until:
            del self._ordered[each.target]
            return False
        return ordered is not None and abs(ordered.wanted - value) <= each.near
