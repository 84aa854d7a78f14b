"""The gap ledgers of a registry: one for each length of interval that its meters have, chased together.

Knows which lengths there are. Every length has a ledger of its own, because what is missing, how far was looked and how
long is waited are counted in intervals; requests are sent to one place at a time, whatever ledger they come from.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from historian.deliveries import Deliveries
from historian.gaps import GapStore
from meters.requestqueue import Ending, MeterRequest, Result
from scada.chasing import ChaseTotals, GapChaser, policy_of
from scada.config import HeadEndConfig
from scada.gapfinding import GapFinder
from scada.model.gap import GapState

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Ledger:
    store: GapStore
    deliveries: Deliveries
    finder: GapFinder
    chaser: GapChaser


class GapLedgers:
    """As ``GapFinder`` and ``GapChaser`` of all lengths; the configured one is always among them."""

    def __init__(self, dsn: str, config: HeadEndConfig, stopping: Callable[[], bool]) -> None:
        self._dsn = dsn
        self._config = config
        self._stopping = stopping
        self._configured = self._ledger(config.capture_period_s)
        self._others: dict[int, _Ledger] = {}

    @property
    def totals(self) -> ChaseTotals:
        """What was done since the start."""
        return sum((each.chaser.totals for each in self._all), ChaseTotals())

    def find(self, now: int) -> int:
        """Enter what has gone missing since the last time; how many gaps that are."""
        for period_s in self._configured.deliveries.periods():
            if period_s != self._config.capture_period_s and period_s not in self._others:
                _log.info("Gaps: there are meters with intervals of %d s", period_s)
                self._others[period_s] = self._ledger(period_s)
        return sum(each.finder.find(now) for each in self._all)

    def close_arrived(self, states: Sequence[GapState], now: int) -> int:
        """Close what has arrived of the gaps in some states; how many pieces are recovered."""
        return sum(each.chaser.close_arrived(states, now) for each in self._all)

    def expire(self, now: int) -> None:
        """Let unanswered requests wait for their next try, and give up what no meter remembers."""
        for each in self._all:
            each.chaser.expire(now)

    def requests(self, now: int, busy: Sequence[str]) -> tuple[MeterRequest, ...]:
        """What to ask for now; noted as asked. ``busy``: places of the queue that have something under way."""
        asked: list[MeterRequest] = []
        for each in self._all:
            asked += each.chaser.requests(now, [*busy, *sorted({request.place for request in asked})])
        return tuple(asked)

    def note(self, results: Sequence[Result], now: int) -> None:
        """Note what meters said they have nothing of. What they sent is seen when it is stored."""
        for result in results:
            if result.ending is Ending.REFUSED:
                _log.info("Gaps: meter %d refused: %s", result.request.asked.serial, result.why)
        for each in self._all:
            each.chaser.note(results, now)

    def close(self) -> None:
        """Give the connections back."""
        for each in self._all:
            each.store.close()
            each.deliveries.close()

    @property
    def _all(self) -> tuple[_Ledger, ...]:
        return (self._configured, *self._others.values())

    def _ledger(self, period_s: int) -> _Ledger:
        store = GapStore(self._dsn, period_s=period_s)
        deliveries = Deliveries(self._dsn, period_s=period_s, default_s=self._config.capture_period_s)
        about = (store, deliveries, policy_of(self._config, period_s), self._stopping)
        return _Ledger(store, deliveries, GapFinder(*about), GapChaser(*about))
