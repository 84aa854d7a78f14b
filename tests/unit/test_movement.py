"""Claims about movements nobody ordered. Stations of shipped bays; positions are reported one after the other."""

import numpy as np
import pytest

from scada.control.movement import LATE_S, MovementWatch
from scada.model.cause import Cause
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
        return [sentence for _, sentence in self.watch.moved(row, self.now)]


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
