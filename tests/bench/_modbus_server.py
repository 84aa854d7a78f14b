"""A Modbus TCP server so lean that it does not become what is measured.

Knows frames of functions 1 to 4 and 16. Does not know points: a device answers with the bytes of its tables.
"""

import asyncio
import struct
from collections.abc import Sequence
from typing import Final
from typing import Protocol as Interface

_REQUEST: Final = struct.Struct(">HHHBBHH")
"""MBAP header, function, start, count: the 12 bytes of every read and the beginning of a write."""
_HEADER: Final = struct.Struct(">HHHBBB")
_WRITE_REGISTERS: Final = 16


class Device(Interface):
    """What stands behind one port."""

    def read(self, function: int, start: int, count: int) -> bytes:
        """The data bytes of an answer to functions 1 to 4."""
        ...

    def write(self, start: int, words: Sequence[int]) -> None:
        """Registers were written."""
        ...


class _Conversation(asyncio.Protocol):
    def __init__(self, device: Device) -> None:
        self._device = device
        self._waiting = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._waiting += data
        while len(self._waiting) >= _REQUEST.size:
            number, _, length, unit, function, start, count = _REQUEST.unpack_from(self._waiting)
            frame, self._waiting = self._waiting[: 6 + length], self._waiting[6 + length :]
            if function == _WRITE_REGISTERS:
                self._device.write(start, struct.unpack_from(f">{count}H", frame, _REQUEST.size + 1))
                self._transport.write(_REQUEST.pack(number, 0, 6, unit, function, start, count))
                continue
            answer = self._device.read(function, start, count)
            self._transport.write(_HEADER.pack(number, 0, 3 + len(answer), unit, function, len(answer)) + answer)


async def listen(device: Device) -> tuple[asyncio.Server, int]:
    """Answer for ``device`` on a free port of loopback."""
    server = await asyncio.get_running_loop().create_server(lambda: _Conversation(device), "127.0.0.1", 0)
    return server, int(server.sockets[0].getsockname()[1])
