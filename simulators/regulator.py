"""Automatic voltage regulation of the transformers (F90): keeps the 22 kV side near its set-point by tap steps.

Knows voltages and patience. Does not know who switched it on or off.
"""

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from scada.model.point import Point
from scada.model.quantity import Quantity
from scada.model.sample import TimeArray, ValueArray
from simulators.columns import Columns
from simulators.flows import Flows
from simulators.switchgear import TapChangers

SET_POINT: Final = 1.02
"""Wanted voltage of the low side over its nominal one until somebody sets another: leaves room for the drop along the
feeders (assumed)."""
_DEAD_BAND: Final = 0.015
"""Wider than half a step of 1.78 %, else the regulator would hunt."""
_PATIENCE_US: Final = 60_000_000


class Regulator:
    """Columns of regulators; arrays have shape (transformers,)."""

    def __init__(self, columns: Columns, points: Sequence[Point]) -> None:
        low_side = columns.windings[:, -1]
        self._low_side = low_side
        nominal_kv = np.array([columns.terminals[row].voltage_kv for row in low_side.tolist()])
        self.wanted_kv: ValueArray = nominal_kv * SET_POINT
        """The set-points in force."""
        self._step = np.array([each.tap_step_percent / 100.0 for each in columns.transformers])
        self._outside_since: TimeArray = np.zeros(len(low_side), dtype=np.int64)
        rows = columns.transformer_row
        switches = {
            rows[point.station, point.bay]: point.name for point in points if point.quantity == Quantity.OLTC_AUTOMATIC
        }
        self.automatic = tuple(switches[row] for row in range(len(low_side)))
        """Names of the points that tell whether each regulator is switched on."""
        self.set_points = {
            rows[point.station, point.bay]: point.name
            for point in points
            if point.quantity == Quantity.VOLTAGE_SET_POINT
        }
        """Row of each transformer → name of the point that shows its set-point."""

    def deviation(self, flows: Flows) -> ValueArray:
        """Voltage of the low side over its set-point, minus 1; 0 where there is none."""
        voltage = flows.voltage_kv[self._low_side]
        return np.where(flows.energised[self._low_side], voltage / self.wanted_kv - 1.0, 0.0)

    def settled(self, flows: Flows, taps: TapChangers) -> NDArray[np.int64]:
        """The taps that bring every low side nearest to its set-point, without waiting."""
        steps = np.rint(-self.deviation(flows) / self._step).astype(np.int64)
        settled: NDArray[np.int64] = np.clip(taps.tap + steps, taps.low, taps.high)
        return settled

    def steps(
        self, flows: Flows, taps: TapChangers, automatic: NDArray[np.bool_], now: int
    ) -> Iterator[tuple[int, int]]:
        """The transformers that step now, and which way (+1, -1)."""
        deviation = self.deviation(flows)
        outside = automatic & (np.abs(deviation) > _DEAD_BAND) & ~taps.moving()
        self._outside_since = np.where(outside, np.where(self._outside_since > 0, self._outside_since, now), 0)
        due = outside & (now - self._outside_since >= _PATIENCE_US)
        for row in np.flatnonzero(due).tolist():
            step = -1 if deviation[row] > 0.0 else 1
            if taps.low[row] <= taps.tap[row] + step <= taps.high[row]:
                self._outside_since[row] = 0
                yield row, step
