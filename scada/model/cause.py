"""Cause of transmission: why a value was sent (IEC 60870-5-101, 7.2.3)."""

from enum import IntEnum


class Cause(IntEnum):
    """The causes this system produces or accepts, numbered as in the standard."""

    PERIODIC = 1
    BACKGROUND_SCAN = 2
    SPONTANEOUS = 3
    INITIALIZED = 4
    REQUEST = 5
    ACTIVATION = 6
    ACTIVATION_CONFIRMATION = 7
    DEACTIVATION = 8
    DEACTIVATION_CONFIRMATION = 9
    ACTIVATION_TERMINATION = 10
    RETURN_INFORMATION_REMOTE = 11
    RETURN_INFORMATION_LOCAL = 12
    GENERAL_INTERROGATION = 20
    COUNTER_INTERROGATION = 37
