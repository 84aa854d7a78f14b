"""How load and solar generation move through a day and a week, per class of customer.

Knows curves over local time (UTC+7, no daylight saving), weekday and weekend, as functions of the time alone. Does not
know any customer, feeder, season, weather or holiday.

Every curve is a factor with mean 1 over the week (168 h), so ``p_mw * load_factor(mix, now)`` keeps ``p_mw`` as the
weekly mean. ``pv`` is generation: 0 at night, mean 1 over the day, to be subtracted from the load by who uses it.

Where the shapes come from: the residential, business and production curves are assumed. Their form follows the
representative profiles of VDEW M-05/2000 (H0 household, G0/G1 trade, G3 continuous), moved to what is known of
northern Viet Nam: the evening peak of 17:00 to 21:00, a second peak before noon, industry in three shifts that eases in
the peak hours of the tariff. ``pv`` is geometry: the sun over Thai Nguyen (21.6 N, 105.85 E) at the equinox, whose sine
of altitude is cos(latitude) * cos(hour angle), to the power 1.2 for the longer way through the air near the horizon
(assumed).
"""

from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from scada.model.sample import TimeArray, ValueArray

MINUTE_US = 60_000_000
HOUR_US = 60 * MINUTE_US
DAY_US = 24 * HOUR_US
WEEK_US = 7 * DAY_US
UTC_OFFSET_US = 7 * HOUR_US
_THURSDAY_US = 3 * DAY_US
"""1970-01-01 was a Thursday: three days after the Monday on which the week tables begin."""
_DAY_MINUTES = 1440
_LATITUDE = 21.6
_SOLAR_NOON_H = 12.0 - (105.85 - 105.0) / 15.0


class LoadClass(StrEnum):
    """Class of customers; the values are the ``mix`` of a ``Load``."""

    RESIDENTIAL = "residential"
    PRODUCTION = "production"
    BUSINESS = "business"
    PV = "pv"


# Factor at 00:00, 01:00 … 23:00 local; between the hours the curve is straight.
_RESIDENTIAL_WEEKDAY = (
    0.70, 0.58, 0.52, 0.50, 0.52, 0.66, 0.92, 0.90, 0.74, 0.72, 0.82, 1.12,
    1.14, 0.92, 0.80, 0.82, 0.98, 1.38, 1.88, 2.05, 1.92, 1.62, 1.24, 0.92,
)  # fmt: skip
_RESIDENTIAL_WEEKEND = (
    0.76, 0.62, 0.55, 0.52, 0.52, 0.58, 0.78, 0.96, 1.04, 1.08, 1.20, 1.40,
    1.36, 1.18, 1.08, 1.06, 1.18, 1.50, 1.92, 2.08, 1.98, 1.70, 1.32, 0.98,
)  # fmt: skip
_PRODUCTION_WEEKDAY = (
    0.94, 0.93, 0.92, 0.92, 0.92, 0.94, 1.00, 1.12, 1.22, 1.20, 1.12, 1.06,
    1.04, 1.20, 1.24, 1.22, 1.16, 1.00, 0.94, 0.93, 0.98, 1.02, 1.02, 0.98,
)  # fmt: skip
_PRODUCTION_WEEKEND = (
    0.86, 0.85, 0.84, 0.84, 0.84, 0.85, 0.88, 0.94, 0.98, 0.97, 0.94, 0.91,
    0.90, 0.95, 0.96, 0.95, 0.92, 0.86, 0.84, 0.84, 0.86, 0.88, 0.88, 0.87,
)  # fmt: skip
_BUSINESS_WEEKDAY = (
    0.38, 0.36, 0.35, 0.35, 0.36, 0.42, 0.60, 1.02, 1.52, 1.66, 1.70, 1.56,
    1.34, 1.50, 1.66, 1.66, 1.54, 1.36, 1.28, 1.22, 1.06, 0.80, 0.56, 0.44,
)  # fmt: skip
_BUSINESS_WEEKEND = (
    0.38, 0.36, 0.35, 0.35, 0.36, 0.40, 0.50, 0.68, 0.90, 1.02, 1.08, 1.06,
    0.98, 0.98, 1.02, 1.04, 1.06, 1.12, 1.20, 1.20, 1.06, 0.80, 0.56, 0.44,
)  # fmt: skip


def load_factor(load_class: LoadClass | str, time: TimeArray | int) -> ValueArray:
    """Load (``pv``: generation) of a class at ``time`` as a multiple of its weekly mean.

    time: µs UTC, any shape; the result has the same shape. The curve is level within each minute.
    Raises ValueError for a class that is not a ``LoadClass``.
    """
    phase = (np.asarray(time, dtype=np.int64) + (UTC_OFFSET_US + _THURSDAY_US)) % WEEK_US
    return week_of(load_class)[phase // MINUTE_US]


def week_of(load_class: LoadClass | str) -> ValueArray:
    """The factor of a class in every minute of a local week, Monday 00:00 first; shape (10080,), mean 1."""
    return _WEEKS[LoadClass(load_class)]


def hours_at_mean(week: ValueArray) -> ValueArray:
    """Integral of a week's curve: hours at the mean that pass until each minute begins; shape (10081,), first 0."""
    return np.concatenate(([0.0], np.cumsum(week) / 60.0))


def week_phase(time: TimeArray) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Number of the local week since the Monday before 1970 and the µs passed in it. time: µs UTC, any shape."""
    local = time + (UTC_OFFSET_US + _THURSDAY_US)
    number = local // WEEK_US
    return number, local - number * WEEK_US


def _week(weekday: tuple[float, ...], weekend: tuple[float, ...]) -> ValueArray:
    days = [_day(weekday)] * 5 + [_day(weekend)] * 2
    return _frozen(np.concatenate(days))


def _day(hours: tuple[float, ...]) -> ValueArray:
    middles = (np.arange(_DAY_MINUTES) + 0.5) / 60.0
    curve: ValueArray = np.interp(middles, np.arange(25.0), np.array((*hours, hours[0])))
    return curve


def _solar_week() -> ValueArray:
    hour = (np.arange(_DAY_MINUTES) + 0.5) / 60.0
    altitude = np.cos(np.radians(_LATITUDE)) * np.cos((hour - _SOLAR_NOON_H) * np.pi / 12.0)
    return _frozen(np.tile(np.clip(altitude, 0.0, None) ** 1.2, 7))


def _frozen(week: ValueArray) -> ValueArray:
    week = week / week.mean()
    week.flags.writeable = False
    return week


_WEEKS = {
    LoadClass.RESIDENTIAL: _week(_RESIDENTIAL_WEEKDAY, _RESIDENTIAL_WEEKEND),
    LoadClass.PRODUCTION: _week(_PRODUCTION_WEEKDAY, _PRODUCTION_WEEKEND),
    LoadClass.BUSINESS: _week(_BUSINESS_WEEKDAY, _BUSINESS_WEEKEND),
    LoadClass.PV: _solar_week(),
}
