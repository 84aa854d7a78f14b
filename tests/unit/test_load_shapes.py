"""The curves of the classes, judged by what their docstrings claim."""

from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest

from simulators.load_shapes import MINUTE_US, WEEK_US, LoadClass, hours_at_mean, load_factor, week_of, week_phase

VIETNAM = timezone(timedelta(hours=7))


def at(text: str) -> int:
    """µs UTC of a local time, by the calendar of the standard library."""
    return int(datetime.fromisoformat(text).replace(tzinfo=VIETNAM).timestamp()) * 1_000_000


@pytest.mark.parametrize("load_class", list(LoadClass))
def test_any_week_has_mean_one_and_nothing_negative(load_class: LoadClass) -> None:
    week = load_factor(load_class, at("2026-03-11 14:07") + np.arange(10_080) * MINUTE_US)
    assert week.mean() == pytest.approx(1.0, abs=1e-12)
    assert week.min() >= 0.0
    assert week.shape == (10_080,)


def test_the_sun_shines_by_day_and_peaks_before_noon_by_the_clock() -> None:
    hours = np.array([at(f"2026-03-11 {hour:02d}:30") for hour in range(24)])
    generation = load_factor("pv", hours)
    assert not generation[:5].any()
    assert not generation[18:].any()
    assert generation[6:17].all()
    minutes = at("2026-03-11 00:00") + np.arange(1440) * MINUTE_US
    assert int(np.argmax(load_factor("pv", minutes))) == 11 * 60 + 56


@pytest.mark.parametrize(
    ("load_class", "peak", "trough"),
    [("residential", 19, 3), ("production", 14, 2), ("business", 10, 2)],
)
def test_the_weekday_peaks_when_the_class_is_at_work(load_class: str, peak: int, trough: int) -> None:
    hours = np.array([at(f"2026-03-11 {hour:02d}:00") for hour in range(24)])
    factors = load_factor(load_class, hours)
    assert (int(np.argmax(factors)), int(np.argmin(factors))) == (peak, trough)


def test_business_rests_at_the_weekend_and_households_do_not() -> None:
    wednesday, sunday = at("2026-03-11 10:00"), at("2026-03-15 10:00")
    assert load_factor("business", sunday) < 0.7 * load_factor("business", wednesday)
    assert load_factor("residential", sunday) > 1.3 * load_factor("residential", wednesday)


def test_the_local_week_begins_on_monday_at_midnight_in_vietnam() -> None:
    monday = int(datetime(2026, 3, 8, 17, tzinfo=UTC).timestamp()) * 1_000_000
    number, phase = week_phase(np.array([monday - 1, monday]))
    assert phase.tolist() == [WEEK_US - 1, 0]
    assert int(number[1] - number[0]) == 1


def test_the_curve_is_continuous_over_midnight() -> None:
    for load_class in LoadClass:
        day = week_of(load_class)
        assert np.abs(np.diff(day[:1440])).max() < 0.03
        assert abs(day[1440] - day[1439]) < 0.03


def test_a_week_of_hours_at_mean_is_a_week() -> None:
    hours = hours_at_mean(week_of("residential"))
    assert hours.shape == (10_081,)
    assert hours[0] == 0.0
    assert hours[-1] == pytest.approx(168.0)


def test_an_unknown_class_is_refused() -> None:
    with pytest.raises(ValueError, match="military"):
        load_factor("military", 0)


def test_the_tables_cannot_be_written() -> None:
    with pytest.raises(ValueError, match="read-only"):
        week_of("pv")[0] = 1.0
