"""What stands against the value of a set-point: its unit, its limits, and whether the wire has a frame for it.

Knows one command and its link. Does not know what is in force, persons, or the network.
"""

from scada.control.readiness import CLOSE, Controllable
from scada.model.addcause import AddCause
from scada.model.commandlink import CommandLink, NotCarried
from scada.model.switching import Operation, Refusal


def nearness(each: Controllable, operation: Operation, link: CommandLink) -> float:
    """How far the return information may be from what is wanted and still tell it. Raises NotCarried."""
    if operation.value is None or not each.can(operation.action):
        return CLOSE
    return link.nearness(each.link_name, operation.value)


def value_refusal(each: Controllable, operation: Operation, link: CommandLink) -> Refusal | None:
    """What the value of a set-point has against itself; None for whatever comes without one."""
    value = operation.value
    if value is None or _limits(each) is None:
        return None
    if (refusal := limit_refusal(each, operation)) is not None:
        return refusal
    try:
        link.nearness(each.link_name, value)
    except NotCarried as error:
        return _inconsistent(f"{each.target} cannot be told {value!r} {each.unit}: {error}")
    return None


def limit_refusal(each: Controllable, operation: Operation) -> Refusal | None:
    """What can be told of the value without the wire: another unit, outside the limits."""
    value, limits = operation.value, _limits(each)
    if value is None or limits is None:
        return None
    if operation.unit != each.unit:
        given = repr(operation.unit) if operation.unit else "none"
        return _inconsistent(f"{each.target} is set in {each.unit}; the unit given is {given}")
    if not limits[0] <= value <= limits[1]:
        allowed = f"{limits[0]:g} to {limits[1]:g} {each.unit}"
        return _inconsistent(f"{value!r} {each.unit} is outside the limits of {each.target}: {allowed}")
    return None


def _limits(each: Controllable) -> tuple[float, float] | None:
    low, high = each.command.low, each.command.high
    return None if low is None or high is None else (low, high)


def _inconsistent(sentence: str) -> Refusal:
    return Refusal(AddCause.INCONSISTENT_PARAMETERS, sentence)
