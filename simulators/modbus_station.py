"""A substation as a Modbus TCP server: the wire in front of a ``RegisterImage``.

Knows pymodbus and one socket. Does not know registers, orders or the plant.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Final

from pymodbus.constants import ExcCodes
from pymodbus.exceptions import NoSuchIdException
from pymodbus.server import ModbusTcpServer
from pymodbus.server.requesthandler import ServerRequestHandler
from pymodbus.simulator import DataType, SimData, SimDevice
from pymodbus.simulator.simcore import SimCore

from scada.model.ports import Clock
from simulators.listening import listen
from simulators.register_image import Denied, RegisterImage
from substations.wiretypes import Table

_TABLES: Final = {
    1: Table.COIL,
    2: Table.DISCRETE_INPUT,
    3: Table.HOLDING_REGISTER,
    4: Table.INPUT_REGISTER,
    5: Table.COIL,
    6: Table.HOLDING_REGISTER,
    15: Table.COIL,
    16: Table.HOLDING_REGISTER,
}
"""Function code to table (Modbus Application Protocol V1.1b3, 6)."""

_DENIALS: Final = {
    Denied.ADDRESS: ExcCodes.ILLEGAL_ADDRESS,
    Denied.VALUE: ExcCodes.ILLEGAL_VALUE,
    Denied.REFUSED: ExcCodes.DEVICE_FAILURE,
}


class _ImageStore(SimCore):
    """pymodbus' data store, answered from the units' ``RegisterImage`` instead of from lists of its own."""

    def __init__(self, units: Mapping[int, RegisterImage], clock: Clock) -> None:
        super().__init__(_placeholder(min(units)))
        self._units = units
        self._clock = clock

    async def async_getValues(  # noqa: N802  # pymodbus names the method
        self, device_id: int, func_code: int, address: int, count: int = 1
    ) -> list[int] | list[bool] | ExcCodes:
        found = self._unit(device_id).read(_TABLES[func_code], address, count)
        return _DENIALS[found] if isinstance(found, Denied) else found

    async def async_setValues(  # noqa: N802  # pymodbus names the method
        self, device_id: int, func_code: int, address: int, values: list[int] | list[bool]
    ) -> ExcCodes | None:
        written = [int(value) for value in values]
        denied = self._unit(device_id).write(_TABLES[func_code], address, written, self._clock())
        return None if denied is None else _DENIALS[denied]

    def _unit(self, device_id: int) -> RegisterImage:
        if device_id not in self._units:
            raise NoSuchIdException(f"unit {device_id} is not among {sorted(self._units)}")
        return self._units[device_id]


class _InTurn(ServerRequestHandler):
    """One connection, answering requests that arrive together one after the other; pymodbus answers one of them."""

    def __init__(self, owner: ModbusTcpServer) -> None:
        traces = (owner.trace_packet, owner.trace_pdu, owner.trace_connect)
        super().__init__(owner, *traces)  # type: ignore[no-untyped-call]  # pymodbus left it untyped
        self._unread = b""
        self._is_busy = False

    def callback_data(self, data: bytes, addr: tuple[str, int] | None = None) -> int:
        """Take everything: what the library still has of it when it answers, it throws away."""
        self._unread += data
        if not self._is_busy:
            self._begin_next(addr)
        return len(data)

    async def handle_request(self) -> None:
        """Answer the request at hand, then go on to the next."""
        try:
            await super().handle_request()  # type: ignore[no-untyped-call]
        finally:
            self._is_busy = False
            if self._unread:
                self._begin_next(self.last_addr)

    def _begin_next(self, addr: tuple[str, int] | None) -> None:
        self._unread = self._unread[super().callback_data(self._unread, addr) :]
        self._is_busy = self.last_pdu is not None


class _Server(ModbusTcpServer):
    """pymodbus' server with connections of that kind."""

    def callback_new_connection(self) -> ServerRequestHandler:
        """Of a client that has come."""
        return _InTurn(self)


class ModbusStation:
    """Serves the images of its units on one socket, from ``start`` to ``stop``."""

    def __init__(self, station: str, units: Mapping[int, RegisterImage], clock: Clock) -> None:
        self.station = station
        self._units = units
        self._clock = clock
        self._server: ModbusTcpServer | None = None

    async def start(self, host: str, port: int) -> int:
        """Listen and answer from now on; returns the port, of interest when 0 was asked for. Raises PortTaken."""
        opened = listen(host, port, self.station)
        server = _Server(_placeholder(min(self._units)), address=(host, port))
        server.context = _ImageStore(self._units, self._clock)
        server.call_create = partial(
            asyncio.get_running_loop().create_server, server.handle_new_connection, sock=opened
        )
        await server.serve_forever(background=True)
        self._server = server
        return int(opened.getsockname()[1])

    async def stop(self) -> None:
        """Close the socket and every connection."""
        if self._server is not None:
            shutdown: Callable[[], Awaitable[None]] = self._server.shutdown
            await shutdown()
            self._server = None


def _placeholder(unit_id: int) -> SimDevice:
    """pymodbus wants a device with registers before it accepts a store of our own."""
    return SimDevice(id=unit_id, simdata=[SimData(0, values=0, datatype=DataType.REGISTERS)])
