"""What a point is: one information object of one substation (IEC 60870-5-101, 7.2.2 to 7.2.6).

Knows names, kinds and numbers. Does not know registers, nodes or values.
"""

from dataclasses import dataclass
from enum import IntEnum, StrEnum


class PointKind(StrEnum):
    """Kind of information object."""

    SINGLE_POINT = "single_point"
    DOUBLE_POINT = "double_point"
    MEASURED_VALUE = "measured_value"
    STEP_POSITION = "step_position"
    INTEGRATED_TOTAL = "integrated_total"


class DoublePoint(IntEnum):
    """Position of a switching device as two bits (IEC 60870-5-101, 7.2.6.2)."""

    INTERMEDIATE = 0
    OPEN = 1
    CLOSED = 2
    FAULTY = 3


@dataclass(frozen=True, slots=True)
class Point:
    """One information object.

    ``id`` = common address << 16 | bay number << 8 | point number: written down in the station and bay-type files, so
    it survives re-ordering of either and needs no database. ``name`` is ``STATION/BAY/object``.
    ``deadband`` and the limits are in ``unit``; deadband 0 reports every change. ``low``/``high`` bound what is
    physically plausible: a value outside is stored with OVERFLOW.
    """

    id: int
    name: str
    kind: PointKind
    title_vi: str
    title_en: str
    unit: str = ""
    deadband: float = 0.0
    low: float | None = None
    high: float | None = None
    quantity: str = ""
    """What physical or protection quantity it shows, in the words of the bay type; the simulator's plant reads it."""
    device: str = ""
    """Switching device whose position or step this is, or '' (e.g. ``171-7``)."""
    terminal: str = ""
    """Terminal of the bay whose flow or voltage this is, or ''."""

    @property
    def station(self) -> str:
        """Code of the substation, e.g. ``TN07``."""
        return self.name.split("/", 1)[0]

    @property
    def bay(self) -> str:
        """Name of the bay, e.g. ``171``."""
        return self.name.split("/", 2)[1]


def point_id(common_address: int, bay_number: int, point_number: int) -> int:
    """Id of a point from the three numbers written in the files.

    Raises ValueError when one does not fit: address 1..32767, bay and point 1..255.
    """
    if not 1 <= common_address <= 0x7FFF:
        raise ValueError(f"common address {common_address} is not in 1..32767")
    if not 1 <= bay_number <= 0xFF:
        raise ValueError(f"bay number {bay_number} is not in 1..255")
    if not 1 <= point_number <= 0xFF:
        raise ValueError(f"point number {point_number} is not in 1..255")
    return common_address << 16 | bay_number << 8 | point_number
