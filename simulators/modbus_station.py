"""A substation as a Modbus TCP server: the wire in front of a ``RegisterImage``.

Knows pymodbus and one socket. Does not know registers, orders or the plant.
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from pymodbus.constants import ExcCodes
from pymodbus.exceptions import NoSuchIdException
from pymodbus.server import ModbusTcpServer
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
    """pymodbus' data store, answered from a ``RegisterImage`` instead of from lists of its own."""

    def __init__(self, unit_id: int, image: RegisterImage, clock: Clock) -> None:
        super().__init__(_placeholder(unit_id))
        self._unit_id = unit_id
        self._image = image
        self._clock = clock

    async def async_getValues(  # noqa: N802  # pymodbus names the method
        self, device_id: int, func_code: int, address: int, count: int = 1
    ) -> list[int] | list[bool] | ExcCodes:
        found = self._image.read(self._table(device_id, func_code), address, count)
        return _DENIALS[found] if isinstance(found, Denied) else found

    async def async_setValues(  # noqa: N802  # pymodbus names the method
        self, device_id: int, func_code: int, address: int, values: list[int] | list[bool]
    ) -> ExcCodes | None:
        written = [int(value) for value in values]
        denied = self._image.write(self._table(device_id, func_code), address, written, self._clock())
        return None if denied is None else _DENIALS[denied]

    def _table(self, device_id: int, func_code: int) -> Table:
        if device_id != self._unit_id:
            raise NoSuchIdException(f"unit {device_id} is not {self._unit_id}")
        return _TABLES[func_code]


class ModbusStation:
    """Serves one image on one socket, from ``start`` to ``stop``."""

    def __init__(self, station: str, unit_id: int, image: RegisterImage, clock: Clock) -> None:
        self.station = station
        self._unit_id = unit_id
        self._image = image
        self._clock = clock
        self._server: ModbusTcpServer | None = None

    async def start(self, host: str, port: int) -> int:
        """Listen and answer from now on; returns the port, of interest when 0 was asked for. Raises PortTaken."""
        opened = listen(host, port, self.station)
        server = ModbusTcpServer(_placeholder(self._unit_id), address=(host, port))
        server.context = _ImageStore(self._unit_id, self._image, self._clock)
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
