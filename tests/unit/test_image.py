"""Claims about the process image."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scada.image import ImageCounts, ProcessImage
from scada.model.cause import Cause
from scada.model.point import Point, PointKind
from scada.model.quality import Quality
from scada.model.sample import SAMPLE, SampleArray, no_samples, samples

POWER = Point(1, "TN07/171/active_power", PointKind.MEASURED_VALUE, "", "", "MW", deadband=0.5)
CURRENT = Point(2, "TN07/171/current_l1", PointKind.MEASURED_VALUE, "", "", "A", deadband=0.0)
BREAKER = Point(3, "TN07/171/171.position", PointKind.DOUBLE_POINT, "", "", deadband=5.0)
ENERGY = Point(4, "TN07/171/energy_export", PointKind.INTEGRATED_TOTAL, "", "", "kWh", deadband=1000.0)
POINTS = (BREAKER, POWER, ENERGY, CURRENT)
SPONTANEOUS = int(Cause.SPONTANEOUS)


def batch(
    *rows: tuple[int, float] | tuple[int, float, int] | tuple[int, float, int, int], time: int = 10
) -> SampleArray:
    """Rows of (point, value, quality = good, cause = spontaneous), one µs apart."""
    full = [(row[0], time + n, row[1], *(row[2:] + (0, SPONTANEOUS)[len(row) - 2 :])) for n, row in enumerate(rows)]
    return np.array(full, dtype=SAMPLE)


def values(delta: SampleArray) -> list[tuple[int, float]]:
    return list(zip(delta["point"].tolist(), delta["value"].tolist(), strict=True))


def image() -> ProcessImage:
    """An image whose points have all been reported once with value 0."""
    image = ProcessImage(POINTS)
    image.apply(batch((1, 0.0), (2, 0.0), (3, 0.0), (4, 0.0)))
    return image


def test_before_any_sample_every_point_is_invalid_and_not_topical() -> None:
    state = ProcessImage(POINTS).snapshot()
    doubt = Quality.INVALID | Quality.NOT_TOPICAL
    assert state.tolist() == [(n, 0, 0.0, doubt, Cause.INITIALIZED) for n in (1, 2, 3, 4)]


def test_the_first_sample_of_a_point_is_reported_even_when_it_is_zero() -> None:
    assert values(ProcessImage(POINTS).apply(batch((1, 0.0)))) == [(1, 0.0)]


def test_a_change_within_the_deadband_is_stored_but_not_reported() -> None:
    one = image()
    assert values(one.apply(batch((1, 0.5)))) == []
    assert one.read([POWER.name])["value"].tolist() == [0.5]


def test_the_deadband_counts_from_the_last_reported_value_so_a_slow_drift_is_seen() -> None:
    one = image()
    assert [len(one.apply(batch((1, value)))) for value in (0.2, 0.4, 0.6, 0.8, 1.0, 1.2)] == [0, 0, 1, 0, 0, 1]


def test_without_a_deadband_every_change_is_reported_and_no_other() -> None:
    one = image()
    assert [len(one.apply(batch((2, value)))) for value in (1.0, 1.0, 1.001)] == [1, 0, 1]


def test_positions_and_totals_have_no_deadband_whatever_their_file_says() -> None:
    assert values(image().apply(batch((3, 1.0), (4, 1.0)))) == [(3, 1.0), (4, 1.0)]


def test_a_change_of_quality_alone_is_reported() -> None:
    one = image()
    delta = one.apply(batch((1, 0.0, Quality.NOT_TOPICAL)))
    assert delta["quality"].tolist() == [Quality.NOT_TOPICAL]
    assert len(one.apply(batch((1, 0.0, Quality.NOT_TOPICAL)))) == 0
    assert one.apply(batch((1, 0.0)))["quality"].tolist() == [0]


@pytest.mark.parametrize("cause", [Cause.GENERAL_INTERROGATION, Cause.BACKGROUND_SCAN, Cause.PERIODIC, Cause.REQUEST])
def test_what_was_asked_for_is_reported_though_nothing_changed(cause: Cause) -> None:
    assert image().apply(batch((1, 0.0, 0, cause)))["cause"].tolist() == [cause]


def test_a_sequence_of_events_in_one_batch_is_never_merged() -> None:
    one = image()
    events = batch((3, 1.0), (1, 9.0), (3, 0.0), (3, 2.0), (1, 9.1), (3, 1.0))
    delta = one.apply(events)
    assert values(delta) == [(3, 1.0), (1, 9.0), (3, 0.0), (3, 2.0), (3, 1.0)]
    assert delta["time"].tolist() == [10, 11, 12, 13, 15]
    assert one.read([BREAKER.name, POWER.name])["value"].tolist() == [1.0, 9.1]


def test_unknown_points_are_counted_and_do_not_disturb_the_others() -> None:
    one = ProcessImage(POINTS)
    assert values(one.apply(batch((99, 1.0), (1, 2.0), (0, 3.0), (-5, 1.0)))) == [(1, 2.0)]
    assert one.counts == ImageCounts(received=4, reported=1, unknown=3)


def test_an_image_without_points_takes_any_batch() -> None:
    one = ProcessImage(())
    assert len(one.apply(batch((1, 2.0)))) == 0
    assert one.counts == ImageCounts(received=1, reported=0, unknown=1)


def test_an_empty_batch_changes_nothing() -> None:
    assert len(image().apply(no_samples())) == 0


def test_reading_an_unknown_name_says_which() -> None:
    with pytest.raises(KeyError, match="TN07/171/nothing"):
        image().read(["TN07/171/nothing"])


def test_a_snapshot_is_a_copy() -> None:
    one = image()
    one.snapshot()["value"] = 77.0
    assert one.snapshot()["value"].tolist() == [0.0, 0.0, 0.0, 0.0]


def test_two_points_with_one_id_are_refused() -> None:
    with pytest.raises(ValueError, match="same id"):
        ProcessImage((POWER, POWER))


SAMPLES = st.tuples(
    st.integers(1, 5),
    st.sampled_from([0.0, 0.3, 0.6, 1.0, 2.0]),
    st.sampled_from([0, 0x40, 0x80]),
    st.sampled_from([3, 3, 3, 2, 20]),
)


@given(st.lists(st.lists(SAMPLES, max_size=30), max_size=5))
def test_any_batch_is_judged_as_if_its_samples_came_one_by_one(
    batches: list[list[tuple[int, float, int, int]]],
) -> None:
    together, single = ProcessImage(POINTS), ProcessImage(POINTS)
    for rows in batches:
        whole = batch(*rows)
        one_by_one = [single.apply(whole[n : n + 1]) for n in range(len(whole))]
        expected = np.concatenate([no_samples(), *one_by_one])
        assert together.apply(whole).tolist() == expected.tolist()
    assert together.snapshot().tolist() == single.snapshot().tolist()
    assert together.counts == single.counts


def test_what_is_remembered_of_batches_is_bounded_and_changes_nothing() -> None:
    """Every batch is another choice of points; the image says the same as one that sees each row by itself."""
    kinds = (PointKind.MEASURED_VALUE, PointKind.SINGLE_POINT)
    points = [Point(number, f"A/1/P{number}", kinds[number % 2], "", "") for number in range(1, 9)]
    ids = np.array([point.id for point in points], dtype=np.int32)
    together, alone = ProcessImage(points), ProcessImage(points)
    for choice in range(1, 256):
        chosen = ids[[bool(choice >> bit & 1) for bit in range(8)]]
        batch = samples(chosen, choice, np.full(len(chosen), float(choice % 3)), 0, Cause.SPONTANEOUS)
        delta = together.apply(batch)
        assert delta.tolist() == [row for each in batch for row in alone.apply(each.reshape(1)).tolist()]
    assert together.snapshot().tolist() == alone.snapshot().tolist()
    assert together._remembered == sum(len(each.rows) for each in together._familiar.values()) <= 4 * len(points)
