"""What every meter of the fleet has counted at any moment.

Knows registers, power and voltage as a pure function of (fleet, meter, time, outages of its feeder), so that an
interval asked for again, from the meter's memory, is the same to the byte. Does not know who reports when, or any
message.

A register is ``start + floor(mean power × hours at mean)``, where the hours are the integral of the class's curve up to
the customer's own time: the clock, plus a fixed shift, plus a wander of a few minutes that makes each half hour and
each minute use more or less than the class does. The wander never runs backwards, so registers never fall; and because
intervals are differences of one and the same register, they add up to the Wh whatever their length.
What a customer would have used during an outage is taken off for good when the outage ends.
"""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import zip_longest
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from scada.model.reading import READING, Method, ProfileStatus, QualityFlag, ReadingArray
from simulators.load_shapes import HOUR_US, MINUTE_US, LoadClass, hours_at_mean, load_factor, week_of, week_phase
from simulators.meter_fleet import CLASSES, SOLAR_RATIO, Fleet, IndexArray, scramble

FIRST_DAY = 1_735_664_400_000_000
"""2025-01-01 00:00 local: here the registers have their start values. Before, they may be below zero."""

_HALF_HOUR_US = 30 * MINUTE_US
# Wander in µs to either side and its knots. Twice the amplitude over the distance of the knots is the share by which a
# customer may use more or less than the class: 0.6 in a half hour, 0.3 in a minute; below 1 in sum, or time ran back.
_OCTAVES = ((_HALF_HOUR_US, 9 * MINUTE_US), (MINUTE_US, 9_000_000))
_MINUTES = 10_080
_NOMINAL_DV = 2300.0
_BLOCK = 4096
"""Rows computed at a time: the columns of so many stay in the processor's cache."""
_PV = CLASSES.index(LoadClass.PV)

FloatArray = NDArray[np.float64]
_Knots = dict[tuple[int, int], FloatArray]
Counted = Callable[[IndexArray, int], IndexArray]
"""Registers of some rows at a time, as if they had digits without end; shape (3, len(rows))."""


class Alteration(Protocol):
    """Something done to the meters at some places that changes what their registers show."""

    rows: IndexArray

    def change(self, rows: IndexArray, time: int, counted: Counted) -> IndexArray:
        """What it adds to the registers of some of its rows; ``counted``: the registers without it."""
        ...

    def counts_share(self, start: int, end: int) -> float:
        """Which part of the energy of an interval is counted."""
        ...


@dataclass(slots=True)
class _Supply:
    """Outages of one feeder in order of time; ``lost`` sums what each meter did not use up to the end of each."""

    rows: IndexArray
    down: list[int] = field(default_factory=list)
    up: list[int] = field(default_factory=list)
    lost: list[IndexArray] = field(default_factory=list)

    @property
    def energised(self) -> bool:
        return len(self.up) == len(self.down)

    def dead_between(self, start: int, end: int) -> bool:
        """True when an outage overlaps the open interval (start, end)."""
        begun = bisect_left(self.down, end)
        return begun > 0 and (begun > len(self.up) or self.up[begun - 1] > start)

    def dead_at(self, time: int) -> bool:
        begun = bisect_left(self.down, time + 1)
        return begun > 0 and (begun > len(self.up) or self.up[begun - 1] > time)


