"""A substation as data: bays built from bay types, the devices in them and how they connect.

Knows topology and numbers. Does not know files, registers or the state of anything.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from scada.model.point import Point
from scada.model.supervision import link_points

if TYPE_CHECKING:
    from scada.model.derived import DerivedPoint


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


class CommandKind(StrEnum):
    """Kind of command (IEC 60870-5-101, 7.3.2: types 45 to 50)."""

    SINGLE_COMMAND = "single_command"
    DOUBLE_COMMAND = "double_command"
    REGULATING_STEP = "regulating_step"
    SET_POINT = "set_point"


class Protocol(StrEnum):
    """Field protocol of a station."""

    MODBUS = "modbus"
    OPCUA = "opcua"


@dataclass(frozen=True, slots=True)
class Device:
    """A switching device between two connectivity nodes of its station; an earthing switch has node_2 = ''.

    ``name`` is unique in the station (``171``, ``171-7``, ``171-76``); ``position`` is the point that tells it. A
    withdrawable truck is a disconnector.
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

    ``name`` is unique in its bay, and the points measured there bear it. ``node`` is a connectivity node; ``equipment``
    names what hangs there: the line (its name in the province), the load (``TN07/473``), the transformer (``T1``) or,
    for a voltage transformer or a coupler, the busbar (``C41``). What a coupler's terminal carries flows through its
    breaker, from the first busbar to the second.
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
    """A three-winding transformer 110/35/22 kV with an on-load tap changer on the 110 kV side.

    The lowest tap position has the most turns: raising the position raises the voltage at 35 and 22 kV. Short-circuit
    voltages between windings (high-medium, high-low, medium-low) are in percent on ``rated_mva``.
    """

    name: str
    rated_mva: float
    tap_low: int
    tap_high: int
    tap_neutral: int
    tap_step_percent: float
    rated_kv: tuple[float, ...] = (115.0, 38.5, 23.0)
    short_circuit_percent: tuple[float, ...] = (10.5, 17.5, 6.5)
    load_loss_kw: float = 200.0
    no_load_loss_kw: float = 60.0
    no_load_current_percent: float = 0.8


@dataclass(frozen=True, slots=True)
class CustomerShares:
    """Who is supplied: parts of the feeder's peak, residential + production + business = 1.

    ``pv`` is the installed rooftop generation as a part of the same peak; it comes off the consumption by day.
    """

    residential: float = 0.0
    production: float = 0.0
    business: float = 0.0
    pv: float = 0.0


@dataclass(frozen=True, slots=True)
class Load:
    """The consumption behind one feeder at the peak of the day: where the curve that scales it is 1."""

    name: str
    bay: str
    p_mw: float
    q_mvar: float
    shares: CustomerShares
    terminal: str = "load"

    @property
    def mix(self) -> str:
        """The class of customers that prevails: residential, production, business or pv."""
        shares = self.shares
        sizes = {
            "residential": shares.residential,
            "production": shares.production,
            "business": shares.business,
            "pv": shares.pv,
        }
        return max(sizes, key=sizes.__getitem__)


@dataclass(frozen=True, slots=True)
class Bay:
    """One bay: its type, the map that tells where its points are, and where the map starts.

    ``map`` is the name of a file in the folder of maps, without ``.toml``; ``base`` its first register (Modbus only).
    """

    name: str
    number: int
    bay_type: str
    map: str
    base: int
    voltage_kv: float
    points: tuple[Point, ...]
    commands: tuple["CommandPoint", ...]
    busbars: tuple[str, ...] = ()
    placeholders: tuple[tuple[str, str], ...] = ()
    """What the words in braces of its bay type stand for here, e.g. ``("bay", "171")``; maps use the same words."""
    derived: "tuple[DerivedPoint, ...]" = ()
    """What the control centre computes; no device has it, so it is in no map."""
    unit_id: int | None = None
    """Unit of the bay's device behind the station's gateway; None where the endpoint's unit speaks for the bay."""


@dataclass(frozen=True, slots=True)
class CommandPoint:
    """Something that can be operated: a switching device, a tap changer, a reset, a set-point.

    ``name`` is unique in its bay and names no point. ``device`` is the switching device, the transformer, or ''.
    ``return_information`` is the point that shows the outcome. ``select`` tells whether the device itself wants
    select-before-operate. ``low`` and ``high`` are the limits of a set-point, in the unit of its return information.
    """

    name: str
    device: str
    kind: CommandKind
    select: bool
    return_information: Point | None
    low: float | None = None
    high: float | None = None


NO_SECURITY = "None"
"""The security policy of an OPC UA station that neither signs nor encrypts, by its name in the standard."""
SECURITY_POLICIES = (NO_SECURITY, "Basic256Sha256")
"""The policies a station file may name: for OPC UA it names one, so that nothing is unprotected by omission."""


MOST_TRANSACTIONS: Final = 16


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a station answers. ``unit_id`` and ``max_transactions`` are used by Modbus only, ``path``, ``security`` and
    ``certificates``, a folder, by OPC UA only.

    ``max_transactions``: reads that may be under way at once on a connection, more than one only where the device
    allows it (Modbus Messaging on TCP/IP V1.0b, NumberMaxOfClientTransaction: 1 to 16).
    """

    protocol: Protocol
    host: str
    port: int
    unit_id: int = 1
    path: str = ""
    security: str = ""
    timeout_s: float = 2.0
    certificates: str = ""
    max_transactions: int = 1


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

    def unit_of(self, bay: Bay) -> int:
        """Modbus unit that answers for a bay."""
        return self.endpoint.unit_id if bay.unit_id is None else bay.unit_id

    @property
    def points(self) -> tuple[Point, ...]:
        """All points the station itself tells, in file order."""
        return tuple(point for bay in self.bays for point in bay.points)

    @property
    def derived(self) -> "tuple[DerivedPoint, ...]":
        """All points the control centre computes, in file order."""
        return tuple(each for bay in self.bays for each in bay.derived)

    @property
    def shown_points(self) -> tuple[Point, ...]:
        """Told and computed points, by bay, and those of the link to the station."""
        mine = (point for bay in self.bays for point in (*bay.points, *(derived.point for derived in bay.derived)))
        return (*mine, *link_points(self.code, self.common_address))


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
