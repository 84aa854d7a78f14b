"""The province as it behaves: demand, switching, flows, energy and heat, moved on from moment to moment.

Knows physics and orders. Does not know a clock, a socket, registers or nodes; the load flow is an argument.
Deterministic: the same seed, the same moments and the same orders give the same values.

Between two load flows (``SOLVE_US``, or at once when something switches) the flows stay as they are; energy is the
integral of exactly these flows.
"""

import logging
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from scada.model.addcause import AddCause
from scada.model.point import DoublePoint
from scada.model.quantity import Quantity
from scada.model.sample import PointArray, QualityArray, TimeArray, ValueArray
from scada.model.station import Bay, CommandKind, CommandPoint, Province, Station, TerminalKind
from simulators.bayunit import BayView, refusal
from simulators.columns import Columns, columns_of
from simulators.demand import Demand
from simulators.flows import Flows, Solver
from simulators.orders import Action
from simulators.readout import Moment, Readout
from simulators.regulator import Regulator
from simulators.switchgear import Switchgear, TapChangers
from simulators.thermal import ambient, oil_rise, towards, winding_rise
from simulators.wander import wander

SOLVE_US: Final = 5_000_000
_EPOCH_US: Final = 1_735_689_600_000_000
"""2025-01-01 UTC: when the energy counters of this province stood at zero."""
_TARGETS: Final = {"open": DoublePoint.OPEN, "close": DoublePoint.CLOSED}
_STEPS: Final = {"lower": -1, "raise": 1}
_SIGNALS: Final = {"open": 0.0, "close": 1.0, "reset": 0.0}
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class StationValues:
    """All points of one station, ids ascending; arrays of shape (n,). ``times``: the source's time tags, µs UTC."""

    points: PointArray
    values: ValueArray
    quality: QualityArray
    times: TimeArray


@dataclass(frozen=True, slots=True)
class FeederChange:
    """A feeder lost its supply or got it back."""

    feeder: str
    energised: bool
    time: int


