"""What an operator puts in place of what the field says: substitution and blocking of single points.

Knows who, why and until when. Does not know the image that shows it or the file that keeps it.
Source: IEC 60870-5-101, 7.2.6.1: SB, substituted by an operator; BL, blocked for transmission, the value remains.
"""

from dataclasses import dataclass
from enum import StrEnum


class OverrideAction(StrEnum):
    """What may be asked for, or happen by itself."""

    SUBSTITUTE = "substitute"
    BLOCK = "block"
    RELEASE = "release"
    EXPIRE = "expire"


@dataclass(frozen=True, slots=True)
class OverrideAct:
    """One act; ``time`` and ``until`` in µs since 1970 UTC, ``until`` None = until released.

    ``value`` is what is shown from then on: the substituted value, or the one held while blocked; None for an end.
    """

    id: str
    time: int
    point: str
    action: OverrideAction
    value: float | None
    originator: str
    why: str
    until: int | None = None
