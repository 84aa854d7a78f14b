"""Stations made for an avalanche: measured values that tell when they changed, and contacts in an event buffer.

Knows their points, their map and how a moment is written into a value. Does not know rates or sockets.
"""

from scada.model.point import Point, PointKind, point_id
from scada.model.station import Bay, Endpoint, Protocol, Station
from substations.registermap import EventBufferEntry, EventField, MapBlock, PointEntry, RegisterMap
from substations.wiretypes import Table, WireType

STATIONS, BAYS = 4, 13
ANALOG, STATUS = 200, 10
"""Points of a bay: measured values are numbered from 1, contacts from ANALOG + 1."""
PERIOD_S = 0.25
"""A point changes once a second at most, so no change is overwritten before it is read."""
BAY_TYPE, MAP = "avalanche", "avalanche.modbus"
ROOM = ANALOG * 2
"""Registers of a bay: its values are int32."""

EVENTS = EventBufferEntry(
    table=Table.INPUT_REGISTER,
    next=20000,
    flags=20002,
    records=20003,
    acknowledge=20000,
    capacity=1024,
    record_size=9,
    sequence=EventField(0, WireType.UINT32),
    code=EventField(2),
    value=EventField(3),
    quality=EventField(4),
    time=EventField(5, WireType.UINT64),
)


def register_maps() -> dict[str, RegisterMap]:
    """One map for all bays; the first of a station has the event buffer."""
    analog = tuple(PointEntry(f"value_{n + 1}", n * 2, WireType.INT32) for n in range(ANALOG))
    status = tuple(PointEntry(f"contact_{n + 1}", n) for n in range(STATUS))
    blocks = (
        MapBlock("values", Table.INPUT_REGISTER, analog, period_s=PERIOD_S),
        MapBlock("contacts", Table.DISCRETE_INPUT, status, period_s=PERIOD_S, gap=ROOM),
    )
    plain = RegisterMap(BAY_TYPE, blocks)
    return {MAP: plain, f"first_{MAP}": RegisterMap(BAY_TYPE, blocks, event_buffer=EVENTS)}


def stations(ports: list[int]) -> list[Station]:
    """One for each port."""
    return [_station(number, port) for number, port in enumerate(ports, start=1)]


def _station(address: int, port: int) -> Station:
    code = f"A{address:02}"
    endpoint = Endpoint(Protocol.MODBUS, "127.0.0.1", port)
    bays = tuple(_bay(code, address, number) for number in range(1, BAYS + 1))
    return Station(code, address, "", "", endpoint, (), (), bays, (), (), ())


def _bay(code: str, address: int, number: int) -> Bay:
    def point(place: int, name: str, kind: PointKind) -> Point:
        return Point(point_id(address, number, place), f"{code}/{number}/{name}", kind, "", "")

    points = [point(n, f"value_{n}", PointKind.MEASURED_VALUE) for n in range(1, ANALOG + 1)]
    points += [point(ANALOG + n, f"contact_{n}", PointKind.SINGLE_POINT) for n in range(1, STATUS + 1)]
    name = f"first_{MAP}" if number == 1 else MAP
    return Bay(str(number), number, BAY_TYPE, name, (number - 1) * ROOM, 22.0, tuple(points), ())
