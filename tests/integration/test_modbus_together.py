"""Claims about reads that are under way at once, where a device allows it, and about a device that does not."""

import asyncio
import logging
import struct
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from itertools import count

import pytest

from scada.model.cause import Cause
from scada.model.errors import LinkError
from scada.model.quality import Quality
from scada.model.station import Endpoint, Protocol
from substations import modbus_cycle
from substations.link import ScanAnswer
from substations.modbus import ModbusLink
from substations.modbus_cycle import ALONE_AT_FIRST
from substations.registers import BoundPoint, StationRegisters
from substations.wiretypes import Table, WireType
from tests.fakes_libmodbus import LibmodbusServer
from tests.fakes_substations import make_entry

pytestmark = pytest.mark.integration

UNIT = 1
PATIENT_S, TIMEOUT_S = 30.0, 1.5
"""For a device that answers, never waited for; and for one that does not."""
PLACES = (0, 10, 20, 30, 40, 50)
"""So far apart that each is a read of its own."""
POINTS = [make_entry(each, Table.INPUT_REGISTER, each, WireType.UINT16) for each in PLACES]

Frames = list[bytes]
Behaviour = Callable[[Frames], Frames]
"""What a device says to the requests that are waiting for it."""


def reply(request: bytes) -> bytes:
    """The right answer of a device whose registers hold their own address."""
    number, _, _, unit, function, start, quantity = struct.unpack(">HHHBBHH", request)
    pdu = struct.pack(f">BB{quantity}H", function, 2 * quantity, *range(start, start + quantity))
    return struct.pack(">HHHB", number, 0, len(pdu) + 1, unit) + pdu


def exception(request: bytes, code: int) -> bytes:
    return request[:4] + struct.pack(">HBBB", 3, UNIT, request[7] | 0x80, code)


def replies(waiting: Frames) -> Frames:
    return [reply(each) for each in waiting]


class Device:
    """Collects requests until ``full`` wait or ``pause_s`` have passed since the last, then says what it says."""

    def __init__(self, says: Behaviour, full: int, pause_s: float) -> None:
        self.says, self.full, self.pause_s = says, full, pause_s
        self.together: list[int] = []
        """How many requests waited each time."""
        self.writers: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        waiting: Frames = []
        try:
            while True:
                try:
                    async with asyncio.timeout(self.pause_s if waiting else None):
                        waiting.append(await reader.readexactly(12))
                except TimeoutError:
                    pass
                else:
                    if len(waiting) < self.full:
                        continue
                self.together.append(len(waiting))
                for each in self.says(waiting):
                    writer.write(each)
                waiting = []
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()


@asynccontextmanager
async def device(says: Behaviour = replies, *, full: int, pause_s: float = 60.0) -> AsyncIterator[tuple[Device, int]]:
    one = Device(says, full, pause_s)
    server = await asyncio.start_server(one.serve, "127.0.0.1", 0)
    try:
        yield one, server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for each in one.writers:
            each.close()


@asynccontextmanager
async def connected(
    port: int, *, max_transactions: int, points: Sequence[BoundPoint] = POINTS, timeout_s: float = PATIENT_S
) -> AsyncIterator[ModbusLink]:
    end = Endpoint(Protocol.MODBUS, "127.0.0.1", port, UNIT, timeout_s=timeout_s, max_transactions=max_transactions)
    moments = count(1)
    link = ModbusLink(end, StationRegisters("TN07", tuple(points), ()), lambda: next(moments))
    await link.open()
    try:
        yield link
    finally:
        await link.close()


def impatient(port: int) -> AbstractAsyncContextManager[ModbusLink]:
    return connected(port, max_transactions=4, timeout_s=TIMEOUT_S)


async def scanned(link: ModbusLink) -> tuple[dict[int, float], ScanAnswer]:
    """The values by address, and the answer itself."""
    answer = await link.scan(1.0, Cause.SPONTANEOUS)
    places = {each.point.id: each.address for each in POINTS}
    return {places[row["point"].item()]: row["value"].item() for row in answer.batch}, answer


ALL_RIGHT = {each: float(each) for each in PLACES}


