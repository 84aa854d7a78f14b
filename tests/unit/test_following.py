"""Claims about what follows a batch: derived points are reported with it, events are handed on, totals are frozen."""

import asyncio
from pathlib import Path

import numpy as np
import pytest

from historian.sink import TelemetrySink
from scada.following import HOUR_US, Following
from scada.image import ProcessImage
from scada.model.cause import Cause
from scada.model.point import PointKind
from scada.model.quality import Quality
from scada.model.sample import SampleArray, samples
from scada.model.station import Station
from scada.model.statusevent import STATUS_EVENT, StatusEventArray
from scada.stationfile import load_province

FOLDER = Path(__file__).parents[2] / "substations"
NOON = 1_767_268_800_000_000


@pytest.fixture(scope="module")
def station() -> Station:
    return next(each for each in load_province(FOLDER).stations if each.code == "TN05")


class Kept:
    """A store that keeps what it is given."""

    def __init__(self) -> None:
        self.events: list[StatusEventArray] = []

    def write_samples(self, source: str, sequence: int, batch: StatusEventArray) -> bool:
        self.events.append(batch)
        return True


def following(station: Station) -> Following:
    return Following([station], ProcessImage(station.shown_points), clock=lambda: NOON + 77)


class Wall:
    """A clock that goes on while somebody sleeps, and is set by ``steps``: by how many s, at its so many-th sleep."""

    def __init__(self, steps: dict[int, int], sleeps: int = 200) -> None:
        self.now, self._steps, self._left, self._count = NOON + 77, steps, sleeps, 0

    async def sleep(self, seconds: float) -> None:
        self._count += 1
        if self._count > self._left:
            raise asyncio.CancelledError
        self.now += int((seconds + self._steps.get(self._count, 0)) * 1e6)
        await asyncio.sleep(0)


async def hours_frozen(station: Station, wall: Wall) -> list[tuple[int, int]]:
    """What was asked of the devices, as hours after noon, and how many s after that."""
    one = Following([station], ProcessImage(station.shown_points), clock=lambda: wall.now, sleep=wall.sleep)
    asked: list[tuple[int, int]] = []

    def ask(hour: int) -> None:
        asked.append(((hour - NOON) // HOUR_US, (wall.now - hour) // 1_000_000))

    with pytest.raises(asyncio.CancelledError):
        await one.freeze_every_hour(lambda _: None, ask)
    return asked


async def test_totals_are_frozen_once_at_each_full_hour(station: Station) -> None:
    assert await hours_frozen(station, Wall({})) == [(1, 0), (2, 0), (3, 0)]


async def test_a_clock_that_is_set_freezes_no_total_before_its_hour_and_none_twice(station: Station) -> None:
    """Set back by 30 s after 20 minutes, and by a minute just after the second hour."""
    assert await hours_frozen(station, Wall({20: -30, 122: -60})) == [(1, 0), (2, 0), (3, 0)]


async def test_a_clock_that_was_years_ahead_lets_nobody_wait_for_those_years(station: Station) -> None:
    """Set back by a thousand days after the first hour."""
    day = -24 * 1000
    assert await hours_frozen(station, Wall({80: day * 3600})) == [(1, 0), (day + 2, 0), (day + 3, 0)]


async def test_totals_of_an_hour_that_is_long_over_are_not_those_of_that_hour(
    station: Station, caplog: pytest.LogCaptureFixture
) -> None:
    """The machine slept for two hours."""
    assert await hours_frozen(station, Wall({20: 7200})) == [(3, 0), (4, 0), (5, 0)]
    assert "totals of the full hour are not frozen: it was over for 4800 s when the clock was set" in caplog.text


def told(station: Station, values: dict[str, float], time: int = NOON, quality: int = 0) -> SampleArray:
    known = {point.name: point.id for point in station.points}
    ids = np.array([known[f"TN05/{name}"] for name in values], dtype=np.int32)
    return samples(ids, time, np.array(list(values.values())), quality, Cause.SPONTANEOUS)


def test_what_is_derived_is_reported_behind_what_it_follows_from(station: Station) -> None:
    delta = following(station).take(told(station, {"T1/hv.active_power": 12.0, "T2/hv.active_power": 3.0}))
    names = {point.id: point.name for point in station.shown_points}
    values = {names[int(row["point"])]: float(row["value"]) for row in delta}
    assert values["TN05/TD/station.active_power"] == 15.0
    assert [names[int(number)] for number in delta["point"][:2]] == [
        "TN05/T1/hv.active_power",
        "TN05/T2/hv.active_power",
    ]


def test_events_go_to_their_sink_with_the_moment_they_were_received(station: Station, tmp_path: Path) -> None:
    one, kept = following(station), Kept()
    one.events = TelemetrySink(kept, tmp_path, name="e", clock=lambda: NOON, rows=STATUS_EVENT)
    one.take(told(station, {"471/471.position": 2.0}))
    one.take(told(station, {"471/471.position": 1.0}, NOON + 5))
    one.events.close(1.0)
    (batch,) = kept.events
    assert [(int(row["time"]), int(row["received_at"]), float(row["value"])) for row in batch] == [
        (NOON + 5, NOON + 77, 1.0)
    ]


def test_what_an_operator_substitutes_moves_what_is_derived_from_it(station: Station) -> None:
    one = following(station)
    one.take(told(station, {"T1/hv.active_power": 12.0, "T2/hv.active_power": 3.0}))
    delta = one.follow(one.image.substitute("TN05/T1/hv.active_power", 20.0, NOON + 9))
    total = next(point.id for point in station.shown_points if point.name == "TN05/TD/station.active_power")
    (row,) = delta[delta["point"] == total]
    assert (float(row["value"]), int(row["quality"]) & Quality.SUBSTITUTED) == (23.0, Quality.SUBSTITUTED)


def test_totals_are_frozen_at_the_hour_with_their_doubts_and_nothing_else_is(station: Station) -> None:
    one = following(station)
    one.take(told(station, {"471/energy_export": 1000.0, "471/current_l1": 55.0}))
    one.take(told(station, {"472/energy_export": 500.0}, quality=Quality.NOT_TOPICAL))
    one.take(told(station, {"473/energy_export": 0.0}, quality=Quality.INVALID))
    frozen = one.freeze(NOON + HOUR_US)
    assert one.totals_frozen == len(frozen)
    assert [
        (float(row["value"]), int(row["quality"]), int(row["time"]), int(row["cause"]))
        for row in frozen[np.isin(frozen["point"], [p.id for p in station.points if p.bay in ("471", "472", "473")])]
    ] == [
        (1000.0, 0, NOON + HOUR_US, Cause.COUNTER_INTERROGATION),
        (500.0, Quality.NOT_TOPICAL, NOON + HOUR_US, Cause.COUNTER_INTERROGATION),
    ]
    kinds = {point.id: point.kind for point in station.points}
    assert {kinds[int(row["point"])] for row in frozen} == {PointKind.INTEGRATED_TOTAL}
