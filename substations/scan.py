"""The supervised scan of one station: when to ask, when a link counts as lost, what is told about it.

Knows silence, back-off and what follows a reconnection. Does not know protocols, periods, or what becomes of the
samples.

Stations share nothing, so a slow or silent one never delays another.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Final

from scada.config import ScanConfig
from scada.model.cause import Cause
from scada.model.errors import LinkError
from scada.model.point import Point
from scada.model.quality import Quality
from scada.model.sample import PointArray, SampleArray
from substations.chatter import ChatterFilter, ChatterRule
from substations.freezing import StationFreeze
from substations.lastknown import LastKnown
from substations.link import FailedRead, ScanAnswer, StationLink
from substations.scancounts import LinkState, LinkTelling, ScanCounts, StationStatistics
from substations.schedule import Schedule, Timing, begin
from substations.superseded import Superseded

logger = logging.getLogger(__name__)

Sink = Callable[[SampleArray], None]
"""Takes the samples of one scan without waiting."""

_RESTART_S: Final = 5.0
_GOLDEN: Final = 0.6180339887498949
"""Multiples of it spread evenly over a period: stations do not all ask in the same millisecond."""


class StationScan:
    """Scans one station for ever; ``statistics`` tells how it goes."""

    def __init__(
        self,
        code: str,
        points: Sequence[Point],
        link: StationLink,
        sink: Sink,
        config: ScanConfig,
        timing: Timing | None = None,
        tell: Sink | None = None,
    ) -> None:
        self.code = code
        address = points[0].id >> 16 if points else 0
        self._telling = LinkTelling(code, address, tell) if points and tell is not None else None
        self._link = link
        self._sink = sink
        self._config = config
        self._timing = timing or Timing()
        self._last = LastKnown(points)
        self._phase = address * _GOLDEN % 1.0
        self._state = LinkState.CONNECTING
        self._since = self._timing.now()
        self._is_open = False
        self._silent_in_row = 0
        self._failing: dict[float, tuple[FailedRead, ...]] = {}
        self._overrunning = False
        self._counts = ScanCounts(self._timing.monotonic())
        rule = ChatterRule(
            config.chatter_changes, int(config.chatter_window_s * 1e6), int(config.chatter_quiet_s * 1e6)
        )
        self._chatter = ChatterFilter(points, rule)
        self._freeze = StationFreeze(code, link, self._last)
        self._untold: list[SampleArray] = []
        """Events of an interrogation that broke off."""
        self._superseded = Superseded()

    @property
    def statistics(self) -> StationStatistics:
        """The present figures."""
        counts = self._counts
        return StationStatistics(
            station=self.code,
            points=len(self._last.ids),
            state=self._state,
            since=self._since,
            scans=counts.scans,
            silent=counts.silent,
            overruns=counts.overruns,
            samples=counts.samples,
            failed_points=sum(len(each.points) for failed in self._failing.values() for each in failed),
            points_per_s=counts.points_per_s,
            last_scan_s=counts.last_scan_s,
            last_answer=counts.last_answer,
            last_error=counts.last_error,
            restarts=counts.restarts,
            link=self._link.counts,
            chattering=self._chatter.blocked,
            chatter_suppressed=self._chatter.suppressed,
        )

    @property
    def frozen(self) -> PointArray:
        """Ids of the integrated totals that the station's own devices freeze."""
        return self._freeze.points

    def freeze(self, moment: int) -> None:
        """Have the devices freeze their totals before the next scan; what cannot be had is told as last known."""
        self._freeze.ask(moment)
        if self._state is not LinkState.UP:
            self._sink_some(self._freeze.give_up("the link is lost", doubt=Quality.NOT_TOPICAL))

    def supersede(self, points: PointArray) -> None:
        """Somebody else has read ``points`` just now: what a scan under way has read of them before is no news."""
        self._superseded.note(points, self._timing.now())

    async def run(self) -> None:
        """Scan until cancelled. A crash of our own making leaves by its exception, with the link lost and closed:
        nobody asks the station until the scan begins again."""
        try:
            schedule = self._new_schedule()
            while True:
                if self._state is LinkState.LOST:
                    await self._reconnect()
                    schedule = self._new_schedule()
                await self._sleep_until(schedule.due[schedule.next])
                await self._scan_due(schedule, schedule.next)
        except Exception as error:
            if self._state is not LinkState.LOST:
                self._lose(f"the scan crashed: {error!r}")
            self._tell_figures()
            raise
        finally:
            self._is_open = False
            await self._link.close()

    async def supervise(self) -> None:
        """``run``, begun again after a crash: a fault in the scan of one station must not end the others."""
        while True:
            try:
                await self.run()
            except Exception:  # a supervisor logs and restarts; cancellation passes
                self._counts.restarts += 1
                logger.exception("%s scan crashed; starts again in %g s", self.code, _RESTART_S)
                await self._timing.sleep(_RESTART_S)

    def _new_schedule(self) -> Schedule:
        return begin(self._link.periods, self._config.integrity_scan_s, self._phase, self._timing.monotonic())

    async def _sleep_until(self, due: float) -> None:
        wait = due - self._timing.monotonic()
        if wait > 0:
            await self._timing.sleep(wait)

    async def _scan_due(self, schedule: Schedule, period_s: float) -> None:
        was_open = self._is_open
        answered = await self._attempt(period_s, schedule.cause(period_s, self._timing.monotonic()))
        missed = schedule.advance(period_s, self._timing.monotonic(), answered=answered)
        # Connecting, and waiting for a silent station, take what they take: only a scan that was answered can overrun.
        if answered and was_open:
            self._note_overrun(missed, period_s)

    async def _attempt(self, period_s: float, cause: Cause) -> bool:
        """One scan, with the connection and the general interrogation before it where they are needed."""
        _heed_cancellation()
        started = self._timing.monotonic()
        self._counts.scans += 1
        try:
            if self._is_open:
                await self._freeze_totals()
                answers = {period_s: await self._link.scan(period_s, cause)}
            else:
                await self._link.open()
                self._is_open = True
                answers = await self._interrogate()
        except LinkError as error:
            self._counts.last_scan_s = self._timing.monotonic() - started
            await self._note_silence(str(error))
            self._tell_figures()
            return False
        self._counts.last_scan_s = self._timing.monotonic() - started
        self._note_answer()
        self._deliver_untold()
        for each, answer in answers.items():
            self._deliver(each, self._superseded.without(answer))
        self._superseded.clear()
        self._tell_figures()
        return True

    def _tell_figures(self) -> None:
        if self._telling is not None:
            self._telling.tell(self.statistics, self._timing.monotonic(), self._timing.now())

    async def _interrogate(self) -> dict[float, ScanAnswer]:
        """General interrogation: the present value of every point, whatever its period."""
        answers: dict[float, ScanAnswer] = {}
        try:
            for period_s in self._link.periods:
                answers[period_s] = await self._link.scan(period_s, Cause.GENERAL_INTERROGATION)
        except Exception:
            # Values are read again with the next one; events a device has handed over count there as taken.
            self._untold += [each.batch[: each.of_source] for each in answers.values() if each.of_source]
            raise
        return answers

    async def _reconnect(self) -> None:
        """Try again, each time after twice the wait, until the station answers."""
        wait = self._config.reconnect_min_s
        while self._state is LinkState.LOST:
            await self._timing.sleep(wait)
            await self._attempt(self._link.periods[0], Cause.GENERAL_INTERROGATION)
            wait = min(wait * 2, self._config.reconnect_max_s)

    def _deliver_untold(self) -> None:
        untold, self._untold = self._untold, []
        for events in untold:
            self._pass_on(events)

    def _pass_on(self, batch: SampleArray) -> None:
        self._last.take(batch)
        self._counts.count_samples(len(batch), self._timing.monotonic())
        self._sink_some(self._chatter.pass_on(batch, self._timing.now()))

    def _deliver(self, period_s: float, answer: ScanAnswer) -> None:
        self._pass_on(answer.batch)
        for each in answer.failed:
            self._sink(self._last.doubted(each.points, each.quality, self._timing.now()))
        self._note_failing(period_s, answer.failed)

    async def _freeze_totals(self) -> None:
        if (answer := await self._freeze.carry_out()) is not None:
            self._counts.count_samples(len(answer.batch), self._timing.monotonic())
            self._sink_some(answer.batch)

    def _sink_some(self, batch: SampleArray) -> None:
        if len(batch):
            self._sink(batch)

    def _note_answer(self) -> None:
        now = self._timing.now()
        if self._state is LinkState.LOST:
            away_s = (now - (self._counts.last_answer or self._since)) / 1e6
            logger.info("%s link restored after %.0f s", self.code, away_s)
        elif self._state is LinkState.CONNECTING:
            logger.info("%s link up: %d points", self.code, len(self._last.ids))
        if self._state is not LinkState.UP:
            self._state, self._since = LinkState.UP, now
        self._silent_in_row = 0
        self._counts.last_answer = now

    async def _note_silence(self, reason: str) -> None:
        self._counts.note_silence(reason)
        self._is_open = False
        await self._link.close()
        self._silent_in_row += 1
        if self._state is LinkState.LOST or self._silent_in_row < self._config.silent_scans:
            return
        self._lose(f"no answer for {self._silent_in_row} scans", reason)

    def _lose(self, why: str, reason: str = "") -> None:
        self._state, self._since = LinkState.LOST, self._timing.now()
        self._failing.clear()
        because = f" ({reason})" if reason else ""
        logger.warning("%s link lost: %s; %d points not topical%s", self.code, why, len(self._last.ids), because)
        self._sink(self._last.doubted(self._last.ids, Quality.NOT_TOPICAL, self._timing.now()))
        self._sink_some(self._freeze.give_up("the link is lost", doubt=Quality.NOT_TOPICAL))

    def _note_failing(self, period_s: float, failed: tuple[FailedRead, ...]) -> None:
        before = _points_of(self._failing.get(period_s, ()))
        self._failing[period_s] = failed
        if before == _points_of(failed):
            return
        if not failed:
            logger.info("%s answers for all points of the %g s scan again", self.code, period_s)
            return
        self._counts.last_error = failed[0].reason
        logger.warning(
            "%s does not deliver %d points: %s",
            self.code,
            sum(len(each.points) for each in failed),
            "; ".join(sorted({each.reason for each in failed})[:5]),
        )

    def _note_overrun(self, missed: int, period_s: float) -> None:
        self._counts.overruns += missed
        if bool(missed) == self._overrunning:
            return
        self._overrunning = bool(missed)
        if missed:
            logger.warning(
                "%s scan overran: %.1f s for a period of %g s, %d left out",
                self.code,
                self._counts.last_scan_s,
                period_s,
                missed,
            )
        else:
            logger.info("%s scan keeps its period again after %d overruns", self.code, self._counts.overruns)


def _points_of(failed: tuple[FailedRead, ...]) -> set[int]:
    return {int(point) for each in failed for point in each.points}


def _heed_cancellation() -> None:
    """Raise a cancellation that a driver has swallowed: otherwise the scan of that station would never end.

    ``asyncio.wait_for`` of Python 3.11, which both drivers use, returns its result and forgets the cancellation when
    both come in the same turn of the loop; the task still knows that it was asked (measured: 1 of 30 stops).
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


async def scan_stations(scans: Sequence[StationScan]) -> None:
    """Scan all stations side by side until cancelled."""
    async with asyncio.TaskGroup() as group:
        for scan in scans:
            group.create_task(scan.supervise(), name=f"scan {scan.code}")
