"""Switching orders (phiếu thao tác): what one is, how its file is read, and how far it may be.

Knows the form of the file and the states. Does not know signatures, the network's state or how a step is carried out.

    drafted → checked by simulation → approved by another person → executing → completed | stopped

A refused or wrong step stops the order for good: a new order is needed.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from scada.control.interlocking import Place, operation_on
from scada.control.policy import PointClass
from scada.control.readiness import Controllable, controllables
from scada.control.setpoint import limit_refusal
from scada.model.errors import Fault
from scada.model.point import Point
from scada.model.station import DeviceKind, Province, Station
from scada.model.switching import Action, Operation
from scada.tables import Faults, bounded, load_table, nearest

NUMBER: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""Also the name of its folder, so nothing that leads out of it."""
MOST_STEPS: Final = 200


class StepAction(StrEnum):
    """What a step does; CHECK only reads."""

    OPEN = "open"
    CLOSE = "close"
    RAISE = "raise"
    LOWER = "lower"
    SET = "set"
    CHECK = "check"


class OrderState(StrEnum):
    """How far an order has come. COMPLETED and STOPPED are ends."""

    DRAFTED = "drafted"
    CHECKED = "checked"
    APPROVED = "approved"
    EXECUTING = "executing"
    COMPLETED = "completed"
    STOPPED = "stopped"


class OrderEvent(StrEnum):
    """What happens to an order. PASS and FAIL are the simulation's verdicts."""

    DRAFT = "draft"
    PASS = "pass"
    FAIL = "fail"
    APPROVE = "approve"
    BEGIN = "begin"
    STEP = "step"
    STEP_DONE = "step_done"
    COMPLETE = "complete"
    STOP = "stop"


TRANSITIONS: Final[Mapping[tuple[OrderState | None, OrderEvent], OrderState]] = {
    (None, OrderEvent.DRAFT): OrderState.DRAFTED,
    (OrderState.DRAFTED, OrderEvent.PASS): OrderState.CHECKED,
    (OrderState.DRAFTED, OrderEvent.FAIL): OrderState.DRAFTED,
    (OrderState.CHECKED, OrderEvent.PASS): OrderState.CHECKED,
    (OrderState.CHECKED, OrderEvent.FAIL): OrderState.DRAFTED,
    (OrderState.CHECKED, OrderEvent.APPROVE): OrderState.APPROVED,
    (OrderState.APPROVED, OrderEvent.BEGIN): OrderState.EXECUTING,
    (OrderState.EXECUTING, OrderEvent.STEP): OrderState.EXECUTING,
    (OrderState.EXECUTING, OrderEvent.STEP_DONE): OrderState.EXECUTING,
    (OrderState.EXECUTING, OrderEvent.COMPLETE): OrderState.COMPLETED,
    # Whoever doubts an order may stop it, begun or not; one that has ended stays as it ended.
    (OrderState.DRAFTED, OrderEvent.STOP): OrderState.STOPPED,
    (OrderState.CHECKED, OrderEvent.STOP): OrderState.STOPPED,
    (OrderState.APPROVED, OrderEvent.STOP): OrderState.STOPPED,
    (OrderState.EXECUTING, OrderEvent.STOP): OrderState.STOPPED,
}


def following(state: OrderState | None, event: OrderEvent) -> OrderState | None:
    """The state after ``event``, or None when it may not happen."""
    return TRANSITIONS.get((state, event))


@dataclass(frozen=True, slots=True)
class Expectation:
    """A reading expected after a step: exactly one of ``equals``, ``below`` and ``above``, in the point's unit."""

    point: str
    equals: float | None = None
    below: float | None = None
    above: float | None = None

    def is_met(self, value: float) -> bool:
        """Whether a good value is as expected."""
        if self.equals is not None:
            return abs(value - self.equals) < 1e-6
        if self.below is not None:
            return value < self.below
        return self.above is not None and value > self.above

    def __str__(self) -> str:
        if self.equals is not None:
            return f"{self.point} = {self.equals:g}"
        return f"{self.point} < {self.below:g}" if self.below is not None else f"{self.point} > {self.above:g}"


@dataclass(frozen=True, slots=True)
class Step:
    """One step. ``device`` is ``TN01/171``, of a SET the set-point (``TN01/T1/avr.voltage_setpoint``), which is given
    ``value`` in ``unit``; a CHECK may leave it ''. ``dead_on_site`` says that staff prove with a voltage detector that
    the part to be earthed is dead. ``within_s``: how long staff on site may take."""

    action: StepAction
    device: str = ""
    place: Place = Place.REMOTE
    precondition: str = ""
    dead_on_site: bool = False
    within_s: float = bounded(low=1.0, high=14_400.0, default=1800.0)
    expect: tuple[Expectation, ...] = ()
    value: float | None = None
    unit: str = ""

    def __str__(self) -> str:
        where = ", on site" if self.place is Place.ON_SITE else ""
        value = "" if self.value is None else f" {self.value!r} {self.unit}"
        return f"{self.action} {self.device}{value}{where}".replace("check ,", "check,").rstrip()


@dataclass(frozen=True, slots=True)
class SwitchingOrder:
    """One order as it was written. ``prepared_by`` is the name in the authority table."""

    number: str
    purpose: str
    prepared_by: str
    step: tuple[Step, ...]
    note: str = ""

    @property
    def stations(self) -> tuple[str, ...]:
        """Codes of the stations concerned, each once, in order."""
        return tuple(dict.fromkeys(each.device.split("/")[0] for each in self.step if each.device))


