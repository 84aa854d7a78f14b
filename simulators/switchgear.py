"""Switching devices and tap changers of the province as columns: where they stand, where they move, how often they did.

Knows operating times. Does not know the grid, who ordered a movement, or whether it was wise.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from scada.model.point import DoublePoint
from scada.model.sample import TimeArray
from scada.model.station import Device, DeviceKind, Transformer

OPERATING_US: Final = {
    DeviceKind.CIRCUIT_BREAKER: 60_000,
    DeviceKind.LOAD_BREAK_SWITCH: 1_500_000,
    DeviceKind.DISCONNECTOR: 6_000_000,
    DeviceKind.EARTHING_SWITCH: 6_000_000,
}
"""From leaving one end position to reaching the other (assumed): spring drives for breakers, motors for the rest."""
SPRING_CHARGE_US: Final = 9_000_000
"""How long the motor needs to charge a closing spring (assumed; makers state below 15 s)."""
TAP_CHANGE_US: Final = 5_000_000
"""One step of the motor drive of an on-load tap changer (assumed; makers state 4 to 6 s)."""
_IDLE: Final = np.iinfo(np.int64).max


class Switchgear:
    """Columns of devices; every array has shape (devices,)."""

    def __init__(self, devices: Sequence[Device], seed: int, now: int) -> None:
        chance = np.random.default_rng(seed)
        closed = np.array([device.normally_closed for device in devices], dtype=np.bool_)
        self.position: NDArray[np.int8] = np.where(closed, DoublePoint.CLOSED, DoublePoint.OPEN).astype(np.int8)
        self.changed: TimeArray = np.full(len(devices), now, dtype=np.int64)
        self.operations: NDArray[np.int64] = chance.integers(40, 900, len(devices))
        self.spring_charged_at: TimeArray = np.zeros(len(devices), dtype=np.int64)
        self._target = self.position.copy()
        self._arrives: TimeArray = np.full(len(devices), _IDLE, dtype=np.int64)
        self._operating_us = np.array([OPERATING_US[device.kind] for device in devices], dtype=np.int64)
        self._has_spring = np.array([device.kind is DeviceKind.CIRCUIT_BREAKER for device in devices], dtype=np.bool_)

    @property
    def next_arrival(self) -> int | None:
        """When the next device reaches its end position (µs UTC), or None while none moves."""
        earliest = int(self._arrives.min(initial=_IDLE))
        return None if earliest == _IDLE else earliest

    def is_moving(self, device: int) -> bool:
        """Whether the device is between its end positions."""
        return bool(self._arrives[device] != _IDLE)

    def move(self, device: int, target: DoublePoint, now: int) -> None:
        """Begin a movement; the device is INTERMEDIATE until its operating time is over."""
        self.position[device] = DoublePoint.INTERMEDIATE
        self.changed[device] = now
        self._target[device] = target
        self._arrives[device] = now + self._operating_us[device]

    def settle(self, now: int) -> NDArray[np.intp]:
        """Let devices whose time is over arrive, each with the time it did; returns which, shape (k,)."""
        arrived: NDArray[np.intp] = np.flatnonzero(self._arrives <= now)
        if len(arrived):
            self.position[arrived] = self._target[arrived]
            self.changed[arrived] = self._arrives[arrived]
            self.operations[arrived] += 1
            closing = arrived[self._has_spring[arrived] & (self.position[arrived] == DoublePoint.CLOSED)]
            self.spring_charged_at[closing] = self.changed[closing] + SPRING_CHARGE_US
            self._arrives[arrived] = _IDLE
        return arrived

    def is_closed(self) -> NDArray[np.bool_]:
        """Which devices conduct: a device opens when it arrives, and closes when it arrives."""
        opening = (self._arrives != _IDLE) & (self._target == DoublePoint.OPEN)
        closed: NDArray[np.bool_] = (self.position == DoublePoint.CLOSED) | opening
        return closed


class TapChangers:
    """Columns of tap changers; every array has shape (transformers,)."""

    def __init__(self, transformers: Sequence[Transformer], seed: int, now: int) -> None:
        chance = np.random.default_rng(seed)
        self.low = np.array([each.tap_low for each in transformers], dtype=np.int64)
        self.high = np.array([each.tap_high for each in transformers], dtype=np.int64)
        self.tap = np.array([each.tap_neutral for each in transformers], dtype=np.int64)
        self.changed: TimeArray = np.full(len(transformers), now, dtype=np.int64)
        self.operations: NDArray[np.int64] = chance.integers(8_000, 60_000, len(transformers))
        self._step = np.zeros(len(transformers), dtype=np.int64)
        self._arrives: TimeArray = np.full(len(transformers), _IDLE, dtype=np.int64)

    @property
    def next_arrival(self) -> int | None:
        """When the next tap changer reaches its tap (µs UTC), or None while none moves."""
        earliest = int(self._arrives.min(initial=_IDLE))
        return None if earliest == _IDLE else earliest

    def moving(self) -> NDArray[np.bool_]:
        """Which ones are between two taps."""
        moving: NDArray[np.bool_] = self._arrives != _IDLE
        return moving

    def move(self, transformer: int, step: int, now: int) -> None:
        """Begin one step up or down (+1, -1)."""
        self._step[transformer] = step
        self._arrives[transformer] = now + TAP_CHANGE_US

    def settle(self, now: int) -> NDArray[np.intp]:
        """Let tap changers whose time is over arrive; returns which, shape (k,)."""
        arrived: NDArray[np.intp] = np.flatnonzero(self._arrives <= now)
        if len(arrived):
            self.tap[arrived] += self._step[arrived]
            self.changed[arrived] = self._arrives[arrived]
            self.operations[arrived] += 1
            self._arrives[arrived] = _IDLE
        return arrived
