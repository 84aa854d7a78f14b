"""Quality of a telemetered value: the quality descriptor of IEC 60870-5-101, 7.2.6.

Knows the bits and how they merge. Does not know where they come from: each protocol has its own table.
"""

from enum import IntFlag

import numpy as np
from numpy.typing import NDArray

from scada.model.sample import QualityArray


class Quality(IntFlag):
    """Quality descriptor octet; GOOD is 0. Bit 0x08 (elapsed time invalid) and the reserved bits are not used."""

    GOOD = 0x00
    OVERFLOW = 0x01
    BLOCKED = 0x10
    SUBSTITUTED = 0x20
    NOT_TOPICAL = 0x40
    INVALID = 0x80

    @property
    def label(self) -> str:
        """The flags in lower case, joined by a plus sign; ``good`` when none is set."""
        if self == Quality.GOOD:
            return "good"
        return "+".join(str(flag.name).lower() for flag in Quality if flag & self)


def merge(qualities: QualityArray) -> Quality:
    """Quality of a value derived from others: the union of their doubts.

    qualities: u1, any shape; an empty array is GOOD.
    """
    return Quality(int(np.bitwise_or.reduce(qualities, axis=None, initial=0)))


def is_doubtful(qualities: QualityArray) -> NDArray[np.bool_]:
    """True where any quality bit is set. Same shape as the argument."""
    return np.not_equal(qualities, Quality.GOOD.value)
