"""Claims about events on the wire: the link and the simulated device between them lose, merge and invent none."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest

from scada.image import ProcessImage
from scada.model.cause import Cause
from scada.model.errors import LinkError
from scada.model.sample import SampleArray
from scada.model.station import Endpoint, Protocol
from scada.stationfile import load_province
from simulators.impairments import Impairment
from simulators.modbus_station import ModbusStation
from simulators.register_image import RegisterImage
from simulators.relay import ImpairedLink
from substations.adapters import bind, load_maps
from substations.link import LinkCounts
from substations.modbus import ModbusLink
from substations.registers import StationRegisters

pytestmark = pytest.mark.integration

FOLDER = Path(__file__).parents[2] / "substations"
START = 1_700_000_000_000_000
PERIOD_S = 1.0


class Terminal:
    """The terminal unit of TN01 with its real map; ``flap`` moves contacts at given times."""

    def __init__(self) -> None:
        station = next(each for each in load_province(FOLDER).stations if each.code == "TN01")
        bound = bind(station, load_maps(FOLDER / "maps"), [])
        assert isinstance(bound, StationRegisters)
        self.registers = bound
        self.unit = station.endpoint.unit_id
        self.image = RegisterImage(bound, lambda *_: None)
        self.known = station.points
        self.points = np.array(sorted(point.id for point in station.points), dtype=np.int32)
        self.values = np.zeros(len(self.points))
        self.quality = np.zeros(len(self.points), dtype=np.uint8)
        self.times = np.full(len(self.points), START, dtype=np.int64)
        self.contacts = [point for point in station.points if point.kind == "single_point"]
        self.truth: list[tuple[int, int, float]] = []
        self.refresh()

    def refresh(self) -> None:
        self.image.refresh(self.points, self.values, self.quality, START, self.times)

    def flap(self, number: int, time: int) -> None:
        """Contact ``number`` changes at ``time``."""
        point = self.contacts[number].id
        row = int(np.searchsorted(self.points, point))
        self.values[row] = 1.0 - self.values[row]
        self.times[row] = time
        self.truth.append((time, point, float(self.values[row])))
        self.refresh()

    def link(self, port: int, now: int = START + 3_600_000_000) -> ModbusLink:
        endpoint = Endpoint(Protocol.MODBUS, "127.0.0.1", port, unit_id=self.unit, timeout_s=30.0)
        return ModbusLink(endpoint, self.registers, lambda: now)


@asynccontextmanager
async def terminal() -> AsyncIterator[tuple[Terminal, int]]:
    one = Terminal()
    server = ModbusStation("TN01", {one.unit: one.image}, lambda: START)
    port = await server.start("127.0.0.1", 0)
    try:
        yield one, port
    finally:
        await server.stop()


def tagged(batch: SampleArray) -> list[tuple[int, int, float]]:
    """The events of a batch: what carries the source's time."""
    mine = batch[batch["time"] < START + 3_600_000_000]
    return list(zip(mine["time"].tolist(), mine["point"].tolist(), mine["value"].tolist(), strict=True))


async def test_every_event_arrives_once_in_the_order_of_its_time() -> None:
    async with terminal() as (one, port):
        link = one.link(port)
        await link.open()
        await link.scan(PERIOD_S, Cause.GENERAL_INTERROGATION)
        seen: list[tuple[int, int, float]] = []
        for turn in range(5):
            for step in range(40):
                one.flap(step % 7, START + (turn * 40 + step) * 5000)
            answer = await link.scan(PERIOD_S, Cause.SPONTANEOUS)
            assert [row[0] for row in tagged(answer.batch)] == sorted(row[0] for row in tagged(answer.batch))
            seen += tagged(answer.batch)
        await link.close()
    assert seen == one.truth
    assert len(seen) == 200
    assert link.counts.events == 200
    assert (link.counts.events_lost, link.counts.event_overflow) == (0, False)


