"""What is known of the field at one moment, as the interlocking rules need it: positions with their doubts, and facts.

Knows points, their qualities and which point stands for what. Does not know rules. A position of doubtful quality
counts as INTERMEDIATE: it neither conducts nor separates for certain.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from scada.control.interlocking_walk import Ways, Wiring
from scada.grid.topology import Certainty, NetworkState, PositionArray, Topology
from scada.model.point import DoublePoint, Point
from scada.model.quality import Quality
from scada.model.quantity import MEANINGS, Quantity, Role
from scada.model.sample import SAMPLE, QualityArray, SampleArray, TimeArray
from scada.model.station import Device, DeviceKind, Station
from scada.model.switching import Fact, ImageView

LIVE_ABOVE = 0.5
"""Share of the nominal voltage from which a measured voltage proves a section alive (assumed)."""
VOLTAGES = frozenset({Quantity.VOLTAGE_L12, Quantity.VOLTAGE_L23, Quantity.VOLTAGE_L31})


@dataclass(frozen=True, slots=True)
class Value:
    """A point as it was read."""

    point: Point
    value: float
    quality: Quality
    time: int

    @property
    def is_doubtful(self) -> bool:
        """Any quality bit makes a value unfit as a fact to rest on."""
        return self.quality != Quality.GOOD

    @property
    def fact(self) -> Fact:
        """As a fact, in the words of its quantity."""
        return Fact(self.point.name, _words(self.point, self.value), self.quality, self.time)


@dataclass(frozen=True, slots=True)
class Measurement:
    """A measuring point: where it measures and which signals make it worthless (the fuse of its transformer)."""

    point: Point
    node: int
    nominal_kv: float
    fuses: tuple[Point, ...]


class FieldIndex:
    """Which point stands for what, found once for a province."""

    def __init__(self, topology: Topology) -> None:
        self.topology = topology
        self.wiring = Wiring(topology)
        self.kinds = [device.kind for _, device in topology.devices]
        self.positions = [device.position.name for _, device in topology.devices]
        self.voltages: dict[int, list[Measurement]] = {}
        self.frequencies: dict[int, list[Measurement]] = {}
        for station in topology.province.stations:
            self._place_measurements(station)
        self.measurements = [found[0] for found in self.voltages.values()]
        """One voltage of each place where voltages are measured."""

    def _place_measurements(self, station: Station) -> None:
        for bay in station.bays:
            fuses = [point for point in bay.points if point.quantity == Quantity.VT_MCB_TRIPPED]
            for point in bay.points:
                is_voltage = point.quantity in VOLTAGES
                if not point.terminal or not (is_voltage or point.quantity == Quantity.FREQUENCY):
                    continue
                index = self.topology.terminal_index[f"{station.code}/{bay.name}/{point.terminal}"]
                node = int(self.topology.terminal_nodes[index])
                kv = self.topology.terminals[index][1].voltage_kv
                own = tuple(fuse for fuse in fuses if part_of(fuse) in ("", point.terminal))
                places = self.voltages if is_voltage else self.frequencies
                places.setdefault(node, []).append(Measurement(point, node, kv, own))

    def read(self, view: ImageView) -> "Field":
        """The field as ``view`` shows it now. Points it does not have are INVALID."""
        table = read_points(view, self.positions)
        reported = np.clip(np.nan_to_num(table["value"]), 0, 3).astype(np.int8)
        return Field(self, view, reported, table["quality"].copy(), table["time"].copy())


class Field:
    """One moment. Arrays have shape (devices,); ``trusted`` is INTERMEDIATE wherever the quality is doubtful."""

    def __init__(
        self, index: FieldIndex, view: ImageView, reported: PositionArray, quality: QualityArray, time: TimeArray
    ) -> None:
        self.index = index
        self.topology = index.topology
        self.wiring = index.wiring
        self.view = view
        self.reported = reported
        self.quality = quality
        self.time = time
        self.trusted: PositionArray = np.where(quality == 0, reported, DoublePoint.INTERMEDIATE).astype(np.int8)

    @cached_property
    def state(self) -> NetworkState:
        """What the trusted positions mean for every node."""
        return self.topology.state(self.trusted)

    @cached_property
    def live(self) -> frozenset[int]:
        """Nodes alive for certain; what is alive is not earthed, for that would be a short circuit already.

        By topology, or by voltage: a healthy transformer that measures one proves the whole section it hangs on, also
        while the way to the infeed leads over stations that do not answer. Where an earthing switch of the section
        itself says that it is not open, one of the two is wrong, and nothing there is certain.
        """
        alive = self.state.energised == Certainty.YES
        section = self.state.section
        under_voltage = np.zeros(len(section), dtype=np.bool_)
        under_voltage[section[self._nodes_under_voltage()]] = True
        contradicted = np.zeros(len(section), dtype=np.bool_)
        contradicted[section[self._nodes_said_to_be_earthed()]] = True
        certain = (alive | under_voltage[section]) & ~contradicted[section]
        return frozenset(np.flatnonzero(certain).tolist())

    def _nodes_said_to_be_earthed(self) -> list[int]:
        """Nodes whose earthing switch reports, in good quality, any position but open."""
        said = (self.quality == 0) & (self.reported != DoublePoint.OPEN)
        switches = (each for each in np.flatnonzero(said) if self.index.kinds[each] is DeviceKind.EARTHING_SWITCH)
        return [int(self.topology.device_nodes[each, 0]) for each in switches]

    def _nodes_under_voltage(self) -> list[int]:
        measured = self.index.measurements
        rows = read_points(self.view, [each.point.name for each in measured])
        fuses = {point.name for each in measured for point in each.fuses}
        tripped = dict(zip(fuses, (not _is_healthy(value) for value in self.values_named(tuple(fuses))), strict=True))
        return [
            each.node
            for each, row in zip(measured, rows, strict=True)
            if int(row["quality"]) == Quality.GOOD
            and float(row["value"]) >= LIVE_ABOVE * each.nominal_kv
            and not any(tripped[fuse.name] for fuse in each.fuses)
        ]

    @cached_property
    def certainly(self) -> list[bool]:
        """Which devices conduct for certain."""
        conducts: list[bool] = (self.trusted == DoublePoint.CLOSED).tolist()
        return conducts

    @cached_property
    def possibly(self) -> list[bool]:
        """Which devices conduct unless the doubt about them turns out well."""
        conducts: list[bool] = (self.trusted != DoublePoint.OPEN).tolist()
        return conducts

    @cached_property
    def possibly_or_breaker(self) -> list[bool]:
        """As ``possibly``, with every circuit breaker closed: an open one interrupts, but it does not isolate."""
        breaker = DeviceKind.CIRCUIT_BREAKER
        return [may or kind is breaker for may, kind in zip(self.possibly, self.index.kinds, strict=True)]

    def ways(self, devices: Sequence[bool], *, lines: bool = False, windings: bool = False) -> Ways:
        """Shorthand for what a walk may pass."""
        return Ways(devices, lines, windings)

    def energised(self, node: int) -> Certainty:
        """Whether a node is connected to an infeed."""
        return Certainty(int(self.state.energised[node]))

    def device(self, device: int) -> tuple[Station, Device]:
        """A device and its station."""
        return self.topology.devices[device]

    def name(self, device: int) -> str:
        """``TN01/171-7``."""
        station, found = self.device(device)
        return f"{station.code}/{found.name}"

    def position(self, device: int) -> Fact:
        """A device's position as a fact."""
        point = self.device(device)[1].position
        word = DoublePoint(int(self.reported[device])).name.lower()
        return Fact(point.name, word, Quality(int(self.quality[device])), int(self.time[device]))

    def positions(self, devices: Sequence[int]) -> tuple[Fact, ...]:
        """Positions as facts, each once."""
        return tuple(self.position(device) for device in dict.fromkeys(devices))

    def told(self, device: int) -> str:
        """The position in words for a sentence: ``TN01/171-7 is closed``."""
        fact = self.position(device)
        if fact.quality != Quality.GOOD:
            return f"the position of {self.name(device)} is {fact.quality.label.replace('_', ' ')}"
        if fact.state in ("open", "closed"):
            return f"{self.name(device)} is {fact.state}"
        return f"{self.name(device)} is in {fact.state} position"

    def values_named(self, names: Sequence[str]) -> SampleArray:
        """The points of these names as rows."""
        return read_points(self.view, names)

    def values(self, points: Sequence[Point]) -> tuple[Value, ...]:
        """The points as they stand."""
        rows = read_points(self.view, [point.name for point in points])
        return tuple(
            Value(point, float(row["value"]), Quality(int(row["quality"])), int(row["time"]))
            for point, row in zip(points, rows, strict=True)
        )


def _is_healthy(row: np.void) -> bool:
    return int(row["quality"]) == Quality.GOOD and float(row["value"]) == 0.0


def part_of(point: Point) -> str:
    """The part of a bay a status point speaks of, by its name: ``hv`` of ``hv.local_remote``, '' for the whole bay."""
    name = point.name.split("/", 2)[2]
    return name.rsplit(".", 1)[0] if "." in name else ""


def read_points(view: ImageView, names: Sequence[str]) -> SampleArray:
    """Present state of the named points; where the view lacks some of them, those are INVALID."""
    try:
        return view.read(names)
    except KeyError:
        rows = np.zeros(len(names), dtype=SAMPLE)
        rows["quality"] = Quality.INVALID | Quality.NOT_TOPICAL
        for row, name in enumerate(names):
            try:
                rows[row] = view.read([name])[0]
            except KeyError:
                continue
        return rows


def _words(point: Point, value: float) -> str:
    meaning = MEANINGS[Quantity(point.quantity)]
    if meaning.role is Role.MEASUREMENT:
        return f"{value:.2f} {point.unit}".rstrip()
    return f"{value:g}"
