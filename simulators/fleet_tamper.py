"""Meters of the fleet that somebody tampers with: what their event logs say, and what they no longer count.

Knows forms of tampering and their event codes (standard event log of DLMS/COSEM). Does not know wire or clock.
"""

from collections.abc import Mapping
from enum import StrEnum

import numpy as np

from simulators.fleet_energy import Counted
from simulators.meter_fleet import IndexArray


class TamperForm(StrEnum):
    """How it is done."""

    TERMINAL_COVER = "terminal_cover"
    METER_COVER = "meter_cover"
    STRONG_FIELD = "strong_field"


CODES: Mapping[TamperForm, tuple[int, int]] = {
    TamperForm.TERMINAL_COVER: (40, 41),
    TamperForm.STRONG_FIELD: (42, 43),
    TamperForm.METER_COVER: (44, 45),
}
"""What the log says when it begins and when it ends."""


class Tampering:
    """The meters at ``rows`` (ascending) count only a part in (since, until], µs."""

    def __init__(self, rows: IndexArray, since: int, until: int, form: TamperForm, uncounted: float) -> None:
        self.rows = rows
        self._since = since
        self._until = until
        self._form = form
        self._uncounted = uncounted

    def change(self, rows: IndexArray, time: int, counted: Counted) -> IndexArray:
        """What the tampering adds to the registers of some of its rows at ``time``: never above 0."""
        if time <= self._since:
            return np.zeros((3, len(rows)), dtype=np.int64)
        used = counted(rows, min(time, self._until)) - counted(rows, self._since)
        change: IndexArray = -np.floor(used * self._uncounted).astype(np.int64)
        return change

    def counts_share(self, start: int, end: int) -> float:
        """Which part of the energy of an interval is counted."""
        overlap = max(min(end, self._until) - max(start, self._since), 0)
        return 1.0 - self._uncounted * overlap / (end - start)

    def events(self) -> list[tuple[int, int, int]]:
        """What the meters log: µs, row and code, in the order of time."""
        begun, ended = CODES[self._form]
        rows: list[int] = self.rows.tolist()
        return [(self._since, row, begun) for row in rows] + [(self._until, row, ended) for row in rows]
