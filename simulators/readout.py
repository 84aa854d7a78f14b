"""What every point of the province shows: the plant's columns, as instruments and relays would tell them.

Knows quantities, instrument errors and resolutions. Does not know how the columns came about, nor any protocol.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from scada.model.errors import ConfigurationError, Fault
from scada.model.point import Point, PointKind
from scada.model.quality import Quality
from scada.model.quantity import MEANINGS, Quantity
from scada.model.sample import PointArray, QualityArray, TimeArray, ValueArray
from simulators.columns import Columns
from simulators.flows import Flows
from simulators.switchgear import Switchgear, TapChangers
from simulators.thermal import ambient, hour_of_day
from simulators.wander import Wander, wander

_OIL_ALARM_C: Final = 85.0
_OIL_TRIP_C: Final = 95.0
_WINDING_ALARM_C: Final = 105.0
_WINDING_TRIP_C: Final = 115.0
_FANS_ON_C: Final = 65.0
_COUNTER_ROLLS_OVER: Final = 2.0**32
_TERMINAL_ENERGIES: Final = (
    Quantity.ENERGY_EXPORT,
    Quantity.ENERGY_IMPORT,
    Quantity.REACTIVE_ENERGY_EXPORT,
    Quantity.REACTIVE_ENERGY_IMPORT,
)
"""Order of the rows of ``Moment.energy``."""


@dataclass(frozen=True, slots=True)
class Moment:
    """The plant at one moment. energy: kWh, kvarh, shape (4, terminals); oil_c: (transformers,); winding_c: (…, 3)."""

    now: int
    flows: Flows
    energy: NDArray[np.float64]
    oil_c: ValueArray
    winding_c: NDArray[np.float64]
    frequency_hz: float


@dataclass(frozen=True, slots=True)
class _Group:
    """All points of one quantity: where they stand in the readout, and the row of what each one shows."""

    quantity: Quantity
    place: NDArray[np.intp]
    row: NDArray[np.intp]
    side: NDArray[np.intp]
    """Winding of the transformer, 0 to 2, where the quantity has one."""


class Readout:
    """Values of every point; all arrays have shape (points,) and the order of ascending ids."""

    def __init__(self, columns: Columns, points: Sequence[Point], seed: int, now: int) -> None:
        ordered = sorted(points, key=lambda each: each.id)
        self.points: PointArray = np.array([each.id for each in ordered], dtype=np.int32)
        self.values: ValueArray = np.array([_normal(each) for each in ordered])
        self.quality: QualityArray = np.zeros(len(ordered), dtype=np.uint8)
        self.times: TimeArray = np.full(len(ordered), now, dtype=np.int64)
        self._columns = columns
        self._place = {each.name: place for place, each in enumerate(ordered)}
        self._measured = np.array([each.kind is PointKind.MEASURED_VALUE for each in ordered], dtype=np.bool_)
        self._per_unit = np.array([_steps_per_unit(each) for each in ordered])
        self._bias = np.random.default_rng(seed).uniform(-1.0, 1.0, len(ordered))
        self._noise: Wander = wander(len(ordered), seed + 1, shortest_s=3.0, longest_s=600.0)
        self._groups = _groups(columns, ordered)

    def signal(self, name: str) -> float:
        """The value of the point called ``STATION/BAY/object``."""
        return float(self.values[self._place[name]])

    def set_signal(self, name: str, value: float, now: int) -> None:
        """Set a signal nothing in the plant computes: a switch someone turned, a relay that picked up."""
        place = self._place[name]
        if self.values[place] != value:
            self.values[place] = value
            self.times[place] = now

    def refresh(self, moment: Moment, switchgear: Switchgear, taps: TapChangers) -> None:
        """Show the plant as it is at ``moment``. Time tags of signals and positions are those of their last change."""
        before = self.values.copy()
        instruments = _Instruments(moment, switchgear, taps, self._bias, self._noise.at(moment.now))
        for group in self._groups:
            self.values[group.place] = _SHOWN[group.quantity](instruments, group)
        self.values = np.where(self._measured, np.rint(self.values * self._per_unit) / self._per_unit, self.values)
        changed = (self.values != before) | self._measured
        self.times[changed] = moment.now
        for group in self._groups:
            if group.quantity is Quantity.POSITION:
                self.times[group.place] = switchgear.changed[group.row]
            elif group.quantity is Quantity.TAP_POSITION:
                self.times[group.place] = taps.changed[group.row]
            elif group.quantity is Quantity.FREQUENCY:
                # A transducer without voltage shows 0 Hz and says itself that this is no measurement.
                dead = ~moment.flows.energised[group.row]
                self.quality[group.place] = np.where(dead, Quality.INVALID, Quality.GOOD)


@dataclass(frozen=True, slots=True)
class _Instruments:
    """One moment with what spoils every reading a little: a constant bias and a wandering one, each in [-1, 1]."""

    moment: Moment
    switchgear: Switchgear
    taps: TapChangers
    bias: ValueArray
    noise: ValueArray

    def erring(self, group: _Group, true: ValueArray, share: float) -> ValueArray:
        """``true`` with an error of at most ``share`` of it."""
        error = 0.5 * self.bias[group.place] + 0.5 * self.noise[group.place]
        return true * (1.0 + share * error)

    def around(self, group: _Group, mean: float, width: float) -> ValueArray:
        """``mean`` plus or minus at most ``width``."""
        return mean + width * (0.6 * self.bias[group.place] + 0.4 * self.noise[group.place])


_Shown = Callable[[_Instruments, _Group], ValueArray]


def _current(view: _Instruments, group: _Group) -> ValueArray:
    return view.erring(group, view.moment.flows.current_a[group.row], 0.02)


def _voltage(view: _Instruments, group: _Group) -> ValueArray:
    return view.erring(group, view.moment.flows.voltage_kv[group.row], 0.004)


def _active_power(view: _Instruments, group: _Group) -> ValueArray:
    return view.erring(group, view.moment.flows.p_mw[group.row], 0.004)


def _reactive_power(view: _Instruments, group: _Group) -> ValueArray:
    return view.erring(group, view.moment.flows.q_mvar[group.row], 0.004)


def _power_factor(view: _Instruments, group: _Group) -> ValueArray:
    p, q = view.moment.flows.p_mw[group.row], view.moment.flows.q_mvar[group.row]
    apparent = np.hypot(p, q)
    return np.where(apparent > 1e-3, p / np.maximum(apparent, 1e-3), 1.0)


def _residual_voltage(view: _Instruments, group: _Group) -> ValueArray:
    unbalance = 0.003 * (1.0 + view.bias[group.place]) + 0.0005 * (1.0 + view.noise[group.place])
    return view.moment.flows.voltage_kv[group.row] * unbalance


def _frequency(view: _Instruments, group: _Group) -> ValueArray:
    alive = view.moment.flows.energised[group.row]
    return np.where(alive, view.moment.frequency_hz + 0.002 * view.noise[group.place], 0.0)


def _auxiliary_voltage(view: _Instruments, group: _Group) -> ValueArray:
    return view.erring(group, view.moment.flows.voltage_kv[group.row] * 400.0 / 22.5, 0.004)


def _supply_lost(view: _Instruments, group: _Group) -> ValueArray:
    return np.where(view.moment.flows.energised[group.row], 0.0, 1.0)


def _energy(quantity: Quantity) -> _Shown:
    kind = _TERMINAL_ENERGIES.index(quantity)

    def shown(view: _Instruments, group: _Group) -> ValueArray:
        counted: ValueArray = np.floor(view.moment.energy[kind, group.row]) % _COUNTER_ROLLS_OVER
        return counted

    return shown


def _operations(view: _Instruments, group: _Group) -> ValueArray:
    """Rows of tap changers are written as -1 - row."""
    changers = group.row < 0
    of_devices = view.switchgear.operations[np.where(changers, 0, group.row)]
    of_changers = view.taps.operations[np.where(changers, -1 - group.row, 0)]
    return np.where(changers, of_changers, of_devices).astype(np.float64)


def _position(view: _Instruments, group: _Group) -> ValueArray:
    return view.switchgear.position[group.row].astype(np.float64)


def _spring_not_charged(view: _Instruments, group: _Group) -> ValueArray:
    return (view.switchgear.spring_charged_at[group.row] > view.moment.now).astype(np.float64)


def _tap(view: _Instruments, group: _Group) -> ValueArray:
    return view.taps.tap[group.row].astype(np.float64)


def _tap_moving(view: _Instruments, group: _Group) -> ValueArray:
    return view.taps.moving()[group.row].astype(np.float64)


def _oil(view: _Instruments, group: _Group) -> ValueArray:
    return view.moment.oil_c[group.row] + 0.2 * view.noise[group.place]


def _winding(view: _Instruments, group: _Group) -> ValueArray:
    return view.moment.winding_c[group.row, group.side] + 0.2 * view.noise[group.place]


def _oil_above(limit: float) -> _Shown:
    return lambda view, group: (view.moment.oil_c[group.row] > limit).astype(np.float64)


def _winding_above(limit: float) -> _Shown:
    return lambda view, group: (view.moment.winding_c[group.row].max(axis=1) > limit).astype(np.float64)


def _around(mean: float, width: float) -> _Shown:
    return lambda view, group: view.around(group, mean, width)


def _ambient(view: _Instruments, group: _Group) -> ValueArray:
    return view.around(group, ambient(view.moment.now), 1.5)


def _lighting(view: _Instruments, group: _Group) -> ValueArray:
    dark = not 6.0 <= hour_of_day(view.moment.now) < 18.25
    return np.full(len(group.place), float(dark))


_SHOWN: Final[Mapping[Quantity, _Shown]] = {
    Quantity.POSITION: _position,
    Quantity.TAP_POSITION: _tap,
    Quantity.CURRENT_L1: _current,
    Quantity.CURRENT_L2: _current,
    Quantity.CURRENT_L3: _current,
    Quantity.VOLTAGE_L12: _voltage,
    Quantity.VOLTAGE_L23: _voltage,
    Quantity.VOLTAGE_L31: _voltage,
    Quantity.RESIDUAL_VOLTAGE: _residual_voltage,
    Quantity.ACTIVE_POWER: _active_power,
    Quantity.REACTIVE_POWER: _reactive_power,
    Quantity.POWER_FACTOR: _power_factor,
    Quantity.FREQUENCY: _frequency,
    Quantity.OIL_TEMPERATURE: _oil,
    Quantity.WINDING_TEMPERATURE: _winding,
    Quantity.AMBIENT_TEMPERATURE: _ambient,
    Quantity.ROOM_TEMPERATURE: _around(26.0, 1.5),
    Quantity.DC_VOLTAGE: _around(231.0, 1.5),
    Quantity.DC_CURRENT: _around(6.0, 1.2),
    Quantity.AUXILIARY_VOLTAGE: _auxiliary_voltage,
    Quantity.OPERATIONS_COUNTER: _operations,
    Quantity.SPRING_NOT_CHARGED: _spring_not_charged,
    Quantity.OLTC_IN_PROGRESS: _tap_moving,
    Quantity.FANS_RUNNING: _oil_above(_FANS_ON_C),
    Quantity.OIL_TEMPERATURE_ALARM: _oil_above(_OIL_ALARM_C),
    Quantity.OIL_TEMPERATURE_TRIP: _oil_above(_OIL_TRIP_C),
    Quantity.WINDING_TEMPERATURE_ALARM: _winding_above(_WINDING_ALARM_C),
    Quantity.WINDING_TEMPERATURE_TRIP: _winding_above(_WINDING_TRIP_C),
    Quantity.AUXILIARY_SUPPLY_LOST: _supply_lost,
    Quantity.LIGHTING_ON: _lighting,
    **{quantity: _energy(quantity) for quantity in _TERMINAL_ENERGIES},
}
"""What the plant computes; every other signal keeps its normal value until someone sets it."""

_OF_TRANSFORMER: Final = frozenset(
    {
        Quantity.TAP_POSITION,
        Quantity.OIL_TEMPERATURE,
        Quantity.WINDING_TEMPERATURE,
        Quantity.OLTC_IN_PROGRESS,
        Quantity.FANS_RUNNING,
        Quantity.OIL_TEMPERATURE_ALARM,
        Quantity.OIL_TEMPERATURE_TRIP,
        Quantity.WINDING_TEMPERATURE_ALARM,
        Quantity.WINDING_TEMPERATURE_TRIP,
    }
)
_OF_NOTHING: Final = frozenset(
    {
        Quantity.AMBIENT_TEMPERATURE,
        Quantity.ROOM_TEMPERATURE,
        Quantity.DC_VOLTAGE,
        Quantity.DC_CURRENT,
        Quantity.LIGHTING_ON,
    }
)
_ALWAYS_ZERO: Final = frozenset({Quantity.FAULT_DISTANCE, Quantity.RESIDUAL_CURRENT})
"""Measured values that show something during a fault only, and no fault is simulated."""
_KEPT: Final = frozenset({Quantity.VOLTAGE_SET_POINT})
"""Measured values that keep what they are set to."""


def _normal(point: Point) -> float:
    return MEANINGS[Quantity(point.quantity)].normal


def _steps_per_unit(point: Point) -> float:
    """An instrument resolves a tenth to a half of the dead band, in a decimal step; temperatures and the like 0.01."""
    if point.deadband <= 0.0:
        return 100.0
    return float(10.0 ** -np.floor(np.log10(point.deadband / 2.0) + 1e-9))


def _groups(columns: Columns, points: Sequence[Point]) -> tuple[_Group, ...]:
    found: list[Fault] = []
    members: dict[Quantity, list[tuple[int, int, int]]] = {}
    for place, point in enumerate(points):
        quantity = Quantity(point.quantity)
        if quantity not in _SHOWN:
            if point.kind is not PointKind.SINGLE_POINT and quantity not in _ALWAYS_ZERO | _KEPT:
                found.append(Fault("plant", point.name, f"the plant does not compute {quantity.value!r}"))
            continue
        try:
            members.setdefault(quantity, []).append((place, *_row(columns, point, quantity)))
        except KeyError as error:
            found.append(Fault("plant", point.name, f"shows {quantity.value!r} of {error.args[0]}, which is not there"))
    if found:
        raise ConfigurationError(found)
    return tuple(
        _Group(quantity, *(np.array(column, dtype=np.intp) for column in zip(*rows, strict=True)))
        for quantity, rows in members.items()
    )


def _row(columns: Columns, point: Point, quantity: Quantity) -> tuple[int, int]:
    """Row and, for a winding, its side."""
    station, bay = point.station, point.bay
    if quantity in _OF_NOTHING:
        return 0, 0
    if quantity is Quantity.OPERATIONS_COUNTER and (station, point.device) in columns.transformer_row:
        return -1 - columns.transformer_row[station, point.device], 0
    if quantity in (Quantity.POSITION, Quantity.SPRING_NOT_CHARGED, Quantity.OPERATIONS_COUNTER):
        return columns.device_row[station, point.device], 0
    if quantity in _OF_TRANSFORMER:
        row = columns.transformer_row[station, point.device or bay]
        if quantity is not Quantity.WINDING_TEMPERATURE:
            return row, 0
        terminal = columns.terminal_row[station, f"{bay}/{point.terminal}"]
        return row, columns.windings[row].tolist().index(terminal)
    terminal_name = point.terminal or point.name.split("/", 2)[2].partition(".")[0]
    return columns.terminal_row[station, f"{bay}/{terminal_name}"], 0
