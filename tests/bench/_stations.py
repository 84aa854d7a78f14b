"""Modbus stations in any number, made from those of the station files.

Knows the files and how a bay is repeated. Does not know who answers for them.
"""

from dataclasses import replace

from scada.config import SOURCE_ROOT
from scada.model.station import Bay, Protocol, Station
from scada.stationfile import load_province

FOLDER = SOURCE_ROOT / "substations"
ROOM = 40
"""Addresses for each bay added: the largest of a feeder or line bay needs 37."""


def stations(count: int, points: int) -> list[Station]:
    """``count`` stations from the Modbus ones of the files, in turn, each with a number of its own.

    Bays of lines and feeders are repeated until a station has ``points`` points.
    """
    known = [each for each in load_province(FOLDER).stations if each.endpoint.protocol is Protocol.MODBUS]
    return [_numbered(known[index % len(known)], index + 1, points) for index in range(count)]


def _numbered(station: Station, address: int, points: int) -> Station:
    code = f"B{address:03}"
    bays = [_bay(each, code, address, each.number, each.base) for each in station.bays]
    repeated = [each for each in station.bays if each.bay_type.startswith(("line", "feeder"))]
    base = max(each.base for each in station.bays) + ROOM
    number = 0
    while sum(len(each.points) for each in bays) < points:
        free = next(each for each in range(1, 255) if each not in {bay.number for bay in bays})
        bays.append(_bay(repeated[number % len(repeated)], code, address, free, base))
        number, base = number + 1, base + ROOM
    return replace(station, code=code, common_address=address, bays=tuple(bays), devices=(), terminals=(), loads=())


def _bay(bay: Bay, code: str, address: int, number: int, base: int) -> Bay:
    moved = tuple(
        replace(
            each, id=address << 16 | number << 8 | each.id & 0xFF, name=f"{code}/{number}/{each.name.split('/', 2)[2]}"
        )
        for each in bay.points
    )
    return replace(bay, number=number, base=base, points=moved, derived=())
