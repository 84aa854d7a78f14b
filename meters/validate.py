"""Is a decoded reading or event of usable form: from a registered meter, of our time, within what can be stored.

Knows the rules, each a function of columns, and their order: the first that fires gives the reason. Does not know
whether a reading is *plausible*: sums, spikes and gaps are the validation job's, which has the neighbours of a reading.

What only makes a reading doubtful is counted, not rejected: a rejected reading is lost energy, a doubtful one can be
judged later. Misalignment (V3) can be seen again at any time from the stored time, the status bits (V19) are stored.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from meters.jsonform import MAX_SERIAL
from meters.payload import INCOMING
from meters.registry import UNKNOWN, Registry
from meters.rejection import Reason
from scada.model.reading import NOT_FOR_BILLING

MARGIN_DAYS = 7
"""A reading may be read from the meter's memory on its last day and then wait for a link: the memory plus a week."""

INSTALLATION_MARGIN_US = 86_400_000_000
"""Lists tell the day of an installation, not always the hour."""

ALIGNMENT_S = 30
"""Rule V3: an interval ends on a multiple of its length, give or take this."""

MAX_REGISTER = 10**15
"""Largest register accepted, Wh or varh: a 9-digit kWh counter behind the largest transformer ratios stays below."""

_DAY_US = 86_400_000_000
_BoolArray = NDArray[np.bool_]
_INT32 = np.iinfo(np.int32)
_INT16 = np.iinfo(np.int16)


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of time. ``now`` is µs since 1970 UTC; ``capture_period_s``: of meters whose model says nothing of it."""

    now: int
    future_s: float = 120.0
    memory_days: int = 60
    capture_period_s: int = 1800

    @property
    def latest(self) -> int:
        """A time beyond this is in the future."""
        return self.now + round(self.future_s * 1e6)

    @property
    def oldest(self) -> int:
        """A time before this is older than a meter can remember."""
        return self.now - (self.memory_days + MARGIN_DAYS) * _DAY_US


@dataclass(frozen=True, slots=True)
class Candidates:
    """Rows to be judged with what the registry says of their meters; all of shape (n,).

    ``rows``: dtype INCOMING, or INCOMING_REGISTER for its own rules · ``position``: in the registry, UNKNOWN where not
    registered.
    """

    rows: NDArray[np.void]
    position: NDArray[np.intp]
    registry: Registry
    limits: Limits


def bad_serial(c: Candidates) -> _BoolArray:
    """The serial has more than 12 digits or is not positive."""
    return (c.rows["serial"] < 0) | (c.rows["serial"] > MAX_SERIAL)


def unknown_meter(c: Candidates) -> _BoolArray:
    """The serial is not registered."""
    return np.asarray(c.position == UNKNOWN)


def wrong_metering_point(c: Candidates) -> _BoolArray:
    """The meter believes to be at another metering point than the registry (V1)."""
    if not len(c.registry):
        return np.zeros(len(c.rows), dtype=np.bool_)
    return np.asarray(c.registry.point_check[c.position] != c.rows["point_check"])


def not_installed(c: Candidates) -> _BoolArray:
    """The interval ended before the meter was installed or after it was removed, by more than a day (V1, V22)."""
    if not len(c.registry):
        return np.zeros(len(c.rows), dtype=np.bool_)
    return not_installed_at(c.rows["time"], c.position, c.registry)


def not_installed_at(times: NDArray[np.int64], position: NDArray[np.intp], registry: Registry) -> _BoolArray:
    """True where a time lies outside an installation, by more than INSTALLATION_MARGIN_US."""
    early = times < registry.since[position] - INSTALLATION_MARGIN_US
    late = times > registry.until[position] + INSTALLATION_MARGIN_US
    return np.asarray((position != UNKNOWN) & (early | late))


def in_future(c: Candidates) -> _BoolArray:
    """The interval ends later than now plus the tolerance."""
    return c.rows["time"] > c.limits.latest


def too_old(c: Candidates) -> _BoolArray:
    """The interval ended before anything a meter can remember."""
    return c.rows["time"] < c.limits.oldest


def negative(c: Candidates) -> _BoolArray:
    """A register or the voltage is negative; power may be (export)."""
    rows = c.rows
    return (rows["import_wh"] < 0) | (rows["export_wh"] < 0) | (rows["import_varh"] < 0) | (rows["voltage_dv"] < 0)


def out_of_range(c: Candidates) -> _BoolArray:
    """A value would not fit its column and would wrap silently, or the interval length is none."""
    rows = c.rows
    return (
        (rows["import_wh"] > MAX_REGISTER)
        | (rows["export_wh"] > MAX_REGISTER)
        | (rows["import_varh"] > MAX_REGISTER)
        | (rows["power_w"] < _INT32.min)
        | (rows["power_w"] > _INT32.max)
        | (rows["voltage_dv"] > _INT16.max)
        | (rows["status"] < 0)
        | (rows["status"] > 0xFF)
        | (rows["interval_s"] < 1)
        | (rows["interval_s"] > 86_400)
        | (rows["seq"] < 0)
    )


def register_in_future(c: Candidates) -> _BoolArray:
    """A register was counted later than now plus the tolerance."""
    return c.rows["taken_at"] > c.limits.latest


def register_negative(c: Candidates) -> _BoolArray:
    """A register is negative."""
    return c.rows["value"] < 0


def register_out_of_range(c: Candidates) -> _BoolArray:
    """A value no meter can show, a time no meter can mean, or a status that is no byte."""
    rows = c.rows
    return (
        (rows["value"] > MAX_REGISTER)
        | (rows["taken_at"] < 0)
        | (rows["status"] < 0)
        | (rows["status"] > 0xFF)
        | (rows["seq"] < 0)
    )


Rules = tuple[tuple[Reason, Callable[[Candidates], _BoolArray]], ...]

_WHO_AND_WHEN: Rules = (
    (Reason.UNKNOWN_METER, unknown_meter),
    (Reason.WRONG_METERING_POINT, wrong_metering_point),
    (Reason.IN_FUTURE, in_future),
    (Reason.TOO_OLD, too_old),
    (Reason.NOT_INSTALLED, not_installed),
)

RULES: Rules = (
    (Reason.OUT_OF_RANGE, bad_serial),
    *_WHO_AND_WHEN,
    (Reason.NEGATIVE, negative),
    (Reason.OUT_OF_RANGE, out_of_range),
)
"""In this order: who it is, when it was, what it says."""

REGISTER_RULES: Rules = (
    *_WHO_AND_WHEN,
    (Reason.IN_FUTURE, register_in_future),
    (Reason.NEGATIVE, register_negative),
    (Reason.OUT_OF_RANGE, register_out_of_range),
)
"""The same for billing registers; their serials are decimal text and so never out of range."""


def judge(candidates: Candidates, rules: Rules = RULES) -> NDArray[np.uint8]:
    """``Reason.code`` of the first rule that fires per row, 0 where none does; shape (n,)."""
    assert candidates.rows.dtype == INCOMING or rules is not RULES
    codes = np.zeros(len(candidates.rows), dtype=np.uint8)
    for reason, rule in rules:
        fires = rule(candidates)
        if fires.any():
            codes[fires & (codes == 0)] = reason.code
    return codes


def misaligned(c: Candidates) -> _BoolArray:
    """Rule V3: the interval is not the one of the meter's model, or does not end on a multiple of it ± 30 s.

    Every row is of a registered meter.
    """
    period_s = c.registry.period_s[c.position].astype(np.int64)
    period_s[period_s == 0] = c.limits.capture_period_s
    if np.all(period_s == period_s[:1]):
        period_s = period_s[:1]  # of one length, as nearly always: division by one number costs half
    period = period_s * 1_000_000
    beyond = c.rows["time"] % period
    tolerance = np.minimum(ALIGNMENT_S * 1_000_000, period // 4)
    off_grid = np.minimum(beyond, period - beyond) > tolerance
    return np.asarray(off_grid | (c.rows["interval_s"] != period_s))


def not_for_billing(rows: NDArray[np.void]) -> _BoolArray:
    """Rule V19: the meter itself calls the interval unusable for billing (status bits 0 to 2)."""
    return np.asarray((rows["status"] & int(NOT_FOR_BILLING)) != 0)
