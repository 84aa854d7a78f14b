"""What a scenario makes of the plant's values on their way to a station's server, and what it does to the plant.

Knows faults and moments. Does not know servers, a clock or files: ``now`` is an argument, and the same scenario gives
the same values at the same moments.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

import numpy as np

from scada.model.addcause import AddCause
from scada.model.point import DoublePoint, Point, PointKind
from scada.model.sample import QualityArray
from scada.model.station import Station
from simulators.plant import StationValues
from simulators.station_scenario import StationFault, StationFaultKind

TRIP_US: Final = 80_000
"""From pick-up to the trip command: one period of the relay and its output contact (assumed)."""
BREAKER_FAILURE_US: Final = 200_000
"""From the trip command to F50BF (assumed; usual settings are 150 to 250 ms)."""
_MOST_FRAMES: Final = 2_000


class _Does(StrEnum):
    SET = "set"
    OPEN = "open"
    STICK = "stick"
    FREE = "free"


@dataclass(frozen=True, slots=True, order=True)
class Act:
    """Something to do to the plant at ``time`` (µs): ``what`` is a point's full name, or a device's of ``station``."""

    time: int
    does: str
    station: str
    what: str
    value: float = 0.0


class Operated(Protocol):
    """What of the plant a disturbance moves."""

    def set_signal(self, point: str, value: float, now: int) -> None:
        """Let a relay pick up or drop out."""
        ...

    def operate(self, station: str, device: str, wanted: str | float, now: int) -> AddCause | None:
        """Move a device."""
        ...

    def stick(self, station: str, device: str, *, stuck: bool) -> None:
        """Let a device accept orders and not move, or free it."""
        ...


class Disturbance:
    """The faults of a scenario that begins at ``start`` (µs UTC), and values forced from outside (``force``)."""

    def __init__(self, faults: Sequence[StationFault], stations: Sequence[Station], start: int) -> None:
        self._start = start
        self._points: dict[str, dict[str, Point]] = {
            station.code: {point.name.split("/", 1)[1]: point for point in station.points} for station in stations
        }
        self._shaping = [each for each in faults if each.kind in _SHAPES]
        self._acts = sorted(act for each in faults for act in _acts_of(each, faults, start))
        self._shown_until = dict.fromkeys(self._points, start)
        self._forced: dict[str, dict[int, float]] = {}

    @property
    def next_act(self) -> int | None:
        """When something is to be done to the plant next (µs), or None."""
        return self._acts[0].time if self._acts else None

    def force(self, values: Mapping[str, float]) -> None:
        """From now on show these values, by full name, and no others forced before."""
        self._forced = {}
        for name, value in values.items():
            code, local = name.split("/", 1)
            point = self._points[code][local]
            self._forced.setdefault(code, {})[point.id] = value

    def move(self, plant: Operated, now: int) -> list[Act]:
        """Do what is due; returns it."""
        due: list[Act] = []
        while self._acts and self._acts[0].time <= now:
            act = self._acts.pop(0)
            due.append(act)
            if act.does == _Does.SET:
                plant.set_signal(act.what, act.value, act.time)
            elif act.does == _Does.OPEN:
                plant.operate(act.station, act.what, "open", act.time)
            else:
                plant.stick(act.station, act.what, stuck=act.does == _Does.STICK)
        return due

    def frames(self, code: str, values: StationValues, now: int) -> Iterator[StationValues]:
        """What the station shows since the last call, oldest first; the last frame is the present.

        More than one where a contact changed several times in between: each change has a frame, none is left out.
        """
        before, self._shown_until[code] = self._shown_until[code], now
        mine = [each for each in self._shaping if each.code == code and self._holds(each, now)]
        forced = self._forced.get(code)
        if not mine and not forced:
            yield values
            return
        moments = sorted({moment for each in mine for moment in self._toggles(each, before, now)})[-_MOST_FRAMES:]
        for moment in (*moments, now) if not moments or moments[-1] < now else moments:
            yield self._frame(code, values, mine, moment)

    def _frame(self, code: str, values: StationValues, mine: Sequence[StationFault], now: int) -> StationValues:
        shown, times = values.values.copy(), values.times.copy()
        quality: QualityArray = values.quality.copy()
        for each in mine:
            if each.kind is StationFaultKind.AVALANCHE:
                self._avalanche(code, each, values, shown, now)
                times[shown != values.values] = now
            elif each.kind is StationFaultKind.CLOCK_SKEW:
                continue
            else:
                point = self._points[code][each.point]
                row = int(np.searchsorted(values.points, point.id))
                if each.kind is StationFaultKind.FORCE:
                    shown[row] = each.value
                else:
                    count = self._count(each, now)
                    shown[row] = _contact(point, count % 2 == 1)
                    times[row] = self._begin(each) + int(count * 1e6 / each.rate)
        for number, value in self._forced.get(code, {}).items():
            row = int(np.searchsorted(values.points, number))
            shown[row], quality[row], times[row] = value, 0, now
        for each in mine:
            if each.kind is StationFaultKind.CLOCK_SKEW:
                times += int(each.seconds * 1e6)
        return StationValues(values.points, shown, quality, times)

    def _avalanche(self, code: str, fault: StationFault, values: StationValues, shown: np.ndarray, now: int) -> None:
        """Walks through the points, ``rate`` a second; each that was visited an odd number of times is disturbed."""
        points = list(self._points[code].values())
        visited = int((now - self._begin(fault)) / 1e6 * fault.rate)
        for place, point in enumerate(points):
            visits = visited // len(points) + (place < visited % len(points))
            if visits % 2 == 0:
                continue
            row = int(np.searchsorted(values.points, point.id))
            if point.kind is PointKind.SINGLE_POINT:
                shown[row] = 1.0 - values.values[row]
            elif point.kind is PointKind.DOUBLE_POINT:
                shown[row] = float(DoublePoint.OPEN + DoublePoint.CLOSED) - values.values[row]
            elif point.kind is PointKind.MEASURED_VALUE:
                shown[row] = values.values[row] + 2.0 * point.deadband

    def _toggles(self, fault: StationFault, before: int, now: int) -> list[int]:
        if fault.kind is not StationFaultKind.FLAPPING:
            return []
        first, last = self._count(fault, before) + 1, self._count(fault, now)
        return [self._begin(fault) + int(count * 1e6 / fault.rate) for count in range(first, last + 1)]

    def _count(self, fault: StationFault, now: int) -> int:
        """How often the contact has changed up to ``now``; a µs is lent, so that a change counts at its own moment."""
        return max(0, int((now + 1 - self._begin(fault)) * fault.rate / 1e6))

    def _begin(self, fault: StationFault) -> int:
        return self._start + int(fault.from_s * 1e6)

    def _holds(self, fault: StationFault, now: int) -> bool:
        return fault.from_s <= (now - self._start) / 1e6 < fault.until_s


_SHAPES: Final = (
    StationFaultKind.FORCE,
    StationFaultKind.FLAPPING,
    StationFaultKind.AVALANCHE,
    StationFaultKind.CLOCK_SKEW,
)


def _contact(point: Point, is_set: bool) -> float:  # noqa: FBT001  # a contact has two states
    if point.kind is PointKind.DOUBLE_POINT:
        return float(DoublePoint.CLOSED if is_set else DoublePoint.OPEN)
    return 1.0 if is_set else 0.0


def _acts_of(fault: StationFault, faults: Sequence[StationFault], start: int) -> Iterator[Act]:
    begin, end = start + int(fault.from_s * 1e6), start + int(fault.until_s * 1e6)
    if fault.kind is StationFaultKind.BREAKER_FAILURE:
        yield Act(begin, _Does.STICK, fault.code, fault.device)
        yield Act(end, _Does.FREE, fault.code, fault.device)
    if fault.kind is not StationFaultKind.TRIP:
        return
    signal = f"{fault.code}/{fault.signal}"
    yield Act(begin, _Does.SET, fault.code, signal, 1.0)
    yield Act(begin + TRIP_US, _Does.OPEN, fault.code, fault.device)
    yield Act(end, _Does.SET, fault.code, signal, 0.0)
    for each in faults:
        same = (each.code, each.device) == (fault.code, fault.device)
        fails = each.kind is StationFaultKind.BREAKER_FAILURE and each.from_s <= fault.from_s < each.until_s
        if same and fails and each.signal:
            failure = f"{each.code}/{each.signal}"
            yield Act(begin + TRIP_US + BREAKER_FAILURE_US, _Does.SET, each.code, failure, 1.0)
            yield Act(end, _Does.SET, each.code, failure, 0.0)
