"""What an OPC UA server of a station shows: every node's value, which changed, and what writing one orders.

Knows the station's node map, value types and orders. Does not know sockets, sessions or the plant.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from scada.model.addcause import AddCause
from scada.model.sample import PointArray, QualityArray, TimeArray, ValueArray
from simulators.orders import Action, CarryOut, OrderSlot
from substations.nodemap import NodeType
from substations.nodes import BoundNode, BoundNodeCommand, StationNodes

_LIMITS: Final = {
    NodeType.BOOLEAN: (0.0, 1.0),
    NodeType.SBYTE: (-128.0, 127.0),
    NodeType.BYTE: (0.0, 255.0),
    NodeType.INT16: (-32768.0, 32767.0),
    NodeType.UINT16: (0.0, 65535.0),
    NodeType.INT32: (-2147483648.0, 2147483647.0),
    NodeType.UINT32: (0.0, 4294967295.0),
    # The largest float64 below 2^63 and 2^64: the limits themselves have none.
    NodeType.INT64: (-9223372036854775808.0, 9223372036854774784.0),
    NodeType.UINT64: (0.0, 18446744073709549568.0),
}
"""What each built-in type can hold (OPC UA Part 6, 5.1.2); FLOAT and DOUBLE are not limited here."""

NodeValue = bool | int | float


@dataclass(frozen=True, slots=True)
class NodeChange:
    """One node's new value, in the node's own unit and type; ``time`` is the source's, µs UTC."""

    node: BoundNode
    value: NodeValue
    quality: int
    time: int


class NodeImage:
    """Values of one station's nodes. ``nodes`` keeps the order of the map."""

    def __init__(self, nodes: StationNodes) -> None:
        self.nodes = nodes.points
        self._points = np.array([each.point.id for each in nodes.points], dtype=np.int32)
        self._scale = np.array([each.scale for each in nodes.points])
        self._add = np.array([each.add for each in nodes.points])
        types = [each.type for each in nodes.points]
        self._floating = np.array([each in (NodeType.FLOAT, NodeType.DOUBLE) for each in types])
        self._low = np.array([_LIMITS.get(each, (-np.inf, np.inf))[0] for each in types])
        self._high = np.array([_LIMITS.get(each, (-np.inf, np.inf))[1] for each in types])
        self._shown: ValueArray | None = None
        self._quality: QualityArray | None = None
        self._rows: NDArray[np.intp] | None = None

    def refresh(
        self, points: PointArray, values: ValueArray, quality: QualityArray, times: TimeArray
    ) -> Iterator[NodeChange]:
        """Take over the plant's values and tell the nodes that changed. points: ids, ascending; all shape (n,)."""
        if self._rows is None:
            self._rows = np.searchsorted(points, self._points)
        raw = (values[self._rows] - self._add) / self._scale
        shown = np.where(self._floating, raw, np.clip(np.rint(raw), self._low, self._high))
        doubts = quality[self._rows]
        if self._shown is None or self._quality is None:
            changed = np.arange(len(shown))
        else:
            changed = np.flatnonzero((shown != self._shown) | (doubts != self._quality))
        self._shown, self._quality = shown, doubts
        columns = (changed, shown[changed], doubts[changed], times[self._rows[changed]])
        for row, value, doubt, time in zip(*(column.tolist() for column in columns), strict=True):
            yield NodeChange(self.nodes[row], _typed(self.nodes[row].type, value), doubt, time)


class NodeOrders:
    """The commands of one station: what writing or calling a node with a value means."""

    def __init__(self, command: BoundNodeCommand, carry_out: CarryOut) -> None:
        self.command = command
        entry = command.entry
        self._slot = OrderSlot(
            command.name, carry_out, needs_select=bool(command.select), select_timeout_s=entry.select_timeout_s
        )
        self._echo: NodeValue = 0

    def selected_value(self, now: int) -> NodeValue:
        """What the echo node shows: the selected value, or 0."""
        return self._echo if self._slot.selected(now) is not None else 0

    def select(self, value: NodeValue, now: int) -> AddCause | None:
        """Write to, or call of, the select node. Why not, or None."""
        if not self.command.entry.set_point and value == self.command.entry.cancel:
            self._slot.cancel()
            return None
        action = self._action(value)
        if action is None:
            return AddCause.NOT_SUPPORTED
        cause = self._slot.select(action, now)
        if cause is None:
            self._echo = value
        return cause

    def operate(self, value: NodeValue, now: int) -> AddCause | None:
        """Write to, or call of, the operate node. Why not, or None."""
        action = self._action(value)
        return AddCause.NOT_SUPPORTED if action is None else self._slot.operate(action, now)

    def _action(self, value: NodeValue) -> Action | None:
        entry = self.command.entry
        if entry.set_point:
            return float(value) * entry.scale + entry.add
        return next((action for action, code in entry.values.items() if code == value), None)


def _typed(node_type: NodeType, value: float) -> NodeValue:
    if node_type is NodeType.BOOLEAN:
        return bool(value)
    return value if node_type in (NodeType.FLOAT, NodeType.DOUBLE) else int(value)
