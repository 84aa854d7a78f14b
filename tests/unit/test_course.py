"""A point's course as table, CSV and curve."""

import csv
import io

import numpy as np
import pytest
from rich.console import Console

from historian.history import PointHistory
from scada.hmi.course import course_csv, course_plot, course_table
from scada.model.point import Point, PointKind
from scada.model.sample import SAMPLE, SampleArray, no_samples

POINT = Point(1, "TN07/171/current_l1", PointKind.MEASURED_VALUE, "Dòng điện", "Current", "A")
AT = 1_748_748_600_000_000
"""2025-06-01 03:30:00 UTC, 10:30:00 in Viet Nam."""


def rows(*each: tuple[int, float, int, int]) -> SampleArray:
    """(seconds after AT, value, quality, cause)"""
    return np.array([(1, AT + s * 1_000_000, value, quality, cause) for s, value, quality, cause in each], SAMPLE)


COURSE = PointHistory(
    1, rows((-60, 99.5, 0, 20)), rows((0, 100.25, 0, 3), (1, 101.0, 0x40, 3), (5, 0.1, 0x80, 2), (9, 102.0, 0, 3))
)
NOTHING = PointHistory(1, no_samples(), no_samples())


def as_text(found: PointHistory, language: str) -> list[str]:
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(course_table(POINT, found, language, "Asia/Ho_Chi_Minh"))
    return [" ".join(line.split()) for line in console.export_text().splitlines()]


def test_the_table_has_the_value_in_force_and_every_sample() -> None:
    assert as_text(COURSE, "en") == [
        "TN07/171/current_l1 Current",
        "time value quality cause",
        "2025-06-01 10:29:00.000 99.50 A good in force before",
        "2025-06-01 10:30:00.000 100.25 A good spontaneous",
        "2025-06-01 10:30:01.000 101.00 A not_topical spontaneous",
        "2025-06-01 10:30:05.000 0.10 A invalid background_scan",
        "2025-06-01 10:30:09.000 102.00 A good spontaneous",
    ]


def test_title_and_words_follow_the_language() -> None:
    assert as_text(COURSE, "vi")[:3] == [
        "TN07/171/current_l1 Dòng điện",
        "thời điểm giá trị chất lượng nguyên nhân",
        "2025-06-01 10:29:00.000 99.50 A tốt hiệu lực từ trước",
    ]


def test_the_csv_is_read_back_value_by_value() -> None:
    read = list(csv.DictReader(io.StringIO(course_csv(POINT, COURSE))))
    assert [(row["time"], float(row["value"]), int(row["quality"]), int(row["cause"])) for row in read] == [
        ("2025-06-01T03:29:00.000000+00:00", 99.5, 0, 20),
        ("2025-06-01T03:30:00.000000+00:00", 100.25, 0, 3),
        ("2025-06-01T03:30:01.000000+00:00", 101.0, 0x40, 3),
        ("2025-06-01T03:30:05.000000+00:00", 0.1, 0x80, 2),
        ("2025-06-01T03:30:09.000000+00:00", 102.0, 0, 3),
    ]
    assert {(row["point"], row["unit"]) for row in read} == {("TN07/171/current_l1", "A")}


def test_the_csv_of_nothing_is_its_heading() -> None:
    assert course_csv(POINT, NOTHING) == "time,point,value,unit,quality,cause\n"


def test_the_curve_spans_the_valid_samples_in_local_time() -> None:
    curve = course_plot(POINT, COURSE, "en", "Asia/Ho_Chi_Minh")
    assert "TN07/171/current_l1 A" in curve
    assert "10:30:00" in curve and "10:30:09" in curve
    assert "102.0" in curve
    assert "0.1 " not in curve, "an invalid value would flatten the curve"
    assert "\x1b" not in curve


@pytest.mark.parametrize("found", [NOTHING, PointHistory(1, rows((-1, 1.0, 0, 3)), rows((1, 1.0, 0x80, 3)))])
def test_a_course_without_a_valid_sample_is_a_sentence(found: PointHistory) -> None:
    assert course_plot(POINT, found, "en", "UTC") == "TN07/171/current_l1: no valid sample in this time"


def test_a_single_sample_can_be_drawn() -> None:
    assert "03:30:00" in course_plot(POINT, PointHistory(1, no_samples(), rows((0, 5.0, 0, 3))), "en", "UTC")
