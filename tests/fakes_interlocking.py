"""Stations made of the shipped bay types in any number, their true state, and what the control centre sees of it.

The truth is kept by names and walked naively, on purpose without ``scada.grid``: it judges what rests on that.
"""

import tomllib
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

import numpy as np

from scada.baytype import BayType, LoadRow, read_bay_types
from scada.model.errors import Fault
from scada.model.point import DoublePoint, Point
from scada.model.quality import Quality
from scada.model.quantity import MEANINGS, Quantity
from scada.model.sample import SAMPLE, SampleArray
from scada.model.station import (
    Busbar,
    CustomerShares,
    Device,
    DeviceKind,
    Endpoint,
    Infeed,
    Line,
    Protocol,
    Province,
    Station,
    Terminal,
    TerminalKind,
    Transformer,
)
from scada.model.switching import Action, ImageView
from scada.stationbuild import BayRow, StationFile, build_station
from scada.tables import Faults, read_table

SHIPPED = Path(__file__).parents[1] / "substations"
DOUBLE = """\
title_vi = "Ngăn đường dây hai thanh cái"
title_en = "Line bay on two busbars"
voltage_kv = 110.0
busbars = [{ slot = "first", voltage_kv = 110.0 }, { slot = "second", voltage_kv = 110.0 }]
nodes = ["breaker_bus", "breaker_line", "line"]
devices = [
  { name = "{bay}", kind = "circuit_breaker", nodes = ["breaker_bus", "breaker_line"], normal = "closed" },
  { name = "{bay}-1", kind = "disconnector", nodes = ["first", "breaker_bus"], normal = "closed" },
  { name = "{bay}-2", kind = "disconnector", nodes = ["second", "breaker_bus"], normal = "open" },
  { name = "{bay}-7", kind = "disconnector", nodes = ["breaker_line", "line"], normal = "closed" },
  { name = "{bay}-76", kind = "earthing_switch", nodes = ["line"], normal = "open" },
]
terminals = [{ name = "line", kind = "line", node = "line" }]
points = [
  { number = 1, name = "{bay}.position", quantity = "position", device = "{bay}", vi = "1", en = "1" },
  { number = 2, name = "{bay}-1.position", quantity = "position", device = "{bay}-1", vi = "2", en = "2" },
  { number = 3, name = "{bay}-2.position", quantity = "position", device = "{bay}-2", vi = "3", en = "3" },
  { number = 4, name = "{bay}-7.position", quantity = "position", device = "{bay}-7", vi = "4", en = "4" },
  { number = 5, name = "{bay}-76.position", quantity = "position", device = "{bay}-76", vi = "5", en = "5" },
  { number = 140, name = "voltage_l12", quantity = "voltage_l12", terminal = "line", vi = "U", en = "U" },
]
commands = [
  { name = "{bay}.operate", device = "{bay}", kind = "double_command", select = true, return_information = "{bay}.position" },
]
"""  # noqa: E501  # TOML keeps a table on its line
BYPASSED = """\
title_vi = "Ngăn đường dây có dao vòng"
title_en = "Line bay with a bypass disconnector"
voltage_kv = 110.0
busbars = [{ slot = "first", voltage_kv = 110.0 }, { slot = "bypass", voltage_kv = 110.0 }]
nodes = ["breaker_bus", "breaker_line", "line"]
devices = [
  { name = "{bay}", kind = "circuit_breaker", nodes = ["breaker_bus", "breaker_line"], normal = "closed" },
  { name = "{bay}-1", kind = "disconnector", nodes = ["first", "breaker_bus"], normal = "closed" },
  { name = "{bay}-7", kind = "disconnector", nodes = ["breaker_line", "line"], normal = "closed" },
  { name = "{bay}-9", kind = "disconnector", nodes = ["line", "bypass"], normal = "open" },
  { name = "{bay}-75", kind = "earthing_switch", nodes = ["breaker_line"], normal = "open" },
  { name = "{bay}-76", kind = "earthing_switch", nodes = ["line"], normal = "open" },
]
terminals = [{ name = "line", kind = "line", node = "line" }]
points = [
  { number = 1, name = "{bay}.position", quantity = "position", device = "{bay}", vi = "1", en = "1" },
  { number = 2, name = "{bay}-1.position", quantity = "position", device = "{bay}-1", vi = "2", en = "2" },
  { number = 3, name = "{bay}-7.position", quantity = "position", device = "{bay}-7", vi = "3", en = "3" },
  { number = 4, name = "{bay}-9.position", quantity = "position", device = "{bay}-9", vi = "4", en = "4" },
  { number = 5, name = "{bay}-75.position", quantity = "position", device = "{bay}-75", vi = "5", en = "5" },
  { number = 6, name = "{bay}-76.position", quantity = "position", device = "{bay}-76", vi = "6", en = "6" },
  { number = 140, name = "voltage_l12", quantity = "voltage_l12", terminal = "line", vi = "U", en = "U" },
]
commands = []
"""
BYPASS = """\
title_vi = "Ngăn máy cắt vòng"
title_en = "Bypass breaker bay"
voltage_kv = 110.0
busbars = [{ slot = "first", voltage_kv = 110.0 }, { slot = "bypass", voltage_kv = 110.0 }]
nodes = ["breaker_bus", "breaker_bypass"]
devices = [
  { name = "{bay}", kind = "circuit_breaker", nodes = ["breaker_bus", "breaker_bypass"], normal = "open" },
  { name = "{bay}-1", kind = "disconnector", nodes = ["first", "breaker_bus"], normal = "open" },
  { name = "{bay}-9", kind = "disconnector", nodes = ["breaker_bypass", "bypass"], normal = "closed" },
  { name = "{bay}-95", kind = "earthing_switch", nodes = ["breaker_bypass"], normal = "open" },
]
terminals = []
points = [
  { number = 1, name = "{bay}.position", quantity = "position", device = "{bay}", vi = "1", en = "1" },
  { number = 2, name = "{bay}-1.position", quantity = "position", device = "{bay}-1", vi = "2", en = "2" },
  { number = 3, name = "{bay}-9.position", quantity = "position", device = "{bay}-9", vi = "3", en = "3" },
  { number = 4, name = "{bay}-95.position", quantity = "position", device = "{bay}-95", vi = "4", en = "4" },
]
commands = []
"""
OWN = {"line_110_double": DOUBLE, "line_110_bypassed": BYPASSED, "bypass_110": BYPASS}
LEVELS = {"110": ("C11", "C12", "C19"), "35": ("C31", "C32"), "22": ("C41", "C42")}
BUSBARS = tuple(Busbar(name, float(kv)) for kv, names in LEVELS.items() for name in names)


