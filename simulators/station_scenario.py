"""What goes wrong at the substations, as a scenario file says it: faults, failing breakers, silence, wrong clocks.

Knows how ``[[station]]`` is written and what makes it unusable. What it does is ``simulators.disturbance``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from scada.model.errors import Fault
from scada.model.point import PointKind
from scada.model.station import Station
from scada.tables import bounded, nearest
from simulators.impairments import Impairment, LinkFault

TO_THE_END_S = 1e9


class StationFaultKind(StrEnum):
    """What goes wrong at a substation."""

    TRIP = "trip"
    """Protection ``signal`` picks up and opens ``device`` 80 ms later; it drops out at ``until_s``."""
    BREAKER_FAILURE = "breaker_failure"
    """``device`` accepts orders and does not move; its ``signal`` (F50BF), if any, picks up 200 ms after a trip."""
    FORCE = "force"
    """``point`` shows ``value`` whatever the plant does: a stuck transducer, a forgotten test plug."""
    FLAPPING = "flapping"
    """The contact ``point`` changes ``rate`` times a second."""
    AVALANCHE = "avalanche"
    """``rate`` points of the station change every second, contacts and measured values in turn."""
    CLOCK_SKEW = "clock_skew"
    """The station's clock is ``seconds`` ahead: its time tags are wrong."""
    REFUSE = "refuse"
    SILENT = "silent"
    CUT = "cut"


LINK_FAULTS = {
    StationFaultKind.REFUSE: Impairment.REFUSE,
    StationFaultKind.SILENT: Impairment.SILENT,
    StationFaultKind.CUT: Impairment.CUT,
}


@dataclass(frozen=True, slots=True)
class StationFault:
    """One ``[[station]]`` of a file. Times in s since the field was ready; points and signals as ``BAY/object``."""

    code: str
    kind: StationFaultKind
    from_s: float = bounded(low=0.0, high=TO_THE_END_S, default=0.0)
    until_s: float = bounded(low=0.0, high=TO_THE_END_S, default=TO_THE_END_S)
    point: str = ""
    device: str = ""
    signal: str = ""
    value: float = 0.0
    rate: float = bounded(low=0.0, high=10_000.0, default=0.0)
    seconds: float = bounded(low=-86_400.0, high=86_400.0, default=0.0)


_NEEDS: Mapping[StationFaultKind, tuple[str, ...]] = {
    StationFaultKind.TRIP: ("signal", "device"),
    StationFaultKind.BREAKER_FAILURE: ("device",),
    StationFaultKind.FORCE: ("point",),
    StationFaultKind.FLAPPING: ("point", "rate"),
    StationFaultKind.AVALANCHE: ("rate",),
    StationFaultKind.CLOCK_SKEW: ("seconds",),
}


def check_form(faults: Sequence[StationFault], file: str, found: list[Fault]) -> None:
    """What can be said without knowing the stations."""
    for number, each in enumerate(faults, start=1):
        key = f"station[{number}]"
        for name in _NEEDS.get(each.kind, ()):
            if not getattr(each, name):
                found.append(Fault(file, f"{key}.{name}", f"is needed for {each.kind}"))
        if each.until_s <= each.from_s:
            found.append(Fault(file, f"{key}.until_s", "is not after from_s"))


def check_against(faults: Sequence[StationFault], stations: Sequence[Station], file: str, found: list[Fault]) -> None:
    """Names that no simulated station has."""
    known = {station.code: station for station in stations}
    for number, each in enumerate(faults, start=1):
        key = f"station[{number}]"
        station = known.get(each.code)
        if station is None:
            found.append(Fault(file, f"{key}.code", f"{each.code!r} is not simulated{nearest(each.code, list(known))}"))
            continue
        points = {point.name.split("/", 1)[1]: point for point in station.points}
        for name in ("point", "signal"):
            written = getattr(each, name)
            if written and written not in points:
                near = nearest(written, list(points))
                found.append(Fault(file, f"{key}.{name}", f"no point {written!r}{near if 'did' in near else ''}"))
        if each.device and each.device not in [device.name for device in station.devices]:
            found.append(Fault(file, f"{key}.device", f"no switching device {each.device!r} in {each.code}"))
        if each.kind is StationFaultKind.FLAPPING and each.point in points:
            kind = points[each.point].kind
            if kind not in (PointKind.SINGLE_POINT, PointKind.DOUBLE_POINT):
                found.append(Fault(file, f"{key}.point", f"{each.point} is a {kind}, no contact"))


def link_faults(faults: Sequence[StationFault]) -> tuple[LinkFault, ...]:
    """Those that concern the link, as the relay in front of a station takes them."""
    return tuple(
        LinkFault(each.code, LINK_FAULTS[each.kind], each.from_s, each.until_s)
        for each in faults
        if each.kind in LINK_FAULTS
    )
