"""Temperatures of transformers and rooms: a first-order model of top oil, a hot-spot rise per winding, a day outside.

Knows loading and time. Does not know the grid. The form of the model is that of IEC 60076-7; its figures are assumed
for transformers of medium power with fans.
"""

from typing import Final

import numpy as np

from scada.model.sample import ValueArray
from simulators.load_shapes import DAY_US, HOUR_US, UTC_OFFSET_US

_OIL_TIME_CONSTANT_S: Final = 150.0 * 60.0
_OIL_RISE_RATED: Final = 52.0
_LOSS_RATIO: Final = 6.0
_OIL_EXPONENT: Final = 0.8
_WINDING_RISE_RATED: Final = 26.0
_WINDING_EXPONENT: Final = 1.3


def oil_rise(load_factor: ValueArray) -> ValueArray:
    """Steady rise of top oil over ambient in K, for a load of ``load_factor`` times the rating; any shape."""
    rise: ValueArray = _OIL_RISE_RATED * ((1.0 + _LOSS_RATIO * load_factor**2) / (1.0 + _LOSS_RATIO)) ** _OIL_EXPONENT
    return rise


def towards(now_k: ValueArray, steady_k: ValueArray, elapsed_s: float) -> ValueArray:
    """Oil rise after ``elapsed_s`` on its way from ``now_k`` to ``steady_k``."""
    return steady_k + (now_k - steady_k) * float(np.exp(-elapsed_s / _OIL_TIME_CONSTANT_S))


def winding_rise(load_factor: ValueArray) -> ValueArray:
    """Rise of a winding's hot spot over top oil in K; any shape. Follows the load at once."""
    rise: ValueArray = _WINDING_RISE_RATED * load_factor**_WINDING_EXPONENT
    return rise


def hour_of_day(now: int) -> float:
    """Local hour, 0 to 24 (UTC+7, no daylight saving)."""
    return (now + UTC_OFFSET_US) % DAY_US / HOUR_US


def ambient(now: int) -> float:
    """Temperature outside in °C: warmest at 14:00 local. Mean and swing are those of a mild month (assumed)."""
    return 25.0 + 5.0 * float(np.cos((hour_of_day(now) - 14.0) * np.pi / 12.0))
