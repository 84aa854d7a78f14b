"""Values as people read them, in both languages."""

import pytest

from scada.hmi.words import cause_words, quality_words, time_words, title, value_words
from scada.model.point import DoublePoint, Point, PointKind


def point(kind: PointKind, unit: str = "") -> Point:
    return Point(1, "TN07/171/x", kind, "Dòng điện pha A", "Current L1", unit)


@pytest.mark.parametrize(
    ("position", "vi", "en"),
    [
        (DoublePoint.INTERMEDIATE, "trung gian", "intermediate"),
        (DoublePoint.OPEN, "mở", "open"),
        (DoublePoint.CLOSED, "đóng", "closed"),
        (DoublePoint.FAULTY, "lỗi", "faulty"),
    ],
)
def test_a_position_is_a_word(position: DoublePoint, vi: str, en: str) -> None:
    of = point(PointKind.DOUBLE_POINT)
    assert (value_words(of, float(position), "vi"), value_words(of, float(position), "en")) == (vi, en)


@pytest.mark.parametrize("value", [4.0, -1.0, 1.5, 1e18])
def test_a_position_that_is_none_is_faulty_and_never_guessed(value: float) -> None:
    assert value_words(point(PointKind.DOUBLE_POINT), value, "en") == "faulty"


@pytest.mark.parametrize(
    ("kind", "unit", "value", "words"),
    [
        (PointKind.SINGLE_POINT, "", 1.0, "1"),
        (PointKind.STEP_POSITION, "", -3.0, "-3"),
        (PointKind.INTEGRATED_TOTAL, "kWh", 1_234_567.0, "1,234,567 kWh"),
        (PointKind.MEASURED_VALUE, "A", 231.4, "231.40 A"),
        (PointKind.MEASURED_VALUE, "", 0.98, "0.98"),
        (PointKind.MEASURED_VALUE, "MW", -12_345.678, "-12,345.68 MW"),
    ],
)
def test_a_number_has_its_unit(kind: PointKind, unit: str, value: float, words: str) -> None:
    assert value_words(point(kind, unit), value, "en") == words


@pytest.mark.parametrize(("octet", "words"), [(0, "good"), (0x40, "not_topical"), (0xC0, "not_topical+invalid")])
def test_quality_is_told_by_its_doubts(octet: int, words: str) -> None:
    assert quality_words(octet, "en") == words


def test_time_is_local_to_the_millisecond() -> None:
    assert time_words(1_748_748_600_123_999, "Asia/Ho_Chi_Minh") == "2025-06-01 10:30:00.123"
    assert time_words(1_748_748_600_123_999, "UTC") == "2025-06-01 03:30:00.123"


def test_a_point_never_heard_of_has_no_time() -> None:
    assert time_words(0, "UTC") == "–"


def test_titles_follow_the_language() -> None:
    of = point(PointKind.SINGLE_POINT)
    assert (title(of, "vi"), title(of, "en")) == ("Dòng điện pha A", "Current L1")


def test_quality_and_cause_have_vietnamese_words() -> None:
    assert quality_words(0xC0, "vi") == "không cập nhật+không hợp lệ"
    assert (cause_words(20, "vi"), cause_words(20, "en")) == ("tổng kiểm tra", "general_interrogation")
