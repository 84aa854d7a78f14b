"""Claims about the Modbus link, over loopback: against pymodbus' own server, and against a device that misbehaves."""

import asyncio
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import numpy as np
import pytest
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from scada.config import ScanConfig
from scada.model.cause import Cause
from scada.model.errors import LinkError
from scada.model.quality import Quality
from scada.model.sample import SampleArray
from scada.model.station import Endpoint, Protocol
from substations.link import ScanAnswer
from substations.modbus import ModbusLink
from substations.registers import BoundFreeze, BoundPoint, StationRegisters
from substations.scan import StationScan, scan_stations
from substations.scancounts import LinkState
from substations.wiretypes import Table, WireType
from tests.fakes_modbus import Device, device
from tests.fakes_substations import make_entry, own_port

pytestmark = pytest.mark.integration

NOW = 1_700_000_000_000_000
GOOD = Cause.SPONTANEOUS
PATIENT_S = 30.0
"""For a device that answers: never waited for, whatever else the machine does."""
TIMEOUT_S = 1.0
"""For one that leaves something unanswered: long for what comes, a connection at least, short for what does not."""


def entries(*addresses: int, table: Table = Table.INPUT_REGISTER, period_s: float = 1.0) -> list[BoundPoint]:
    wire_type = WireType.BIT if table.of_bits else WireType.UINT16
    return [make_entry(address, table, address, wire_type, period_s=period_s) for address in addresses]


def make_link(port: int, points: list[BoundPoint], timeout_s: float = PATIENT_S) -> ModbusLink:
    endpoint = Endpoint(Protocol.MODBUS, "127.0.0.1", port, unit_id=7, timeout_s=timeout_s)
    return ModbusLink(endpoint, StationRegisters("TN07", tuple(points), ()), lambda: NOW)


async def scan_once(one: Device, points: list[BoundPoint], timeout_s: float = PATIENT_S) -> ScanAnswer:
    link = make_link(one.port, points, timeout_s)
    await link.open()
    try:
        return await link.scan(1.0, GOOD)
    finally:
        await link.close()


def by_number(points: list[BoundPoint], batch: SampleArray) -> dict[int, float]:
    numbers = {each.point.id: each.address for each in points}
    return {
        numbers[point]: value for point, value in zip(batch["point"].tolist(), batch["value"].tolist(), strict=True)
    }


def exceptional(code: int, start: int) -> Callable[[bytes, bytes], bytes]:
    def answer(request: bytes, reply: bytes) -> bytes:
        if struct.unpack(">H", request[8:10])[0] != start:
            return reply
        return reply[:4] + struct.pack(">HBBB", 3, reply[6], reply[7] | 0x80, code)

    return answer


@pytest.mark.parametrize("table", Table)
async def test_values_of_every_table_arrive_with_the_scans_time_and_cause(table: Table) -> None:
    points = entries(3, 4, 5, 20, table=table)
    async with device() as one:
        answer = await scan_once(one, points)
    wanted = {address: float(address % 2 if table.of_bits else address) for address in (3, 4, 5, 20)}
    assert by_number(points, answer.batch) == wanted
    assert set(answer.batch["time"].tolist()) == {NOW}
    assert set(answer.batch["cause"].tolist()) == {int(GOOD)}
    assert set(answer.batch["quality"].tolist()) == {0}
    assert sorted(one.requests) == [(one.requests[0][0], 3, 3), (one.requests[0][0], 20, 1)]


async def test_the_library_s_own_server_is_understood() -> None:
    values = [*struct.pack(">f", 110.5), *struct.pack(">h", -300)]
    registers = [values[n] << 8 | values[n + 1] for n in range(0, 6, 2)]
    server = ModbusTcpServer(
        SimDevice(id=7, simdata=[SimData(0, values=registers, datatype=DataType.REGISTERS)]), address=("127.0.0.1", 0)
    )
    await server.serve_forever(background=True)
    try:
        port = server.transport.sockets[0].getsockname()[1]
        points = [make_entry(1, Table.INPUT_REGISTER, 0, WireType.FLOAT32, unit=7)]
        points.append(make_entry(2, Table.INPUT_REGISTER, 2, WireType.INT16, scale=0.1, unit=7))
        link = make_link(port, points)
        await link.open()
        answer = await link.scan(1.0, GOOD)
        await link.close()
    finally:
        await server.shutdown()
    assert answer.batch["value"].tolist() == pytest.approx([-30.0, 110.5])


