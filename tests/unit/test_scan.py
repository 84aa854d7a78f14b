"""Claims about the scan loop, on a clock that only moves when somebody waits."""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest

from scada.config import ScanConfig
from scada.model.cause import Cause
from scada.model.errors import LinkError
from scada.model.point import Point, PointKind, point_id
from scada.model.quality import Quality
from scada.model.sample import SampleArray, samples
from substations.link import FailedRead, LinkCounts, ScanAnswer
from substations.scan import StationScan, scan_stations
from substations.scancounts import LinkState
from substations.schedule import Timing

POINTS = tuple(Point(point_id(7, 1, n), f"TN07/171/P{n}", PointKind.MEASURED_VALUE, "", "") for n in (1, 2, 3))
FAST, SLOW = POINTS[:2], POINTS[2:]
CONFIG = ScanConfig(integrity_scan_s=60.0, silent_scans=3, reconnect_min_s=1.0, reconnect_max_s=8.0)


@dataclass
class World:
    """A clock in seconds; whoever sleeps moves it. ``until`` ends the test's run."""

    time: float = 0.0
    until: float = 10.0

    async def sleep(self, seconds: float) -> None:
        self.time += seconds
        if self.time > self.until:
            raise asyncio.CancelledError
        await asyncio.sleep(0)

    @property
    def timing(self) -> Timing:
        return Timing(lambda: int(self.time * 1e6), lambda: self.time, self.sleep)


@dataclass
class FakeLink:
    """A station with a 1 s and a 5 s period; ``behave`` decides what a scan does, by the time of day."""

    world: World
    behave: Callable[[float, float], ScanAnswer | None] = lambda _time, _period: None
    opens: list[float] = field(default_factory=list)
    scans: list[tuple[float, float, Cause]] = field(default_factory=list)
    closes: int = 0
    refusing: Callable[[float], bool] = lambda _time: False

    @property
    def periods(self) -> tuple[float, ...]:
        return (1.0, 5.0)

    @property
    def counts(self) -> LinkCounts:
        return LinkCounts(round_trips=len(self.scans))

    async def open(self) -> None:
        self.opens.append(self.world.time)
        if self.refusing(self.world.time):
            raise LinkError("cannot connect to nowhere")

    async def scan(self, period_s: float, cause: Cause) -> ScanAnswer:
        self.scans.append((self.world.time, period_s, cause))
        special = self.behave(self.world.time, period_s)
        if special is not None:
            return special
        points = FAST if period_s == 1.0 else SLOW
        ids = np.array([point.id for point in points], dtype=np.int32)
        return ScanAnswer(samples(ids, int(self.world.time * 1e6), np.full(len(ids), self.world.time), 0, cause))

    async def close(self) -> None:
        self.closes += 1


def silent(_time: float, _period: float) -> ScanAnswer:
    raise LinkError("no answer within 2 s")


async def scanned(link: FakeLink, config: ScanConfig = CONFIG) -> tuple[StationScan, list[SampleArray]]:
    """Run a scan of TN07 until the world ends."""
    delivered: list[SampleArray] = []
    scan = StationScan("TN07", POINTS, link, delivered.append, config, link.world.timing)
    with pytest.raises(asyncio.CancelledError):
        await scan.run()
    return scan, delivered


async def test_the_first_scan_is_a_general_interrogation_of_every_point() -> None:
    link = FakeLink(World(until=0.9))
    _, delivered = await scanned(link)
    assert [(period, cause) for _, period, cause in link.scans] == [
        (1.0, Cause.GENERAL_INTERROGATION),
        (5.0, Cause.GENERAL_INTERROGATION),
    ]
    assert sorted(np.concatenate(delivered)["point"].tolist()) == [point.id for point in POINTS]


async def test_each_period_keeps_its_own_absolute_schedule() -> None:
    link = FakeLink(World(until=12.0))
    await scanned(link)
    fast = [time for time, period, cause in link.scans if period == 1.0 and cause is Cause.SPONTANEOUS]
    slow = [time for time, period, cause in link.scans if period == 5.0 and cause is Cause.SPONTANEOUS]
    assert np.diff(fast) == pytest.approx(np.ones(len(fast) - 1))
    assert np.diff(slow) == pytest.approx(np.full(len(slow) - 1, 5.0))


