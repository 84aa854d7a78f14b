"""What follows from the positions of all switching devices: what is energised, what is earthed, what belongs together.

Knows the province as nodes and edges, and that a position may be doubtful. Does not know flows, voltages or the state
of anything: positions are an argument. Measured on the shipped province (1,900 devices): 1 ms for one state.

A device in INTERMEDIATE or FAULTY position neither conducts nor separates for certain. Every question is therefore
answered twice, once without the doubtful devices and once with all of them closed; where the answers differ, it is
UNKNOWN.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from scada.model.point import DoublePoint
from scada.model.station import Device, DeviceKind, Load, Province, Station, Terminal, TerminalKind

IndexArray = NDArray[np.int32]
PositionArray = NDArray[np.int8]
CertaintyArray = NDArray[np.int8]


class Certainty(IntEnum):
    """Answer to a question about the network."""

    NO = 0
    YES = 1
    UNKNOWN = 2


@dataclass(frozen=True, slots=True)
class NetworkState:
    """What the positions mean, per node of the topology.

    ``energised``, ``earthed``: ``Certainty``, shape (nodes,). ``earthed`` follows switching devices and lines, not
    transformers: earthing one winding does not make another safe. ``section``: nodes joined by closed devices within
    their station have the same number. ``island``: the same, through lines and transformers too.
    """

    energised: CertaintyArray
    earthed: CertaintyArray
    section: IndexArray
    island: IndexArray


class Topology:
    """The province as numbered nodes and edges. Names are ``STATION/…``: nodes, devices, terminals ``STATION/BAY/…``.

    ``devices``, ``terminals`` and ``loads`` are in the order of the station files; arrays of positions and flows follow
    it. ``device_nodes`` has shape (devices, 2), -1 for the earth; ``terminal_nodes`` shape (terminals,).
    """

    def __init__(self, province: Province) -> None:
        self.province = province
        self.nodes: tuple[str, ...] = tuple(dict.fromkeys(_nodes(province)))
        self.node_index: Mapping[str, int] = {name: index for index, name in enumerate(self.nodes)}
        self.devices: tuple[tuple[Station, Device], ...] = tuple((s, d) for s in province.stations for d in s.devices)
        self.device_index: Mapping[str, int] = {f"{s.code}/{d.name}": i for i, (s, d) in enumerate(self.devices)}
        self.terminals: tuple[tuple[Station, Terminal], ...] = tuple(
            (s, t) for s in province.stations for t in s.terminals
        )
        self.terminal_index: Mapping[str, int] = {
            f"{s.code}/{t.bay}/{t.name}": i for i, (s, t) in enumerate(self.terminals)
        }
        self.loads: tuple[Load, ...] = tuple(load for s in province.stations for load in s.loads)
        self.device_nodes: IndexArray = np.array(
            [[self._node(s, d.node_1), self._node(s, d.node_2)] for s, d in self.devices], dtype=np.int32
        ).reshape(-1, 2)
        self.terminal_nodes: IndexArray = np.array([self._node(s, t.node) for s, t in self.terminals], dtype=np.int32)
        by_equipment = {t.equipment: self._node(s, t.node) for s, t in self.terminals if t.kind is TerminalKind.LOAD}
        self.load_nodes: IndexArray = np.array([by_equipment[each.name] for each in self.loads], dtype=np.int32)
        self._earthing = np.array([d.kind is DeviceKind.EARTHING_SWITCH for _, d in self.devices], dtype=np.bool_)
        self._lines = self._line_edges()
        self._windings = self._winding_edges()
        self._sources = np.array([self.node_index[each.busbar] for each in province.infeeds], dtype=np.int32)

    def normal_positions(self) -> PositionArray:
        """The positions of the normal switching state, shape (devices,)."""
        return np.array(
            [DoublePoint.CLOSED if device.normally_closed else DoublePoint.OPEN for _, device in self.devices],
            dtype=np.int8,
        )

    def state(self, positions: PositionArray) -> NetworkState:
        """What ``positions`` (``DoublePoint`` values, shape (devices,), order of ``devices``) mean for every node."""
        closed = positions == DoublePoint.CLOSED
        possibly = positions != DoublePoint.OPEN
        section = self.sections(closed)
        island = self.islands(closed)
        return NetworkState(
            energised=self._both(
                self._reached(island, self._sources),
                self._reached(self._joined(possibly, self._lines, self._windings), self._sources),
            ),
            earthed=self._both(
                self._reached(self._joined(closed, self._lines), self._earthed_nodes(closed)),
                self._reached(self._joined(possibly, self._lines), self._earthed_nodes(possibly)),
            ),
            section=section,
            island=island,
        )

    def sections(self, conducting: NDArray[np.bool_]) -> IndexArray:
        """Nodes joined by the conducting devices only; ``conducting`` has shape (devices,), the answer (nodes,)."""
        return self._joined(conducting)

    def islands(self, conducting: NDArray[np.bool_]) -> IndexArray:
        """Nodes joined by the conducting devices, lines and transformers; shapes as in ``sections``."""
        return self._joined(conducting, self._lines, self._windings)

    @property
    def line_edges(self) -> IndexArray:
        """The nodes at both ends of every line, shape (lines, 2)."""
        return self._lines

    @property
    def winding_edges(self) -> IndexArray:
        """The node of the first winding and that of each of its transformer's, shape (windings, 2)."""
        return self._windings

    @property
    def source_nodes(self) -> IndexArray:
        """Where the infeeds supply the province, shape (infeeds,)."""
        return self._sources

    def dead_loads(self, state: NetworkState) -> tuple[Load, ...]:
        """Loads certainly without supply."""
        dead = state.energised[self.load_nodes] == Certainty.NO
        return tuple(load for load, is_dead in zip(self.loads, dead, strict=True) if is_dead)

    def _node(self, station: Station, node: str) -> int:
        return self.node_index[f"{station.code}/{node}"] if node else -1

    def _line_edges(self) -> IndexArray:
        at = {f"{s.code}/{t.bay}": self._node(s, t.node) for s, t in self.terminals if t.kind is TerminalKind.LINE}
        pairs = [(at[line.end_1], at[line.end_2]) for line in self.province.lines]
        return np.array(pairs, dtype=np.int32).reshape(-1, 2)

    def _winding_edges(self) -> IndexArray:
        first: dict[str, int] = {}
        pairs = []
        for station, terminal in self.terminals:
            if terminal.kind is TerminalKind.WINDING:
                node = self._node(station, terminal.node)
                pairs.append((first.setdefault(f"{station.code}/{terminal.equipment}", node), node))
        return np.array(pairs, dtype=np.int32).reshape(-1, 2)

    def _joined(self, conducting: NDArray[np.bool_], *more: IndexArray) -> IndexArray:
        switched = self.device_nodes[conducting & ~self._earthing]
        return connected_components(len(self.nodes), np.concatenate([switched, *more]))

    def _earthed_nodes(self, conducting: NDArray[np.bool_]) -> IndexArray:
        nodes: IndexArray = self.device_nodes[conducting & self._earthing, 0]
        return nodes

    def _reached(self, labels: IndexArray, nodes: IndexArray) -> NDArray[np.bool_]:
        marked = np.zeros(len(self.nodes), dtype=np.bool_)
        marked[labels[nodes]] = True
        reached: NDArray[np.bool_] = marked[labels]
        return reached

    def _both(self, certainly: NDArray[np.bool_], possibly: NDArray[np.bool_]) -> CertaintyArray:
        answer = np.where(possibly, Certainty.UNKNOWN, Certainty.NO)
        return np.where(certainly, Certainty.YES, answer).astype(np.int8)


def connected_components(count: int, edges: IndexArray) -> IndexArray:
    """Label of every node, shape (count,): the smallest node number of its component. ``edges`` has shape (n, 2).

    Hooking and pointer jumping (Shiloach and Vishkin, 1982): a few passes over arrays instead of a walk over objects.
    """
    label: IndexArray = np.arange(count, dtype=np.int32)
    first, second = edges[:, 0], edges[:, 1]
    while True:
        low = np.minimum(label[first], label[second])
        high = np.maximum(label[first], label[second])
        apart = low != high
        if not apart.any():
            return label
        np.minimum.at(label, high[apart], low[apart])
        while True:
            jumped: IndexArray = label[label]
            if np.array_equal(jumped, label):
                break
            label = jumped


def _nodes(province: Province) -> Iterator[str]:
    for station in province.stations:
        for busbar in station.busbars:
            yield f"{station.code}/{busbar.name}"
        for device in station.devices:
            for node in (device.node_1, device.node_2):
                if node:
                    yield f"{station.code}/{node}"
        for terminal in station.terminals:
            yield f"{station.code}/{terminal.node}"
