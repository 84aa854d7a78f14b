"""From what the field library decodes, and from blocks of changes, to samples.

Knows the library's data values, scales, limits and what a status says. Does not know sessions or subscriptions.
"""

import logging
import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import numpy as np
from asyncua import ua
from numpy.typing import NDArray

from scada.model.cause import Cause
from scada.model.ports import Clock
from scada.model.quality import Quality
from scada.model.sample import QualityArray, SampleArray, no_samples, samples
from substations.changeblock import ChangeBlock, block, joined
from substations.nodes import BoundNode
from substations.quality import mark_implausible, of_opcua_status, tells_overflow
from substations.timetag import believable

logger = logging.getLogger(__name__)

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


def microseconds(moment: datetime | None) -> int:
    """µs since 1970 UTC; 0 for none."""
    if moment is None:
        return 0
    return ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - _EPOCH) // _MICROSECOND


def of_values(rows: Sequence[int], values: Sequence[ua.DataValue]) -> ChangeBlock:
    """Data values of the nodes in ``rows``."""
    return block(
        rows,
        [_number(each) for each in values],
        [each.StatusCode.value if each.StatusCode is not None else 0 for each in values],
        [microseconds(each.SourceTimestamp or each.ServerTimestamp) for each in values],
    )


def _number(value: ua.DataValue) -> float:
    content = value.Value.Value if value.Value is not None else None
    return float(content) if isinstance(content, bool | int | float) else math.nan


class Changes:
    """Keeps changes until a scan takes them as samples, and counts what of them cannot be believed.

    ``lost``: changes that a queue at the server had no room for; ``wrong_times``: those dated by our clock.
    """

    def __init__(self, station: str, nodes: Sequence[BoundNode], now: Clock) -> None:
        self._station = station
        self._nodes = nodes
        self._now = now
        self._points = np.array([node.point.id for node in nodes], dtype=np.int32)
        self._scale = np.array([node.scale for node in nodes])
        self._add = np.array([node.add for node in nodes])
        self._low = np.array([-np.inf if node.point.low is None else node.point.low for node in nodes])
        self._high = np.array([np.inf if node.point.high is None else node.point.high for node in nodes])
        self._waiting: list[ChangeBlock] = []
        self.overflow = False
        self.lost = self.wrong_times = 0

    def note(self, changes: ChangeBlock) -> None:
        """Keep changes for the next ``drain``."""
        if len(changes):
            self._waiting.append(changes)

    def drain(self, cause: Cause) -> SampleArray:
        """What was noted since the last time, in the order of arrival."""
        if not self._waiting:
            return no_samples()
        waiting, self._waiting = joined(self._waiting), []
        rows = waiting.rows
        values = waiting.values * self._scale[rows] + self._add[rows]
        quality = self._quality(rows, waiting.statuses)
        times, wrong = believable(waiting.times, self._now())
        self._note_times(int(np.count_nonzero(wrong)))
        mark_implausible(values, quality, self._low[rows], self._high[rows])
        return samples(self._points[rows], times, values, quality, cause)

    def _quality(self, rows: NDArray[np.intp], statuses: NDArray[np.uint32]) -> QualityArray:
        if not statuses.any():
            self._note_overflow([])
            return np.full(len(rows), Quality.GOOD, dtype=np.uint8)
        # A station shows few different codes at a time, so each is looked up once.
        codes, places = np.unique(statuses, return_inverse=True)
        full = np.array([tells_overflow(code) for code in codes.tolist()])
        self._note_overflow(rows[full[places]].tolist())
        quality: QualityArray = np.array([of_opcua_status(code) for code in codes.tolist()], dtype=np.uint8)[places]
        return quality

    def _note_overflow(self, flagged: Sequence[int]) -> None:
        """A queue at the server overflowed: at least one change before the flagged one is gone."""
        if flagged and not self.overflow:
            names = ", ".join(dict.fromkeys(self._nodes[row].point.name for row in flagged[:3]))
            logger.warning("%s queue overflow at the server: changes of %s are lost", self._station, names)
        elif self.overflow and not flagged:
            logger.info("%s queues at the server hold again; %d overflows in all", self._station, self.lost)
        self.overflow = bool(flagged)
        self.lost += len(flagged)

    def _note_times(self, wrong: int) -> None:
        if wrong and not self.wrong_times:
            logger.warning("%s: a source clock is wrong: %d values got the receive time", self._station, wrong)
        self.wrong_times += wrong
