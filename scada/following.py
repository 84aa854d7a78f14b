"""What follows every batch of telemetry in ``scada run``: image, derived points, events, and the hour's totals.

Knows the order. Does not know protocols, SQL or the clock of the scan.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import numpy as np

from historian.sink import TelemetrySink
from scada.clock import now_us
from scada.derive import Derivation
from scada.image import ProcessImage, Taken
from scada.model.cause import Cause
from scada.model.point import PointKind
from scada.model.ports import Clock
from scada.model.quality import Quality
from scada.model.sample import PointArray, SampleArray
from scada.model.station import Station
from scada.model.statusevent import status_events

logger = logging.getLogger(__name__)

HOUR_US: Final = 3_600_000_000
_LONGEST_SLEEP_S: Final = 60.0
"""The clock may be set while somebody sleeps: so late, an hour's totals are still told as those of the hour."""
_SET_BACK_FAR_S: Final = 86_400.0
"""A clock set back by more was wrong altogether: hours frozen by it are none, and it may take years to get there."""

Report = Callable[[SampleArray], None]


class Following:
    """Between scan and sinks: ``take`` gives what of a batch is to be reported, derived points included."""

    def __init__(
        self,
        stations: Sequence[Station],
        image: ProcessImage,
        *,
        clock: Clock = now_us,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.image = image
        self.events: TelemetrySink | None = None
        """Where events go; None while another process is in control and stores them."""
        self._derivation = Derivation(stations, image.reader)
        self._totals = [
            point.name for station in stations for point in station.points if point.kind is PointKind.INTEGRATED_TOTAL
        ]
        self._frozen_by_devices: PointArray = np.zeros(0, dtype=np.int32)
        self.totals_frozen = 0
        """Samples made by ``freeze``: reported, though no batch brought them."""
        self._clock = clock
        self._sleep = sleep

    def take(self, batch: SampleArray) -> SampleArray:
        """Apply a batch and return what is to be reported of it and of the points derived from it."""
        return self.follow(self.image.take(batch))

    def follow(self, taken: Taken) -> SampleArray:
        """As ``take``, for what has been applied already: an operator's substitution."""
        derived = self.image.take(self._derivation.after(taken.delta))
        if self.events is not None and len(taken.events):
            self.events.offer(status_events(taken.events, self._clock()))
        if not len(derived.delta):
            return taken.delta
        both: SampleArray = np.concatenate((taken.delta, derived.delta))
        return both

    def leave_to_devices(self, totals: Sequence[PointArray]) -> None:
        """Ids of integrated totals that devices freeze themselves when asked: ``freeze`` leaves them out."""
        self._frozen_by_devices = np.concatenate([np.zeros(0, dtype=np.int32), *totals])

    def freeze(self, moment: int) -> SampleArray:
        """Every integrated total heard of that no device freezes, dated ``moment``, cause counter interrogation.

        A total is as old as its last scan, at most the period in its map; what is not topical stays so marked.
        Source: IEC 60870-5-101, 7.4.8, transmission of integrated totals, here with the freeze at the centre.
        """
        present = self.image.read(self._totals)
        heard = (present["time"] > 0) & (present["quality"] & np.uint8(Quality.INVALID) == 0)
        heard &= ~np.isin(present["point"], self._frozen_by_devices)
        totals: SampleArray = present[heard]
        totals["time"] = moment
        totals["cause"] = Cause.COUNTER_INTERROGATION
        self.totals_frozen += len(totals)
        return totals

    async def freeze_every_hour(self, report: Report, ask: Callable[[int], None]) -> None:
        """At each full hour ``ask`` the devices that can to freeze, and report the other totals, until cancelled."""
        hour = 0
        while True:
            hour = max(hour, self._clock() // HOUR_US * HOUR_US) + HOUR_US
            while (left_s := (hour - self._clock()) / 1e6) > 0.0:
                if left_s > _SET_BACK_FAR_S:
                    hour = self._clock() // HOUR_US * HOUR_US + HOUR_US
                    continue
                await self._sleep(min(left_s, _LONGEST_SLEEP_S))
            if -left_s > _LONGEST_SLEEP_S:
                logger.warning(
                    "totals of the full hour are not frozen: it was over for %.0f s when the clock was set", -left_s
                )
                continue
            ask(hour)
            report(self.freeze(hour))
