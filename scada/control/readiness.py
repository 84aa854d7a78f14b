"""What can be operated, and what of the device itself stands against it: its position, its quality, local mode.

Knows command points and what their return information means. Does not know the network (interlocking), tags or persons.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from scada.control.policy import PointClass, point_class
from scada.model.addcause import AddCause
from scada.model.point import DoublePoint, Point, PointKind
from scada.model.quality import Quality
from scada.model.quantity import Quantity
from scada.model.station import CommandPoint, Device, Station
from scada.model.switching import Action, Fact, ImageView, Operation, Refusal

_POSITIONS: Final = {Action.OPEN: DoublePoint.OPEN, Action.CLOSE: DoublePoint.CLOSED}
_SIGNALS: Final = {Action.ON: 1.0, Action.OFF: 0.0, Action.RESET: 0.0}
_STEPS: Final = {Action.RAISE: 1.0, Action.LOWER: -1.0}
ALLOWED: Final[Mapping[PointClass, tuple[Action, ...]]] = {
    **dict.fromkeys(PointClass, (Action.OPEN, Action.CLOSE)),
    PointClass.TAP_CHANGER: (Action.RAISE, Action.LOWER),
    PointClass.RESET: (Action.RESET,),
    PointClass.AUTOMATIC: (Action.ON, Action.OFF),
    PointClass.SET_POINT: (Action.SET,),
}
CLOSE: Final = 1e-6
"""How near is the same, where the return information counts in whole numbers."""
WIRE_ACTION: Final = {Action.ON: "close", Action.OFF: "open"}
"""Automatics are switched by a double command: the maps know ``close`` and ``open`` only."""


@dataclass(frozen=True, slots=True)
class Controllable:
    """One thing that can be operated. ``modes`` are the local/remote switches that govern it, 1 = remote."""

    station: Station
    bay: str
    command: CommandPoint
    device: Device | None
    point_class: PointClass
    modes: tuple[Point, ...]

    @property
    def target(self) -> str:
        """``TN01/471``, or ``TN01/131/f86.reset`` where no device moves."""
        command = self.command
        return f"{self.station.code}/{command.device or f'{self.bay}/{command.name}'}"

    @property
    def link_name(self) -> str:
        """The command's name on the link to the station."""
        return f"{self.station.code}/{self.bay}/{self.command.name}"

    def can(self, action: Action) -> bool:
        """Whether things of its class can be told ``action``."""
        return action in ALLOWED[self.point_class]

    @property
    def unit(self) -> str:
        """The unit of a set-point."""
        point = self.command.return_information
        return "" if point is None else point.unit

    def operation(self, action: Action, value: float | None = None, unit: str = "") -> Operation:
        """The wish to do ``action``, with the value in ``unit`` a set-point is to have."""
        return Operation(self.station.code, self.bay, self.command.name, self.command.device, action, value, unit)


def controllables(stations: Sequence[Station]) -> dict[str, Controllable]:
    """Everything that can be operated, by target."""
    found: dict[str, Controllable] = {}
    for station in stations:
        devices = {device.name: device for device in station.devices}
        for bay in station.bays:
            for command in bay.commands:
                device = devices.get(command.device)
                kind = point_class(command, None if device is None else device.kind)
                each = Controllable(station, bay.name, command, device, kind, _modes(bay.points, command, kind))
                found[each.target] = each
    return found


def _modes(points: Sequence[Point], command: CommandPoint, kind: PointClass) -> tuple[Point, ...]:
    shown = command.return_information
    of_tap_changer = kind is PointClass.TAP_CHANGER or (
        shown is not None and shown.quantity == Quantity.VOLTAGE_SET_POINT
    )
    wanted = Quantity.OLTC_LOCAL_REMOTE if of_tap_changer else Quantity.LOCAL_REMOTE
    device = command.device
    governing = ("", device.partition("-")[0])
    return tuple(
        point
        for point in points
        if point.quantity == wanted and (of_tap_changer or not device or point.device in governing)
    )


def wanted_value(operation: Operation, before: float) -> float:
    """What the return information must show afterwards; ``before`` is what it showed."""
    action = operation.action
    if operation.value is not None:
        return operation.value
    if action in _POSITIONS:
        return float(_POSITIONS[action])
    return before + _STEPS[action] if action in _STEPS else _SIGNALS[action]


def state_fact(point: Point, view: ImageView) -> tuple[Fact, float]:
    """The present state of a point as a fact, and its value."""
    row = view.read([point.name])[0]
    value, quality = float(row["value"]), Quality(int(row["quality"]))
    return Fact(point.name, in_words(point, value), quality, int(row["time"])), value


