"""What the field's answers say about a value: one table per protocol, to the quality octet of IEC 60870-5.

Knows codes and limits. Does not know sockets, points or history.
"""

from types import MappingProxyType
from typing import Final

import numpy as np

from scada.model.quality import Quality
from scada.model.sample import QualityArray, ValueArray

MODBUS_EXCEPTIONS: Final = MappingProxyType(
    {
        1: ("illegal function", Quality.INVALID),
        2: ("illegal data address", Quality.INVALID),
        3: ("illegal data value", Quality.INVALID),
        4: ("server device failure", Quality.INVALID),
        5: ("acknowledge, still working", Quality.NOT_TOPICAL),
        6: ("server device busy", Quality.NOT_TOPICAL),
        7: ("negative acknowledge", Quality.INVALID),
        8: ("memory parity error", Quality.INVALID),
        10: ("gateway path unavailable", Quality.NOT_TOPICAL),
        11: ("gateway target does not respond", Quality.NOT_TOPICAL),
    }
)
"""Exception code → its meaning and the quality of the points asked for (Modbus Application Protocol V1.1b3, 7)."""

_ABOUT_THE_ADDRESS: Final = frozenset({2, 3, 4})
_ABOUT_THE_GATEWAY: Final = frozenset({10, 11})

OPCUA_STATUS: Final = MappingProxyType(
    {
        0x0030: Quality.OVERFLOW,  # GoodClamped
        0x0096: Quality.SUBSTITUTED,  # GoodLocalOverride
        0x408F: Quality.NOT_TOPICAL,  # UncertainNoCommunicationLastUsableValue
        0x4090: Quality.NOT_TOPICAL,  # UncertainLastUsableValue
        0x4091: Quality.SUBSTITUTED,  # UncertainSubstituteValue
        0x4092: Quality.NOT_TOPICAL,  # UncertainInitialValue
        0x4094: Quality.OVERFLOW,  # UncertainEngineeringUnitsExceeded
        0x8005: Quality.INVALID | Quality.NOT_TOPICAL,  # BadCommunicationError
        0x800A: Quality.INVALID | Quality.NOT_TOPICAL,  # BadTimeout
        0x8031: Quality.INVALID | Quality.NOT_TOPICAL,  # BadNoCommunication
        0x8032: Quality.INVALID | Quality.NOT_TOPICAL,  # BadWaitingForInitialData
        0x803C: Quality.INVALID | Quality.OVERFLOW,  # BadOutOfRange
        0x808A: Quality.INVALID | Quality.NOT_TOPICAL,  # BadNotConnected
        0x808D: Quality.INVALID | Quality.BLOCKED,  # BadOutOfService
    }
)
"""Upper half of a status code → quality (OPC UA Part 4, 7.39, and Part 8, 6.3); others go by their severity."""

_SEVERITY: Final = (Quality.GOOD, Quality.INVALID, Quality.INVALID, Quality.INVALID)
_DATA_VALUE_INFO, _INFO_TYPE = 0x0400, 0x0C00
_AT_A_LIMIT: Final = frozenset({0x0100, 0x0200})
_LIMIT_BITS: Final = 0x0300
_OVERFLOW_BIT: Final = 0x0080


def of_modbus_exception(code: int) -> tuple[str, Quality]:
    """Meaning and quality of an exception code; one that the standard does not know is INVALID."""
    return MODBUS_EXCEPTIONS.get(code, (f"exception {code}", Quality.INVALID))


def is_about_the_address(code: int) -> bool:
    """Whether an exception may be due to some of the addresses asked for, so that asking for fewer may help."""
    return code in _ABOUT_THE_ADDRESS


def is_about_the_gateway(code: int) -> bool:
    """Whether an exception is a gateway's word that it does not reach the device behind it."""
    return code in _ABOUT_THE_GATEWAY


def of_opcua_status(status: int) -> Quality:
    """Quality of a value with this 32-bit status code; a value clamped at a limit of its source is OVERFLOW too."""
    quality = OPCUA_STATUS.get(status >> 16 & 0xFFFF, _SEVERITY[status >> 30 & 3])
    if status & _INFO_TYPE == _DATA_VALUE_INFO and status & _LIMIT_BITS in _AT_A_LIMIT:
        quality |= Quality.OVERFLOW
    return quality


def tells_overflow(status: int) -> bool:
    """Whether a status code says that the queue it came from has lost values before it (OPC UA Part 4, 7.39.1)."""
    return status & _INFO_TYPE == _DATA_VALUE_INFO and bool(status & _OVERFLOW_BIT)


def mark_implausible(values: ValueArray, quality: QualityArray, low: ValueArray, high: ValueArray) -> None:
    """Set OVERFLOW in ``quality`` where a value lies outside [low, high], INVALID where it is no number at all.

    All of shape (n,); no limit is -inf or inf.
    """
    # Comparing with NaN gives False: one look tells that nothing is to be marked. Infinity passes where no limit is.
    inside = values >= low
    inside &= values <= high
    if np.count_nonzero(inside) == len(values) == np.count_nonzero(np.isfinite(values)):
        return
    quality[(values < low) | (values > high)] |= np.uint8(Quality.OVERFLOW)
    quality[~np.isfinite(values)] |= np.uint8(Quality.INVALID)
