"""A Modbus device written by hand, for the tests: it answers as told, or not at all."""

import asyncio
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass
class Device:
    """A Modbus device written by hand: 0..99 of every table hold their own address, bits are odd addresses.

    ``answer`` may replace the bytes of an answer; None means silence, an exception closes the connection.
    """

    answer: Callable[[bytes, bytes], bytes | None] = lambda _request, answer: answer
    requests: list[tuple[int, int, int]] = field(default_factory=list)
    connections: int = 0
    port: int = 0
    writers: list[asyncio.StreamWriter] = field(default_factory=list)
    server: asyncio.Server | None = None

    async def start(self) -> None:
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self.server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        assert self.server is not None
        self.server.close()
        for writer in self.writers:
            writer.close()
        await asyncio.gather(*(writer.wait_closed() for writer in self.writers), return_exceptions=True)
        self.writers.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writers.append(writer)
        try:
            while True:
                request = await reader.readexactly(12)
                tid, _, _, unit, function, start, count = struct.unpack(">HHHBBHH", request)
                self.requests.append((function, start, count))
                if start + count > 100:
                    pdu = bytes([function | 0x80, 2])
                elif function <= 2:
                    bits = sum(1 << n for n in range(count) if (start + n) % 2)
                    data = bits.to_bytes((count + 7) // 8, "little")
                    pdu = bytes([function, len(data)]) + data
                else:
                    pdu = struct.pack(f">BB{count}H", function, count * 2, *range(start, start + count))
                reply = struct.pack(">HHHB", tid, 0, len(pdu) + 1, unit) + pdu
                answer = self.answer(request, reply)
                if answer is not None:
                    writer.write(answer)
        except (asyncio.IncompleteReadError, ConnectionError, EOFError):
            writer.close()


@asynccontextmanager
async def device(answer: Callable[[bytes, bytes], bytes | None] | None = None) -> AsyncIterator[Device]:
    """A running device."""
    one = Device() if answer is None else Device(answer)
    await one.start()
    try:
        yield one
    finally:
        await one.stop()
