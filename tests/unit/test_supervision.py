"""Claims about the points of a link: told at once when it turns, else every minute."""

import asyncio

import numpy as np
import pytest

from scada.config import ScanConfig
from scada.model.cause import Cause
from scada.model.errors import LinkError
from scada.model.point import Point, PointKind, point_id
from scada.model.sample import SampleArray, samples
from scada.model.supervision import LINK_POINTS, LinkFigures, link_points
from substations.link import LinkCounts, ScanAnswer
from substations.scan import StationScan
from substations.schedule import Timing

POINT = Point(point_id(7, 1, 1), "TN07/171/P1", PointKind.SINGLE_POINT, "", "")
CONFIG = ScanConfig(silent_scans=2, reconnect_min_s=1.0, reconnect_max_s=1.0)


class Link:
    """Answers every second; silent from 70 s to 75 s, with an overflow from 80 s on."""

    def __init__(self) -> None:
        self.time = 0.0
        self.asked = 0

    @property
    def periods(self) -> tuple[float, ...]:
        return (1.0,)

    @property
    def counts(self) -> LinkCounts:
        return LinkCounts(round_trips=self.asked, event_overflow=self.time >= 80.0, events_lost=3)

    async def open(self) -> None:
        return None

    async def close(self) -> None:
        return None

    async def scan(self, period_s: float, cause: Cause) -> ScanAnswer:
        self.asked += 1
        if 70.0 <= self.time < 75.0:
            raise LinkError("no answer")
        return ScanAnswer(samples(np.array([POINT.id], dtype=np.int32), 0, np.zeros(1), 0, cause))

    async def sleep(self, seconds: float) -> None:
        self.time += seconds
        if self.time > 100.0:
            raise asyncio.CancelledError
        await asyncio.sleep(0)


async def told() -> list[SampleArray]:
    link, batches = Link(), list[SampleArray]()
    timing = Timing(lambda: int(link.time * 1e6), lambda: link.time, link.sleep)
    scan = StationScan("TN07", (POINT,), link, lambda _batch: None, CONFIG, timing, batches.append)
    with pytest.raises(asyncio.CancelledError):
        await scan.run()
    return batches


async def test_a_link_is_told_when_it_turns_and_every_minute() -> None:
    ids = {point.name.rsplit("/", 1)[1]: point.id for point in link_points("TN07", 7)}
    shown = []
    for batch in await told():
        values = {row[0]: row[2] for row in batch.tolist()}
        assert len(values) == len(LINK_POINTS)
        shown.append((values[ids["up"]], values[ids["event_overflow"]], values[ids["events_lost"]]))
    assert shown == [(1, 0, 3), (1, 0, 3), (0, 0, 3), (1, 0, 3), (1, 1, 3)]


def test_every_figure_has_its_point_and_none_is_another_s() -> None:
    points = link_points("TN07", 7)
    assert [name for _, name, *_ in LINK_POINTS] == list(LinkFigures.__dataclass_fields__)
    assert len({point.id for point in points}) == len(points) == 13
    assert {point.bay for point in points} == {"link"}
    assert points[0].name == "TN07/link/up"
    assert points[0].id == point_id(7, 255, 1)
