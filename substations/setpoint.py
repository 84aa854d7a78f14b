"""A set-point as the wire carries it: the one raw number that stands for a value, or the reason why there is none.

Knows types, scales and steps. Does not know maps, stations or sockets. Nothing is rounded to a value nobody signed, and
nothing wraps.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from scada.model.commandlink import NotCarried
from scada.model.station import CommandPoint
from scada.tables import Faults
from substations.wiretypes import Order, wire_bytes

_OFF_GRID = 1e-6
"""Share of a step by which a decimal value may miss it: what the division by a scale like 0.01 leaves."""


@dataclass(frozen=True, slots=True)
class Form:
    """How a value lies on the wire: value = raw x ``scale`` + ``add``, raw of ``dtype`` (little-endian)."""

    dtype: np.dtype[Any]
    scale: float
    add: float

    def raw(self, value: float) -> int | float:
        """The raw number of ``value``. Raises NotCarried when it is none, too large, or between two steps."""
        wanted = (value - self.add) / self.scale
        if self.dtype.kind == "f":
            if not abs(wanted) <= float(np.finfo(self.dtype).max):
                raise NotCarried(f"{value!r} does not fit {self.dtype.name}")
            return float(self.dtype.type(wanted))
        limits = np.iinfo(self.dtype)
        nearest = round(wanted) if math.isfinite(wanted) else limits.max + 1
        if not limits.min <= nearest <= limits.max:
            raise NotCarried(f"{value!r} does not fit {self.dtype.name} with scale {self.scale:g}")
        if abs(wanted - nearest) > _OFF_GRID:
            raise NotCarried(f"{value!r} lies between two steps of {abs(self.scale):g}")
        return nearest

    def step(self, value: float) -> float:
        """How far apart two neighbouring values are, near ``value``."""
        if self.dtype.kind != "f":
            return abs(self.scale)
        near = self.dtype.type(min(abs((value - self.add) / self.scale), float(np.finfo(self.dtype).max)))
        return float(np.spacing(near)) * abs(self.scale)

    def words(self, value: float, order: Order) -> list[int]:
        """The registers of ``value`` as a request carries them. Raises NotCarried."""
        native = np.array([self.raw(value)], dtype=self.dtype).tobytes()
        wire = bytearray(len(native))
        for place, byte in zip(wire_bytes(len(native) // 2, order), native, strict=True):
            wire[place] = byte
        return [int(each) for each in np.frombuffer(bytes(wire), dtype=">u2")]


def nearness(sent: Form, shown: Form, value: float) -> float:
    """How far what is ``shown`` may be from ``value`` and still tell it. Raises NotCarried as ``raw``."""
    there = float(sent.raw(value)) * sent.scale + sent.add
    return 0.5 * shown.step(value) * (1.0 + _OFF_GRID) + abs(there - value)


def check_limits(sent: Form, command: CommandPoint, faults: Faults) -> None:
    """Both limits of a set-point must have a frame, or values within them would have none."""
    for limit in (command.low, command.high):
        if limit is None:
            continue
        try:
            sent.raw(limit)
        except NotCarried as error:
            faults.add(f"command {command.name}", f"its limit {error}")
