"""Claims about values between samples, and about the level a span is told at."""

import numpy as np
import pytest

from historian.interpolation import Longest, values_at
from scada.model.cause import Cause
from scada.model.point import PointKind
from scada.model.quality import Quality
from scada.model.rollup import Level, level_for
from scada.model.sample import SAMPLE, SampleArray

MEASURED, POSITION = PointKind.MEASURED_VALUE, PointKind.DOUBLE_POINT
INVALID, STALE, OVERFLOW = int(Quality.INVALID), int(Quality.NOT_TOPICAL), int(Quality.OVERFLOW)


def course(*rows: tuple[int, float, int]) -> SampleArray:
    return np.array([(7, *row, int(Cause.SPONTANEOUS)) for row in rows], dtype=SAMPLE)


def at(rows: SampleArray, kind: PointKind, *instants: int) -> list[tuple[int, float, int]]:
    found = values_at(rows, np.array(instants, dtype=np.int64), kind)
    return [(int(row["time"]), float(row["value"]), int(row["quality"])) for row in found]


def test_a_measured_value_runs_straight_and_a_position_holds() -> None:
    rows = course((100, 10.0, 0), (200, 20.0, 0))
    assert at(rows, MEASURED, 100, 150, 175, 200) == [(100, 10.0, 0), (150, 15.0, 0), (175, 17.5, 0), (200, 20.0, 0)]
    assert at(rows, POSITION, 150, 199, 200) == [(150, 10.0, 0), (199, 10.0, 0), (200, 20.0, 0)]


def test_what_lies_between_has_the_doubts_of_both_ends() -> None:
    assert at(course((100, 10.0, OVERFLOW), (200, 20.0, 0)), MEASURED, 150) == [(150, 15.0, OVERFLOW)]


def test_nothing_is_interpolated_towards_an_invalid_value_and_what_is_held_is_not_topical() -> None:
    assert at(course((100, 10.0, 0), (200, 99.0, INVALID)), MEASURED, 150) == [(150, 10.0, STALE)]


def test_after_an_invalid_value_nothing_better_is_claimed() -> None:
    assert at(course((100, 0.0, INVALID), (200, 20.0, 0)), MEASURED, 150) == [(150, 0.0, INVALID)]


def test_before_the_first_sample_nothing_is_known() -> None:
    assert at(course((100, 10.0, 0)), MEASURED, 50, 100) == [(100, 10.0, 0)]
    assert at(course(), MEASURED, 50) == []


def test_a_value_nobody_confirmed_for_long_is_not_topical() -> None:
    found = values_at(course((100, 10.0, 0)), np.array([150, 201], dtype=np.int64), MEASURED, Longest(held_us=100))
    assert found["quality"].tolist() == [0, STALE]


@pytest.mark.parametrize(
    ("hours", "level"), [(1, Level.RAW), (6, Level.RAW), (7, Level.MINUTE), (72, Level.MINUTE), (73, Level.HOUR)]
)
def test_a_long_span_is_told_coarsely(hours: float, level: Level) -> None:
    assert level_for(hours * 3600.0) is level
