"""Gaps of the load profiles asked for and closed: the ledger's decisions joined to its store and to the wire.

Knows the order of the steps. What becomes of a gap and when it is asked for is decided in ``meters.gaps``, the rows
are in ``historian.gaps``, the messages in ``meters.requester``. One chaser is active at a time; the others stand by.

A ledger may hold a million gaps after a lost day. Every step goes through it in blocks, each a transaction of its own,
does a few of them in a round and continues there in the next one; whoever is told to stop stops between two blocks.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from historian.deliveries import FEW_METERS, Deliveries
from historian.gaps import GAPS_AT_ONCE, GapStore, MeterPlace
from meters import gaps as ledger
from meters.gaps import DAY_US, GapPolicy
from meters.request import Asked, RequestKind
from meters.requestqueue import Ending, MeterRequest, Priority, Result
from meters.validate import MARGIN_DAYS
from scada.config import HeadEndConfig
from scada.model.gap import METER_TIME, RUN, GapArray, GapState, RunArray

BLOCKS_A_ROUND = 3
"""Of each step in one round: 60,000 gaps, some seconds. Between two rounds somebody's order gets its turn."""

INTERVALS_AT_ONCE = 8
"""20,000 meters times twice as many: what is fetched to see which of a block's gaps have closed."""

OPEN_DAYS_US = 2 * DAY_US
"""Older days are closed: their readings have an index that begins with the meter."""

_log = logging.getLogger(__name__)


def policy_of(config: HeadEndConfig, period_s: int) -> GapPolicy:
    """The limits the configuration sets for intervals of one length."""
    return GapPolicy(
        period=period_s * 1_000_000,
        grace=round((config.gap_grace_s or 2 * period_s) * 1e6),
        answer_limit=round(config.gap_answer_s * 1e6),
        first_pause=round(config.gap_first_pause_s * 1e6),
        longest_pause=round(config.gap_longest_pause_s * 1e6),
        memory=config.memory_days * DAY_US,
        per_request=config.gap_per_request,
    )


@dataclass(frozen=True, slots=True)
class ChaseTotals:
    """What was done since the start, in gaps; ``asked`` counts repetitions."""

    asked: int = 0
    closed: int = 0
    without_data: int = 0

    def __add__(self, other: "ChaseTotals") -> "ChaseTotals":
        return ChaseTotals(self.asked + other.asked, self.closed + other.closed, self.without_data + other.without_data)