@cache
def bay_types() -> dict[str, BayType]:
    """The shipped bay types, a line bay that can hang on either of two busbars, and what a bypass busbar needs."""
    found: list[Fault] = []
    usable, _ = read_bay_types(SHIPPED / "baytypes", found)
    own = {name: read_table(BayType, tomllib.loads(text), Faults(name, found)) for name, text in OWN.items()}
    assert not found
    return {**usable, **{name: each for name, each in own.items() if each is not None}}


def a_station(
    code: str, address: int, bays: Sequence[tuple[str, str, tuple[str, ...]]], lines: Iterable[str]
) -> Station:
    """A station of the given bays (type, name, busbars). ``lines`` are the line bays, each the end of one line."""
    rows = []
    for number, (kind, name, busbars) in enumerate(bays, start=1):
        load = LoadRow(CustomerShares(residential=1.0), 5.0, 1.0) if kind.startswith("feeder") else None
        rows.append(BayRow(kind, name, f"{kind}.modbus", busbars, number, 200 * number, load))
    transformers = tuple(
        Transformer(name, 40.0, 1, 19, 10, 1.78) for kind, name, _ in bays if kind == "transformer_110_35_22"
    )
    endpoint = Endpoint(Protocol.MODBUS, "127.0.0.1", 15000 + address)
    file = StationFile(code, code, code, endpoint, BUSBARS, transformers, tuple(rows), address)
    return build_station(file, bay_types(), {f"{code}/{bay}": f"{code}/{bay} line" for bay in lines})


