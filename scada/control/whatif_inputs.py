"""What a load flow needs to know of the moment, read from the image: positions, loads and taps, gaps filled.

Knows which points tell them and how a missing one is estimated; says so in remarks. Does not know load flows.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from scada.control.interlocking_field import read_points
from scada.grid.topology import Certainty, PositionArray, Topology
from scada.model.point import DoublePoint
from scada.model.quantity import Quantity
from scada.model.sample import ValueArray
from scada.model.station import Load, Station
from scada.model.switching import ImageView


@dataclass(frozen=True, slots=True)
class Inputs:
    """positions: shape (devices,), as last reported; p_mw, q_mvar: shape (loads,); tap: shape (transformers,)."""

    positions: PositionArray
    p_mw: ValueArray
    q_mvar: ValueArray
    tap: NDArray[np.int64]
    remarks: tuple[str, ...] = ()

    def with_position(self, device: int, position: DoublePoint) -> "Inputs":
        """The same with one device moved."""
        positions = self.positions.copy()
        positions[device] = position
        return replace(self, positions=positions)

    def with_step(self, transformer: int, step: int) -> "Inputs":
        """The same with one tap changer a step further."""
        tap = self.tap.copy()
        tap[transformer] += step
        return replace(self, tap=tap)


class InputReader:
    """Reads ``Inputs``; which point tells what is found once."""

    def __init__(self, topology: Topology, neutral_taps: NDArray[np.int64]) -> None:
        stations = topology.province.stations
        self._positions = [device.position.name for _, device in topology.devices]
        self._normal = topology.normal_positions()
        self._peak_p = np.array([load.p_mw for load in topology.loads])
        self._peak_q = np.array([load.q_mvar for load in topology.loads])
        owners = [(station, load) for station in stations for load in station.loads]
        self._p = [_load_point(station, load, Quantity.ACTIVE_POWER) for station, load in owners]
        self._q = [_load_point(station, load, Quantity.REACTIVE_POWER) for station, load in owners]
        self._taps = [_tap_point(station, t.name) for station in stations for t in station.transformers]
        self._neutral = neutral_taps
        self._topology = topology

    def read(self, view: ImageView) -> Inputs:
        """The moment. Doubtful positions count as last reported, or as normal when never heard of."""
        rows = read_points(view, self._positions)
        never = rows["time"] == 0
        positions = np.clip(np.nan_to_num(rows["value"]), 0, 3).astype(np.int8)
        positions = np.where(never, self._normal, positions).astype(np.int8)
        doubtful = int(np.count_nonzero(rows["quality"]))
        alive = self._topology.state(positions).energised[self._topology.load_nodes] == Certainty.YES
        p, missing = _loads(view, self._p, self._peak_p, alive)
        q, _ = _loads(view, self._q, self._peak_q, alive)
        tap, unknown_taps = self._tap(view)
        remarks = (
            *((f"{doubtful} positions are in doubt and count as last reported",) if doubtful else ()),
            *((f"{missing} loads are not measured and estimated from the others",) if missing else ()),
            *((f"{unknown_taps} tap positions are not known and count as neutral",) if unknown_taps else ()),
        )
        return Inputs(positions, p, q, tap, remarks)

    def _tap(self, view: ImageView) -> tuple[NDArray[np.int64], int]:
        rows = read_points(view, self._taps)
        good = rows["quality"] == 0
        taps = np.where(good, np.rint(np.nan_to_num(rows["value"])), self._neutral).astype(np.int64)
        return taps, int(np.count_nonzero(~good))


def _loads(view: ImageView, points: list[str], peak: ValueArray, alive: NDArray[np.bool_]) -> tuple[ValueArray, int]:
    """Measured values; the share of the peak that the measured ones draw stands in for the others.

    A load without supply is estimated too: what it would draw when supplied again is what is asked. The second answer
    is how many should be measured and are not; loads without an instrument are not counted.
    """
    has_point = np.array([bool(name) for name in points], dtype=np.bool_)
    value = np.zeros(len(points))
    good = np.zeros(len(points), dtype=np.bool_)
    rows = read_points(view, [name for name in points if name])
    value[has_point], good[has_point] = rows["value"], rows["quality"] == 0
    drawing = good & alive
    base = float(peak[drawing].sum())
    share = float(value[drawing].sum()) / base if base else 1.0
    return np.where(drawing, value, peak * share), int(np.count_nonzero(has_point & ~good))


def _load_point(station: Station, load: Load, quantity: Quantity) -> str:
    """Name of the point that measures a load, or ''."""
    for point in station.points:
        if point.bay == load.bay and point.terminal == load.terminal and point.quantity == quantity:
            return point.name
    return ""


def _tap_point(station: Station, transformer: str) -> str:
    for point in station.points:
        if point.bay == transformer and point.quantity == Quantity.TAP_POSITION:
            return point.name
    return f"{station.code}/{transformer}/"
