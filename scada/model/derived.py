"""A point nobody measures: what the control centre computes from others, by a rule that the files name.

Knows the rules and their inputs. Does not evaluate anything (``scada.derive``) and does not know files.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from types import MappingProxyType

from scada.model.point import Point
from scada.model.station import DeviceKind


class Rule(StrEnum):
    """How a derived point follows from its inputs, in the order in which ``of`` names them."""

    SUM = "sum"
    MEAN = "mean"
    MAXIMUM = "maximum"
    MINIMUM = "minimum"
    DIFFERENCE = "difference"
    """First less second."""
    APPARENT_POWER = "apparent_power"
    """MVA from MW and Mvar."""
    POWER = "power"
    """MW = √3 · kV · A · cos φ / 1000, from voltage, current and power factor."""
    BAY_STATE = "bay_state"
    """``BayState`` from the positions of a bay."""


INPUTS: Mapping[Rule, int] = MappingProxyType({Rule.DIFFERENCE: 2, Rule.APPARENT_POWER: 2, Rule.POWER: 3})
"""How many inputs a rule takes exactly; the others take one or more."""


class BayState(IntEnum):
    """What the positions of a bay amount to."""

    IN_TRANSITION = 0
    """A device is intermediate or faulty: nothing may be concluded."""
    IN_SERVICE = 1
    """Breakers and disconnectors are closed."""
    STANDBY = 2
    """A breaker is open, the disconnectors are closed."""
    ISOLATED = 3
    """A disconnector is open."""
    EARTHED = 4
    """An earthing switch is closed."""


@dataclass(frozen=True, slots=True)
class DerivedPoint:
    """A derived point: ``point`` says how it is shown, ``inputs`` are the points it follows from.

    The value of the rule is multiplied by ``factor``. ``kinds``: for BAY_STATE the kind of device of each input.
    """

    point: Point
    rule: Rule
    inputs: tuple[Point, ...]
    factor: float = 1.0
    kinds: tuple[DeviceKind, ...] = ()
