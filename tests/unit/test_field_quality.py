"""Claims about what exception codes, status codes and implausible values become."""

import numpy as np
import pytest
from asyncua.ua.status_codes import StatusCodes

from scada.model.quality import Quality
from substations.quality import OPCUA_STATUS, mark_implausible, of_modbus_exception, of_opcua_status

STANDARD = {value >> 16: name for name, value in vars(StatusCodes).items() if isinstance(value, int)}


@pytest.mark.parametrize(
    ("code", "quality"),
    [(1, 0x80), (2, 0x80), (3, 0x80), (4, 0x80), (5, 0x40), (6, 0x40), (7, 0x80), (8, 0x80), (10, 0x40), (11, 0x40)],
)
def test_every_standard_exception_has_a_quality(code: int, quality: int) -> None:
    assert of_modbus_exception(code)[1] == quality


def test_an_exception_nobody_knows_is_invalid_and_named_by_its_number() -> None:
    assert of_modbus_exception(77) == ("exception 77", Quality.INVALID)


@pytest.mark.parametrize("code", OPCUA_STATUS)
def test_every_code_of_the_table_is_one_of_the_standard(code: int) -> None:
    assert code in STANDARD


@pytest.mark.parametrize(
    ("name", "quality"),
    [
        ("Good", Quality.GOOD),
        ("GoodClamped", Quality.OVERFLOW),
        ("GoodLocalOverride", Quality.SUBSTITUTED),
        ("UncertainLastUsableValue", Quality.NOT_TOPICAL),
        ("UncertainSubstituteValue", Quality.SUBSTITUTED),
        ("UncertainEngineeringUnitsExceeded", Quality.OVERFLOW),
        ("UncertainSensorNotAccurate", Quality.INVALID),
        ("BadNoCommunication", Quality.INVALID | Quality.NOT_TOPICAL),
        ("BadOutOfService", Quality.INVALID | Quality.BLOCKED),
        ("BadNodeIdUnknown", Quality.INVALID),
        ("BadSensorFailure", Quality.INVALID),
    ],
)
def test_status_codes_become_the_quality_a_dispatcher_expects(name: str, quality: Quality) -> None:
    assert of_opcua_status(getattr(StatusCodes, name)) == quality


def test_no_status_of_the_standard_that_is_bad_is_good_for_us() -> None:
    bad = [value for value in vars(StatusCodes).values() if isinstance(value, int) and value >> 30 >= 2]
    assert len(bad) > 200
    assert all(of_opcua_status(value) & Quality.INVALID for value in bad)


@pytest.mark.parametrize(("bits", "quality"), [(0x0000, 0), (0x0500, 1), (0x0600, 1), (0x0700, 0), (0x0480, 0)])
def test_a_value_held_at_a_limit_of_its_source_is_overflow(bits: int, quality: int) -> None:
    """Info type DataValue with limit bits low, high, constant; and the queue-overflow bit (OPC UA Part 4, 7.39.1)."""
    assert of_opcua_status(bits) == quality


def test_values_outside_their_limits_overflow_and_no_numbers_are_invalid() -> None:
    values = np.array([0.0, -1.0, 11.0, 10.0, np.nan, np.inf, 5.0])
    quality = np.array([0, 0, 0, 0, 0, 0, Quality.BLOCKED], dtype=np.uint8)
    mark_implausible(values, quality, np.zeros(7), np.full(7, 10.0))
    assert quality.tolist() == [0, 1, 1, 0, 0x80, 0x81, 0x10]


def test_without_limits_every_number_is_plausible() -> None:
    quality = np.zeros(2, dtype=np.uint8)
    mark_implausible(np.array([-1e300, 1e300]), quality, np.full(2, -np.inf), np.full(2, np.inf))
    assert quality.tolist() == [0, 0]
