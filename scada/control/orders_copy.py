"""A copy of the network on which operations are tried: it shows what the image would show after them.

Knows what follows from positions: voltages, flows, a dead busbar. Starts from an image or, without one, from the normal
switching state. Does not know rules or orders. What no operation changes (health, modes) is as the image has it.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import numpy as np

from scada.control.interlocking_device import STEPPING, SWITCHING, WANTED
from scada.control.interlocking_field import read_points
from scada.control.whatif_inputs import InputReader, Inputs
from scada.grid.loadflow import Flows, LoadFlow
from scada.model.point import DoublePoint, Point
from scada.model.quantity import MEANINGS, Quantity, Role
from scada.model.sample import SAMPLE, SampleArray
from scada.model.switching import Action, ImageView, Operation

FREQUENCY_HZ: Final = 50.0


class NormalView:
    """An image of the network in its normal switching state, everything healthy, at neutral taps and peak load."""

    def __init__(self, load_flow: LoadFlow, now: int) -> None:
        self._known = {point.name: point for s in load_flow.topology.province.stations for point in s.points}
        self._value: dict[str, float] = {}
        self._now = now
        for _, device in load_flow.topology.devices:
            closed = DoublePoint.CLOSED if device.normally_closed else DoublePoint.OPEN
            self._value[device.position.name] = float(closed)
        for station in load_flow.topology.province.stations:
            taps = {each.name: float(each.tap_neutral) for each in station.transformers}
            steps = (point for point in station.points if point.quantity == Quantity.TAP_POSITION)
            self._value.update({point.name: taps[point.bay] for point in steps})

    def read(self, names: Sequence[str]) -> SampleArray:
        """As ``ImageView.read``."""
        rows = np.zeros(len(names), dtype=SAMPLE)
        rows["time"] = self._now
        for row, name in enumerate(names):
            point = self._known[name]
            rows[row]["point"] = point.id
            rows[row]["value"] = self._value.get(name, MEANINGS[Quantity(point.quantity)].normal)
        return rows


class NetworkCopy:
    """The network of a moment, operated without anything moving outside. An ``ImageView`` itself."""

    def __init__(self, load_flow: LoadFlow, image: ImageView | None, now: int) -> None:
        self._flow = load_flow
        self._topology = load_flow.topology
        self._base: ImageView = NormalView(load_flow, now) if image is None else image
        self._now = now
        self._reader = InputReader(self._topology, load_flow.neutral_taps())
        self.inputs: Inputs = self._reader.read(self._base)
        if image is None:
            p_mw, q_mvar = load_flow.peak_loads()
            self.inputs = Inputs(self.inputs.positions, p_mw, q_mvar, self.inputs.tap)
        self._columns = _columns(load_flow)
        self._transformer_row = {
            f"{s.code}/{t.name}": row
            for row, (s, t) in enumerate((s, t) for s in self._topology.province.stations for t in s.transformers)
        }
        self._moved: dict[str, float] = {}
        self._flows: Flows | None = None
        self._solved = image is None

    def apply(self, operation: Operation) -> None:
        """Let the operation take place. A set-point shows its value; what the regulator does then is
        not known here. What moves nothing leaves the copy as it is."""
        name = f"{operation.station}/{operation.device}"
        if operation.action in SWITCHING and name in self._topology.device_index:
            device = self._topology.device_index[name]
            self.inputs = self.inputs.with_position(device, WANTED[operation.action])
            self._moved[self._topology.devices[device][1].position.name] = float(WANTED[operation.action])
        elif operation.action in STEPPING and name in self._transformer_row:
            row = self._transformer_row[name]
            self.inputs = self.inputs.with_step(row, 1 if operation.action is Action.RAISE else -1)
            self._moved[self._tap_name(operation)] = float(self.inputs.tap[row])
        elif operation.value is not None:
            self._moved[self._shown_name(operation)] = operation.value
        self._flows, self._solved = None, True

    def read(self, names: Sequence[str]) -> SampleArray:
        """As ``ImageView.read``: moved devices where they went, flows and voltages as they would be, the rest as it is.

        What is computed is GOOD; a position nobody moved keeps its doubts.
        """
        rows: SampleArray = read_points(self._base, names).copy()
        for row, name in enumerate(names):
            value = self._moved.get(name)
            if value is None and self._solved and name in self._columns:
                value = self._columns[name](self._solution())
            if value is not None:
                rows[row]["value"], rows[row]["quality"], rows[row]["time"] = value, 0, self._now
        return rows

    def _solution(self) -> Flows:
        if self._flows is None:
            closed = self.inputs.positions == DoublePoint.CLOSED
            self._flows = self._flow.solve(closed, self.inputs.p_mw, self.inputs.q_mvar, self.inputs.tap)
        return self._flows

    def _shown_name(self, operation: Operation) -> str:
        """The point that shows the value of a set-point."""
        station = next(s for s in self._topology.province.stations if s.code == operation.station)
        found = (c for b in station.bays if b.name == operation.bay for c in b.commands if c.name == operation.command)
        return next((each.return_information.name for each in found if each.return_information is not None), "")

    def _tap_name(self, operation: Operation) -> str:
        station = next(s for s in self._topology.province.stations if s.code == operation.station)
        points = (p for p in station.points if p.bay == operation.bay and p.quantity == Quantity.TAP_POSITION)
        return next((each.name for each in points), "")


def _columns(load_flow: LoadFlow) -> Mapping[str, Callable[[Flows], float]]:
    """How each measured point follows from a solution; points it says nothing of are left out."""
    topology = load_flow.topology
    found: dict[str, Callable[[Flows], float]] = {}
    for station in topology.province.stations:
        for point in station.points:
            if point.terminal and MEANINGS[Quantity(point.quantity)].role is Role.MEASUREMENT:
                index = topology.terminal_index[f"{station.code}/{point.bay}/{point.terminal}"]
                if (column := _column(point, index)) is not None:
                    found[point.name] = column
    return found


def _column(point: Point, terminal: int) -> Callable[[Flows], float] | None:
    match Quantity(point.quantity):
        case Quantity.ACTIVE_POWER:
            return lambda flows: float(np.nan_to_num(flows.p_mw[terminal]))
        case Quantity.REACTIVE_POWER:
            return lambda flows: float(np.nan_to_num(flows.q_mvar[terminal]))
        case Quantity.CURRENT_L1 | Quantity.CURRENT_L2 | Quantity.CURRENT_L3:
            return lambda flows: float(np.nan_to_num(flows.i_a[terminal]))
        case Quantity.VOLTAGE_L12 | Quantity.VOLTAGE_L23 | Quantity.VOLTAGE_L31:
            return lambda flows: float(flows.u_kv[terminal])
        case Quantity.FREQUENCY:
            return lambda flows: FREQUENCY_HZ if flows.u_kv[terminal] > 0.0 else 0.0
    return None
