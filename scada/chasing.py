"""Gaps of the load profiles found, asked for and closed: the ledger's decisions joined to its store and to the wire.

Knows the order of the steps. What is missing and when it is asked for is decided in ``meters.gaps``, the rows are in
``historian.gaps``, the messages in ``meters.requester``. One chaser is active at a time; the others stand by.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from historian.gaps import GapStore, MeterPlace, Watch
from meters import gaps as ledger
from meters.gaps import DAY_US, GapPolicy
from meters.request import Asked, RequestKind
from meters.requestqueue import Ending, MeterRequest, Priority, Result
from meters.validate import MARGIN_DAYS
from scada.config import HeadEndConfig
from scada.model.gap import METER_TIME, RUN, ExpectedArray, GapArray, GapState, MeterTimeArray, RunArray

INTERVALS_AT_ONCE = 8
"""A whole fleet that lacks everything is 1.6 million intervals at a time: 100 MB."""

METERS_AT_ONCE = 20_000
REGISTERED_LATELY_US = 600_000_000
"""A list being imported is seen when it is committed, with the time it was begun."""

_log = logging.getLogger(__name__)


def policy_of(config: HeadEndConfig) -> GapPolicy:
    """The limits the configuration sets."""
    return GapPolicy(
        period=config.capture_period_s * 1_000_000,
        grace=round((config.gap_grace_s or 2 * config.capture_period_s) * 1e6),
        answer_limit=round(config.gap_answer_s * 1e6),
        first_pause=round(config.gap_first_pause_s * 1e6),
        longest_pause=round(config.gap_longest_pause_s * 1e6),
        memory=config.memory_days * DAY_US,
        per_request=config.gap_per_request,
    )


@dataclass(frozen=True, slots=True)
class ChaseTotals:
    """What was done since the start, in gaps; ``asked`` counts repetitions."""

    found: int = 0
    asked: int = 0
    closed: int = 0
    without_data: int = 0


class GapChaser:
    """Not safe for several threads. Every method raises StoreUnavailable; the ledger is then as it was."""

    def __init__(self, store: GapStore, policy: GapPolicy) -> None:
        self._store = store
        self._policy = policy
        self._seen: set[int] = set()
        self.totals = ChaseTotals()

    def find(self, now: int) -> int:
        """Enter what has gone missing since the last time; how many gaps that are."""
        watch = self._store.watch() or self._first_watch(now)
        if watch is None:
            return 0
        found = 0
        while True:
            until = min(self._policy.horizon(now), watch.until + INTERVALS_AT_ONCE * self._policy.period)
            expected, registered = self._store.installations(watch.since, max(until, watch.until))
            gaps = self._of_latecomers(expected, registered, watch, now)
            if until > watch.until:
                gaps = np.concatenate((gaps, self._missing(expected, watch.until, until, now)))
            watch = Watch(watch.since, max(until, watch.until), now)
            self._store.add(gaps, watch)
            found += len(gaps)
            if watch.until >= self._policy.horizon(now):
                break
        if found:
            _log.info("Gaps: %d found", found)
        self._count(found=found)
        return found

    def close_arrived(self, states: Sequence[GapState], now: int) -> int:
        """Close what has arrived of the gaps in ``states``; how many pieces are recovered.

        What ended before anything the head-end would still accept is not looked for.
        """
        since = self._policy.oldest(now) - MARGIN_DAYS * DAY_US
        return self._close(self._store.open_gaps(states, since=since), now)

    def expire(self, now: int) -> None:
        """Let unanswered requests wait for their next try, and give up what no meter remembers."""
        gaps = self._store.open_gaps()
        after, changed = ledger.expire(gaps, now, self._policy)
        if changed.any():
            self._store.update(after[changed], now)
            lost = int(np.count_nonzero(after["state"][changed] == GapState.PERMANENT))
            if lost:
                _log.warning("Gaps: %d are older than what meters remember; estimation is all that is left", lost)

    def requests(self, now: int, busy: Sequence[str]) -> tuple[MeterRequest, ...]:
        """What to ask for now; noted as asked. ``busy``: places of the queue that have something under way."""
        gaps = self._store.open_gaps((GapState.MISSING,))
        gaps = gaps[gaps["next_try"] <= now]
        if not len(gaps):
            return ()
        places = self._store.places(np.unique(gaps["meter"]))
        number, blocked = _numbered(gaps["meter"], places, busy)
        chosen = gaps[ledger.choose(gaps, number, blocked, now, self._policy)]
        self._store.update(ledger.ask(chosen, now, self._policy), now)
        self._count(asked=len(chosen))
        return tuple(self._request(gap, places, now) for gap in chosen.tolist())

    def note(self, results: Sequence[Result], now: int) -> None:
        """Note what meters said they have nothing of. What they sent is seen when it is stored."""
        told = [
            (int(result.request.reference), first, last)
            for result in results
            if result.ending is Ending.DONE and result.answer is not None
            for first, last in result.answer.empty
        ]
        for result in results:
            if result.ending is Ending.REFUSED:
                _log.info("Gaps: meter %d refused: %s", result.request.asked.serial, result.why)
        if not told:
            return
        empty = np.array(told, dtype=RUN)
        gaps = self._store.open_gaps()
        gaps = gaps[np.isin(gaps["meter"], empty["meter"])]
        self._close(gaps, now)  # what was stored meanwhile is there, whatever the meter says
        gaps = self._store.open_gaps()
        pieces, _ = ledger.without(gaps[np.isin(gaps["meter"], empty["meter"])], empty, self._policy)
        self._store.replace(pieces, now)
        without = int(np.count_nonzero(pieces["state"] == GapState.NO_DATA))
        self._count(without_data=without)
        _log.info("Gaps: %d have no data: their meters said so", without)

    def _first_watch(self, now: int) -> Watch | None:
        """Begin with the first reading there is: what was before it, this head-end never knew."""
        earliest = self._store.earliest_reading(self._policy.oldest(now))
        if earliest is None:
            return None
        period = self._policy.period
        before = (earliest + period // 2) // period * period - period
        return Watch(before, before, now)

    def _missing(self, expected: ExpectedArray, after: int, until: int, now: int) -> GapArray:
        policy = self._policy
        on_time = self._store.on_time(after, until)
        counts = np.array([on_time.get(meter, 0) for meter in expected["meter"].tolist()], dtype=np.int64)
        suspects = expected[counts < (until - after) // policy.period]
        runs = [np.empty(0, dtype=RUN)]
        for start in range(0, len(suspects), METERS_AT_ONCE):
            block = suspects[start : start + METERS_AT_ONCE]
            present = self._present(block["meter"], after + policy.period, until)
            runs.append(ledger.missing_runs(block, present, after, until, policy))
        return self._as_gaps(np.concatenate(runs), expected, until, now)

    def _of_latecomers(
        self, expected: ExpectedArray, registered: NDArray[np.int64], watch: Watch, now: int
    ) -> GapArray:
        """What meters owe from before they were registered, while others were watched already."""
        seen = np.array([meter in self._seen for meter in expected["meter"].tolist()], dtype=np.bool_)
        self._seen.update(expected["meter"].tolist())
        late = expected[(registered > watch.scanned_at - REGISTERED_LATELY_US) & ~seen]
        if not len(late) or watch.until <= watch.since:
            return self._as_gaps(np.empty(0, dtype=RUN), expected, watch.until, now)
        present = self._present(late["meter"], watch.since, watch.until)
        runs = ledger.missing_runs(late, present, watch.since, watch.until, self._policy)
        return self._as_gaps(runs, expected, watch.until, now)

    def _as_gaps(self, runs: RunArray, expected: ExpectedArray, until: int, now: int) -> GapArray:
        without_supply = self._store.without_supply(np.unique(runs["meter"]), until)
        return ledger.new_gaps(runs, ledger.causes(runs, expected, without_supply, self._policy), now)

    def _present(self, meters: NDArray[np.int32], first: int, last: int) -> MeterTimeArray:
        return self._store.reading_times(meters, first - self._policy.tolerance, last + self._policy.tolerance)

    def _close(self, gaps: GapArray, now: int) -> int:
        closed = 0
        for part in _by_day(gaps):
            present = self._present(np.unique(part["meter"]), int(part["first"].min()), int(part["last"].max()))
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
        asked = Asked(place.serial, place.metering_point, max(first, self._policy.oldest(now)), last)
        expires_at = now + self._policy.answer_limit
        return MeterRequest(
            str(meter), RequestKind.PROFILE, Priority.GAP, place.unit, place.concentrator, asked, expires_at
        )

    def _count(self, *, found: int = 0, asked: int = 0, closed: int = 0, without_data: int = 0) -> None:
        done = self.totals
        self.totals = ChaseTotals(
            done.found + found, done.asked + asked, done.closed + closed, done.without_data + without_data
        )


def _by_day(gaps: GapArray) -> Iterator[GapArray]:
    """Gaps by the day of their first interval: readings stand in one table for each day."""
    days = gaps["first"] // DAY_US
    for day in np.unique(days):
        yield gaps[days == day]


def _numbered(
    meters: NDArray[np.int32], places: Mapping[int, MeterPlace], busy: Sequence[str]
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Number of each meter's concentrator, −1 with own modem, and the numbers of those that are busy."""
    names = {each.concentrator for each in places.values() if each.concentrator}
    numbers = {name: number for number, name in enumerate(sorted(names))}
    numbers[""] = -1
    of_meter = {meter: numbers[place.concentrator] for meter, place in places.items()}
    blocked = [numbers[name] for name in busy if name in numbers]
    blocked += [-meter for meter, place in places.items() if str(place.serial) in busy]
    concentrator = np.array([of_meter[meter] for meter in meters.tolist()], dtype=np.int32)
    return concentrator, np.array(blocked, dtype=np.int32)