def in_words(point: Point, value: float) -> str:
    """A value as people say it."""
    if point.kind is PointKind.DOUBLE_POINT:
        return DoublePoint(int(value)).name.lower() if value in (0.0, 1.0, 2.0, 3.0) else f"{value:g}"
    if point.quantity in (Quantity.LOCAL_REMOTE, Quantity.OLTC_LOCAL_REMOTE):
        return "remote" if value == 1.0 else "local"
    return f"{value:g} {point.unit}".rstrip()


def own_refusals(
    each: Controllable, operation: Operation, view: ImageView, near: float = CLOSE
) -> tuple[tuple[Refusal, ...], tuple[Fact, ...]]:
    """What the device's own state has against ``operation``, and the facts looked at. ``near``: see ``is_reached``."""
    refusals: list[Refusal] = []
    facts: list[Fact] = []
    action = operation.action
    if not each.can(action):
        known = " or ".join(ALLOWED[each.point_class])
        return (Refusal(AddCause.NOT_SUPPORTED, f"{each.target} can be told to {known}, not to {action}"),), ()
    for mode in each.modes:
        fact, value = state_fact(mode, view)
        facts.append(fact)
        if fact.quality != Quality.GOOD:
            refusals.append(
                Refusal(AddCause.BLOCKED_BY_SWITCHING_HIERARCHY, f"whether it is remote is in doubt: {fact}", (fact,))
            )
        elif value != 1.0:
            sentence = f"{each.target} is in local mode: {fact}"
            refusals.append(Refusal(AddCause.BLOCKED_BY_SWITCHING_HIERARCHY, sentence, (fact,)))
    point = each.command.return_information
    if point is not None:
        fact, value = state_fact(point, view)
        facts.append(fact)
        if (refusal := _position_refusal(each, operation, fact, value, near)) is not None:
            refusals.append(refusal)
    return tuple(refusals), tuple(facts)


def _position_refusal(
    each: Controllable, operation: Operation, fact: Fact, value: float, near: float
) -> Refusal | None:
    action, point = operation.action, each.command.return_information
    if fact.quality != Quality.GOOD:
        return Refusal(AddCause.INVALID_POSITION, f"where {each.target} stands is in doubt: {fact}", (fact,))
    if _is_double(point) and value not in (DoublePoint.OPEN, DoublePoint.CLOSED):
        return Refusal(AddCause.INVALID_POSITION, f"{each.target} is in {fact.state} position", (fact,))
    # A lockout relay may be reset again and again: its signal falls before the relay is free.
    if action is not Action.RESET and abs(wanted_value(operation, value) - value) <= near:
        return Refusal(AddCause.POSITION_REACHED, f"{each.target} is {fact.state} already", (fact,))
    if action is Action.RESET and value == 0.0:
        return Refusal(AddCause.POSITION_REACHED, f"{each.target}: there is nothing to reset", (fact,))
    return None


def _is_double(point: Point | None) -> bool:
    return point is not None and point.kind is PointKind.DOUBLE_POINT


def position_points(stations: Sequence[Station]) -> dict[int, tuple[str, Point]]:
    """Point id → (target, point) of every switching device's position."""
    return {
        device.position.id: (f"{station.code}/{device.name}", device.position)
        for station in stations
        for device in station.devices
    }


def set_point_points(stations: Sequence[Station]) -> dict[int, tuple[str, Point]]:
    """Point id → (target, point) of what shows every set-point in force."""
    return {
        each.command.return_information.id: (target, each.command.return_information)
        for target, each in controllables(stations).items()
        if each.point_class is PointClass.SET_POINT and each.command.return_information is not None
    }


def neighbours(stations: Sequence[Station], lines: Sequence[tuple[str, str]]) -> dict[str, frozenset[str]]:
    """Every station with those a line leads to; ``lines`` are pairs of station codes."""
    near: dict[str, set[str]] = {station.code: {station.code} for station in stations}
    for one, other in lines:
        near.setdefault(one, {one}).add(other)
        near.setdefault(other, {other}).add(one)
    return {code: frozenset(codes) for code, codes in near.items()}


def is_reached(value: float, quality: int, wanted: float, near: float = CLOSE) -> bool:
    """Whether a return information shows what was wanted, beyond doubt: at most ``near`` beside it."""
    return quality == Quality.GOOD and abs(value - wanted) <= near