class GapChaser:
    """Not safe for several threads. ``stopping`` is asked before every block.

    Every method raises StoreUnavailable; the ledger then stands as after the last block.
    """

    def __init__(
        self, store: GapStore, deliveries: Deliveries, policy: GapPolicy, stopping: Callable[[], bool]
    ) -> None:
        self._store = store
        self._deliveries = deliveries
        self._policy = policy
        self._stopping = stopping
        self._reached: dict[tuple[GapState, ...], int] = {}
        self.totals = ChaseTotals()

    def close_arrived(self, states: Sequence[GapState], now: int) -> int:
        """Close what has arrived of some of the gaps in ``states``; how many pieces are recovered.

        What ended before anything the head-end would still accept is not looked for.
        """
        since = self._policy.oldest(now) - MARGIN_DAYS * DAY_US
        key = tuple(states)
        return sum(
            self._close(block, now)
            for block in self._blocks(
                lambda: self._store.open_gaps(states, since=since, after=self._reached.get(key, 0)),
                lambda block: self._reached.update({key: 0 if _is_last(block) else int(block["id"][-1])}),
            )
        )

    def expire(self, now: int) -> None:
        """Let unanswered requests wait for their next try, and give up what no meter remembers."""
        lost = 0
        for gaps in self._blocks(lambda: self._store.overdue_gaps(now, self._policy.oldest(now))):
            after, changed = ledger.expire(gaps, now, self._policy)
            self._store.update(after[changed], now)
            lost += int(np.count_nonzero(after["state"][changed] == GapState.PERMANENT))
        if lost:
            _log.warning("Gaps: %d are older than what meters remember; estimation is all that is left", lost)

    def requests(self, now: int, busy: Sequence[str]) -> tuple[MeterRequest, ...]:
        """What to ask for now; noted as asked. ``busy``: places of the queue that have something under way."""
        occupied = set(busy)
        asked: list[MeterRequest] = []
        for gaps in self._blocks(lambda: self._store.due_gaps(now, self._policy.oldest(now), sorted(occupied))):
            places = self._store.places(np.unique(gaps["meter"]))
            nobody = np.empty(0, dtype=np.int32)
            chosen = gaps[ledger.choose(gaps, _numbered(gaps["meter"], places), nobody, now, self._policy)]
            self._store.update(ledger.ask(chosen, now, self._policy), now)
            self._count(asked=len(chosen))
            asked += [self._request(gap, places, now) for gap in chosen.tolist()]
            occupied.update(each.place for each in asked)
        return tuple(asked)

    def note(self, results: Sequence[Result], now: int) -> None:
        """Note what meters said they have nothing of. What they sent is seen when it is stored."""
        empty = np.array([each for result in results for each in _told_empty(result)], dtype=RUN)
        without = 0
        for start in range(0, len(empty), GAPS_AT_ONCE):
            if self._stopping():
                break
            without += self._note_empty(empty[start : start + GAPS_AT_ONCE], now)
        if without:
            self._count(without_data=without)
            _log.info("Gaps: %d have no data: their meters said so", without)

    def _note_empty(self, empty: RunArray, now: int) -> int:
        meters = np.unique(empty["meter"])
        gaps = self._store.open_gaps_of(meters)
        if not len(gaps):
            return 0
        self._close(gaps, now)  # what was stored meanwhile is there, whatever the meter says
        pieces, _ = ledger.without(self._store.open_gaps_of(meters), empty, self._policy)
        if len(pieces):
            self._store.replace(pieces, now)
        return int(np.count_nonzero(pieces["state"] == GapState.NO_DATA))

    def _blocks(
        self, block: Callable[[], GapArray], done: Callable[[GapArray], None] = lambda _: None
    ) -> Iterator[GapArray]:
        """The blocks of one round; ``done`` is told each when it has been dealt with."""
        for _ in range(BLOCKS_A_ROUND):
            if self._stopping():
                return
            gaps = block()
            if len(gaps):
                yield gaps
            done(gaps)
            if _is_last(gaps):
                return

    def _close(self, gaps: GapArray, now: int) -> int:
        closed = 0
        for part in _by_span(gaps, self._policy.period):
            if self._stopping():
                break
            first, last = int(part["first"].min()), int(part["last"].max())
            present = self._deliveries.times(
                np.unique(part["meter"]),
                first - self._policy.tolerance,
                last + self._policy.tolerance,
                closed=last < now - OPEN_DAYS_US,
            )
            if not len(present):
                continue
            pieces, _ = ledger.settle(part, present.astype(METER_TIME), self._policy)
            recovered = pieces["state"] == GapState.RECOVERED
            if recovered.any():
                self._store.replace(pieces, now)
                closed += int(np.count_nonzero(recovered))
        self._count(closed=closed)
        return closed

    def _request(self, gap: tuple[int, ...], places: Mapping[int, MeterPlace], now: int) -> MeterRequest:
        _, meter, first, last, *_ = gap
        place = places[meter]
        remembered = -(-self._policy.oldest(now) // self._policy.period) * self._policy.period
        asked = Asked(place.serial, place.metering_point, max(first, remembered), last)
        expires_at = now + self._policy.answer_limit
        return MeterRequest(
            str(meter), RequestKind.PROFILE, Priority.GAP, place.unit, place.concentrator, asked, expires_at
        )

    def _count(self, *, asked: int = 0, closed: int = 0, without_data: int = 0) -> None:
        self.totals += ChaseTotals(asked, closed, without_data)


def _told_empty(result: Result) -> Iterator[tuple[int, int, int]]:
    """Meter and span of what a meter says it has nothing of, as far as it was asked: it may say what it likes."""
    if result.ending is not Ending.DONE or result.answer is None:
        return
    asked = result.request.asked
    for first, last in result.answer.empty:
        span = max(first, asked.first), min(last, asked.last)
        if span[0] <= span[1]:
            yield int(result.request.reference), *span


def _is_last(block: GapArray) -> bool:
    return len(block) < GAPS_AT_ONCE


def _by_span(gaps: GapArray, period: int) -> Iterator[GapArray]:
    """Gaps by the day of their first interval, because each day is a table, and many of a day by a few intervals.

    All readings between the first and the last interval of a part are looked at.
    """
    days = gaps["first"] // DAY_US
    for day in np.unique(days):
        of_day = gaps[days == day]
        spans = of_day["first"] // (period * INTERVALS_AT_ONCE if len(of_day) > FEW_METERS else DAY_US)
        yield from (of_day[spans == span] for span in np.unique(spans))


def _numbered(meters: NDArray[np.int32], places: Mapping[int, MeterPlace]) -> NDArray[np.int32]:
    """Number of each meter's concentrator, −1 with own modem."""
    names = {each.concentrator for each in places.values() if each.concentrator}
    numbers = {name: number for number, name in enumerate(sorted(names))}
    numbers[""] = -1
    of_meter = {meter: numbers[place.concentrator] for meter, place in places.items()}
    return np.array([of_meter[meter] for meter in meters.tolist()], dtype=np.int32)