async def test_as_many_reads_are_under_way_as_the_device_allows() -> None:
    # It answers nothing before four wait; of the last two, no third one comes.
    async with device(full=4, pause_s=0.5) as (one, port), connected(port, max_transactions=4) as link:
        values, answer = await scanned(link)
        assert values == ALL_RIGHT
        assert answer.failed == ()
        assert one.together == [4, 2]
        assert link.counts.round_trips == 6
        assert link.counts.errors == 0


async def test_without_a_word_about_it_one_read_is_under_way() -> None:
    async with device(full=2, pause_s=0.05) as (one, port), connected(port, max_transactions=1) as link:
        assert (await scanned(link))[0] == ALL_RIGHT
        assert one.together == [1] * len(PLACES)


async def test_answers_may_come_in_any_order_and_each_has_the_time_of_its_own() -> None:
    backwards = device(lambda waiting: replies(waiting)[::-1], full=6)
    async with backwards as (_, port), connected(port, max_transactions=6) as link:
        values, answer = await scanned(link)
        assert values == ALL_RIGHT
        assert len(set(answer.batch["time"].tolist())) == len(PLACES)


async def test_answers_may_come_in_pieces_of_any_size() -> None:
    def crumbled(waiting: Frames) -> Frames:
        whole = b"".join(replies(waiting))
        return [whole[:5], whole[5:30], whole[30:]]

    async with device(crumbled, full=6) as (_, port), connected(port, max_transactions=6) as link:
        assert (await scanned(link))[0] == ALL_RIGHT


async def test_a_refused_read_costs_the_others_under_way_nothing() -> None:
    def refusing(waiting: Frames) -> Frames:
        """Server device failure (4) for address 20."""
        return [exception(each, 4) if each[9] == 20 else reply(each) for each in waiting]

    async with device(refusing, full=6) as (_, port), connected(port, max_transactions=6) as link:
        values, answer = await scanned(link)
        assert values == {place: float(place) for place in PLACES if place != 20}
        assert [each.quality for each in answer.failed] == [Quality.INVALID]


