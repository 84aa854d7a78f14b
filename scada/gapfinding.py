"""What has gone missing since the last look, entered in the gap ledger.

Knows the order: what was watched is looked through a stretch at a time, and the gaps of a stretch and how far was
looked are entered together. What counts as missing is decided in ``meters.gaps``.
"""

import logging
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from historian.deliveries import Deliveries
from historian.gaps import GapStore, Watch
from meters import gaps as ledger
from meters.gaps import GapPolicy
from scada.model.gap import RUN, ExpectedArray, GapArray, MeterTimeArray, RunArray

INTERVALS_AT_ONCE = 8
"""A whole fleet that lacks everything is 1.6 million intervals at a time: 100 MB."""

METERS_AT_ONCE = 20_000
REGISTERED_LATELY_US = 600_000_000
"""A list being imported is seen when it is committed, with the time it was begun."""

_log = logging.getLogger(__name__)


class GapFinder:
    """Not safe for several threads. ``stopping``: asked between two blocks; what was not entered is found again."""

    def __init__(
        self, store: GapStore, deliveries: Deliveries, policy: GapPolicy, stopping: Callable[[], bool]
    ) -> None:
        self._store = store
        self._deliveries = deliveries
        self._policy = policy
        self._stopping = stopping
        self._seen: NDArray[np.int32] | None = None

    def find(self, now: int) -> int:
        """Enter what has gone missing since the last time; how many gaps that are. Raises StoreUnavailable."""
        watch = self._store.watch() or self._first_watch(now)
        if watch is None:
            return 0
        found = 0
        while not self._stopping():
            until = min(self._policy.horizon(now), watch.until + INTERVALS_AT_ONCE * self._policy.period)
            entered = self._enter(watch, until, now)
            if entered is None:
                break
            found += entered
            watch = Watch(watch.since, max(until, watch.until), now)
            if watch.until >= self._policy.horizon(now):
                break
        if found:
            _log.info("Gaps: %d found", found)
        return found

    def _enter(self, watch: Watch, until: int, now: int) -> int | None:
        """The next stretch, up to ``until``; None when told to stop before it was entered."""
        expected, registered = self._deliveries.expected(watch.since, max(until, watch.until))
        late = expected[self._is_late(expected, registered, watch)]
        missing = [np.empty(0, dtype=RUN)]
        for part in self._overdue(expected, late, watch, until):
            if self._stopping():
                return None
            missing.append(part)
        gaps = self._as_gaps(np.concatenate(missing), expected, max(until, watch.until), now)
        if not self._store.add(gaps, Watch(watch.since, max(until, watch.until), now), self._stopping):
            return None
        self._seen = expected["meter"] if self._seen is None else np.union1d(self._seen, expected["meter"])
        return len(gaps)

    def _is_late(self, expected: ExpectedArray, registered: NDArray[np.int64], watch: Watch) -> NDArray[np.bool_]:
        """Who was registered lately, or has joined the meters with intervals of this length since the last look."""
        if self._seen is None:
            return registered > watch.scanned_at - REGISTERED_LATELY_US
        return ~np.isin(expected["meter"], self._seen)

    def _first_watch(self, now: int) -> Watch | None:
        """Begin with the first reading there is: of what ended before it, this head-end never knew."""
        earliest = self._deliveries.earliest(self._policy.oldest(now))
        if earliest is None:
            return None
        before = (earliest - self._policy.tolerance - 1) // self._policy.period * self._policy.period
        return Watch(before, before, now)

    def _overdue(self, expected: ExpectedArray, late: ExpectedArray, watch: Watch, until: int) -> Iterator[RunArray]:
        """What everybody owes of the stretch, and who was registered lately of the stretches before it."""
        stretch = INTERVALS_AT_ONCE * self._policy.period
        for after in range(watch.since, watch.until, stretch) if len(late) else ():
            yield from self._missing(late, after, min(after + stretch, watch.until))
        if until > watch.until:
            yield from self._missing(self._suspects(expected, watch.until, until), watch.until, until)

    def _suspects(self, expected: ExpectedArray, after: int, until: int) -> ExpectedArray:
        """Who has not delivered every interval of (after, until] on time."""
        on_time = self._deliveries.on_time(after, until)
        full = on_time["meter"][on_time["readings"] >= (until - after) // self._policy.period]
        return expected[~np.isin(expected["meter"], full)]

    def _missing(self, meters: ExpectedArray, after: int, until: int) -> Iterator[RunArray]:
        for start in range(0, len(meters), METERS_AT_ONCE):
            block = meters[start : start + METERS_AT_ONCE]
            present = self._present(block["meter"], after + self._policy.period, until)
            yield ledger.missing_runs(block, present, after, until, self._policy)

    def _present(self, meters: NDArray[np.int32], first: int, last: int) -> MeterTimeArray:
        return self._deliveries.times(meters, first - self._policy.tolerance, last + self._policy.tolerance)

    def _as_gaps(self, runs: RunArray, expected: ExpectedArray, until: int, now: int) -> GapArray:
        without_supply = self._deliveries.without_supply(np.unique(runs["meter"]), until)
        return ledger.new_gaps(runs, ledger.causes(runs, expected, without_supply, self._policy), now)