async def test_a_late_scan_does_not_shift_the_schedule_and_the_missed_ones_are_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "substations.scan")
    world = World(until=9.0)

    def slow_once(time: float, period: float) -> ScanAnswer | None:
        if period == 1.0 and 3.0 < time < 4.0:
            world.time += 2.5
        return None

    link = FakeLink(world, slow_once)
    scan, _ = await scanned(link)
    fast = [time for time, period, cause in link.scans if period == 1.0 and cause is Cause.SPONTANEOUS]
    phases = {round(time % 1.0, 6) for time in fast}
    assert len(phases) == 1
    assert scan.statistics.overruns == 2
    assert [record.message for record in caplog.records][1:] == [
        "TN07 scan overran: 2.5 s for a period of 1 s, 2 left out",
        "TN07 scan keeps its period again after 2 overruns",
    ]


async def test_a_silent_station_is_lost_after_three_scans_and_its_values_are_kept_but_not_topical(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "substations.scan")
    link = FakeLink(World(until=40.0), lambda time, period: silent(time, period) if time > 4 else None)
    scan, delivered = await scanned(link)
    lost = delivered[-1]
    assert lost["point"].tolist() == [point.id for point in POINTS]
    assert lost["quality"].tolist() == [Quality.NOT_TOPICAL] * 3
    assert all(value > 0 for value in lost["value"].tolist())
    assert scan.statistics.state is LinkState.LOST
    assert [record.message for record in caplog.records] == [
        "TN07 link up: 3 points",
        "TN07 link lost: no answer for 3 scans; 3 points not topical (no answer within 2 s)",
    ]


async def test_one_unanswered_scan_is_not_a_lost_link_but_the_next_interrogates() -> None:
    link = FakeLink(World(until=8.0), lambda time, period: silent(time, period) if 3 < time < 4 else None)
    scan, delivered = await scanned(link)
    assert scan.statistics.state is LinkState.UP
    assert scan.statistics.silent == 1
    assert not any((batch["quality"] != 0).any() for batch in delivered)
    assert [cause for time, _, cause in link.scans if 4 < time < 5] == [Cause.GENERAL_INTERROGATION] * 2


async def test_after_the_return_everything_is_interrogated_and_the_absence_is_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "substations.scan")
    link = FakeLink(World(until=60.0), refusing=lambda time: False)
    link.behave = lambda time, period: silent(time, period) if 4 < time < 30 else None
    link.refusing = lambda time: 4 < time < 30
    scan, delivered = await scanned(link)
    assert scan.statistics.state is LinkState.UP
    assert caplog.records[-1].message.startswith("TN07 link restored after ")
    first_back = next(time for time, _, cause in link.scans if time >= 30)
    back = [batch for batch in delivered if (batch["time"] >= int(first_back * 1e6)).all()]
    assert [set(batch["cause"].tolist()) for batch in back[:2]] == [{Cause.GENERAL_INTERROGATION}] * 2
    assert sum(len(batch) for batch in back[:2]) == len(POINTS)


async def test_reconnections_are_tried_at_growing_intervals_up_to_the_limit() -> None:
    link = FakeLink(World(until=60.0), refusing=lambda _time: True)
    await scanned(link)
    assert np.diff(link.opens[2:]).tolist()[:6] == pytest.approx([1.0, 2.0, 4.0, 8.0, 8.0, 8.0])


async def test_points_never_heard_of_become_invalid_and_not_topical_once() -> None:
    link = FakeLink(World(until=60.0), refusing=lambda _time: True)
    _, delivered = await scanned(link)
    assert [batch["quality"].tolist() for batch in delivered] == [[Quality.INVALID | Quality.NOT_TOPICAL] * 3]


async def test_the_integrity_scan_asks_every_period_once() -> None:
    link = FakeLink(World(until=30.0))
    await scanned(link, ScanConfig(integrity_scan_s=10.0))
    background = [(time, period) for time, period, cause in link.scans if cause is Cause.BACKGROUND_SCAN]
    assert sorted(period for time, period in background if time < 20.0) == [1.0, 5.0]
    assert sorted(period for time, period in background if time >= 20.0) == [1.0, 5.0]