@pytest.mark.parametrize(
    "says",
    [
        lambda waiting: replies(waiting)[:1],
        lambda waiting: replies(waiting) if len(waiting) == 1 else [],
        lambda waiting: [b"\0\0" + each[2:] for each in replies(waiting)],
        lambda waiting: [*replies(waiting[:1]), *(exception(each, 6) for each in waiting[1:])],
    ],
    ids=["answers one of several", "answers none of several", "repeats no number", "says that it is busy"],
)
async def test_a_device_that_does_not_allow_it_is_asked_one_at_a_time_and_loses_nothing(
    says: Behaviour, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    async with device(says, full=4, pause_s=0.05) as (one, port), impatient(port) as link:
        values, answer = await scanned(link)
        assert values == ALL_RIGHT
        assert answer.failed == ()
        assert link.counts.errors >= 1
        assert f"not 4 at once: asked one at a time for {ALONE_AT_FIRST} scans" in caplog.text
        before = len(one.together)
        assert (await scanned(link))[0] == ALL_RIGHT
        assert one.together[before:] == [1] * len(PLACES)


async def test_what_was_asked_one_at_a_time_for_a_while_is_asked_together_again(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have been the line that stood still; a device that cannot is asked so ever more seldom."""
    monkeypatch.setattr(modbus_cycle, "ALONE_AT_FIRST", 2)
    asked: list[list[int]] = []
    async with (
        device(lambda waiting: replies(waiting)[:1], full=4, pause_s=0.05) as (one, port),
        impatient(port) as link,
    ):
        for number in range(9):
            before = len(one.together)
            assert (await scanned(link))[0] == ALL_RIGHT
            asked.append(one.together[before:])
            if number == 3:
                one.says = replies
    alone = [1] * len(PLACES)
    assert [each[0] for each in asked] == [4, 1, 1, 4, 1, 1, 1, 1, 4]
    assert asked[1:3] + asked[4:8] == [alone] * 6
    assert asked[8] == [4, 2]
    sentence = "asked one at a time for {} scans"
    assert [sentence.format(scans) in caplog.text for scans in (2, 4)] == [True, True]


async def test_a_station_that_goes_away_under_several_reads_is_not_said_to_answer_them_one_at_a_time(
    caplog: pytest.LogCaptureFixture,
) -> None:
    refused: list[bool] = []

    async def no_more() -> bool:
        refused.append(True)
        return False

    async with device(lambda waiting: replies(waiting)[:1], full=4, pause_s=0.05) as (_, port), impatient(port) as link:
        link._cycle.reopened = no_more  # type: ignore[method-assign]  # the port of a device that is gone
        await scanned(link)
    assert refused
    assert "at once" not in caplog.text


async def test_a_read_that_stays_silent_alone_too_is_to_blame_itself() -> None:
    def never_20(waiting: Frames) -> Frames:
        return replies([each for each in waiting if each[9] != 20])

    async with device(never_20, full=4, pause_s=0.05) as (one, port), impatient(port) as link:
        values, answer = await scanned(link)
        assert values == {place: float(place) for place in PLACES if place != 20}
        assert [each.quality for each in answer.failed] == [Quality.NOT_TOPICAL]
        before = len(one.together)
        values, answer = await scanned(link)
        assert len(values) == len(PLACES) - 1
        assert len(answer.failed) == 1
        assert one.together[before:] == [4, 1], "the silent one rests, and the others are asked together again"


async def test_a_connection_that_ends_under_several_reads_is_taken_up_again() -> None:
    async with device(full=4, pause_s=0.5) as (one, port), connected(port, max_transactions=4) as link:

        def end_once(waiting: Frames) -> Frames:
            one.says = replies
            one.writers[-1].close()
            return []

        one.says = end_once
        values, answer = await scanned(link)
        assert values == ALL_RIGHT
        assert answer.failed == ()
        before = len(one.together)
        assert (await scanned(link))[0] == ALL_RIGHT
        assert one.together[before:] == [4, 2], "a lost connection says nothing about what a device allows"


async def test_a_device_that_is_busy_with_one_read_as_well_is_not_said_to_be_asked_too_many(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def busy_with_20(waiting: Frames) -> Frames:
        return [exception(each, 6) if each[9] == 20 else reply(each) for each in waiting]

    async with device(busy_with_20, full=4, pause_s=0.05) as (one, port), impatient(port) as link:
        values, answer = await scanned(link)
        assert values == {place: float(place) for place in PLACES if place != 20}
        assert len(answer.failed) == 1
        before = len(one.together)
        assert len((await scanned(link))[0]) == len(PLACES) - 1
        assert one.together[before:] == [4, 1], "it rests, and the others are asked together"
    assert "at once" not in caplog.text


async def test_a_dead_station_is_lost_however_many_reads_are_under_way(caplog: pytest.LogCaptureFixture) -> None:
    async with device(lambda _: [], full=4, pause_s=0.05) as (_, port), impatient(port) as link:
        with pytest.raises(LinkError, match="no answer within"):
            await link.scan(1.0, Cause.SPONTANEOUS)
    assert "at once" not in caplog.text, "it does not tell what it allows"


async def test_a_scan_that_is_cancelled_under_several_reads_leaves_nothing_behind(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def one_of_them(waiting: Frames) -> Frames:
        heard.set()
        return replies(waiting)[1:2]

    heard = asyncio.Event()
    async with device(one_of_them, full=6) as (one, port), connected(port, max_transactions=6) as link:
        scan = asyncio.create_task(link.scan(1.0, Cause.SPONTANEOUS))
        await heard.wait()
        scan.cancel()
        with pytest.raises(asyncio.CancelledError):
            await scan
        one.says = replies
        await link.open()
        assert (await scanned(link))[0] == ALL_RIGHT
    assert "never retrieved" not in caplog.text


async def test_a_libmodbus_device_answers_reads_that_are_under_way_at_once() -> None:
    with LibmodbusServer(UNIT) as one:
        for each in PLACES:
            one.tables.tab_input_registers[each] = 1000 + each
        async with connected(one.port, max_transactions=6) as link:
            values, answer = await scanned(link)
            assert values == {each: 1000.0 + each for each in PLACES}
            assert answer.failed == ()
