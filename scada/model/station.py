"""A substation as data: bays built from bay types, the devices in them and how they connect.

Knows topology and numbers. Does not know files, registers or the state of anything.
"""

from dataclasses import dataclass
from enum import StrEnum

from scada.model.point import Point


class DeviceKind(StrEnum):
    """Kind of switching device or apparatus."""

    CIRCUIT_BREAKER = "circuit_breaker"
    DISCONNECTOR = "disconnector"
    EARTHING_SWITCH = "earthing_switch"
    LOAD_BREAK_SWITCH = "load_break_switch"


class TerminalKind(StrEnum):
    """What a bay connects to at its far end."""

    LINE = "line"
    LOAD = "load"
    WINDING = "winding"
    BUSBAR = "busbar"


class Protocol(StrEnum):
    """Field protocol of a station."""

    MODBUS = "modbus"
    OPCUA = "opcua"


@dataclass(frozen=True, slots=True)
class Device:
    """A switching device between two connectivity nodes of its station; an earthing switch has node_2 = ''.

    ``name`` is unique in the station (``171``, ``171-7``, ``171-76``); ``position`` is the point that tells it.
    """

    name: str
    kind: DeviceKind
    bay: str
    voltage_kv: float
    node_1: str
    node_2: str
    position: Point
    normally_closed: bool


@dataclass(frozen=True, slots=True)
class Terminal:
    """Where a bay meets a line, a load, a transformer winding or a busbar.

    ``node`` is a connectivity node; ``equipment`` names what hangs there: the line, the load (``TN07/473``), the
    transformer (``T1``) or the busbar (``C41``).
    """

    name: str
    kind: TerminalKind
    bay: str
    voltage_kv: float
    node: str
    equipment: str


@dataclass(frozen=True, slots=True)
class Busbar:
    """One busbar section, e.g. ``C11``; its connectivity node bears the same name."""

    name: str
    voltage_kv: float


@dataclass(frozen=True, slots=True)
class Transformer:
    """A three-winding transformer 110/35/22 kV with an on-load tap changer on the 110 kV side."""

    name: str
    rated_mva: float
    tap_low: int
    tap_high: int
    tap_neutral: int
    tap_step_percent: float


@dataclass(frozen=True, slots=True)
class Load:
    """The consumption behind one feeder, before its curve through the day is applied."""

    name: str
    bay: str
    p_mw: float
    q_mvar: float
    mix: str
    """Class of customers that shapes the curve: residential, production, business or pv."""


@dataclass(frozen=True, slots=True)
class Bay:
    """One bay: its type, the map that tells where its points are, and where the map starts."""

    name: str
    number: int
    bay_type: str
    map: str
    base: int
    voltage_kv: float
    points: tuple[Point, ...]
    commands: tuple["CommandPoint", ...]


@dataclass(frozen=True, slots=True)
class CommandPoint:
    """Something that can be operated: a switching device, a tap changer, a reset.

    ``return_information`` is the point that shows the outcome. ``select`` tells whether the device itself wants
    select-before-operate.
    """

    name: str
    device: str
    kind: str
    select: bool
    return_information: Point | None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a station answers. ``unit_id`` is used by Modbus only, ``path`` by OPC UA only."""

    protocol: Protocol
    host: str
    port: int
    unit_id: int = 1
    path: str = ""
    security: str = "None"
    timeout_s: float = 2.0


@dataclass(frozen=True, slots=True)
class Station:
    """One substation, complete."""

    code: str
    common_address: int
    title_vi: str
    title_en: str
    endpoint: Endpoint
    busbars: tuple[Busbar, ...]
    transformers: tuple[Transformer, ...]
    bays: tuple[Bay, ...]
    devices: tuple[Device, ...]
    terminals: tuple[Terminal, ...]
    loads: tuple[Load, ...]

    @property
    def points(self) -> tuple[Point, ...]:
        """All points, in file order."""
        return tuple(point for bay in self.bays for point in bay.points)


@dataclass(frozen=True, slots=True)
class Line:
    """A 110 kV line between two line bays (``STATION/BAY``), with its series and shunt parameters."""

    name: str
    end_1: str
    end_2: str
    length_km: float
    r_ohm: float
    x_ohm: float
    b_us: float
    rated_a: float


@dataclass(frozen=True, slots=True)
class Infeed:
    """A supply from the 220 kV grid into a 110 kV busbar section (``STATION/BUSBAR``)."""

    name: str
    busbar: str
    p_mw: float
    target_kv: float
    slack: bool


@dataclass(frozen=True, slots=True)
class Province:
    """All substations and what joins them."""

    stations: tuple[Station, ...]
    lines: tuple[Line, ...]
    infeeds: tuple[Infeed, ...]