async def test_a_failed_read_doubts_its_points_and_leaves_the_others_good(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "substations.scan")
    ids = np.array([FAST[1].id], dtype=np.int32)
    reason = "input_register 4..5: illegal data address"

    def half(time: float, period: float) -> ScanAnswer | None:
        if period != 1.0 or not 2.0 < time < 5.0:
            return None
        batch = samples(np.array([FAST[0].id], dtype=np.int32), 1, np.array([1.0]), 0, Cause.SPONTANEOUS)
        return ScanAnswer(batch, (FailedRead(ids, Quality.INVALID, reason),))

    link = FakeLink(World(until=4.9), half)
    scan, delivered = await scanned(link)
    assert scan.statistics.failed_points == 1
    assert scan.statistics.last_error == reason
    doubtful = [batch for batch in delivered if (batch["quality"] == Quality.INVALID).any()]
    assert {point for batch in doubtful for point in batch["point"].tolist()} == {FAST[1].id}
    assert [record.message for record in caplog.records][1:] == [f"TN07 does not deliver 1 points: {reason}"]


async def test_statistics_count_what_was_received() -> None:
    scan, delivered = await scanned(FakeLink(World(until=30.0)))
    statistics = scan.statistics
    assert statistics.samples == sum(len(batch) for batch in delivered)
    assert statistics.points_per_s == pytest.approx(2.2, abs=0.3)
    assert (statistics.station, statistics.points, statistics.silent, statistics.overruns) == ("TN07", 3, 0, 0)


async def test_a_cancelled_scan_closes_its_link() -> None:
    link = FakeLink(World(until=3.0))
    await scanned(link)
    assert link.closes == 1


async def test_a_crash_is_logged_and_the_scan_begins_again(caplog: pytest.LogCaptureFixture) -> None:
    world = World(until=20.0)

    def crash_once(time: float, _period: float) -> ScanAnswer | None:
        if 2.0 < time < 3.0:
            raise ZeroDivisionError
        return None

    link = FakeLink(world, crash_once)
    scan = StationScan("TN07", POINTS, link, lambda _batch: None, CONFIG, world.timing)
    with pytest.raises(asyncio.CancelledError):
        await scan.supervise()
    assert scan.statistics.restarts == 1
    assert link.scans[-1][0] > 15.0
    assert "TN07 scan crashed" in caplog.text


async def test_what_a_crashed_scan_brought_before_is_not_topical_until_it_goes_on() -> None:
    """Nobody asks the station meanwhile: what it said last must not pass for the present."""
    world = World(until=30.0)

    def crash_for_a_while(time: float, _period: float) -> ScanAnswer | None:
        if 3.0 < time < 12.0:
            raise ZeroDivisionError
        return None

    link = FakeLink(world, crash_for_a_while)
    delivered: list[tuple[float, SampleArray]] = []
    scan = StationScan("TN07", POINTS, link, lambda batch: delivered.append((world.time, batch)), CONFIG, world.timing)
    with pytest.raises(asyncio.CancelledError):
        await scan.supervise()
    doubted = [(time, batch) for time, batch in delivered if (batch["quality"] & Quality.NOT_TOPICAL).all()]
    ((time, batch),) = doubted
    assert 3.0 < time < 4.0, "at once, and once"
    assert batch["point"].tolist() == [point.id for point in POINTS]
    after = next(batch for time, batch in delivered if time > 12.0)
    assert set(after["cause"].tolist()) == {Cause.GENERAL_INTERROGATION}
    assert scan.statistics.state is LinkState.UP