class Plant:
    """The grid of the province with all a station measures. Move it with ``advance``, read it with ``values``."""

    def __init__(self, province: Province, solver: Solver, *, seed: int, now: int) -> None:
        seeds = np.random.SeedSequence(seed).generate_state(6).tolist()
        self.columns: Columns = columns_of(province)
        self._stations = {station.code: station for station in province.stations}
        self._solver = solver
        self._demand = Demand(self.columns.loads, seeds[0])
        self._switchgear = Switchgear(self.columns.devices, seeds[1], now)
        self._taps = TapChangers(self.columns.transformers, seeds[2], now)
        self._frequency = wander(1, seeds[3], shortest_s=15.0, longest_s=900.0)
        points = [point for station in province.stations for point in station.points]
        self._readout = Readout(self.columns, points, seeds[4], now)
        self._regulator = Regulator(self.columns, points)
        for row, name in self._regulator.set_points.items():
            self._readout.set_signal(name, float(self._regulator.wanted_kv[row]), now)
        self._slices = {
            station.code: slice(*np.searchsorted(self._readout.points, (address, address + 0x10000)).tolist())
            for station in province.stations
            for address in (station.common_address << 16,)
        }
        self._stuck: set[int] = set()
        self._deaf: set[int] = set()
        self._now = now
        self._solved_at = now
        self._settle_taps()
        self._energy = self._energy_until(now)
        self.flows: Flows = self._solve(now)
        self._oil_rise = oil_rise(self._loading().max(axis=1, initial=0.0))
        self._refresh()

    @property
    def now(self) -> int:
        """The moment the plant stands at (µs UTC)."""
        return self._now

    @property
    def next_event(self) -> int | None:
        """When the next movement ends (µs UTC), or None while nothing moves."""
        arrivals = [each for each in (self._switchgear.next_arrival, self._taps.next_arrival) if each is not None]
        return min(arrivals, default=None)

    def advance(self, now: int) -> list[FeederChange]:
        """Move on to ``now``, through every end of a movement on the way; tells the feeders that died or came back."""
        changes: list[FeederChange] = []
        while (event := self.next_event) is not None and event <= now:
            changes += self._step(event)
        changes += self._step(max(now, self._now))
        self._refresh()
        return changes

    def values(self, station: str) -> StationValues:
        """What the station's points show at the moment the plant stands at. The arrays are views: copy to keep them."""
        mine = self._slices[station]
        readout = self._readout
        return StationValues(readout.points[mine], readout.values[mine], readout.quality[mine], readout.times[mine])

    def feeder_energised(self) -> dict[str, bool]:
        """Whether there is voltage behind each feeder, by name (``TN07/473``)."""
        alive = self.flows.energised[self.columns.load_terminal].tolist()
        return {load.name: energised for load, energised in zip(self.columns.loads, alive, strict=True)}

    def energy_kwh(self) -> NDArray[np.float64]:
        """Counters per terminal: active out, active in, reactive out, reactive in; shape (4, terminals)."""
        return self._energy.copy()

    def order(self, command: str, action: Action, now: int) -> AddCause | None:
        """Carry out the command ``STATION/BAY/command``. Why not, or None when the device has begun."""
        if command not in self.columns.commands:
            return AddCause.NOT_SUPPORTED
        station, bay, entry = self.columns.commands[command]
        if entry.device:
            return self.operate(station.code, entry.device, action, now)
        if entry.kind is CommandKind.SET_POINT:
            return self._set(station.code, bay.name, entry, action, now)
        if action not in _SIGNALS or entry.return_information is None:
            return AddCause.NOT_SUPPORTED
        return self._switch_signal(bay, entry, _SIGNALS[str(action)], now)

    def operate(self, station: str, device: str, wanted: Action, now: int) -> AddCause | None:
        """Move a switching device (``open``, ``close``) or a tap changer (``raise``, ``lower``). Why not, or None."""
        now = max(now, self._now)
        if (station, device) in self.columns.transformer_row:
            return self._step_tap(station, device, wanted, now)
        row = self.columns.device_row.get((station, device))
        if row is None or wanted not in _TARGETS:
            return AddCause.NOT_SUPPORTED
        if self._switchgear.is_moving(row):
            return AddCause.COMMAND_ALREADY_IN_EXECUTION
        if self._is_local(station, device):
            return AddCause.BLOCKED_BY_SWITCHING_HIERARCHY
        target = _TARGETS[str(wanted)]
        refused = refusal(self._bay_view(self._stations[station]), self.columns.devices[row], target)
        if refused is not None:
            return refused
        if row not in self._stuck:
            self._switchgear.move(row, target, now)
        self._refresh()
        return None

    def stick(self, station: str, device: str, *, stuck: bool) -> None:
        """Let a device, or the regulator of a transformer, accept orders and do nothing, as one that is broken does."""
        is_transformer = (station, device) in self.columns.transformer_row
        rows = self.columns.transformer_row if is_transformer else self.columns.device_row
        idle = self._deaf if is_transformer else self._stuck
        if stuck:
            idle.add(rows[station, device])
        else:
            idle.discard(rows[station, device])

    def signal(self, point: str) -> float:
        """The value of ``STATION/BAY/object``."""
        return self._readout.signal(point)

    def set_signal(self, point: str, value: float, now: int) -> None:
        """Turn a switch or let a relay pick up: signals the plant does not compute keep what they are set to."""
        self._readout.set_signal(point, value, max(now, self._now))

    def _step_tap(self, station: str, transformer: str, wanted: Action, now: int) -> AddCause | None:
        row = self.columns.transformer_row[station, transformer]
        if wanted not in _STEPS:
            return AddCause.NOT_SUPPORTED
        if self._taps.moving()[row]:
            return AddCause.COMMAND_ALREADY_IN_EXECUTION
        if self._is_set(station, transformer, Quantity.OLTC_LOCAL_REMOTE) is False:
            return AddCause.BLOCKED_BY_SWITCHING_HIERARCHY
        if self._is_set(station, transformer, Quantity.OLTC_AUTOMATIC):
            return AddCause.BLOCKED_BY_MODE
        step = _STEPS[str(wanted)]
        if not self._taps.low[row] <= self._taps.tap[row] + step <= self._taps.high[row]:
            return AddCause.STEP_LIMIT
        self._taps.move(row, step, now)
        self._refresh()
        return None

    def _set(self, station: str, bay: str, command: CommandPoint, value: Action, now: int) -> AddCause | None:
        """Give the voltage regulator of a transformer another set-point."""
        row = self.columns.transformer_row.get((station, bay))
        if row is None or row not in self._regulator.set_points or not isinstance(value, float):
            return AddCause.NOT_SUPPORTED
        if command.low is None or command.high is None or not command.low <= value <= command.high:
            return AddCause.INCONSISTENT_PARAMETERS
        if self._is_set(station, bay, Quantity.OLTC_LOCAL_REMOTE) is False:
            return AddCause.BLOCKED_BY_SWITCHING_HIERARCHY
        if self._taps.moving()[row]:
            return AddCause.COMMAND_ALREADY_IN_EXECUTION
        if row not in self._deaf:
            self._regulator.wanted_kv[row] = value
            self.set_signal(self._regulator.set_points[row], value, now)
        return None

    def _switch_signal(self, bay: Bay, command: CommandPoint, value: float, now: int) -> AddCause | None:
        assert command.return_information is not None
        name = command.return_information.name
        local = [p.name for p in bay.points if p.quantity == Quantity.LOCAL_REMOTE and self.signal(p.name) == 0.0]
        if local:
            return AddCause.BLOCKED_BY_SWITCHING_HIERARCHY
        if self.signal(name) == value and command.return_information.quantity != Quantity.F86:
            return AddCause.POSITION_REACHED
        self.set_signal(name, value, now)
        return None

    def _is_set(self, station: str, bay: str, quantity: Quantity) -> bool | None:
        """Whether the bay's only point of ``quantity`` is 1; None when it has none."""
        names = [
            point.name
            for each in self._stations[station].bays
            if each.name == bay
            for point in each.points
            if point.quantity == quantity
        ]
        return bool(self.signal(names[0])) if names else None

    def _is_local(self, station: str, device: str) -> bool:
        """Whether the switch that governs this device stands on local: its breaker's, or the bay's only one."""
        bay = self.columns.devices[self.columns.device_row[station, device]].bay
        governing = device.partition("-")[0]
        return any(
            self.signal(point.name) == 0.0
            for each in self._stations[station].bays
            if each.name == bay
            for point in each.points
            if point.quantity == Quantity.LOCAL_REMOTE and point.device in ("", governing)
        )

    def _bay_view(self, station: Station) -> BayView:
        rows = {each.name: self.columns.device_row[station.code, each.name] for each in station.devices}
        alive = self.flows.energised
        live = [
            each.node if each.kind is not TerminalKind.BUSBAR else each.equipment
            for each in station.terminals
            if alive[self.columns.terminal_row[station.code, f"{each.bay}/{each.name}"]]
            and each.kind is not TerminalKind.LOAD
        ]
        position = {name: DoublePoint(int(self._switchgear.position[row])) for name, row in rows.items()}
        return BayView(station, position, frozenset(live))

    def _step(self, now: int) -> list[FeederChange]:
        self._pass_time(now)
        switched = len(self._switchgear.settle(now)) + len(self._taps.settle(now)) > 0
        if not switched and now - self._solved_at < SOLVE_US:
            return []
        before = self.flows.energised[self.columns.load_terminal]
        self.flows = self._solve(now)
        self._regulate(now)
        after = self.flows.energised[self.columns.load_terminal]
        return [
            FeederChange(self.columns.loads[row].name, bool(after[row]), now)
            for row in np.flatnonzero(before != after).tolist()
        ]

    def _pass_time(self, now: int) -> None:
        elapsed_s = (now - self._now) / 1e6
        self._now = now
        if elapsed_s <= 0.0:
            return
        self._energy += _directions(self.flows) * (elapsed_s / 3600.0 * 1000.0)
        self._oil_rise = towards(self._oil_rise, oil_rise(self._loading().max(axis=1, initial=0.0)), elapsed_s)

    def _solve(self, now: int) -> Flows:
        p_mw, q_mvar = self._demand.at(now)
        solved = self._solver.solve(self._switchgear.is_closed(), p_mw, q_mvar, self._taps.tap)
        before = getattr(self, "flows", solved)
        if before.converged and not solved.converged:
            _log.warning("plant: the load flow does not converge; what is connected keeps its last figures")
        if solved.converged and not before.converged:
            _log.info("plant: the load flow converges again after %.0f s", (now - self._solved_at) / 1e6)
        if solved.converged:
            self._solved_at = now
        return solved

    def _settle_taps(self) -> None:
        """Where the regulators have put the taps long before the simulation begins."""
        for _ in range(4):
            flows = self._solve(self._now)
            self._taps.tap[:] = self._regulator.settled(flows, self._taps)

    def _regulate(self, now: int) -> None:
        automatic = np.array([self.signal(name) == 1.0 for name in self._regulator.automatic], dtype=np.bool_)
        for row, step in self._regulator.steps(self.flows, self._taps, automatic, now):
            self._taps.move(row, step, now)

    def _energy_until(self, now: int) -> NDArray[np.float64]:
        """What the counters show at the start: the mean week, ever since the counters were at zero."""
        p_mw, q_mvar = self._demand.mean()
        mean = self._solver.solve(self._switchgear.is_closed(), p_mw, q_mvar, self._taps.tap)
        return _directions(mean) * max(0.0, (now - _EPOCH_US) / 3.6e9) * 1000.0

    def _loading(self) -> NDArray[np.float64]:
        """Apparent power of every winding over the rating of its transformer; shape (transformers, 3)."""
        mva = np.hypot(self.flows.p_mw, self.flows.q_mvar)[self.columns.windings]
        rated = np.array([each.rated_mva for each in self.columns.transformers])
        loading: NDArray[np.float64] = mva / rated[:, np.newaxis]
        return loading

    def _refresh(self) -> None:
        oil_c = self._oil_rise + ambient(self._now)
        moment = Moment(
            now=self._now,
            flows=self.flows,
            energy=self._energy,
            oil_c=oil_c,
            winding_c=oil_c[:, np.newaxis] + winding_rise(self._loading()),
            frequency_hz=50.0 + 0.04 * float(self._frequency.at(self._now)[0]),
        )
        self._readout.refresh(moment, self._switchgear, self._taps)


def _directions(flows: Flows) -> NDArray[np.float64]:
    """Power of every terminal by direction: active out, in, reactive out, in; none negative; shape (4, terminals)."""
    return np.array(
        [
            np.maximum(flows.p_mw, 0.0),
            np.maximum(-flows.p_mw, 0.0),
            np.maximum(flows.q_mvar, 0.0),
            np.maximum(-flows.q_mvar, 0.0),
        ]
    )
