"""What every feeder asks for at a moment: its customers' curves, its rooftop generation and a little restlessness.

Knows loads and time. Does not know whether a feeder is energised.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from scada.model.sample import ValueArray
from scada.model.station import Load
from simulators.load_shapes import LoadClass, load_factor, week_of
from simulators.wander import wander

_CLASSES: Final = (LoadClass.RESIDENTIAL, LoadClass.PRODUCTION, LoadClass.BUSINESS, LoadClass.PV)
_RESTLESS: Final = 0.03
"""Half the width by which a feeder strays from its curve within minutes (assumed)."""


class Demand:
    """Power asked for behind every feeder; arrays have shape (loads,)."""

    def __init__(self, loads: Sequence[Load], seed: int) -> None:
        self._p_mw = np.array([each.p_mw for each in loads])
        self._q_mvar = np.array([each.q_mvar for each in loads])
        shares = [each.shares for each in loads]
        self._shares: NDArray[np.float64] = np.array(
            [(each.residential, each.production, each.business, -each.pv) for each in shares]
        ).reshape(len(loads), len(_CLASSES))
        self._peaks = np.array([week_of(each).max() for each in _CLASSES])
        self._means = 1.0 / self._peaks
        self._wander = wander(len(loads), seed, shortest_s=20.0, longest_s=1800.0, waves=4)

    def at(self, now: int) -> tuple[ValueArray, ValueArray]:
        """MW and Mvar at ``now`` (µs UTC). Each class's curve has its peak at 1; generation takes no reactive power."""
        curves = np.array([float(load_factor(each, now)) for each in _CLASSES]) / self._peaks
        restless = 1.0 + _RESTLESS * self._wander.at(now)
        consumed = self._shares[:, :-1] @ curves[:-1] * restless
        generated = self._shares[:, -1] * curves[-1]
        return self._p_mw * (consumed + generated), self._q_mvar * consumed

    def mean(self) -> tuple[ValueArray, ValueArray]:
        """MW and Mvar in the mean of a week."""
        return self._p_mw * (self._shares @ self._means), self._q_mvar * (self._shares[:, :-1] @ self._means[:-1])
