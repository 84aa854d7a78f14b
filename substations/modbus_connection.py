"""One connection to a Modbus device: a question, its answer or the reason why none came.

Knows the field library and the deadlines. Does not know points, plans or what silence means for a station.

One request is outstanding at a time: several on one connection cost 44 ms a cycle instead of 2.6 (measured,
``docs/decisions``). Nothing is retried here and the library never reconnects by itself: whoever scans decides both.
"""

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from typing import Protocol

from pymodbus.client import AsyncModbusTcpClient
from pymodbus.exceptions import ModbusException
from pymodbus.pdu import ExceptionResponse, ModbusPDU

from scada.model.errors import LinkError
from scada.model.station import Endpoint
from substations.layout import RawArray
from substations.modbus_frames import ANSWERS, NotUsable, is_modbus, raw_of
from substations.wiretypes import Table


class Silence(Exception):
    """A request that was not answered, or not usably."""


class Refusal(Exception):
    """The device's exception code for a read."""

    def __init__(self, code: int) -> None:
        super().__init__(f"exception {code}")
        self.code = code


class _Read(Protocol):
    def __call__(self, address: int, *, count: int, device_id: int) -> Awaitable[ModbusPDU]: ...


class ModbusConnection:
    """Opened again and again; ``round_trips`` counts the requests of all times."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._client: AsyncModbusTcpClient | None = None
        self._reads: Mapping[Table, _Read] = {}
        self._deadline: asyncio.Timeout | None = None
        self._loss = ""
        self.round_trips = 0

    async def open(self) -> None:
        """Connect anew. Raises LinkError."""
        self.close()
        endpoint = self._endpoint
        client = AsyncModbusTcpClient(
            endpoint.host,
            port=endpoint.port,
            timeout=endpoint.timeout_s,
            retries=0,
            reconnect_delay=0,
            trace_packet=self._screen,
            trace_connect=self._connection_changed,
        )
        for answer in ANSWERS:
            client.register(answer)
        self._loss = ""
        if not await client.connect():
            client.close()
            raise LinkError(f"cannot connect to {endpoint.host}:{endpoint.port}")
        self._client = client
        self._reads = {
            Table.COIL: client.read_coils,
            Table.DISCRETE_INPUT: client.read_discrete_inputs,
            Table.HOLDING_REGISTER: client.read_holding_registers,
            Table.INPUT_REGISTER: client.read_input_registers,
        }

    def close(self) -> None:
        """Disconnect, if connected."""
        if self._client is not None:
            self._client.close()
            self._client = None

    async def read(self, table: Table, start: int, count: int) -> RawArray:
        """The raw bytes of addresses [start, start + count). Raises Refusal and Silence, LinkError when not open."""
        self._living()
        response = await self._answered(self._reads[table](start, count=count, device_id=self._endpoint.unit_id))
        if isinstance(response, ExceptionResponse):
            raise Refusal(response.exception_code)
        try:
            return raw_of(table, count, response)
        except NotUsable as error:
            raise Silence(str(error)) from None

    async def write(self, table: Table, address: int, words: Sequence[int]) -> None:
        """Write holding registers, or one coil. Raises Refusal and Silence, LinkError when not open."""
        client = self._living()
        unit = self._endpoint.unit_id
        if table is Table.COIL:
            response = await self._answered(client.write_coil(address, bool(words[0]), device_id=unit))
        else:
            response = await self._answered(client.write_registers(address, list(words), device_id=unit))
        if isinstance(response, ExceptionResponse):
            raise Refusal(response.exception_code)

    def _living(self) -> AsyncModbusTcpClient:
        if self._client is None:
            raise LinkError("is not open")
        if self._loss or not self._client.connected:
            raise Silence(self._loss or "connection closed by the station")
        return self._client

    async def _answered(self, request: Awaitable[ModbusPDU]) -> ModbusPDU:
        self.round_trips += 1
        try:
            # The time for an answer is the library's; ours is set to now when the connection is lost meanwhile.
            async with asyncio.timeout(None) as self._deadline:
                return await request
        except (TimeoutError, ModbusException):
            raise Silence(self._why()) from None
        finally:
            self._deadline = None

    def _why(self) -> str:
        return self._loss or f"no answer within {self._endpoint.timeout_s:g} s"

    def _connection_changed(self, connected: bool) -> None:  # noqa: FBT001 -- the library's signature
        if not connected:
            self._give_up("connection closed by the station")

    def _screen(self, sending: bool, data: bytes) -> bytes:  # noqa: FBT001 -- the library's signature
        """Bytes that are no Modbus end the request at once; the library would raise into the event loop or wait."""
        if sending or is_modbus(data):
            return data
        self._give_up("garbage on the connection")
        return b""

    def _give_up(self, reason: str) -> None:
        self._loss = self._loss or reason
        if self._deadline is not None:
            self._deadline.reschedule(asyncio.get_running_loop().time())
