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
        server = ModbusTcpServer(_placeholder(min(self._units)), address=(host, port))
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