@pytest.mark.parametrize(
    ("code", "quality", "meaning"),
    [
        (2, Quality.INVALID, "illegal data address"),
        (6, Quality.NOT_TOPICAL, "server device busy"),
        (99, Quality.INVALID, "exception 99"),
    ],
)
async def test_an_exception_for_one_block_leaves_the_others_good(code: int, quality: Quality, meaning: str) -> None:
    points = entries(3, 10, 20)
    async with device(exceptional(code, 10)) as one:
        answer = await scan_once(one, points)
    assert by_number(points, answer.batch) == {3: 3.0, 20: 20.0}
    assert [(each.quality, each.reason) for each in answer.failed] == [(quality, f"input_register 10..10: {meaning}")]
    assert answer.failed[0].points.tolist() == [points[1].point.id]


async def test_an_implausible_value_is_overflow_and_kept() -> None:
    entry = make_entry(30, Table.INPUT_REGISTER, 30, WireType.UINT16)
    entry = replace(entry, point=replace(entry.point, low=0.0, high=25.0))
    async with device() as one:
        answer = await scan_once(one, [entry])
    assert answer.batch[["value", "quality"]].tolist() == [(30.0, Quality.OVERFLOW)]


async def test_a_block_without_an_answer_is_not_topical_while_the_others_are_read() -> None:
    def deaf_at_10(request: bytes, reply: bytes) -> bytes | None:
        return None if request[8:10] == b"\0\x0a" else reply

    points = entries(3, 10, 20)
    async with device(deaf_at_10) as one:
        link = make_link(one.port, points, TIMEOUT_S)
        await link.open()
        answers = [await link.scan(1.0, GOOD) for _ in range(4)]
        await link.close()
    for answer in answers:
        assert by_number(points, answer.batch) == {3: 3.0, 20: 20.0}
        assert [each.quality for each in answer.failed] == [Quality.NOT_TOPICAL]
    assert [start for _, start, _ in one.requests].count(10) == 2, "a deaf block must rest between attempts"


@pytest.mark.parametrize("first", [3, 10])
async def test_a_slow_period_without_answers_does_not_take_the_station_down(first: int) -> None:
    def deaf_above_50(request: bytes, reply: bytes) -> bytes | None:
        return None if request[8] * 256 + request[9] > 50 else reply

    points = [*entries(first), *entries(60, 70, period_s=10.0)]
    async with device(deaf_above_50) as one:
        link = make_link(one.port, points, TIMEOUT_S)
        await link.open()
        slow = await link.scan(10.0, GOOD)
        fast = await link.scan(1.0, GOOD)
        await link.close()
    assert by_number(points, fast.batch) == {first: float(first)}
    assert len(slow.batch) == 0
    assert {each.quality for each in slow.failed} == {Quality.NOT_TOPICAL}


def short(_request: bytes, reply: bytes) -> bytes:
    """One register fewer than asked, with a header that says so."""
    return reply[:4] + struct.pack(">HBBB", len(reply) - 8, reply[6], reply[7], reply[8] - 2) + reply[9:-2]


def lying(_request: bytes, reply: bytes) -> bytes:
    """A byte count that does not fit the bytes."""
    return reply[:8] + bytes([reply[8] + 2]) + reply[9:]


def wrong_transaction(_request: bytes, reply: bytes) -> bytes:
    return bytes([reply[0] ^ 0x55]) + reply[1:]


def wrong_unit(_request: bytes, reply: bytes) -> bytes:
    return reply[:6] + b"\x63" + reply[7:]


def other_function(_request: bytes, reply: bytes) -> bytes:
    return reply[:7] + b"\x03" + reply[8:]