class FleetEnergy:
    """Registers and load profiles of a fleet. Times are int µs UTC, rows are indices into the fleet's columns.

    Owns the outages of the feeders; everything else is computed. Not safe for several threads.
    """

    def __init__(self, fleet: Fleet, alterations: Sequence[Alteration] = ()) -> None:
        self.fleet = fleet
        self._alterations = tuple(alterations)
        self._import_hours, self._import_curve = _tables([*(week_of(each) for each in CLASSES[:-1]), _surplus(-1.0)])
        self._export_hours, self._export_curve = _tables([_surplus(1.0)])
        self._import_start = np.array([self._at_curve(index, FIRST_DAY) for index in range(len(CLASSES))])
        self._export_start = float(_hours(self._export_hours, self._export_curve, np.array([0]), FIRST_DAY)[0])
        self._level_dv = _NOMINAL_DV + 60.0 * _noise(fleet.key, 11, 0)
        self._supplies: dict[int, _Supply] = {}
        self._disturbed = np.zeros(len(fleet.feeders), dtype=np.bool_)

    def feeder_state(self, feeder: int, time: int, *, energised: bool) -> bool:
        """Note that a feeder (index) lost or got back its supply at ``time``; False when that is no news.

        Raises ValueError when ``time`` lies before the feeder's last change: the past has been reported already.
        """
        supply = self._supplies.setdefault(feeder, _Supply(self.fleet.rows_of_feeder(feeder)))
        if supply.energised == energised:
            return False
        last = (supply.down if energised else supply.up or [time])[-1]
        if time < last:
            raise ValueError(f"{self.fleet.feeders[feeder].name} cannot change {last - time} µs before its last change")
        if energised:
            begun = supply.down[-1]
            lost = self._undisturbed(supply.rows, time) - self._undisturbed(supply.rows, begun)
            supply.lost.append(lost + supply.lost[-1] if supply.lost else lost)
            supply.up.append(time)
        else:
            supply.down.append(time)
            self._disturbed[feeder] = True
        return True

    def energised(self, feeder: int) -> bool:
        """Whether a feeder (index) is energised now."""
        supply = self._supplies.get(feeder)
        return supply is None or supply.energised

    def outages(self, feeder: int) -> list[tuple[int, int]]:
        """When a feeder (index) lost its supply and got it back, µs; 0 while it has not."""
        supply = self._supplies.get(feeder)
        return [] if supply is None else list(zip_longest(supply.down, supply.up, fillvalue=0))

    def forget_outages_before(self, time: int) -> None:
        """Drop what is only needed for readings before ``time``: keeps the memory bounded on a feeder that flaps."""
        for supply in self._supplies.values():
            old = max(bisect_left(supply.up, time) - 1, 0)  # the last old one carries the sum of those before it
            del supply.down[:old], supply.up[:old], supply.lost[:old]

    def registers(self, rows: IndexArray, time: int) -> IndexArray:
        """import Wh, export Wh, import varh as a display shows them at ``time``; shape (3, len(rows))."""
        return self._altered(rows, time) % self.fleet.wrap_wh[rows]

    def before(self, alteration: Alteration) -> Counted:
        """Registers as they would be without an alteration and those after it."""
        return partial(self._altered, before=self._alterations.index(alteration))

    def readings(self, rows: IndexArray, end: int, period_us: int) -> ReadingArray:
        """The load-profile rows of the interval ``(end − period, end]``; READING, shape (len(rows),).

        ``meter`` is the row in the fleet, not the historian's id. power_w is the interval's mean, import positive. An
        interval that an outage touches has POWER_DOWN; voltage is 0 when the meter is dead at its end.
        """
        batch = np.empty(len(rows), dtype=READING)
        for first in range(0, len(rows), _BLOCK):
            part = slice(first, first + _BLOCK)
            self._fill(batch[part], rows[part], end, period_us)
        return batch

    def _fill(self, batch: ReadingArray, rows: IndexArray, end: int, period_us: int) -> None:
        knots: _Knots = {}  # start and end of an interval mostly lie between the same
        used = self._hours_used(rows, end, knots)
        counted = self._counts(rows, used)
        net = (used - self._hours_used(rows, end - period_us, knots)) * (HOUR_US / period_us)
        power = np.rint(self.fleet.mean_w[rows] * (net[0] - net[1]))
        voltage = self._voltage(rows, end)
        batch["status"] = 0
        for feeder in self._disturbed_feeders(rows):
            self._disturb(batch["status"], counted, power, voltage, rows, feeder, end, period_us)
        for each, here in self._alterations_at(rows):
            counted[:, here] += each.change(rows[here], end, self.before(each))
            power[here] = np.rint(power[here] * each.counts_share(end - period_us, end))
        wrap_wh = self.fleet.wrap_wh[rows]
        if (counted >= wrap_wh).any() or counted.min() < 0:  # a division for each register is 7 ms for the fleet
            counted %= wrap_wh
        batch["meter"] = rows
        batch["time"] = end
        batch["import_wh"], batch["export_wh"], batch["import_varh"] = counted
        batch["power_w"] = power
        batch["voltage_dv"] = voltage
        batch["flag"] = QualityFlag.ACTUAL
        batch["method"] = Method.NONE

    def _disturb(
        self,
        status: NDArray[np.uint8],
        counted: IndexArray,
        power: FloatArray,
        voltage: FloatArray,
        rows: IndexArray,
        feeder: int,
        end: int,
        period_us: int,
    ) -> None:
        """Correct the columns of the meters behind one feeder for its outages."""
        here = np.flatnonzero(self.fleet.feeder[rows] == feeder)
        behind = rows[here]
        counted[:, here] -= self._lost(feeder, behind, end)
        supply = self._supplies[feeder]
        if supply.dead_between(end - period_us, end):
            change = counted[:, here] - self._counted(behind, end - period_us)
            power[here] = np.rint((change[0] - change[1]) * (HOUR_US / period_us))
            status[here] = ProfileStatus.POWER_DOWN
        if supply.dead_at(end):
            voltage[here] = 0.0

    def _altered(self, rows: IndexArray, time: int, before: int | None = None) -> IndexArray:
        counted = self._counted(rows, time)
        for each, here in self._alterations_at(rows, before):
            counted[:, here] += each.change(rows[here], time, self.before(each))
        return counted

    def _alterations_at(self, rows: IndexArray, before: int | None = None) -> list[tuple[Alteration, IndexArray]]:
        """Alterations that concern some of ``rows``, and the places of those."""
        found = [(each, np.flatnonzero(np.isin(rows, each.rows))) for each in self._alterations[:before]]
        return [(each, here) for each, here in found if here.size]

    def _counted(self, rows: IndexArray, time: int) -> IndexArray:
        """Registers as if they had digits without end, outages taken off."""
        counted = self._undisturbed(rows, time)
        for feeder in self._disturbed_feeders(rows):
            here = np.flatnonzero(self.fleet.feeder[rows] == feeder)
            counted[:, here] -= self._lost(feeder, rows[here], time)
        return counted

    def _lost(self, feeder: int, rows: IndexArray, time: int) -> IndexArray:
        """What the outages of a feeder have taken from each register up to ``time``; shape (3, len(rows))."""
        supply = self._supplies[feeder]
        begun = bisect_left(supply.down, time)
        if begun == 0:
            return np.zeros((3, len(rows)), dtype=np.int64)
        place = np.searchsorted(supply.rows, rows)
        if begun <= len(supply.up) and supply.up[begun - 1] <= time:
            return supply.lost[begun - 1][:, place]
        current = self._undisturbed(rows, time) - self._undisturbed(rows, supply.down[begun - 1])
        return current + supply.lost[begun - 2][:, place] if begun > 1 else current

    def _disturbed_feeders(self, rows: IndexArray) -> list[int]:
        if not self._disturbed.any():
            return []
        feeders = np.unique(self.fleet.feeder[rows])
        return [int(feeder) for feeder in feeders[self._disturbed[feeders]]]

    def _undisturbed(self, rows: IndexArray, time: int) -> IndexArray:
        return self._counts(rows, self._hours_used(rows, time, {}))

    def _counts(self, rows: IndexArray, used: FloatArray) -> IndexArray:
        fleet = self.fleet
        energy = used * fleet.mean_w[rows]
        counts = np.empty((3, len(rows)), dtype=np.int64)
        counts[0] = fleet.start_import_wh[rows] + np.floor(energy[0]).astype(np.int64)
        counts[1] = fleet.start_export_wh[rows] + np.floor(energy[1]).astype(np.int64)
        counts[2] = fleet.start_import_varh[rows] + np.floor(energy[0] * fleet.tan_phi[rows]).astype(np.int64)
        return counts

    def _hours_used(self, rows: IndexArray, time: int, knots: _Knots) -> FloatArray:
        """Hours at mean power imported and exported since the first day; shape (2, len(rows))."""
        load_class = self.fleet.load_class[rows]
        own_time = time + self.fleet.phase_us[rows] + self._wander(rows, time, knots)
        used = np.zeros((2, len(rows)))
        used[0] = _hours(self._import_hours, self._import_curve, load_class, own_time)
        used[0] -= self._import_start[load_class]
        generates = np.flatnonzero(load_class == _PV)
        none = np.zeros(len(generates), dtype=np.int64)
        used[1, generates] = _hours(self._export_hours, self._export_curve, none, own_time[generates])
        used[1, generates] -= self._export_start
        return used

    def _wander(self, rows: IndexArray, time: int, knots: _Knots) -> IndexArray:
        """How far each customer is ahead of the clock, µs. ``knots`` keeps what was computed for these rows."""
        keys = self.fleet.key[rows]
        wander = np.zeros(len(rows))
        for number, (distance_us, amplitude_us) in enumerate(_OCTAVES, start=1):
            knot, passed = divmod(time, distance_us)
            offset = _knot(keys, number, knot, knots)
            if passed:
                offset = offset + (_knot(keys, number, knot + 1, knots) - offset) * (passed / distance_us)
            wander += offset * amplitude_us
        return wander.astype(np.int64)

    def _voltage(self, rows: IndexArray, time: int) -> FloatArray:
        """Tenths of a volt: each place has its own level, falls with the evening peak and trembles."""
        droop = 40.0 * (float(load_factor(LoadClass.RESIDENTIAL, time)) - 1.0)
        trembling = 12.0 * _noise(self.fleet.key[rows], 12, time // 1_000_000)
        return np.rint(self._level_dv[rows] + trembling - droop)

    def _at_curve(self, load_class: int, time: int) -> float:
        return float(_hours(self._import_hours, self._import_curve, np.array([load_class]), time)[0])


def _noise(keys: NDArray[np.uint64], purpose: int, step: int) -> FloatArray:
    """A number in [−1, 1) for each key, purpose and step."""
    salt = (purpose * 0xD1342543DE82EF95 + step * 0x9E3779B97F4A7C15) & 0xFFFF_FFFF_FFFF_FFFF
    return (scramble(keys ^ np.uint64(salt)) >> np.uint64(11)).astype(np.float64) * 2.0**-52 - 1.0


def _knot(keys: NDArray[np.uint64], octave: int, knot: int, knots: _Knots) -> FloatArray:
    if (octave, knot) not in knots:
        knots[octave, knot] = _noise(keys, octave, knot)
    return knots[octave, knot]


def _surplus(direction: float) -> FloatArray:
    """A household with a rooftop: what it exports (+1) or what it still imports (−1), in its mean load."""
    net = SOLAR_RATIO * week_of(LoadClass.PV) - week_of(LoadClass.RESIDENTIAL)
    return np.clip(direction * net, 0.0, None)


def _tables(curves: list[FloatArray]) -> tuple[FloatArray, FloatArray]:
    """Curves as two flat tables with 10,081 entries a curve: hours passed until each minute, and level in it."""
    hours = np.concatenate([hours_at_mean(curve) for curve in curves])
    levels = np.concatenate([np.append(curve, 0.0) for curve in curves])
    return hours, levels


def _hours(hours: FloatArray, levels: FloatArray, curve: IndexArray, time: IndexArray | int) -> FloatArray:
    """Integral of each row's curve from the Monday before 1970 to its own ``time``, in hours."""
    week, phase = week_phase(np.asarray(time, dtype=np.int64))
    # By product, a division is slower: next to a full minute it may say the one before, where the integral is the same.
    minute = (phase * (1.0 / MINUTE_US)).astype(np.int64)
    first = curve * (_MINUTES + 1)
    place = first + minute
    begun = (phase - minute * MINUTE_US) / HOUR_US
    total: FloatArray = week * hours[first + _MINUTES] + (hours[place] + levels[place] * begun)
    return total
