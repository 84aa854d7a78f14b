"""Small, smooth, repeatable restlessness: what a load, a frequency or a transducer does around its mean.

Knows seeds and time. Does not know what wanders. The value is a function of seed, index and time alone, so it does not
depend on how often it is asked for, and two runs with one seed are equal.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scada.model.sample import ValueArray

_TURN = 2.0 * np.pi


@dataclass(frozen=True, slots=True)
class Wander:
    """Independent signals of mean 0 that never leave [-1, 1]: each a sum of waves of random length and phase."""

    frequency_hz: NDArray[np.float64]
    """shape (size, waves)"""
    phase: NDArray[np.float64]
    """shape (size, waves), in turns"""

    def at(self, now: int) -> ValueArray:
        """The signals at ``now`` (µs UTC); shape (size,), float64 in [-1, 1]."""
        # Whole days are taken away first: 1.8e9 s times a frequency would cost the phase its digits.
        seconds = (now % 86_400_000_000) / 1e6
        turns = self.frequency_hz * seconds + self.phase
        value: ValueArray = np.sin(_TURN * turns).mean(axis=1)
        return value


def wander(size: int, seed: int, *, shortest_s: float, longest_s: float, waves: int = 3) -> Wander:
    """``size`` signals whose waves are between ``shortest_s`` and ``longest_s`` long (log-uniform).

    Every wave fits a whole number of times into a day, so the signal is continuous at midnight UTC.
    """
    chance = np.random.default_rng(seed)
    length = np.exp(chance.uniform(np.log(shortest_s), np.log(longest_s), (size, waves)))
    frequency = np.maximum(np.round(86_400.0 / length), 1.0) / 86_400.0
    return Wander(frequency, chance.uniform(0.0, 1.0, (size, waves)))
