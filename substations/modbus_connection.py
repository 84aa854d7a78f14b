"""One connection to a Modbus device: a question, its answer or the reason why none came.

Knows the field library and the deadlines. Does not know points, plans or what silence means for a station.

One request is outstanding at a time, or as many reads as whoever asks sends together: which devices allow that is not
known here. Nothing is retried here and the library never reconnects by itself: whoever scans decides both.

The library connects, writes and notices a loss. A read, which is what happens all day, goes over its transport as bytes
and its answer is found in what came: half of what the library takes for it (``docs/decisions``).
"""

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from pymodbus.client import AsyncModbusTcpClient
from pymodbus.exceptions import ModbusException
from pymodbus.pdu import ExceptionResponse, ModbusPDU

from scada.model.errors import LinkError
from scada.model.station import MOST_TRANSACTIONS, Endpoint
from substations.layout import RawArray
from substations.modbus_frames import NotUsable, Refusal, answer_in, is_modbus, question, raw_of
from substations.wiretypes import Table

_ROOM: Final = 2 * MOST_TRANSACTIONS * 260
"""Bytes that may come for what was sent together: the library drops all of them where more come."""


class Silence(Exception):
    """A request that was not answered, or not usably."""


class Wanted(NamedTuple):
    """Addresses [start, start + quantity) of a unit's table."""

    unit: int
    table: Table
    start: int
    quantity: int


@dataclass(slots=True, eq=False)
class Question:
    """A read that is out."""

    number: int
    wanted: Wanted
    answer: asyncio.Future[bytes]


class ModbusConnection:
    """Opened again and again; ``round_trips`` counts the requests of all times."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._client: AsyncModbusTcpClient | None = None
        self._session = 0
        self._number = 0
        self._questions: list[Question] = []
        self._deadline: asyncio.Timeout | None = None
        """Of a write that is out."""
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
        client.ctx.max_buffer_size = _ROOM
        self._loss = ""
        if not await client.connect():
            client.close()
            raise LinkError(f"cannot connect to {endpoint.host}:{endpoint.port}")
        self._client = client
        self._session += 1

    @property
    def session(self) -> int | None:
        """Number of the connection, None when there is none that lives: each ``open`` makes another one."""
        lives = self._client is not None and self._client.connected and not self._loss
        return self._session if lives else None

    def close(self) -> None:
        """Disconnect, if connected."""
        if self._client is not None:
            self._client.close()
            self._client = None

    async def read(self, unit: int, table: Table, start: int, count: int) -> RawArray:
        """The raw bytes of a unit's addresses [start, start + count). Raises Refusal and Silence, LinkError when not
        open."""
        (one,) = self.ask((Wanted(unit, table, start, count),))
        try:
            return await self.answer(one)
        finally:
            self.forget()

    def ask(self, reads: Sequence[Wanted]) -> Sequence[Question]:
        """Send reads together, at most MOST_TRANSACTIONS; until ``forget`` their answers may come, in any order.

        Raises Silence when the connection is lost, LinkError when not open.
        """
        client, loop = self._living(), asyncio.get_running_loop()
        questions: list[Question] = []
        for wanted in reads:
            self._number = self._number % 0xFFFF + 1
            questions.append(Question(self._number, wanted, loop.create_future()))
        self.round_trips += len(questions)
        self._questions = questions
        # One write: with every one the library throws away what it has received.
        client.ctx.send(b"".join([question(each.number, *each.wanted) for each in questions]))
        return questions

    def forget(self) -> None:
        """No answer is waited for any more."""
        for each in self._questions:
            if not each.answer.cancel() and not each.answer.cancelled():
                each.answer.exception()  # or asyncio would complain of one that nobody has waited for
        self._questions = []

    async def answer(self, one: Question) -> RawArray:
        """The raw bytes one question asks for, within the time for an answer from now. Raises Refusal and Silence."""
        deadline = asyncio.get_running_loop().call_later(self._endpoint.timeout_s, self._fail)
        try:
            return raw_of(one.wanted.table, one.wanted.quantity, await one.answer)
        except NotUsable as error:
            raise Silence(str(error)) from None
        finally:
            deadline.cancel()

    async def write(self, unit: int, address: int, words: Sequence[int]) -> None:
        """Write holding registers of a unit. Raises Refusal and Silence, LinkError when not open."""
        client = self._living()
        await self._written(client.write_registers(address, list(words), device_id=unit))

    async def write_one(self, unit: int, table: Table, address: int, word: int) -> None:
        """Write a coil or a holding register. Raises as ``write``."""
        client = self._living()
        if table is Table.COIL:
            await self._written(client.write_coil(address, bool(word), device_id=unit))
        else:
            await self._written(client.write_register(address, word, device_id=unit))

    def _living(self) -> AsyncModbusTcpClient:
        if self._client is None:
            raise LinkError("is not open")
        if self._loss or not self._client.connected:
            raise Silence(self._loss or "connection closed by the station")
        return self._client

    async def _written(self, request: Awaitable[ModbusPDU]) -> None:
        self.round_trips += 1
        try:
            # The time for an answer is the library's; ours is set to now when the connection is lost meanwhile.
            async with asyncio.timeout(None) as self._deadline:
                answer = await request
        except (TimeoutError, ModbusException):
            raise Silence(self._why()) from None
        finally:
            self._deadline = None
        if isinstance(answer, ExceptionResponse):
            raise Refusal(answer.exception_code)

    def _why(self) -> str:
        return self._loss or f"no answer within {self._endpoint.timeout_s:g} s"

    def _connection_changed(self, connected: bool) -> None:  # noqa: FBT001 -- the library's signature
        if not connected:
            self._give_up("connection closed by the station")

    def _screen(self, sending: bool, data: bytes) -> bytes:  # noqa: FBT001 -- the library's signature
        """What the library sends, or shall see of what it has received since the last request.

        Bytes that are no Modbus end the request at once; the library would raise into the event loop or wait.
        """
        if sending:
            return data
        if not is_modbus(data):
            self._give_up("garbage on the connection")
        elif self._deadline is not None:
            return data
        else:
            self._find_answers(data)
        return b""

    def _find_answers(self, data: bytes) -> None:
        alone = len(self._questions) == 1
        for each in self._questions:
            if (
                not each.answer.done()
                and (found := answer_in(data, each.number, each.wanted.unit, alone=alone)) is not None
            ):
                each.answer.set_result(found)

    def _give_up(self, reason: str) -> None:
        self._loss = self._loss or reason
        if self._deadline is not None:
            self._deadline.reschedule(asyncio.get_running_loop().time())
        self._fail()

    def _fail(self) -> None:
        """The reads that are out get no answer."""
        for each in self._questions:
            if not each.answer.done():
                each.answer.set_exception(Silence(self._why()))