def garbage(_request: bytes, _reply: bytes) -> bytes:
    return b"HTTP/1.0 400 Bad Request\r\n\r\n"


def unknown_function(_request: bytes, reply: bytes) -> bytes:
    return reply[:7] + b"\x2a" + reply[8:]


def dying(_request: bytes, reply: bytes) -> bytes:
    raise EOFError


def silent(_request: bytes, _reply: bytes) -> None:
    return None


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (short, "2 bytes where 4 belong"),
        (lying, "a byte count that does not fit the bytes"),
        (wrong_transaction, "no answer within 1 s"),
        (wrong_unit, "no answer within 1 s"),
        (other_function, "an answer to another question"),
        (garbage, "garbage on the connection"),
        (unknown_function, "garbage on the connection"),
        (dying, "connection closed by the station"),
        (silent, "no answer within 1 s"),
    ],
)
async def test_what_is_no_usable_answer_is_a_broken_link_with_its_reason(
    answer: Callable[[bytes, bytes], bytes | None], reason: str
) -> None:
    async with device(answer) as one:
        with pytest.raises(LinkError, match=reason):
            await scan_once(one, entries(3, 4), TIMEOUT_S if reason.startswith("no answer") else PATIENT_S)


async def test_a_device_that_says_everything_twice_is_heard_once() -> None:
    """What comes after an answer, or between a question and its answer, is passed over: two of them fill 450 bytes."""
    points = entries(0, 1) + [make_entry(n, Table.HOLDING_REGISTER, n, WireType.UINT16, gap=99) for n in (2, 99)]
    async with device(lambda _request, reply: reply + reply) as one:
        link = make_link(one.port, points)
        await link.open()
        answers = [await link.scan(1.0, GOOD) for _ in range(3)]
        await link.close()
    assert [len(each.batch) for each in answers] == [4, 4, 4]
    assert one.connections == 1


async def test_a_scan_that_is_cancelled_while_it_waits_ends_and_the_next_one_is_not_disturbed() -> None:
    async with device(silent) as one:
        link = make_link(one.port, entries(3))
        await link.open()
        scan = asyncio.create_task(link.scan(1.0, GOOD))
        await eventually(lambda: bool(one.requests))
        scan.cancel()
        with pytest.raises(asyncio.CancelledError):
            await scan
        one.answer = lambda _request, reply: reply
        assert by_number(entries(3), (await link.scan(1.0, GOOD)).batch) == {3: 3.0}
        await link.close()


