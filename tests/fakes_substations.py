"""Small stations, points and entries for the tests of this room."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from scada.model.point import Point, PointKind, point_id
from scada.model.station import Bay, CommandPoint, Endpoint, Protocol, Station
from substations.registers import BoundPoint
from substations.wiretypes import Order, Table, WireType


@contextmanager
def own_port() -> Iterator[int]:
    """A port nobody else gets meanwhile; who listens on it may come and go."""
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", 0))
        yield int(held.getsockname()[1])


def make_point(
    number: int = 1, *, name: str = "", kind: PointKind = PointKind.MEASURED_VALUE, **fields: object
) -> Point:
    """Point ``number`` of bay 171 of TN07."""
    point = Point(point_id(7, 1 + number // 256, 1 + number % 255), name or f"TN07/171/P{number}", kind, "", "")
    return replace(point, **fields)  # type: ignore[arg-type]  # tests pass fields by name


def make_entry(number: int, table: Table, address: int, wire_type: WireType, **fields: object) -> BoundPoint:
    """One bound point with unit scale, read every second, no gaps."""
    entry = BoundPoint(make_point(number), 1, table, address, wire_type, Order.ABCD, 0, 1, 1.0, 0.0, None, None, 1.0, 0)
    return replace(entry, **fields)  # type: ignore[arg-type]  # tests pass fields by name


def make_station(
    points: tuple[Point, ...],
    *,
    map_name: str = "feeder_22.modbus",
    commands: tuple[CommandPoint, ...] = (),
    port: int = 0,
    base: int = 0,
    protocol: Protocol = Protocol.MODBUS,
    timeout_s: float = 30.0,
) -> Station:
    """TN07 with one bay 171 of type feeder_22 that holds ``points``."""
    bay = Bay("171", 1, "feeder_22", map_name, base, 22.0, points, commands)
    endpoint = Endpoint(protocol, "127.0.0.1", port, timeout_s=timeout_s)
    return Station("TN07", 7, "Trạm 7", "Station 7", endpoint, (), (), (bay,), (), (), ())