async def test_a_station_that_never_answers_does_not_delay_its_neighbour() -> None:
    released = asyncio.Event()
    done = asyncio.Event()

    class Stuck(FakeLink):
        async def open(self) -> None:
            await released.wait()

    class Quick(FakeLink):
        async def scan(self, period_s: float, cause: Cause) -> ScanAnswer:
            if len(self.scans) > 20:
                done.set()
                await released.wait()
            return await super().scan(period_s, cause)

    stuck, quick = World(), World(until=1000.0)
    scans = [
        StationScan("TN01", POINTS, Stuck(stuck), lambda _batch: None, CONFIG, stuck.timing),
        StationScan("TN02", POINTS, Quick(quick), lambda _batch: None, CONFIG, quick.timing),
    ]
    task = asyncio.create_task(scan_stations(scans))
    await asyncio.wait_for(done.wait(), 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert scans[1].statistics.scans > 15
    assert scans[0].statistics.state is LinkState.CONNECTING


class SwallowingLink(FakeLink):
    """A link whose driver loses the cancellation that meets an answer, as ``wait_for`` of Python 3.11 does."""

    async def open(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(0)


async def test_a_cancellation_that_the_driver_swallows_still_ends_the_scan() -> None:
    world = World()
    link = SwallowingLink(world)
    with pytest.raises(asyncio.CancelledError):
        await asyncio.create_task(StationScan("TN07", POINTS, link, lambda _: None, CONFIG, world.timing).run())
    assert (len(link.scans), link.closes) == (2, 1)
    assert world.time < world.until


async def test_what_was_read_before_somebody_else_read_it_is_no_news_but_events_are() -> None:
    """The desk reads a position while a scan is under way: the scan's older one would be taken for a movement."""
    world = World(until=4.9)
    ids = np.array([point.id for point in FAST], dtype=np.int32)
    event = samples(ids[:1], 1, np.array([7.0]), 0, Cause.SPONTANEOUS)
    scans: list[StationScan] = []
    moments: list[int] = []

    def read_past(time: float, period: float) -> ScanAnswer | None:
        if period != 1.0 or not 2.0 < time < 3.0:
            return None
        read = samples(ids, int(time * 1e6), np.full(2, time), 0, Cause.SPONTANEOUS)
        world.time += 0.1
        scans[0].supersede(ids[:1])
        moments.append(int(time * 1e6))
        return ScanAnswer(np.concatenate([event, read]), of_source=1)

    delivered: list[SampleArray] = []
    scans.append(StationScan("TN07", POINTS, FakeLink(world, read_past), delivered.append, CONFIG, world.timing))
    with pytest.raises(asyncio.CancelledError):
        await scans[0].run()
    (moment,) = moments
    (during,) = (batch for batch in delivered if moment in batch["time"])
    assert during["point"].tolist() == [ids[0], ids[1]]
    assert during["time"].tolist() == [1, moment]
    after = next(batch for batch in delivered if batch["time"].max() > moment and batch["point"][0] == ids[0])
    assert after["point"].tolist() == ids.tolist()


@pytest.mark.parametrize("ending", [LinkError("no answer"), ZeroDivisionError()], ids=["silence", "a fault of ours"])
async def test_events_of_an_interrogation_that_broke_off_come_with_the_next_one_and_only_once(
    ending: Exception,
) -> None:
    """The device takes what it has handed over for read: it does not tell it again."""
    world = World(until=14.9)
    ids = np.array([point.id for point in FAST], dtype=np.int32)
    handed_over: list[SampleArray] = []

    def break_off_once(time: float, period: float) -> ScanAnswer | None:
        read = samples(ids, int(time * 1e6), np.full(2, time), 0, Cause.GENERAL_INTERROGATION)
        if period == 5.0 and len(handed_over) == 1:
            handed_over.append(read)
            raise ending
        if period == 1.0 and not handed_over:
            event = samples(ids[:1], 1, np.array([7.0]), 0, Cause.SPONTANEOUS)
            handed_over.append(event)
            return ScanAnswer(np.concatenate([event, read]), of_source=1)
        return None

    delivered: list[SampleArray] = []
    scan = StationScan("TN07", POINTS, FakeLink(world, break_off_once), delivered.append, CONFIG, world.timing)
    with pytest.raises(asyncio.CancelledError):
        await scan.supervise()
    told = np.concatenate([each for each in delivered if not (each["quality"] & Quality.NOT_TOPICAL).any()])
    assert told[["point", "time", "value"]].tolist()[0] == (ids[0], 1, 7.0), "before what is newer"
    assert told["time"].tolist().count(1) == 1
    assert handed_over[1]["time"][0] not in told["time"], "what was read then is read again"
    assert scan.statistics.samples == len(told)