async def test_half_an_answer_and_then_the_end_is_found_at_once() -> None:
    async with device() as one:

        def half(_request: bytes, reply: bytes) -> None:
            one.writers[-1].write(reply[: len(reply) // 2])
            one.writers[-1].close()

        one.answer = half
        started = asyncio.get_running_loop().time()
        with pytest.raises(LinkError, match="connection closed by the station"):
            await scan_once(one, entries(3, 4))
        assert asyncio.get_running_loop().time() - started < PATIENT_S, "nobody waits for the rest"


async def test_a_refused_connection_is_a_broken_link() -> None:
    with own_port() as port, pytest.raises(LinkError, match=f"cannot connect to 127.0.0.1:{port}"):
        await make_link(port, entries(3)).open()


async def eventually(condition: Callable[[], bool], within_s: float = 60.0) -> None:
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110 -- the condition is another task's figure
            await asyncio.sleep(0.02)


@asynccontextmanager
async def scanning(*scans: StationScan) -> AsyncIterator[None]:
    task = asyncio.create_task(scan_stations(scans))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


CONFIG = ScanConfig(silent_scans=2, reconnect_min_s=0.1, reconnect_max_s=0.2)


async def test_a_station_that_dies_is_lost_and_interrogated_when_it_returns_and_no_other_notices() -> None:
    points = entries(3, 4, period_s=0.1)
    batches: list[SampleArray] = []
    async with device() as dying_one, device() as neighbour:
        scan = _scan("TN07", dying_one, points, batches.append)
        other = _scan("TN08", neighbour, points, lambda _batch: None)
        async with scanning(scan, other):
            await eventually(lambda: scan.statistics.scans > 3 and other.statistics.scans > 3)
            await dying_one.stop()
            await eventually(lambda: scan.statistics.state is LinkState.LOST)
            assert batches[-1]["quality"].tolist() == [Quality.NOT_TOPICAL] * 2
            assert sorted(batches[-1]["value"].tolist()) == [3.0, 4.0]
            lost_at = len(batches)
            await dying_one.start()
            await eventually(lambda: scan.statistics.state is LinkState.UP)
            await eventually(lambda: len(batches) > lost_at)
            assert batches[lost_at]["cause"].tolist() == [Cause.GENERAL_INTERROGATION] * 2
            assert batches[lost_at]["quality"].tolist() == [0, 0]
        assert (other.statistics.silent, other.statistics.state) == (0, LinkState.UP)


async def test_a_station_that_accepts_and_stays_silent_is_lost_and_its_neighbour_keeps_its_period() -> None:
    points = entries(3, 4, period_s=0.1)
    async with device(silent) as deaf, device() as neighbour:
        scan = _scan("TN07", deaf, points, _nowhere, timeout_s=0.3)
        other = _scan("TN08", neighbour, points, _nowhere)
        async with scanning(scan, other):
            await eventually(lambda: scan.statistics.state is LinkState.LOST)
            tried, before = scan.statistics.scans, other.statistics.scans
            await eventually(lambda: scan.statistics.scans >= tried + 3)
            # Waiting for the deaf one, it would not be scanned more often than that.
            assert other.statistics.scans - before > 2 * (scan.statistics.scans - tried)
            await eventually(lambda: "no answer within 0.3 s" in scan.statistics.last_error)
        assert other.statistics.silent == 0


def _scan(
    code: str,
    one: Device,
    points: list[BoundPoint],
    sink: Callable[[SampleArray], None],
    timeout_s: float = PATIENT_S,
) -> StationScan:
    return StationScan(code, [each.point for each in points], make_link(one.port, points, timeout_s), sink, CONFIG)


def _nowhere(_batch: SampleArray) -> None:
    """Samples nobody looks at."""


async def test_the_next_request_waits_for_the_answer_to_the_last_one() -> None:
    """The device withholds its first answer: nothing else may be asked meanwhile."""
    withheld: list[bytes] = []

    def withhold_first(_request: bytes, reply: bytes) -> bytes | None:
        if withheld:
            return reply
        withheld.append(reply)
        return None

    async with device(withhold_first) as one:
        link = make_link(one.port, entries(3, 10, 20))
        await link.open()
        scan = asyncio.create_task(link.scan(1.0, GOOD))
        await eventually(lambda: bool(withheld))
        await asyncio.sleep(0.1)
        assert len(one.requests) == 1
        one.writers[-1].write(withheld[0])
        answer = await scan
        await link.close()
    assert len(answer.batch) == 3
    assert one.connections == 1


async def test_ninety_points_of_bits_come_in_one_request() -> None:
    points = [make_entry(n, Table.DISCRETE_INPUT, n, WireType.BIT) for n in range(90)]
    async with device() as one:
        answer = await scan_once(one, points)
    assert one.requests == [(2, 0, 90)]
    assert np.array_equal(answer.batch["value"], np.arange(90) % 2)


async def test_one_register_the_device_lacks_costs_its_neighbours_nothing() -> None:
    """Addresses 96 to 99 exist, 100 does not: the block is halved until only it is left out."""
    points = entries(96, 97, 98, 99, 100)
    async with device() as one:
        link = make_link(one.port, points)
        await link.open()
        answers = [await link.scan(1.0, GOOD) for _ in range(2)]
        await link.close()
    for answer in answers:
        assert by_number(points, answer.batch) == {address: float(address) for address in (96, 97, 98, 99)}
        assert [(each.points.tolist(), each.quality) for each in answer.failed] == [
            ([points[-1].point.id], Quality.INVALID)
        ]


async def test_a_part_that_falls_silent_costs_only_its_own_points() -> None:
    """Refused as a whole; of its halves the device answers one and leaves the other unanswered."""

    def answer(request: bytes, reply: bytes) -> bytes | None:
        start, count = struct.unpack(">HH", request[8:12])
        if (start, count) == (10, 4):
            return exceptional(2, 10)(request, reply)
        return None if start == 12 else reply

    points = entries(10, 11, 12, 13, 20)
    async with device(answer) as one:
        found = await scan_once(one, points, TIMEOUT_S)
    assert by_number(points, found.batch) == {10: 10.0, 11: 11.0, 20: 20.0}
    assert [(sorted(each.points.tolist()), each.quality) for each in found.failed] == [
        ([points[2].point.id, points[3].point.id], Quality.NOT_TOPICAL)
    ]


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
async def test_what_is_no_number_is_invalid_and_never_leaves_as_such(number: float) -> None:
    def in_the_first_value(_request: bytes, reply: bytes) -> bytes:
        return reply[:9] + struct.pack(">f", number) + reply[13:]

    points = [make_entry(n, Table.INPUT_REGISTER, address, WireType.FLOAT32) for n, address in ((1, 10), (2, 12))]
    async with device(in_the_first_value) as one:
        answer = await scan_once(one, points)
    (neighbour,) = struct.unpack(">f", struct.pack(">HH", 12, 13))
    assert answer.batch[["value", "quality"]].tolist() == [(0.0, Quality.INVALID), (pytest.approx(neighbour), 0)]


FREEZE = BoundFreeze("TN07/171 freeze", 1, Table.COIL, 9, 1, tuple(entries(30, 31)))


async def freeze_with(
    answer: Callable[[bytes, bytes], bytes | None], timeout_s: float = PATIENT_S
) -> tuple[ScanAnswer, list[tuple[int, int, int]]]:
    async with device(answer) as one:
        endpoint = Endpoint(Protocol.MODBUS, "127.0.0.1", one.port, unit_id=7, timeout_s=timeout_s)
        registers = StationRegisters("TN07", tuple(entries(3)), (), freezes=(FREEZE,))
        link = ModbusLink(endpoint, registers, lambda: NOW)
        await link.open()
        try:
            return await link.freeze(), one.requests
        finally:
            await link.close()


def echoed(request: bytes, reply: bytes) -> bytes:
    return request if request[7] == 5 else reply


async def test_a_freeze_writes_its_coil_and_reads_what_was_frozen() -> None:
    answer, requests = await freeze_with(echoed)
    assert requests == [(5, 9, 0xFF00), (4, 30, 2)]
    assert answer.batch[["value", "time", "cause"]].tolist() == [
        (value, NOW, Cause.COUNTER_INTERROGATION) for value in (30.0, 31.0)
    ]
    assert answer.failed == ()


async def test_a_refused_freeze_reads_nothing_and_says_why() -> None:
    answer, requests = await freeze_with(exceptional(6, 9))
    assert requests == [(5, 9, 0xFF00)]
    assert len(answer.batch) == 0
    assert [each.reason for each in answer.failed] == ["TN07/171 freeze: server device busy"]


async def test_a_freeze_without_an_answer_is_a_broken_link() -> None:
    with pytest.raises(LinkError, match=r"freeze: no answer within 1 s"):
        await freeze_with(silent, TIMEOUT_S)


async def test_each_read_of_a_scan_has_the_time_at_which_it_came() -> None:
    moments = iter(range(NOW, NOW + 100))
    points = entries(3, 10, 20)
    async with device() as one:
        endpoint = Endpoint(Protocol.MODBUS, "127.0.0.1", one.port, unit_id=7, timeout_s=PATIENT_S)
        link = ModbusLink(endpoint, StationRegisters("TN07", tuple(points), ()), lambda: next(moments))
        await link.open()
        answer = await link.scan(1.0, GOOD)
        await link.close()
    assert answer.batch["time"].tolist() == [NOW, NOW + 1, NOW + 2]
