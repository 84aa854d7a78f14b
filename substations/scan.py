"""The supervised scan of one station: when to ask, when a link counts as lost, what is told about it.

Knows periods, silence, back-off and what follows a reconnection. Does not know protocols, or what becomes of the
samples.

Every period has an absolute schedule: a late scan does not shift the later ones, and missed ones are counted and left
out, not caught up. Stations share nothing, so a slow or silent one never delays another.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import astuple, dataclass, field
from enum import StrEnum
from typing import Final

import numpy as np

from scada.clock import now_us
from scada.config import ScanConfig
from scada.model.cause import Cause
from scada.model.errors import LinkError
from scada.model.point import Point
from scada.model.ports import Clock
from scada.model.quality import Quality
from scada.model.sample import PointArray, QualityArray, SampleArray, ValueArray, samples
from scada.model.supervision import LinkFigures, link_points
from substations.chatter import ChatterFilter, ChatterRule
from substations.freezing import StationFreeze
from substations.link import FailedRead, LinkCounts, ScanAnswer, StationLink

logger = logging.getLogger(__name__)

Sink = Callable[[SampleArray], None]
"""Takes the samples of one scan without waiting."""

_RATE_WINDOW_S: Final = 5.0
_RESTART_S: Final = 5.0
_TELL_S: Final = 60.0
_GOLDEN: Final = 0.6180339887498949
"""Multiples of it spread evenly over a period: stations do not all ask in the same millisecond."""


class LinkState(StrEnum):
    """State of the link to one station."""

    CONNECTING = "connecting"
    UP = "up"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class Timing:
    """The clocks of a scan loop: ``now`` in µs UTC dates samples, ``monotonic`` in s paces, ``sleep`` waits."""

    now: Clock = now_us
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


@dataclass(frozen=True, slots=True)
class StationStatistics:
    """How the scan of one station goes. Times are µs UTC, 0 = never.

    ``overruns``: scans left out because an earlier one was late; ``silent``: scans without any answer;
    ``failed_points``: points that the last scans could not get although the station answers; ``points_per_s``: samples
    received, over the last five seconds or more.
    """

    station: str
    points: int
    state: LinkState
    since: int
    scans: int
    silent: int
    overruns: int
    samples: int
    failed_points: int
    points_per_s: float
    last_scan_s: float
    last_answer: int
    last_error: str
    restarts: int
    link: LinkCounts
    chattering: int
    """Contacts blocked because they flap."""
    chatter_suppressed: int
    """Samples of such contacts held back: samples received = passed on + suppressed."""


@dataclass(slots=True)
class _Counts:
    scans: int = 0
    silent: int = 0
    overruns: int = 0
    samples: int = 0
    points_per_s: float = 0.0
    last_scan_s: float = 0.0
    last_answer: int = 0
    last_error: str = ""
    restarts: int = 0
    window_from: float = 0.0
    window_samples: int = 0


@dataclass(slots=True)
class _Schedule:
    """When each period is due, in monotonic seconds, and which are owed an integrity scan."""

    due: dict[float, float]
    integrity_due: float
    owed: set[float] = field(default_factory=set)


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
        self._tell = tell
        self._told: LinkFigures | None = None
        self._tell_due = 0.0
        address = points[0].id >> 16 if points else 0
        self._link_ids = np.array([point.id for point in link_points(code, address)] if points else [], dtype=np.int32)
        self._link = link
        self._sink = sink
        self._config = config
        self._timing = timing or Timing()
        self._ids: PointArray = np.array(sorted(point.id for point in points), dtype=np.int32)
        self._values = np.zeros(len(self._ids))
        self._qualities = np.full(len(self._ids), Quality.INVALID, dtype=np.uint8)
        self._phase = (points[0].id >> 16) * _GOLDEN % 1.0 if points else 0.0
        self._state = LinkState.CONNECTING
        self._since = self._timing.now()
        self._is_open = False
        self._silent_in_row = 0
        self._failing: dict[float, tuple[FailedRead, ...]] = {}
        self._overrunning = False
        self._counts = _Counts(window_from=self._timing.monotonic())
        rule = ChatterRule(
            config.chatter_changes, int(config.chatter_window_s * 1e6), int(config.chatter_quiet_s * 1e6)
        )
        self._chatter = ChatterFilter(points, rule)
        self._freeze = StationFreeze(code, link, self._last_known)

    @property
    def statistics(self) -> StationStatistics:
        """The present figures."""
        counts = self._counts
        return StationStatistics(
            station=self.code,
            points=len(self._ids),
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

    async def run(self) -> None:
        """Scan until cancelled. A crash of our own making leaves by its exception, with the link closed."""
        try:
            schedule = self._new_schedule()
            while True:
                if self._state is LinkState.LOST:
                    await self._reconnect()
                    schedule = self._new_schedule()
                period_s = min(schedule.due, key=lambda each: (schedule.due[each], each))
                await self._sleep_until(schedule.due[period_s])
                await self._scan_due(schedule, period_s)
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

    def _new_schedule(self) -> _Schedule:
        now = self._timing.monotonic()
        due = {period_s: now + period_s * self._phase for period_s in self._link.periods}
        return _Schedule(due, now + self._config.integrity_scan_s * (1.0 + self._phase))

    async def _sleep_until(self, due: float) -> None:
        wait = due - self._timing.monotonic()
        if wait > 0:
            await self._timing.sleep(wait)

    async def _scan_due(self, schedule: _Schedule, period_s: float) -> None:
        if self._timing.monotonic() >= schedule.integrity_due:
            schedule.integrity_due += self._config.integrity_scan_s
            schedule.owed = set(schedule.due)
        cause = Cause.BACKGROUND_SCAN if period_s in schedule.owed else Cause.SPONTANEOUS
        was_open = self._is_open
        answered = await self._attempt(period_s, cause)
        if answered:
            schedule.owed.discard(period_s)
        late = self._timing.monotonic() - schedule.due[period_s]
        missed = max(0, int(late / period_s))
        schedule.due[period_s] += (missed + 1) * period_s
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
        for each, answer in answers.items():
            self._deliver(each, answer)
        self._tell_figures()
        return True

    def _tell_figures(self) -> None:
        """The state of the link as points of the station: at once when it turns, else every minute."""
        if self._tell is None or not len(self._link_ids):
            return
        figures = _figures(self.statistics)
        now = self._timing.monotonic()
        turned = self._told is None or (figures.up, figures.event_overflow) != (
            self._told.up,
            self._told.event_overflow,
        )
        if not turned and now < self._tell_due:
            return
        self._told, self._tell_due = figures, now + _TELL_S
        values = np.array([float(each) for each in astuple(figures)])
        self._tell(samples(self._link_ids, self._timing.now(), values, Quality.GOOD, Cause.SPONTANEOUS))

    async def _interrogate(self) -> dict[float, ScanAnswer]:
        """General interrogation: the present value of every point, whatever its period."""
        return {
            period_s: await self._link.scan(period_s, Cause.GENERAL_INTERROGATION) for period_s in self._link.periods
        }

    async def _reconnect(self) -> None:
        """Try again, each time after twice the wait, until the station answers."""
        wait = self._config.reconnect_min_s
        while self._state is LinkState.LOST:
            await self._timing.sleep(wait)
            await self._attempt(self._link.periods[0], Cause.GENERAL_INTERROGATION)
            wait = min(wait * 2, self._config.reconnect_max_s)

    def _deliver(self, period_s: float, answer: ScanAnswer) -> None:
        rows = np.searchsorted(self._ids, answer.batch["point"])
        self._values[rows] = answer.batch["value"]
        self._qualities[rows] = answer.batch["quality"]
        self._count_samples(len(answer.batch))
        self._sink_some(self._chatter.pass_on(answer.batch, self._timing.now()))
        for each in answer.failed:
            self._sink(self._doubtful(each.points, each.quality))
        self._note_failing(period_s, answer.failed)

    async def _freeze_totals(self) -> None:
        if (answer := await self._freeze.carry_out()) is not None:
            self._count_samples(len(answer.batch))
            self._sink_some(answer.batch)

    def _sink_some(self, batch: SampleArray) -> None:
        if len(batch):
            self._sink(batch)

    def _last_known(self, points: PointArray) -> tuple[ValueArray, QualityArray]:
        rows = np.searchsorted(self._ids, points)
        return self._values[rows], self._qualities[rows]

    def _doubtful(self, points: PointArray, quality: Quality) -> SampleArray:
        """The last known values of ``points`` with ``quality`` added to theirs."""
        values, qualities = self._last_known(points)
        return samples(points, self._timing.now(), values, qualities | np.uint8(quality), Cause.SPONTANEOUS)

    def _count_samples(self, number: int) -> None:
        counts = self._counts
        counts.samples += number
        counts.window_samples += number
        elapsed = self._timing.monotonic() - counts.window_from
        if elapsed >= _RATE_WINDOW_S:
            counts.points_per_s = counts.window_samples / elapsed
            counts.window_from += elapsed
            counts.window_samples = 0

    def _note_answer(self) -> None:
        now = self._timing.now()
        if self._state is LinkState.LOST:
            away_s = (now - (self._counts.last_answer or self._since)) / 1e6
            logger.info("%s link restored after %.0f s", self.code, away_s)
        elif self._state is LinkState.CONNECTING:
            logger.info("%s link up: %d points", self.code, len(self._ids))
        if self._state is not LinkState.UP:
            self._state, self._since = LinkState.UP, now
        self._silent_in_row = 0
        self._counts.last_answer = now

    async def _note_silence(self, reason: str) -> None:
        self._counts.silent += 1
        self._counts.last_error = reason
        self._counts.points_per_s = 0.0
        self._is_open = False
        await self._link.close()
        self._silent_in_row += 1
        if self._state is LinkState.LOST or self._silent_in_row < self._config.silent_scans:
            return
        self._state, self._since = LinkState.LOST, self._timing.now()
        self._failing.clear()
        logger.warning(
            "%s link lost: no answer for %d scans; %d points not topical (%s)",
            self.code,
            self._silent_in_row,
            len(self._ids),
            reason,
        )
        self._sink(self._doubtful(self._ids, Quality.NOT_TOPICAL))
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


def _figures(statistics: StationStatistics) -> LinkFigures:
    link = statistics.link
    return LinkFigures(
        up=statistics.state is LinkState.UP,
        event_overflow=link.event_overflow,
        round_trips=link.round_trips,
        errors=link.errors,
        silent_scans=statistics.silent,
        overruns=statistics.overruns,
        scan_s=statistics.last_scan_s,
        failed_points=statistics.failed_points,
        events=link.events,
        events_lost=link.events_lost,
        wrong_times=link.wrong_times,
        chattering=statistics.chattering,
        chatter_suppressed=statistics.chatter_suppressed,
    )


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
