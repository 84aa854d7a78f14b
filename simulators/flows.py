"""What flows where: the result of one load flow, per terminal of every bay.

Knows figures. Does not know how they were found.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from scada.model.sample import ValueArray

_SQRT_3 = float(np.sqrt(3.0))
_DEAD_KV = 0.1


@dataclass(frozen=True, slots=True)
class Flows:
    """Arrays of shape (terminals,). Power leaving the busbar is positive; voltages are line to line, 0 = dead."""

    p_mw: ValueArray
    q_mvar: ValueArray
    voltage_kv: ValueArray
    infeed_mw: float
    """What the 220 kV grid delivers in sum."""
    converged: bool

    @property
    def current_a(self) -> ValueArray:
        """Magnitude of the phase current; 0 where there is no voltage."""
        kva = np.hypot(self.p_mw, self.q_mvar) * 1000.0
        alive = self.energised
        return np.where(alive, kva / (_SQRT_3 * np.where(alive, self.voltage_kv, 1.0)), 0.0)

    @property
    def energised(self) -> NDArray[np.bool_]:
        """Where there is voltage."""
        alive: NDArray[np.bool_] = self.voltage_kv > _DEAD_KV
        return alive


class Solver(Protocol):
    """Finds the flows for given positions, demands and taps."""

    def solve(self, closed: NDArray[np.bool_], p_mw: ValueArray, q_mvar: ValueArray, tap: NDArray[np.int64]) -> Flows:
        """closed: shape (devices,); p_mw, q_mvar: (loads,); tap: (transformers,).

        A load flow that does not converge is a state of the grid: ``converged`` is False and what is connected keeps
        its last figures.
        """
        ...
