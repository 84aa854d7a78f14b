"""The ground floor's words carry the standards' numbers."""

import numpy as np
import pytest

from scada.model.point import Point, PointKind, point_id
from scada.model.quality import Quality, is_doubtful, merge
from scada.model.reading import READING, REGISTER
from scada.model.sample import SAMPLE, no_samples, samples


def test_quality_bits_are_those_of_iec_60870_5_101_clause_7_2_6() -> None:
    assert {each.name: int(each) for each in Quality} == {
        "OVERFLOW": 1,
        "BLOCKED": 16,
        "SUBSTITUTED": 32,
        "NOT_TOPICAL": 64,
        "INVALID": 128,
    }


@pytest.mark.parametrize(
    ("quality", "label"),
    [(0x00, "good"), (0x80, "invalid"), (0x41, "overflow+not_topical"), (0xC0, "not_topical+invalid")],
)
def test_a_quality_reads_as_words(quality: int, label: str) -> None:
    assert Quality(quality).label == label


def test_merging_qualities_keeps_every_doubt() -> None:
    assert merge(np.array([0x00, 0x80, 0x41], dtype=np.uint8)) == Quality(0xC1)
    assert merge(np.empty(0, dtype=np.uint8)) == Quality.GOOD


def test_doubt_is_any_bit() -> None:
    assert is_doubtful(np.array([0, 1, 128], dtype=np.uint8)).tolist() == [False, True, True]


def test_rows_are_packed_without_holes_or_overlaps() -> None:
    for dtype in (SAMPLE, READING, REGISTER):
        assert dtype.fields is not None
        ends = 0
        for kind, offset in sorted((each[:2] for each in dtype.fields.values()), key=lambda pair: pair[1]):
            assert offset == ends
            ends = offset + kind.itemsize
        assert ends == dtype.itemsize


def test_no_nan_leaves_a_sample_batch() -> None:
    batch = samples(
        np.array([1, 2, 3], dtype=np.int32),
        5,
        np.array([1.5, np.nan, np.inf]),
        np.array([0, 0x40, 0], dtype=np.uint8),
        3,
    )
    assert batch.tolist() == [(1, 5, 1.5, 0, 3), (2, 5, 0.0, 0xC0, 3), (3, 5, 0.0, 0x80, 3)]


def test_an_empty_batch_has_the_dtype() -> None:
    assert no_samples().dtype == SAMPLE
    assert len(no_samples()) == 0


def test_a_point_id_is_the_three_written_numbers() -> None:
    assert point_id(7, 3, 17) == 7 << 16 | 3 << 8 | 17


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ((0, 1, 1), "common address 0"),
        ((32768, 1, 1), "common address 32768"),
        ((1, 256, 1), "bay number 256"),
        ((1, 1, 0), "point number 0"),
    ],
)
def test_a_number_that_does_not_fit_is_refused(numbers: tuple[int, int, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        point_id(*numbers)


def test_a_point_knows_its_station_and_bay() -> None:
    point = Point(1, "TN07/171/171-7.position", PointKind.DOUBLE_POINT, "Vị trí", "Position")
    assert (point.station, point.bay) == ("TN07", "171")
