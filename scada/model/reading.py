"""One row of a meter's load profile or register snapshot, and the quality words of meter data."""

from enum import IntEnum, IntFlag

import numpy as np
from numpy.typing import NDArray

READING = np.dtype(
    [
        ("meter", "<i4"),
        ("time", "<i8"),
        ("import_wh", "<i8"),
        ("export_wh", "<i8"),
        ("import_varh", "<i8"),
        ("power_w", "<i4"),
        ("voltage_dv", "<i2"),
        ("status", "u1"),
        ("flag", "u1"),
        ("method", "u1"),
    ]
)
"""meter: meter id · time: µs since 1970 UTC, the *end* of the interval · registers: cumulative, base units ·
power_w: mean active power of the interval · voltage_dv: tenths of a volt · status: ``ProfileStatus`` ·
flag, method: quality of ``QualityFlag`` and ``Method``."""

REGISTER = np.dtype(
    [
        ("meter", "<i4"),
        ("obis", "<i2"),
        ("time", "<i8"),
        ("taken_at", "<i8"),
        ("value", "<i8"),
        ("kind", "u1"),
        ("status", "u1"),
        ("flag", "u1"),
        ("method", "u1"),
    ]
)
"""One billing register by OBIS number (``meters.obis``). time: µs since 1970 UTC, the boundary it stands for ·
taken_at: when the meter counted it · value: base unit · kind: ``RegisterKind`` · the others as in READING."""

METER_EVENT = np.dtype([("meter", "<i4"), ("time", "<i8"), ("code", "<i2")])
"""One entry of a meter's event log; all three fields are its key. time: µs since 1970 UTC · code: ``EventCode``
or another."""

ReadingArray = NDArray[np.void]
RegisterArray = NDArray[np.void]
MeterEventArray = NDArray[np.void]


class RegisterKind(IntEnum):
    """Why a register stands at its time, and who says so: SNAPSHOT is this system's own, from the load profile."""

    SNAPSHOT = 0
    DAILY = 1
    MONTH_END = 2
    PRICE_CHANGE = 3
    EXCHANGE = 4
    ON_DEMAND = 5


class EventCode(IntEnum):
    """Codes of the standard event log that this system acts upon; others are only kept (DLMS/COSEM event tables)."""

    POWER_FAILURE = 1
    POWER_RETURNED = 2
    LAST_GASP = 99


class ProfileStatus(IntFlag):
    """Status byte of a load-profile row (AMR profile status as used with DLMS/COSEM load profiles)."""

    CRITICAL_ERROR = 0x01
    CLOCK_INVALID = 0x02
    DATA_NOT_VALID = 0x04
    DAYLIGHT_SAVING = 0x08
    CLOCK_ADJUSTED = 0x20
    RECOVERED_VALUE = 0x40
    POWER_DOWN = 0x80


NOT_FOR_BILLING = ProfileStatus.CRITICAL_ERROR | ProfileStatus.CLOCK_INVALID | ProfileStatus.DATA_NOT_VALID


class QualityFlag(IntEnum):
    """Quality flag of a reading (AEMO metrology procedure, MDFF): the code is the ASCII letter."""

    ACTUAL = ord("A")
    SUBSTITUTED = ord("S")
    FINAL_SUBSTITUTED = ord("F")
    FORWARD_ESTIMATE = ord("E")
    NULL = ord("N")
    VARIABLE = ord("V")


class Method(IntEnum):
    """How a reading that is not actual was made (AEMO method numbers); NONE for actual readings."""

    NONE = 0
    CHECK_METER = 11
    CALCULATED = 12
    SCADA = 13
    LIKE_DAY = 14
    AVERAGE_LIKE_DAY = 15
    LINEAR = 17
    ZERO = 19
    PREVIOUS_YEAR = 23
    DATA_SCALING = 24
    PREVIOUS_READ = 62
    CUSTOMER_READ = 67


def no_readings() -> ReadingArray:
    """An empty READING array."""
    return np.empty(0, dtype=READING)


def no_meter_events() -> MeterEventArray:
    """An empty METER_EVENT array."""
    return np.empty(0, dtype=METER_EVENT)