async def test_the_image_reports_every_change_between_two_scans_and_ends_where_the_contact_stands() -> None:
    async with terminal() as (one, port):
        link, image = one.link(port), ProcessImage(one.known)
        await link.open()
        image.apply((await link.scan(PERIOD_S, Cause.GENERAL_INTERROGATION)).batch)
        for step in range(6):
            one.flap(0, START + 1000 * step)
        one.flap(1, START - 1000)
        reported = image.apply((await link.scan(PERIOD_S, Cause.SPONTANEOUS)).batch)
        again = image.apply((await link.scan(PERIOD_S, Cause.SPONTANEOUS)).batch)
        await link.close()
    assert tagged(reported) == sorted(one.truth)
    assert len(reported) == 7
    assert len(again) == 0


async def test_what_the_device_overwrote_is_counted_exactly_and_its_flag_is_shown() -> None:
    async with terminal() as (one, port):
        link = one.link(port)
        await link.open()
        await link.scan(PERIOD_S, Cause.GENERAL_INTERROGATION)
        for step in range(600):
            one.flap(step % 3, START + 1000 * step)
        first = await link.scan(PERIOD_S, Cause.SPONTANEOUS)
        counts = link.counts
        await link.scan(PERIOD_S, Cause.SPONTANEOUS)
        await link.close()
    assert tagged(first.batch) == one.truth[600 - 512 :]
    assert (counts.events, counts.events_lost, counts.event_overflow) == (512, 88, True)
    assert link.counts.event_overflow is False, "acknowledging clears the flag of the device"


async def test_events_of_an_outage_arrive_after_it_with_their_own_time() -> None:
    async with terminal() as (one, port):
        relay = ImpairedLink("TN01", "127.0.0.1", 0, ("127.0.0.1", port))
        await relay.start()
        link = one.link(relay.address[1])
        try:
            await link.open()
            await link.scan(PERIOD_S, Cause.GENERAL_INTERROGATION)
            await relay.impair(Impairment.REFUSE)
            for step in range(30):
                one.flap(step % 4, START + 1000 * step)
            with pytest.raises(LinkError):
                await link.scan(PERIOD_S, Cause.SPONTANEOUS)
            await link.close()
            await relay.impair(Impairment.NONE)
            await link.open()
            answer = await link.scan(PERIOD_S, Cause.GENERAL_INTERROGATION)
        finally:
            await link.close()
            await relay.stop()
    assert tagged(answer.batch) == one.truth


async def test_a_restarted_reader_goes_on_where_the_last_one_was_handed_over() -> None:
    """The last batch is repeated, because nobody confirmed that it was stored; nothing is left out."""
    async with terminal() as (one, port):
        first = one.link(port)
        await first.open()
        await first.scan(PERIOD_S, Cause.GENERAL_INTERROGATION)
        for step in range(10):
            one.flap(step, START + 1000 * step)
        await first.scan(PERIOD_S, Cause.SPONTANEOUS)
        for step in range(10, 15):
            one.flap(step, START + 1000 * step)
        await first.scan(PERIOD_S, Cause.SPONTANEOUS)
        await first.close()
        second = one.link(port)
        await second.open()
        answer = await second.scan(PERIOD_S, Cause.GENERAL_INTERROGATION)
        await second.close()
    assert tagged(answer.batch) == one.truth[10:]


async def test_a_device_whose_clock_stands_at_1970_gives_events_with_the_receive_time_and_they_are_counted() -> None:
    async with terminal() as (one, port):
        link = one.link(port, now=START)
        await link.open()
        await link.scan(PERIOD_S, Cause.GENERAL_INTERROGATION)
        one.flap(0, 5_000_000)
        one.flap(1, START + 7_200_000_000)
        answer = await link.scan(PERIOD_S, Cause.SPONTANEOUS)
        await link.close()
    touched = {point for _, point, _ in one.truth}
    mine = [row for row in answer.batch.tolist() if row[0] in touched]
    assert [row[1] for row in mine] == [START, START]
    assert link.counts == LinkCounts(
        round_trips=link.counts.round_trips, errors=0, events=2, events_lost=0, wrong_times=2
    )