@dataclass(frozen=True, slots=True)
class OrderFile:
    """An order and the SHA-256 of the bytes it was read from: what is signed."""

    order: SwitchingOrder
    digest: str


def load_order(path: Path, province: Province, found: list[Fault]) -> OrderFile | None:
    """The order in ``path``, or None with every fault in ``found``."""
    before = len(found)
    order = load_table(SwitchingOrder, path, found)
    if order is None:
        return None
    check_form(order, province, Faults(path.name, found))
    return OrderFile(order, hashlib.sha256(path.read_bytes()).hexdigest()) if len(found) == before else None


def check_form(order: SwitchingOrder, province: Province, faults: Faults) -> None:
    """Everything that can be judged without the state of the network."""
    if not NUMBER.fullmatch(order.number):
        faults.add("number", f"{order.number!r} must be letters, digits, dots and dashes, at most 64")
    for key, text in (("purpose", order.purpose), ("prepared_by", order.prepared_by)):
        if not text.strip():
            faults.add(key, "is empty")
    if not 1 <= len(order.step) <= MOST_STEPS:
        faults.add("step", f"there are {len(order.step)} steps; 1 to {MOST_STEPS} are possible")
    stations = {each.code: each for each in province.stations}
    points = {point.name: point for station in province.stations for point in station.points}
    for number, step in enumerate(order.step, start=1):
        _check_device(step, stations, faults, f"step[{number}]")
        for index, expectation in enumerate(step.expect, start=1):
            _check_expectation(expectation, points, faults, f"step[{number}].expect[{index}]")
        if step.action is StepAction.CHECK and not step.expect:
            faults.add(f"step[{number}].expect", "a check needs a reading to check")


def operation_of(step: Step, province: Province) -> Operation | None:
    """The operation a step carries out; None for a CHECK."""
    if step.action is StepAction.CHECK:
        return None
    code, device = step.device.split("/", 1)
    station = next(each for each in province.stations if each.code == code)
    if step.action is StepAction.SET:
        return set_points(station)[step.device].operation(Action.SET, step.value, step.unit)
    return operation_on(station, device, Action(step.action))


def set_points(station: Station) -> dict[str, Controllable]:
    """The set-points of a station, by target."""
    found = controllables([station])
    return {target: each for target, each in found.items() if each.point_class is PointClass.SET_POINT}


def _check_device(step: Step, stations: Mapping[str, Station], faults: Faults, key: str) -> None:
    if step.action is StepAction.CHECK and not step.device:
        return
    code, _, name = step.device.partition("/")
    station = stations.get(code)
    if station is None:
        faults.add(f"{key}.device", f"no station {code!r}{nearest(code, list(stations))}")
        return
    if step.action is StepAction.SET:
        _check_value(step, set_points(station), faults, key)
        return
    if step.value is not None or step.unit:
        faults.add(f"{key}.value", f"{step.action} takes no value and no unit")
    kinds = {each.name: each.kind for each in station.devices}
    names = [*kinds, *(each.name for each in station.transformers)]
    if name not in names:
        faults.add(f"{key}.device", f"{code} has no device {name!r}{_hint(name, names)}")
        return
    is_switch = step.action in (StepAction.OPEN, StepAction.CLOSE)
    if step.action is not StepAction.CHECK and is_switch != (name in kinds):
        faults.add(f"{key}.action", f"{step.device} cannot {step.action}")
        return
    if step.dead_on_site and kinds.get(name) is not DeviceKind.EARTHING_SWITCH:
        faults.add(f"{key}.dead_on_site", f"{step.device} is no earthing switch")
    if step.place is Place.REMOTE and step.action is not StepAction.CHECK:
        commands = {command.device for bay in station.bays for command in bay.commands}
        if name not in commands:
            faults.add(f"{key}.place", f'{step.device} cannot be operated remotely; write place = "on_site"')


def _check_value(step: Step, known: Mapping[str, Controllable], faults: Faults, key: str) -> None:
    """What of a set-point can be judged now; whether the wire has a frame for the value, only the desk knows."""
    each = known.get(step.device)
    if each is None:
        faults.add(f"{key}.device", f"{step.device} is no set-point{nearest(step.device, list(known))}")
        return
    if step.place is Place.ON_SITE:
        faults.add(f"{key}.place", "a set-point is given from the control centre")
    if step.value is None:
        faults.add(f"{key}.value", "set needs the value, and its unit")
    elif (refusal := limit_refusal(each, each.operation(Action.SET, step.value, step.unit))) is not None:
        faults.add(f"{key}.value", refusal.sentence)


def _check_expectation(expectation: Expectation, points: Mapping[str, Point], faults: Faults, key: str) -> None:
    if expectation.point not in points:
        near = [name for name in points if name.startswith("/".join(expectation.point.split("/")[:2]) + "/")]
        faults.add(f"{key}.point", f"no point {expectation.point!r}{_hint(expectation.point, near)}")
    given = [each for each in (expectation.equals, expectation.below, expectation.above) if each is not None]
    if len(given) != 1:
        faults.add(key, "needs exactly one of equals, below and above")


def _hint(name: str, known: list[str]) -> str:
    hint = nearest(name, known)
    return hint if hint.startswith("; did") or len(known) < 20 else ""