def a_line(end_1: str, end_2: str) -> Line:
    """A line of ordinary impedance."""
    return Line(f"{end_1}-{end_2}", end_1, end_2, 10.0, 1.0, 4.0, 28.0, 600.0)


def a_province(stations: Sequence[Station], lines: Sequence[Line], infeeds: Sequence[str]) -> Province:
    """Stations, lines and supplies at the named busbars; the first is the slack."""
    supplies = (Infeed(f"supply {each}", each, 10.0, 115.0, index == 0) for index, each in enumerate(infeeds))
    return Province(tuple(stations), tuple(lines), tuple(supplies))


def two_stations() -> Province:
    """S1 with the supply, S2 at the end of a line; transformers, couplers and feeders in both; 173 on two busbars."""

    def bays(code: str) -> Station:
        return a_station(
            code,
            int(code[1:]),
            [
                ("station_services", "TD", ("C11", "C12", "C31", "C32", "C41", "C42")),
                ("coupler_110", "112", ("C11", "C12")),
                ("coupler_35", "312", ("C31", "C32")),
                ("line_110", "171", ("C11",)),
                ("line_110_double", "173", ("C11", "C12")),
                ("transformer_110_35_22", "T1", ("C11", "C31", "C41")),
                ("transformer_110_35_22", "T2", ("C12", "C32", "C42")),
                ("feeder_35", "371", ("C31",)),
                ("feeder_22", "471", ("C41",)),
            ],
            ["171", "173"],
        )

    lines = [a_line("S1/171", "S2/171"), a_line("S1/173", "S2/173")]
    return a_province([bays("S1"), bays("S2")], lines, ["S1/C11"])


class Truth:
    """How the devices really stand, and what follows from it."""

    def __init__(self, province: Province) -> None:
        self.province = province
        self.devices: dict[str, tuple[Station, Device]] = {
            f"{s.code}/{d.name}": (s, d) for s in province.stations for d in s.devices
        }
        self._ends = {
            name: (f"{s.code}/{d.node_1}", f"{s.code}/{d.node_2}" if d.node_2 else "")
            for name, (s, d) in self.devices.items()
        }
        self.closed = {name for name, (_, device) in self.devices.items() if device.normally_closed}
        at = {f"{s.code}/{t.bay}": f"{s.code}/{t.node}" for s, t in _terminals(province) if t.kind is TerminalKind.LINE}
        self.lines = [(at[line.end_1], at[line.end_2]) for line in province.lines]
        windings: dict[str, list[str]] = {}
        for station, terminal in _terminals(province):
            if terminal.kind is TerminalKind.WINDING:
                windings.setdefault(f"{station.code}/{terminal.equipment}", []).append(
                    f"{station.code}/{terminal.node}"
                )
        self.windings = [(each[0], other) for each in windings.values() for other in each[1:]]
        self.sources = {each.busbar for each in province.infeeds}
        kinds = (TerminalKind.LINE, TerminalKind.LOAD, TerminalKind.WINDING)
        self.equipment = self.sources | {f"{s.code}/{t.node}" for s, t in _terminals(province) if t.kind in kinds}

    def ends(self, name: str) -> tuple[str, str]:
        """The nodes of a device; the second of an earthing switch is ''."""
        return self._ends[name]

    def reach(self, start: Iterable[str], *, further: bool, without: str = "") -> set[str]:
        """Nodes joined by closed devices and, if ``further``, by lines and transformers."""
        edges = [self.ends(each) for each in self.closed if each != without and self.ends(each)[1]]
        if further:
            edges += self.lines + self.windings
        near: dict[str, list[str]] = {}
        for one, other in edges:
            near.setdefault(one, []).append(other)
            near.setdefault(other, []).append(one)
        found, fresh = set(start), list(start)
        while fresh:
            for other in near.get(fresh.pop(), ()):
                if other not in found:
                    found.add(other)
                    fresh.append(other)
        return found

    def energised(self) -> set[str]:
        """Nodes connected to a supply."""
        return self.reach(self.sources, further=True)

    def short_circuits(self) -> list[str]:
        """Closed earthing switches at energised nodes."""
        live = self.energised()
        return [
            each
            for each in self.closed
            if self.devices[each][1].kind is DeviceKind.EARTHING_SWITCH and self.ends(each)[0] in live
        ]

    def carries_current(self, name: str) -> bool:
        """Whether closing the device would make, or opening it break, a current: live, and it is the only way."""
        first, second = self.ends(name)
        side, other = (self.reach([end], further=False, without=name) for end in (first, second))
        is_live = bool(self.reach([first, second], further=True) & self.sources)
        return is_live and second not in side and bool(side & self.equipment) and bool(other & self.equipment)

    def move(self, name: str, action: Action) -> None:
        """Let a device arrive."""
        (self.closed.add if action is Action.CLOSE else self.closed.discard)(name)


