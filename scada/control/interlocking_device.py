"""The rules about the device itself: its position, local mode, health, a lockout, a tap changer in motion.

Knows which signal of a bay governs which device and what it forbids. Does not know the network.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from scada.control.interlocking_field import Field, Value, part_of
from scada.control.interlocking_rules import Finding, refused
from scada.model.addcause import AddCause
from scada.model.point import DoublePoint, Point
from scada.model.quality import Quality
from scada.model.quantity import MEANINGS, Quantity
from scada.model.station import Bay, Device, DeviceKind, Station, Transformer
from scada.model.switching import Action, Fact

SWITCHING: Final = frozenset({Action.OPEN, Action.CLOSE})
STEPPING: Final = frozenset({Action.RAISE, Action.LOWER})
SETTING: Final = frozenset({Action.SET})
WANTED: Final[Mapping[Action, DoublePoint]] = MappingProxyType(
    {Action.OPEN: DoublePoint.OPEN, Action.CLOSE: DoublePoint.CLOSED}
)
BREAKING: Final = frozenset({DeviceKind.CIRCUIT_BREAKER, DeviceKind.LOAD_BREAK_SWITCH})
ANY_DEVICE: Final = frozenset(DeviceKind)


@dataclass(frozen=True, slots=True)
class Signal:
    """What a status forbids while it differs from its normal value, or is in doubt."""

    cause: AddCause
    actions: frozenset[Action]
    kinds: frozenset[DeviceKind] = ANY_DEVICE


SIGNALS: Final[Mapping[Quantity, Signal]] = MappingProxyType(
    {
        Quantity.LOCAL_REMOTE: Signal(AddCause.BLOCKED_BY_SWITCHING_HIERARCHY, SWITCHING),
        Quantity.OLTC_LOCAL_REMOTE: Signal(AddCause.BLOCKED_BY_SWITCHING_HIERARCHY, STEPPING | SETTING),
        Quantity.SF6_LOCKOUT: Signal(AddCause.BLOCKED_BY_HEALTH, SWITCHING),
        Quantity.VACUUM_FAULT: Signal(AddCause.BLOCKED_BY_HEALTH, SWITCHING),
        Quantity.TRIP_CIRCUIT_FAULT: Signal(AddCause.BLOCKED_BY_HEALTH, SWITCHING),
        Quantity.CONTROL_SUPPLY_FAULT: Signal(AddCause.BLOCKED_BY_HEALTH, SWITCHING),
        Quantity.BAY_UNIT_FAULT: Signal(AddCause.BLOCKED_BY_HEALTH, SWITCHING | STEPPING | SETTING),
        Quantity.SPRING_NOT_CHARGED: Signal(AddCause.BLOCKED_BY_HEALTH, frozenset({Action.CLOSE})),
        Quantity.PROTECTION_RELAY_FAULT: Signal(AddCause.BLOCKED_BY_HEALTH, frozenset({Action.CLOSE}), BREAKING),
        Quantity.OLTC_FAULT: Signal(AddCause.BLOCKED_BY_HEALTH, STEPPING | SETTING),
        Quantity.F86: Signal(AddCause.BLOCKED_BY_PROCESS, frozenset({Action.CLOSE}), BREAKING),
        Quantity.OLTC_IN_PROGRESS: Signal(AddCause.BLOCKED_BY_PROCESS, SWITCHING | STEPPING | SETTING),
    }
)
"""A breaker whose closing spring is not charged, or whose relay has failed, may still be opened. The lockout relay
(F86) must be reset before closing. The position of the automatic tap regulation is judged apart: there 1 forbids."""

ON_SITE_IGNORES: Final = frozenset({Quantity.LOCAL_REMOTE, Quantity.OLTC_LOCAL_REMOTE})
"""What does not concern a person who operates beside the device."""


def own_position(field: Field, device: int, action: Action) -> Finding:
    """A switching device must be known to stand in the other end position."""
    fact = field.position(device)
    if fact.quality != Quality.GOOD or fact.state not in ("open", "closed"):
        return refused(AddCause.INVALID_POSITION, field.told(device), [fact])
    if field.reported[device] == WANTED[action]:
        return refused(AddCause.POSITION_REACHED, f"{field.name(device)} is already {fact.state}", [fact])
    return Finding((fact,))


def signals_of_device(field: Field, device: int, action: Action, ignored: frozenset[Quantity]) -> Finding:
    """Health, mode and process signals of the bay that forbid ``action`` on a switching device."""
    station, found = field.device(device)
    bay = next(each for each in station.bays if each.name == found.bay)
    points = [
        point
        for point in bay.points
        if (signal := SIGNALS.get(Quantity(point.quantity))) is not None
        and Quantity(point.quantity) not in ignored
        and action in signal.actions
        and found.kind in signal.kinds
        and _governs(station, point, found)
    ]
    return _judge(field, points)


def step_tap(field: Field, station: Station, bay: Bay, action: Action, ignored: frozenset[Quantity]) -> Finding:
    """A tap changer steps while healthy, at rest, in manual operation and not at the end of its range."""
    transformer = next(each for each in station.transformers if each.name == bay.name)
    judged = signals_of_bay(field, bay, action, ignored)
    taps = field.values([each for each in bay.points if each.quantity == Quantity.TAP_POSITION])
    automatic = field.values([each for each in bay.points if each.quantity == Quantity.OLTC_AUTOMATIC])
    found = [judged, *(_tap_in_range(each, transformer, action) for each in taps)]
    found += [_manual(each) for each in automatic]
    return merged(found)


def signals_of_bay(field: Field, bay: Bay, action: Action, ignored: frozenset[Quantity]) -> Finding:
    """Health, mode and process signals of the bay that forbid ``action`` on its tap changer or its regulator."""
    points = [
        point
        for point in bay.points
        if (signal := SIGNALS.get(Quantity(point.quantity))) is not None
        and Quantity(point.quantity) not in ignored
        and action in signal.actions
    ]
    return _judge(field, points)


def merged(findings: Sequence[Finding]) -> Finding:
    """Several findings as one, each fact once."""
    return Finding(
        tuple(dict.fromkeys(fact for each in findings for fact in each.facts)),
        tuple(refusal for each in findings for refusal in each.refusals),
        tuple(dict.fromkeys(remark for each in findings for remark in each.remarks)),
    )


def _judge(field: Field, points: Sequence[Point]) -> Finding:
    return merged([_judged(each) for each in field.values(points)])


def _judged(value: Value) -> Finding:
    quantity = Quantity(value.point.quantity)
    fact = _status_fact(value)
    if value.is_doubtful:
        doubt = value.quality.label.replace("_", " ")
        return refused(SIGNALS[quantity].cause, f"{value.point.title_en} ({value.point.name}) is {doubt}", [fact])
    if value.value != MEANINGS[quantity].normal:
        return refused(SIGNALS[quantity].cause, f"{value.point.title_en}: {value.point.name} is {fact.state}", [fact])
    return Finding((fact,))


def _status_fact(value: Value) -> Fact:
    is_mode = value.point.quantity in (Quantity.LOCAL_REMOTE, Quantity.OLTC_LOCAL_REMOTE)
    words = ("local", "remote") if is_mode else ("off", "on")
    return Fact(value.point.name, words[int(value.value != 0.0)], value.quality, value.time)


def _tap_in_range(value: Value, transformer: Transformer, action: Action) -> Finding:
    if value.is_doubtful:
        doubt = value.quality.label.replace("_", " ")
        return refused(AddCause.INVALID_POSITION, f"the tap position is {doubt}", [value.fact])
    limit = transformer.tap_high if action is Action.RAISE else transformer.tap_low
    at_end = value.value >= limit if action is Action.RAISE else value.value <= limit
    if at_end:
        return refused(AddCause.STEP_LIMIT, f"the tap changer is at its last step {limit}", [value.fact])
    return Finding((value.fact,))


def _manual(value: Value) -> Finding:
    fact = _status_fact(value)
    if value.is_doubtful or value.value != 0.0:
        doubt = value.quality.label.replace("_", " ") if value.is_doubtful else "on"
        return refused(AddCause.BLOCKED_BY_MODE, f"automatic voltage regulation is {doubt}", [fact])
    return Finding((fact,))


def _governs(station: Station, point: Point, device: Device) -> bool:
    """Whether a status speaks of ``device``.

    A status of one device governs that device; a local/remote switch, all devices of its voltage. Without a device, the
    part in its name may be a terminal of the bay (``hv``), whose voltage then decides; else it governs the whole bay.
    """
    if point.device == device.name:
        return True
    if point.device:
        others = [each.voltage_kv for each in station.devices if each.name == point.device]
        return point.quantity == Quantity.LOCAL_REMOTE and device.voltage_kv in others
    part = part_of(point)
    sides = [t.voltage_kv for t in station.terminals if t.bay == device.bay and t.name == part]
    return device.voltage_kv in sides if sides else True
