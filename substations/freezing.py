"""The freeze of a station's integrated totals: what its devices froze, and what takes its place where they did not.

Knows the order: freeze, read, tell. Does not know protocols, the hour or who asks. Source: IEC 60870-5-101, 7.4.8,
transmission of integrated totals.
"""

import logging

import numpy as np

from scada.model.cause import Cause
from scada.model.quality import Quality
from scada.model.sample import PointArray, SampleArray, no_samples, samples
from substations.lastknown import LastKnown
from substations.link import FreezingLink, ScanAnswer, StationLink

logger = logging.getLogger(__name__)


class StationFreeze:
    """Asked for at a moment, carried out between two scans: only one request is outstanding on a link."""

    def __init__(self, code: str, link: StationLink, last: LastKnown) -> None:
        self._code = code
        self._link = link if isinstance(link, FreezingLink) else None
        self._last = last
        self._moment: int | None = None
        self.points: PointArray = np.zeros(0, dtype=np.int32) if self._link is None else self._link.frozen
        """Ids of the totals that devices freeze."""

    def ask(self, moment: int) -> None:
        """The totals of ``moment``, µs UTC, are wanted."""
        if len(self.points):
            self._moment = moment

    async def carry_out(self) -> ScanAnswer | None:
        """What the devices froze, dated to their freeze, None when nobody asked. Raises LinkError, and stays asked."""
        if self._moment is None or self._link is None:
            return None
        answer = await self._link.freeze()
        missing = self.points[~np.isin(self.points, answer.batch["point"])]
        if not len(missing):
            self._moment = None
            return answer
        instead = self.give_up("; ".join(sorted({each.reason for each in answer.failed})), missing)
        return ScanAnswer(np.concatenate([answer.batch, instead]))

    def give_up(self, why: str, missing: PointArray | None = None, doubt: Quality = Quality.GOOD) -> SampleArray:
        """The last known totals in place of those that were not frozen, dated to the moment asked for."""
        if self._moment is None:
            return no_samples()
        moment, self._moment = self._moment, None
        points = self.points if missing is None else missing
        logger.warning("%s did not freeze %d totals: %s; those of the last scan are told", self._code, len(points), why)
        values, qualities = self._last.of(points)
        heard = qualities & np.uint8(Quality.INVALID) == 0
        octets = qualities[heard] | np.uint8(doubt)
        return samples(points[heard], moment, values[heard], octets, Cause.COUNTER_INTERROGATION)
