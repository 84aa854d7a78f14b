"""What a bay control unit refuses by itself, before anything moves.

Knows positions, voltages and the few rules wired into a bay. Does not know the control centre, whose own checks come
first and go much further: these only keep an order from the field side from doing the absurd.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from scada.model.addcause import AddCause
from scada.model.point import DoublePoint
from scada.model.station import Device, DeviceKind, Station


@dataclass(frozen=True, slots=True)
class BayView:
    """What the bay units of a station see: positions by device, nodes with voltage from a busbar, line or winding."""

    station: Station
    position: Mapping[str, DoublePoint]
    live_nodes: frozenset[str]


def refusal(view: BayView, device: Device, target: DoublePoint) -> AddCause | None:
    """Why the bay unit does not move ``device`` to ``target``, or None."""
    if view.position[device.name] is target:
        return AddCause.POSITION_REACHED
    if device.kind is DeviceKind.DISCONNECTOR and _breaker_not_open(view, device):
        return AddCause.BLOCKED_BY_INTERLOCKING
    if target is DoublePoint.CLOSED and _live_meets_earth(view, device):
        return AddCause.BLOCKED_BY_INTERLOCKING
    return None


def _breaker_not_open(view: BayView, disconnector: Device) -> bool:
    """Whether the breaker in series, 171 for 171-7, could carry current; a voltage transformer's switch has none."""
    breaker = view.position.get(disconnector.name.partition("-")[0])
    return breaker is not None and breaker is not DoublePoint.OPEN


def _live_meets_earth(view: BayView, device: Device) -> bool:
    reached = _connected(view, {device.node_1, device.node_2} - {""})
    earthed = device.kind is DeviceKind.EARTHING_SWITCH or any(
        each.kind is DeviceKind.EARTHING_SWITCH
        and each.node_1 in reached
        and view.position[each.name] is not DoublePoint.OPEN
        for each in view.station.devices
    )
    return earthed and not reached.isdisjoint(view.live_nodes)


def _connected(view: BayView, start: Iterable[str]) -> set[str]:
    """Nodes joined to ``start`` through everything that is not open."""
    joins = [
        (each.node_1, each.node_2)
        for each in view.station.devices
        if each.node_2 and view.position[each.name] is not DoublePoint.OPEN
    ]
    reached: set[str] = set()
    front = set(start)
    while front:
        reached |= front
        front = {far for near, far in (*joins, *((b, a) for a, b in joins)) if near in front} - reached
    return reached
