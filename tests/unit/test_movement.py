"""Claims about movements nobody ordered. Stations of shipped bays; positions are reported one after the other."""

import numpy as np
import pytest

from scada.control.movement import LATE_S, STALE_US, MovementWatch
from scada.model.cause import Cause
from scada.model.event import EventKind
from scada.model.point import DoublePoint
from scada.model.quality import Quality
from scada.model.sample import samples
from tests.fakes_interlocking import two_stations

STATION = two_stations().stations[0]
POSITION = next(each.position for each in STATION.devices if each.name == "471")


class Watched:
    """The watch, and what it said of feeder 471."""

    def __init__(self) -> None:
        self.watch = MovementWatch([STATION])
        self.now = 0.0
        self.reported(DoublePoint.CLOSED)

    def reported(self, value: DoublePoint, quality: Quality = Quality.GOOD) -> list[str]:
        point = np.array([POSITION.id], dtype=np.int32)
        row = samples(point, 1, np.array([float(value)]), int(quality), Cause.SPONTANEOUS)
        return [sentence for _, _, sentence in self.watch.moved(row, self.now)]


OPENED = ["S1/471 moved to open without a command"]
CLOSED = ["S1/471 moved to closed without a command"]


def test_a_device_that_moves_by_itself_is_told_at_its_end_position_once() -> None:
    watched = Watched()
    assert watched.reported(DoublePoint.INTERMEDIATE) == []
    assert watched.reported(DoublePoint.OPEN) == OPENED
    assert watched.reported(DoublePoint.OPEN) == []


def test_a_movement_while_nobody_could_see_it_is_told_when_it_is_seen_again() -> None:
    watched = Watched()
    assert watched.reported(DoublePoint.OPEN, Quality.NOT_TOPICAL) == []
    assert watched.reported(DoublePoint.OPEN) == OPENED


def test_the_ordered_movement_is_expected_and_its_reversal_is_not() -> None:
    watched = Watched()
    watched.watch.begun("S1/471", float(DoublePoint.OPEN))
    assert watched.reported(DoublePoint.OPEN) == []
    watched.watch.arrived("S1/471")
    assert watched.reported(DoublePoint.CLOSED) == CLOSED


def test_a_breaker_that_trips_while_its_closing_is_awaited_moved_without_a_command() -> None:
    watched = Watched()
    watched.reported(DoublePoint.OPEN)
    watched.watch.begun("S1/471", float(DoublePoint.CLOSED))
    assert watched.reported(DoublePoint.CLOSED) == []
    assert watched.reported(DoublePoint.OPEN) == OPENED


@pytest.mark.parametrize(("later_s", "told"), [(LATE_S - 1.0, []), (LATE_S + 1.0, OPENED)])
def test_an_order_of_unknown_outcome_may_still_be_carried_out_for_a_minute(later_s: float, told: list[str]) -> None:
    watched = Watched()
    watched.watch.begun("S1/471", float(DoublePoint.OPEN))
    watched.watch.in_doubt("S1/471", watched.now)
    watched.now += later_s
    assert watched.reported(DoublePoint.OPEN) == told


SET_POINT = next(each for each in STATION.points if each.name == "S1/T1/voltage_set_point")
TARGET = "S1/T1/avr.voltage_setpoint"


class Regulated:
    """The watch, and what it said of the set-point of transformer T1, which stands at 22.8 kV."""

    def __init__(self) -> None:
        self.watch = MovementWatch([STATION])
        self.now = 0.0
        self.reported(22.8)

    def reported(
        self, value: float, quality: Quality = Quality.GOOD, read_at: int = 0
    ) -> list[tuple[EventKind, str, str]]:
        point = np.array([SET_POINT.id], dtype=np.int32)
        row = samples(point, read_at, np.array([value]), int(quality), Cause.SPONTANEOUS)
        return list(self.watch.moved(row, self.now))


def told(before: str, now: str) -> list[tuple[EventKind, str, str]]:
    return [(EventKind.SET_POINT_CHANGED, TARGET, f"{TARGET} changed from {before} kV to {now} kV without a command")]


def test_a_set_point_changed_at_the_station_is_told_once_with_both_values() -> None:
    seen = Regulated()
    assert seen.reported(23.1) == told("22.8", "23.1")
    assert seen.reported(23.1) == []


def test_the_set_point_we_ordered_is_no_event_and_the_next_change_is_one() -> None:
    seen = Regulated()
    seen.watch.begun(TARGET, 23.1)
    assert seen.reported(float(np.float32(23.1))) == []
    seen.watch.arrived(TARGET)
    assert seen.reported(23.1) == []
    assert seen.reported(22.8) == told("23.1", "22.8")


def test_another_value_than_the_one_ordered_is_told_although_an_order_is_under_way() -> None:
    seen = Regulated()
    seen.watch.begun(TARGET, 23.1)
    assert seen.reported(23.5) == told("22.8", "23.5")


@pytest.mark.parametrize(("later_s", "is_told"), [(LATE_S - 1.0, False), (LATE_S + 1.0, True)])
def test_a_set_point_of_unknown_outcome_may_still_come_for_a_minute(later_s: float, *, is_told: bool) -> None:
    seen = Regulated()
    seen.watch.begun(TARGET, 23.1)
    seen.watch.in_doubt(TARGET, seen.now)
    seen.now += later_s
    assert seen.reported(23.1) == (told("22.8", "23.1") if is_told else [])


def test_a_set_point_that_nobody_could_see_and_one_that_creeps_are_told_when_they_have_left_the_last_value() -> None:
    seen = Regulated()
    assert seen.reported(23.1, Quality.NOT_TOPICAL) == []
    assert [seen.reported(22.8 + step / 1000) for step in (2, 4)] == [[], []]
    assert seen.reported(22.806) == told("22.8", "22.806")


@pytest.mark.parametrize(("older_us", "is_told"), [(1, False), (STALE_US - 1, False), (0, True), (STALE_US, True)])
def test_a_scan_that_read_the_value_before_our_order_was_carried_out_tells_nothing_new(
    older_us: int, *, is_told: bool
) -> None:
    """Older than a scan can be, the time is a clock's that was set back, and no reason to be silent."""
    seen = Regulated()
    seen.watch.begun(TARGET, 23.1)
    assert seen.reported(23.1, read_at=10_000_000) == []
    seen.watch.arrived(TARGET)
    assert seen.reported(22.8, read_at=10_000_000 - older_us) == (told("23.1", "22.8") if is_told else [])