class Seen:
    """The image of a truth: everything healthy and good, but what is in ``doubtful`` is not topical and may be wrong.

    ``said`` holds values of points that differ from what the truth gives.
    """

    def __init__(self, truth: Truth) -> None:
        self.truth = truth
        self.points: dict[str, Point] = {p.name: p for s in truth.province.stations for p in s.points}
        self._quantity = {name: Quantity(point.quantity) for name, point in self.points.items()}
        self.doubtful: dict[str, float] = {}
        self.said: dict[str, float] = {}
        self._nodes = {f"{s.code}/{t.bay}/{t.name}": f"{s.code}/{t.node}" for s, t in _terminals(truth.province)}
        self._kv = {f"{s.code}/{t.bay}/{t.name}": t.voltage_kv for s, t in _terminals(truth.province)}
        self._live: set[str] | None = None

    def forget(self) -> None:
        """The truth has changed."""
        self._live = None

    def read(self, names: Sequence[str]) -> SampleArray:
        """As ``ImageView.read``."""
        rows = np.zeros(len(names), dtype=SAMPLE)
        rows["time"] = 1_000_000
        for row, name in enumerate(names):
            if name in self.doubtful:
                rows[row]["value"], rows[row]["quality"] = self.doubtful[name], Quality.NOT_TOPICAL
            else:
                rows[row]["value"] = self.said.get(name, self._true(self.points[name]))
        return rows

    def _true(self, point: Point) -> float:
        quantity = self._quantity[point.name]
        if quantity is Quantity.POSITION:
            closed = f"{point.station}/{point.device}" in self.truth.closed
            return float(DoublePoint.CLOSED if closed else DoublePoint.OPEN)
        if quantity is Quantity.TAP_POSITION:
            return 10.0
        if point.terminal and quantity in (Quantity.VOLTAGE_L12, Quantity.VOLTAGE_L23, Quantity.VOLTAGE_L31):
            terminal = f"{point.station}/{point.bay}/{point.terminal}"
            self._live = self.truth.energised() if self._live is None else self._live
            return self._kv[terminal] if self._nodes[terminal] in self._live else 0.0
        return 50.0 if quantity is Quantity.FREQUENCY else MEANINGS[quantity].normal


def as_view(seen: Seen) -> ImageView:
    """Holds the fake to the port it stands for."""
    return seen


def _terminals(province: Province) -> list[tuple[Station, Terminal]]:
    return [(station, terminal) for station in province.stations for terminal in station.terminals]
