"""What goes wrong in the fleet, as a file says it: messages lost, repeated, late, spoilt; dead senders; bad clocks.

Knows how a scenario is written and what makes it unusable. What it does to a report is ``simulators.fleet_faults``.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from scada.model.errors import Fault
from scada.tables import bounded, load_table, refuse_faults
from simulators.fleet_tamper import TamperForm
from simulators.station_scenario import StationFault, check_form

SCENARIOS = Path(__file__).resolve().parent / "scenarios"
PREFIX = "fleet_"
"""Beside them lie the scenarios of stations."""

TO_THE_END_S = 1e9


class FaultKind(StrEnum):
    """What goes wrong with reports, senders or meters."""

    LOST = "lost"
    """A report vanishes between sender and broker; the sender believes it delivered."""
    DUPLICATED = "duplicated"
    LATE = "late"
    """A report waits ``delay_s`` somewhere on its way."""
    REORDERED = "reordered"
    """A report waits up to ``delay_s``, each another time: later ones overtake it."""
    CORRUPTED = "corrupted"
    """Some bytes of a report are wrong."""
    DEAD = "dead"
    """``count`` concentrators hear and pass on nothing; their meters count on, and remember.

    In a fleet without concentrators ``count`` modems, here and for a backlog."""
    BACKLOG = "backlog"
    """``count`` concentrators collect, and deliver everything at once when the time is over."""
    CLOCK_OFF = "clock_off"
    """The clocks of a ``share`` of the meters are ``seconds`` ahead."""
    ROLLOVER = "rollover"
    """The registers of a ``share`` of the meters stand so high that they soon begin again at 0."""
    EXCHANGE = "exchange"
    """A ``share`` of the meters is exchanged at the first end of an interval after ``from_s``."""
    TAMPERED = "tampered"
    """Somebody tampers with a ``share`` of the meters, in a ``form``; a part is ``uncounted`` meanwhile."""


@dataclass(frozen=True, slots=True)
class FleetFault:
    """One ``[[fault]]`` of a file. Times in s since the fleet's start."""

    kind: FaultKind
    share: float = bounded(low=0.0, high=1.0, default=0.0)
    count: int = bounded(low=0, high=100_000, default=0)
    from_s: float = bounded(low=0.0, high=TO_THE_END_S, default=0.0)
    until_s: float = bounded(low=0.0, high=TO_THE_END_S, default=TO_THE_END_S)
    delay_s: float = bounded(low=0.0, high=86_400.0, default=0.0)
    seconds: int = bounded(low=-86_400, high=86_400, default=0)
    form: TamperForm = TamperForm.METER_COVER
    uncounted: float = bounded(low=0.0, high=1.0, default=0.0)


@dataclass(frozen=True, slots=True)
class ScenarioFile:
    """A scenario: what it is called and what goes wrong in it."""

    title_vi: str = ""
    title_en: str = ""
    fault: tuple[FleetFault, ...] = field(default_factory=tuple)
    station: tuple[StationFault, ...] = field(default_factory=tuple)


_NEEDS = {
    FaultKind.LOST: "share",
    FaultKind.DUPLICATED: "share",
    FaultKind.LATE: "delay_s",
    FaultKind.REORDERED: "delay_s",
    FaultKind.CORRUPTED: "share",
    FaultKind.DEAD: "count",
    FaultKind.BACKLOG: "count",
    FaultKind.CLOCK_OFF: "seconds",
    FaultKind.ROLLOVER: "share",
    FaultKind.EXCHANGE: "share",
    FaultKind.TAMPERED: "share",
}


def load_scenario(name: str) -> ScenarioFile:
    """A shipped scenario by its name, or a file by its path. Raises ConfigurationError with every fault.

    A fleet's scenario may be named without ``fleet_``.
    """
    path = Path(name) if name.endswith(".toml") else SCENARIOS / f"{name}.toml"
    if not path.exists() and not name.endswith(".toml"):
        path = SCENARIOS / f"{PREFIX}{name}.toml"
    found: list[Fault] = []
    scenario = load_table(ScenarioFile, path, found)
    for number, each in enumerate(scenario.fault if scenario else (), start=1):
        if not getattr(each, _NEEDS[each.kind]):
            found.append(Fault(path.name, f"fault[{number}].{_NEEDS[each.kind]}", f"is needed for {each.kind}"))
        if each.until_s <= each.from_s:
            found.append(Fault(path.name, f"fault[{number}].until_s", "is not after from_s"))
    check_form(scenario.station if scenario else (), path.name, found)
    refuse_faults(found)
    assert scenario is not None
    return scenario
