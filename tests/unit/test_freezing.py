"""Claims about the freeze of integrated totals: carried out by the devices, made up for where they did not."""

import asyncio
import logging
from dataclasses import dataclass, field

import numpy as np
import pytest

from scada.config import ScanConfig
from scada.model.cause import Cause
from scada.model.errors import LinkError
from scada.model.point import Point, PointKind, point_id
from scada.model.quality import Quality
from scada.model.sample import PointArray, SampleArray, no_samples, samples
from substations.link import FailedRead, LinkCounts, ScanAnswer
from substations.scan import StationScan
from substations.schedule import Timing

HOUR = 3_600_000_000
TOTALS = tuple(Point(point_id(7, 1, n), f"TN07/171/E{n}", PointKind.INTEGRATED_TOTAL, "", "") for n in (1, 2))
IDS = np.array([point.id for point in TOTALS], dtype=np.int32)


@dataclass
class Meters:
    """A station whose totals count the scans; its clock moves by a second a scan, the test's end is a cancellation."""

    freezes: ScanAnswer | LinkError | None = None
    silent_after: float = 1e9
    until: float = 10.0
    time: float = 0.0
    acts: list[str] = field(default_factory=list)
    periods: tuple[float, ...] = (1.0,)
    frozen: PointArray = field(default_factory=lambda: IDS)
    counts: LinkCounts = field(default_factory=LinkCounts)

    async def open(self) -> None:
        self.acts.append("open")

    async def close(self) -> None:
        self.acts.append("close")

    async def scan(self, period_s: float, cause: Cause) -> ScanAnswer:
        if self.time >= self.silent_after:
            raise LinkError("no answer within 2 s")
        self.acts.append("scan")
        return ScanAnswer(samples(IDS, int(self.time * 1e6), np.full(2, self.time), 0, cause))

    async def freeze(self) -> ScanAnswer:
        self.acts.append("freeze")
        if isinstance(self.freezes, LinkError):
            failure, self.freezes = self.freezes, None
            raise failure
        if self.freezes is not None:
            return self.freezes
        return ScanAnswer(samples(IDS, HOUR + 7, np.array([70.0, 80.0]), 0, Cause.COUNTER_INTERROGATION))

    async def sleep(self, seconds: float) -> None:
        self.time += seconds
        if self.time > self.until:
            raise asyncio.CancelledError
        await asyncio.sleep(0)


async def frozen_by(meters: Meters, *, ask_at: float = 3.0) -> list[tuple[int, float, int, int]]:
    """What is told with cause counter interrogation when the freeze of HOUR is asked for at ``ask_at``."""
    told: list[SampleArray] = [no_samples()]

    async def sleep(seconds: float) -> None:
        await meters.sleep(seconds)
        if not asked and meters.time >= ask_at:
            asked.append(True)
            scan.freeze(HOUR)

    asked: list[bool] = []
    timing = Timing(lambda: int(meters.time * 1e6), lambda: meters.time, sleep)
    config = ScanConfig(silent_scans=2, reconnect_min_s=1.0, reconnect_max_s=2.0)
    scan = StationScan("TN07", TOTALS, meters, told.append, config, timing)
    with pytest.raises(asyncio.CancelledError):
        await scan.run()
    batch = np.concatenate(told)
    batch = batch[batch["cause"] == Cause.COUNTER_INTERROGATION]
    return [(row[0], row[2], row[3], row[1]) for row in batch.tolist()]


async def test_devices_freeze_between_two_scans_and_their_totals_bear_the_time_of_the_freeze() -> None:
    meters = Meters()
    assert await frozen_by(meters) == [(IDS[0], 70.0, 0, HOUR + 7), (IDS[1], 80.0, 0, HOUR + 7)]
    assert meters.acts.count("freeze") == 1
    assert meters.acts[meters.acts.index("freeze") - 1 :][:3] == ["scan", "freeze", "scan"]


async def test_a_total_the_device_refused_to_freeze_is_that_of_the_last_scan_at_the_hour(
    caplog: pytest.LogCaptureFixture,
) -> None:
    half = samples(IDS[:1], HOUR + 7, np.array([70.0]), 0, Cause.COUNTER_INTERROGATION)
    refused = FailedRead(IDS[1:], Quality.NOT_TOPICAL, "TN07/171 freeze: server device busy")
    with caplog.at_level(logging.WARNING):
        found = await frozen_by(Meters(ScanAnswer(half, (refused,))), ask_at=3.0)
    assert found[0] == (IDS[0], 70.0, 0, HOUR + 7)
    assert (found[1][0], found[1][2:]) == (IDS[1], (0, HOUR))
    assert caplog.messages == [
        "TN07 did not freeze 1 totals: TN07/171 freeze: server device busy; those of the last scan are told"
    ]


async def test_a_freeze_without_an_answer_is_asked_for_again_on_a_new_connection() -> None:
    meters = Meters(LinkError("freeze: no answer within 2 s"))
    assert len(await frozen_by(meters)) == 2
    second = [index for index, act in enumerate(meters.acts) if act == "freeze"][1]
    assert meters.acts[second - 4 : second] == ["freeze", "close", "open", "scan"]


async def test_totals_of_a_lost_station_are_told_as_not_topical() -> None:
    meters = Meters(silent_after=3.0)
    found = await frozen_by(meters, ask_at=7.0)
    assert [(point, quality, time) for point, _, quality, time in found] == [
        (point, Quality.NOT_TOPICAL, HOUR) for point in IDS.tolist()
    ]
    assert "freeze" not in meters.acts


async def test_totals_nobody_ever_heard_of_are_not_told() -> None:
    assert await frozen_by(Meters(silent_after=0.0), ask_at=5.0) == []
