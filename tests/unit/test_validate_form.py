"""Each rule of form has one example that fires it, and good readings pass them all."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meters.payload import INCOMING, IncomingArray, point_check
from meters.registry import Registry, build_registry
from meters.rejection import BY_REASON_CODE, Reason
from meters.validate import (
    MARGIN_DAYS,
    MAX_REGISTER,
    RULES,
    Candidates,
    Limits,
    judge,
    misaligned,
    not_for_billing,
)
from scada.model.ports import NOT_REMOVED, RegisteredMeter
from scada.model.reading import READING
from tests.fakes_meters import NOW, meters, point_of, serial_of

REGISTRY = build_registry(meters(10))
LIMITS = Limits(NOW)
DAY = 86_400_000_000


def row(**changes: int) -> IncomingArray:
    """One good row, with changes."""
    fields = {
        "serial": serial_of(3),
        "point_check": point_check(point_of(3)),
        "time": NOW,
        "import_wh": 1000,
        "export_wh": 10,
        "import_varh": 100,
        "power_w": 512,
        "voltage_dv": 2301,
        "status": 0,
        "interval_s": 1800,
        "seq": 1,
        "historical": 0,
    }
    rows = np.zeros(1, dtype=INCOMING)
    for name, value in {**fields, **changes}.items():
        rows[name] = value
    return rows


def verdict(rows: IncomingArray, registry: Registry = REGISTRY, limits: Limits = LIMITS) -> list[Reason | None]:
    codes = judge(Candidates(rows, registry.locate(rows["serial"]), registry, limits))
    return [BY_REASON_CODE.get(code) for code in codes.tolist()]


def off_grid(rows: IncomingArray, registry: Registry = REGISTRY, limits: Limits = LIMITS) -> list[bool]:
    return misaligned(Candidates(rows, registry.locate(rows["serial"]), registry, limits)).tolist()


def test_a_good_reading_passes() -> None:
    assert verdict(row()) == [None]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"serial": serial_of(11)}, Reason.UNKNOWN_METER),
        ({"serial": -1}, Reason.OUT_OF_RANGE),
        ({"serial": 1_000_000_000_000}, Reason.OUT_OF_RANGE),
        ({"point_check": point_check(point_of(4))}, Reason.WRONG_METERING_POINT),
        ({"time": NOW + 120_000_001}, Reason.IN_FUTURE),
        ({"time": NOW - (60 + MARGIN_DAYS) * DAY - 1}, Reason.TOO_OLD),
        ({"time": -(2**63)}, Reason.TOO_OLD),
        ({"time": 2**63 - 1}, Reason.IN_FUTURE),
        ({"import_wh": -1}, Reason.NEGATIVE),
        ({"export_wh": -1}, Reason.NEGATIVE),
        ({"import_varh": -(2**63)}, Reason.NEGATIVE),
        ({"voltage_dv": -1}, Reason.NEGATIVE),
        ({"import_wh": MAX_REGISTER + 1}, Reason.OUT_OF_RANGE),
        ({"export_wh": 2**63 - 1}, Reason.OUT_OF_RANGE),
        ({"import_varh": MAX_REGISTER + 1}, Reason.OUT_OF_RANGE),
        ({"power_w": 2**31}, Reason.OUT_OF_RANGE),
        ({"power_w": -(2**31) - 1}, Reason.OUT_OF_RANGE),
        ({"voltage_dv": 2**15}, Reason.OUT_OF_RANGE),
        ({"status": 256}, Reason.OUT_OF_RANGE),
        ({"status": -1}, Reason.OUT_OF_RANGE),
        ({"interval_s": 0}, Reason.OUT_OF_RANGE),
        ({"interval_s": 86_401}, Reason.OUT_OF_RANGE),
        ({"seq": -1}, Reason.OUT_OF_RANGE),
    ],
)
def test_each_fault_has_its_reason(changes: dict[str, int], reason: Reason) -> None:
    assert verdict(row(**changes)) == [reason]


@pytest.mark.parametrize(
    "changes",
    [
        {"time": NOW + 120_000_000},
        {"time": NOW - (60 + MARGIN_DAYS) * DAY},
        {"import_wh": MAX_REGISTER},
        {"power_w": -(2**31)},
        {"power_w": 2**31 - 1},
        {"voltage_dv": 2**15 - 1},
        {"status": 255},
        {"interval_s": 86_400},
        {"import_wh": 0, "export_wh": 0, "import_varh": 0, "power_w": 0, "voltage_dv": 0},
    ],
)
def test_the_bounds_themselves_are_accepted(changes: dict[str, int]) -> None:
    assert verdict(row(**changes)) == [None]


def test_every_rule_has_fired_in_these_examples() -> None:
    """A rule no example reaches could be one that never fires."""
    reasons = {reason for reason, _ in RULES}
    assert reasons == {
        Reason.OUT_OF_RANGE,
        Reason.UNKNOWN_METER,
        Reason.WRONG_METERING_POINT,
        Reason.IN_FUTURE,
        Reason.TOO_OLD,
        Reason.NOT_INSTALLED,
        Reason.NEGATIVE,
    }


@pytest.mark.parametrize(
    ("since", "until", "reason"),
    [
        (NOW + DAY, NOT_REMOVED, None),
        (NOW + DAY + 1, NOT_REMOVED, Reason.NOT_INSTALLED),
        (0, NOW - DAY, None),
        (0, NOW - DAY - 1, Reason.NOT_INSTALLED),
    ],
)
def test_a_meter_counts_where_it_is_installed_give_or_take_a_day(since: int, until: int, reason: Reason | None) -> None:
    registry = build_registry([RegisteredMeter(3, serial_of(3), point_of(3), "", since, until)])
    assert verdict(row(), registry=registry) == [reason]


def test_identity_is_told_before_time_and_time_before_value() -> None:
    everything = {"serial": serial_of(99), "time": NOW + DAY, "import_wh": -1}
    assert verdict(row(**everything)) == [Reason.UNKNOWN_METER]
    assert verdict(row(**{**everything, "serial": serial_of(3)})) == [Reason.IN_FUTURE]


def test_one_bad_row_costs_that_row_only() -> None:
    rows = np.concatenate([row(), row(import_wh=-1), row()])
    assert verdict(rows) == [None, Reason.NEGATIVE, None]


def test_with_an_empty_registry_every_meter_is_unknown() -> None:
    assert verdict(row(), registry=build_registry(())) == [Reason.UNKNOWN_METER]


def test_no_rows_have_no_verdicts() -> None:
    assert verdict(np.zeros(0, dtype=INCOMING)) == []
    assert verdict(np.zeros(0, dtype=INCOMING), registry=build_registry(())) == []


@given(
    st.sampled_from(["import_wh", "export_wh", "import_varh", "power_w", "voltage_dv", "status"]),
    st.integers(-(2**63), 2**63 - 1),
)
def test_whatever_is_accepted_fits_its_column(name: str, value: int) -> None:
    """numpy would wrap it silently."""
    if verdict(row(**{name: value})) == [None]:
        stored = np.zeros(1, dtype=READING)
        stored[name] = row(**{name: value})[name]
        assert stored[name][0] == value


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, False),
        ({"time": NOW + 30_000_000}, False),
        ({"time": NOW - 30_000_000}, False),
        ({"time": NOW + 30_000_001}, True),
        ({"time": NOW - 30_000_001}, True),
        ({"interval_s": 900}, True),
    ],
)
def test_a_reading_off_the_grid_is_seen(changes: dict[str, int], expected: bool) -> None:  # noqa: FBT001  # a parameter of the table above
    assert off_grid(row(**changes)) == [expected]


def test_a_short_capture_period_narrows_the_tolerance() -> None:
    limits = Limits(NOW, capture_period_s=60)
    rows = np.concatenate([row(interval_s=60), row(interval_s=60, time=NOW + 20_000_000)])
    assert off_grid(rows, limits=limits) == [False, True]


def test_the_interval_of_a_meter_is_the_one_of_its_model() -> None:
    quarter = replace(meters(1)[0], capture_period_s=900)
    registry = build_registry([quarter, *meters(3)[1:]])
    ends = (NOW, NOW + 900_000_000)
    own = [row(serial=serial_of(1), interval_s=900, time=end) for end in ends]
    wrong = [row(serial=serial_of(1)), row(serial=serial_of(2), interval_s=900, time=ends[1])]
    configured = [row(serial=serial_of(2))]
    found = off_grid(np.concatenate([*own, *wrong, *configured]), registry)
    assert found == [False, False, True, True, False]


@pytest.mark.parametrize(
    ("status", "expected"), [(0, False), (1, True), (2, True), (4, True), (0x20, False), (0xF8, False)]
)
def test_only_the_first_three_status_bits_forbid_billing(status: int, expected: bool) -> None:  # noqa: FBT001  # a parameter of the table above
    assert not_for_billing(row(status=status)).tolist() == [expected]
