"""A listener in front of a station's server that can refuse, fall silent or cut an answer in half.

Knows bytes and connections. Does not know the protocol inside: the same relay serves Modbus TCP and OPC UA. It stands
only in front of stations a fault was asked for; all others are reached directly.
"""

import asyncio
import logging
from contextlib import suppress

from simulators.impairments import Impairment
from simulators.listening import listen

_CHUNK = 65536
_log = logging.getLogger(__name__)


class ImpairedLink:
    """Relays ``host:port`` to ``target``; ``impair`` changes what it does from the next byte on."""

    def __init__(self, station: str, host: str, port: int, target: tuple[str, int]) -> None:
        self.station = station
        self._host = host
        self._port = port
        self._target = target
        self._impairment = Impairment.NONE
        self._server: asyncio.Server | None = None
        self._connections: dict[asyncio.Task[None], list[asyncio.StreamWriter]] = {}

    @property
    def address(self) -> tuple[str, int]:
        """Where the relay listens; the real port once started, also when 0 was asked for."""
        return self._host, self._port

    async def start(self) -> None:
        """Listen. Raises PortTaken."""
        await self._listen()

    async def impair(self, impairment: Impairment) -> None:
        """From now on do this. Leaving SILENT closes the connections that lost bytes, as a reboot does."""
        before, self._impairment = self._impairment, impairment
        if impairment is before:
            return
        _log.info("%s link now %s, was %s", self.station, impairment.value, before.value)
        if impairment is Impairment.REFUSE:
            await self._stop_listening()
        elif before is Impairment.REFUSE:
            await self._listen()
        if impairment is Impairment.REFUSE or before is Impairment.SILENT:
            await self._close_connections()

    async def stop(self) -> None:
        """Close the listener and every connection; waits for their tasks."""
        await self._stop_listening()
        await self._close_connections()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._relay, sock=listen(self._host, self._port, self.station))
        self._port = self._server.sockets[0].getsockname()[1]

    async def _stop_listening(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _close_connections(self) -> None:
        tasks = list(self._connections)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        writers = self._connections[task] = [writer]
        pumps: list[asyncio.Task[None]] = []
        # A reset by either side ends the connection; a cancellation is our own stop and leaves nobody to tell.
        try:
            with suppress(OSError, asyncio.CancelledError):
                far_reader, far_writer = await asyncio.open_connection(*self._target)
                writers.append(far_writer)
                pumps += [
                    asyncio.create_task(self._pump(reader, far_writer, answers=False), name=f"{self.station} requests"),
                    asyncio.create_task(self._pump(far_reader, writer, answers=True), name=f"{self.station} answers"),
                ]
                await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            for each in writers:
                each.close()
            self._connections.pop(task, None)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, answers: bool) -> None:
        while chunk := await reader.read(_CHUNK):
            if self._impairment is Impairment.SILENT:
                continue
            if self._impairment is Impairment.CUT and answers:
                writer.write(chunk[: len(chunk) // 2])
                await writer.drain()
                return
            writer.write(chunk)
            await writer.drain()
