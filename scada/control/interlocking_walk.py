"""Walking the network from a node: what is reached, over which devices, in which order.

Knows nodes and edges of ``scada.grid.topology``. Does not know rules; which devices may be passed is an argument.
"""

from collections import deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from scada.grid.topology import Topology
from scada.model.station import DeviceKind, TerminalKind

LINE, WINDING = -1, -2
"""Ways that are no switching device; from 0 on a way is the index of one."""


@dataclass(frozen=True, slots=True)
class Reach:
    """What a walk found: every node with the step that led to it, the start with None; nearest first."""

    steps: Mapping[int, tuple[int, int] | None]

    def __contains__(self, node: int) -> bool:
        return node in self.steps

    @property
    def nodes(self) -> Collection[int]:
        """The nodes reached, nearest first."""
        return self.steps.keys()

    @property
    def devices(self) -> tuple[int, ...]:
        """The switching devices that led on, nearest first."""
        return tuple(step[1] for step in self.steps.values() if step is not None and step[1] >= 0)

    def path(self, node: int) -> tuple[int, ...]:
        """The switching devices between the start and ``node``, from the start."""
        found = []
        step = self.steps[node]
        while step is not None:
            if step[1] >= 0:
                found.append(step[1])
            step = self.steps[step[0]]
        return tuple(reversed(found))


@dataclass(frozen=True, slots=True)
class Ways:
    """What a walk may pass. ``devices`` tells it for each switching device; earthing switches lead nowhere."""

    devices: Sequence[bool]
    lines: bool = False
    windings: bool = False


class Wiring:
    """The topology as lists of neighbours."""

    def __init__(self, topology: Topology) -> None:
        count = len(topology.nodes)
        self._neighbours: list[list[tuple[int, int]]] = [[] for _ in range(count)]
        self.devices_at: list[list[int]] = [[] for _ in range(count)]
        self.earthing_switches_at: list[list[int]] = [[] for _ in range(count)]
        for index, (first, second) in enumerate(topology.device_nodes.tolist()):
            if topology.devices[index][1].kind is DeviceKind.EARTHING_SWITCH:
                self.earthing_switches_at[first].append(index)
                continue
            self._join(first, second, index)
            self.devices_at[first].append(index)
            self.devices_at[second].append(index)
        for way, edges in ((LINE, topology.line_edges), (WINDING, topology.winding_edges)):
            for first, second in edges.tolist():
                if first != second:
                    self._join(first, second, way)
        self.sources = frozenset(topology.source_nodes.tolist())
        kinds = (TerminalKind.LINE, TerminalKind.LOAD, TerminalKind.WINDING)
        hanging = {
            int(node)
            for node, (_, terminal) in zip(topology.terminal_nodes, topology.terminals, strict=True)
            if terminal.kind in kinds
        }
        self.equipment = frozenset(hanging | self.sources)
        """Nodes where something hangs that takes current or may bring it: line, load, winding, infeed."""
        self.busbars = frozenset(
            topology.node_index[f"{s.code}/{each.name}"] for s in topology.province.stations for each in s.busbars
        )

    def walk(self, start: int, ways: Ways, *, without: int = -3, stop: Collection[int] = ()) -> Reach:
        """Everything reached from ``start`` over ``ways`` except the device ``without``, never into a node of ``stop``.

        A start that is in ``stop`` reaches nothing.
        """
        steps: dict[int, tuple[int, int] | None] = {}
        if start in stop:
            return Reach(steps)
        steps[start] = None
        fresh = deque([start])
        while fresh:
            node = fresh.popleft()
            for other, way in self._neighbours[node]:
                if other in steps or way == without or other in stop or not _passes(ways, way):
                    continue
                steps[other] = (node, way)
                fresh.append(other)
        return Reach(steps)

    def border(self, reach: Reach) -> tuple[int, ...]:
        """The devices at the edge of what was reached: with one end in it that did not lead on, in order of nodes."""
        passed = set(reach.devices)
        found = (device for node in reach.nodes for device in self.devices_at[node] if device not in passed)
        return tuple(dict.fromkeys(found))

    def _join(self, first: int, second: int, way: int) -> None:
        self._neighbours[first].append((second, way))
        self._neighbours[second].append((first, way))


def _passes(ways: Ways, way: int) -> bool:
    if way == LINE:
        return ways.lines
    return ways.windings if way == WINDING else ways.devices[way]
