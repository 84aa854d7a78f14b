"""Why a command was not carried out: the one list of reasons for every protocol.

Knows numbers and words. Does not know who refuses.
"""

from enum import IntEnum


class AddCause(IntEnum):
    """Additional cause of a negative control response (IEC 61850-7-2, 20.5.2.9)."""

    UNKNOWN = 0
    NOT_SUPPORTED = 1
    BLOCKED_BY_SWITCHING_HIERARCHY = 2
    SELECT_FAILED = 3
    INVALID_POSITION = 4
    POSITION_REACHED = 5
    PARAMETER_CHANGE_IN_EXECUTION = 6
    STEP_LIMIT = 7
    BLOCKED_BY_MODE = 8
    BLOCKED_BY_PROCESS = 9
    BLOCKED_BY_INTERLOCKING = 10
    BLOCKED_BY_SYNCHROCHECK = 11
    COMMAND_ALREADY_IN_EXECUTION = 12
    BLOCKED_BY_HEALTH = 13
    ONE_OF_N_CONTROL = 14
    ABORTED_BY_CANCEL = 15
    TIME_LIMIT_OVER = 16
    ABORTED_BY_TRIP = 17
    OBJECT_NOT_SELECTED = 18
    OBJECT_ALREADY_SELECTED = 19
    NO_ACCESS_AUTHORITY = 20
    ENDED_WITH_OVERSHOOT = 21
    ABORTED_DUE_TO_DEVIATION = 22
    ABORTED_BY_COMMUNICATION_LOSS = 23
    BLOCKED_BY_COMMAND = 24
    NONE = 25
    INCONSISTENT_PARAMETERS = 26
    LOCKED_BY_OTHER_CLIENT = 27

    @property
    def label(self) -> str:
        """The cause in words, lower case, e.g. ``blocked by interlocking``."""
        return self.name.lower().replace("_", " ")
