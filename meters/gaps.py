"""The gap ledger's decisions: which intervals are missing, what becomes of each, when it is asked for again.

Knows intervals, states and limits as columns. Does not know clock, store or wire. No interval is ever forgotten: a gap
is one run of intervals in one state, and when some of them arrive it is cut, never dropped.

    missing ──asked──▶ requested ──arrived──▶ recovered
       ▲                   │ ├──nothing there──▶ no data
       └──── unanswered ───┘ └──memory runs out──▶ permanent      (whatever arrives later is recovered all the same)
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from meters.validate import ALIGNMENT_S
from scada.model.gap import (
    GAP,
    RUN,
    ExpectedArray,
    GapArray,
    GapCause,
    GapState,
    MeterTimeArray,
    RunArray,
)

DAY_US = 86_400_000_000
SILENT_SHARE = 0.9
"""A concentrator counts as silent when at least this share of its meters lacks an interval."""

_METER_KEY = 2**32
"""Keys are meter × 2^32 + interval number, which is below 2^32 down to intervals of one second until 2106."""

IndexArray = NDArray[np.int64]
_BoolArray = NDArray[np.bool_]


class GapEvent(IntEnum):
    """What can happen to a gap."""

    ASKED = 1
    ARRIVED = 2
    NOTHING_THERE = 3
    UNANSWERED = 4
    MEMORY_RAN_OUT = 5


TRANSITIONS: Mapping[tuple[GapState, GapEvent], GapState] = {
    (GapState.MISSING, GapEvent.ASKED): GapState.REQUESTED,
    (GapState.MISSING, GapEvent.ARRIVED): GapState.RECOVERED,
    (GapState.MISSING, GapEvent.NOTHING_THERE): GapState.NO_DATA,
    (GapState.MISSING, GapEvent.MEMORY_RAN_OUT): GapState.PERMANENT,
    (GapState.REQUESTED, GapEvent.ARRIVED): GapState.RECOVERED,
    (GapState.REQUESTED, GapEvent.NOTHING_THERE): GapState.NO_DATA,
    (GapState.REQUESTED, GapEvent.UNANSWERED): GapState.MISSING,
    (GapState.REQUESTED, GapEvent.MEMORY_RAN_OUT): GapState.PERMANENT,
    (GapState.NO_DATA, GapEvent.ARRIVED): GapState.RECOVERED,
    (GapState.PERMANENT, GapEvent.ARRIVED): GapState.RECOVERED,
}
"""What is not named here cannot happen; an answer that comes after its time limit finds the gap missing again."""


@dataclass(frozen=True, slots=True)
class GapPolicy:
    """How gaps are chased. Times in µs.

    grace: an interval counts as missing this long after its end · answer_limit: how long an asked meter may take ·
    first_pause, longest_pause: between two requests for the same gap, doubling · memory: what a meter keeps ·
    per_request: intervals asked of one concentrator at a time.
    """

    period: int
    grace: int
    answer_limit: int = 60_000_000
    first_pause: int = 3_600_000_000
    longest_pause: int = DAY_US
    memory: int = 60 * DAY_US
    per_request: int = 5_000

    @property
    def tolerance(self) -> int:
        """How far a reading's time may be from the end of its interval (V3), µs."""
        return min(ALIGNMENT_S * 1_000_000, self.period // 4)

    def horizon(self, now: int) -> int:
        """The newest interval end that may be called missing."""
        return (now - self.grace) // self.period * self.period

    def oldest(self, now: int) -> int:
        """What ended before is no longer in a meter's memory."""
        return now - self.memory


def following_state(state: GapState, event: GapEvent) -> GapState:
    """The state after ``event``. Raises ValueError when that cannot happen in ``state``."""
    following = TRANSITIONS.get((state, event))
    if following is None:
        raise ValueError(f"a {state.label} gap cannot be told {event.name.lower()}")
    return following


def missing_runs(
    expected: ExpectedArray, present: MeterTimeArray, after: int, until: int, policy: GapPolicy
) -> RunArray:
    """What ``expected`` meters should have delivered in (after, until] and did not; dtype RUN, by meter and time.

    after, until: interval ends, multiples of the period. A reading that is off its interval's end by more than the
    tolerance fills none. A meter owes the intervals that began and ended while it was installed.
    """
    period = policy.period
    begun = -(-expected["since"] // period) * period + period
    first = np.maximum(begun, after + period)
    last = np.minimum(expected["until"] // period * period, until)
    runs = np.zeros(len(expected), dtype=RUN)
    runs["meter"], runs["first"], runs["last"] = expected["meter"], first, last
    runs = runs[first <= last]
    cut, is_present, _ = _cut(runs, present, policy)
    return cut[~is_present]


def settle(gaps: GapArray, present: MeterTimeArray, policy: GapPolicy) -> tuple[GapArray, NDArray[np.bool_]]:
    """Cut ``gaps`` where intervals have arrived: the pieces that replace them, and which gaps are replaced at all.

    Pieces keep the id of their gap, so that the store can replace it, and its state unless recovered.
    """
    cut, is_present, source = _cut(gaps, present, policy)
    replaced = np.zeros(len(gaps), dtype=np.bool_)
    replaced[source[is_present]] = True
    kept = replaced[source]
    pieces = gaps[source[kept]].copy()
    pieces["first"], pieces["last"] = cut["first"][kept], cut["last"][kept]
    pieces["state"][is_present[kept]] = GapState.RECOVERED
    return pieces, replaced


def without(gaps: GapArray, empty: RunArray, policy: GapPolicy) -> tuple[GapArray, NDArray[np.bool_]]:
    """As ``settle``, for intervals of which the meter says that it has nothing: ``empty``, dtype RUN."""
    period = policy.period
    counts = (empty["last"] - empty["first"]) // period + 1
    told = np.zeros(int(counts.sum()), dtype=[("meter", "<i4"), ("time", "<i8")])
    told["meter"] = np.repeat(empty["meter"], counts)
    told["time"] = np.repeat(empty["first"], counts) + _places(counts) * period
    pieces, replaced = settle(gaps, told, policy)
    pieces["state"][pieces["state"] == GapState.RECOVERED] = GapState.NO_DATA
    return pieces, replaced


def causes(
    runs: RunArray, expected: ExpectedArray, without_supply: NDArray[np.int32], policy: GapPolicy
) -> NDArray[np.uint8]:
    """Why each run is missing, as ``GapCause``; shape (len(runs),).

    ``without_supply``: meters whose last word was that their supply is gone. A concentrator is silent when
    SILENT_SHARE of its meters lack an interval of the run.
    """
    concentrator = _look_up(runs["meter"], expected["meter"], expected["concentrator"])
    found = np.full(len(runs), GapCause.METER_SILENT, dtype=np.uint8)
    found[_of_silent(runs, concentrator, expected, policy)] = GapCause.CONCENTRATOR_SILENT
    found[np.isin(runs["meter"], without_supply)] = GapCause.SUPPLY_LOST
    return found


def new_gaps(runs: RunArray, why: NDArray[np.uint8], now: int) -> GapArray:
    """Entries of the ledger for runs just found; to be asked for at once."""
    gaps = np.zeros(len(runs), dtype=GAP)
    for name in ("meter", "first", "last"):
        gaps[name] = runs[name]
    gaps["state"], gaps["cause"], gaps["next_try"] = GapState.MISSING, why, now
    return gaps


def expire(gaps: GapArray, now: int, policy: GapPolicy) -> tuple[GapArray, _BoolArray]:
    """Gaps whose time is up: unanswered requests wait for their next try, what no meter remembers is permanent.

    Returns the gaps as they are to be, and which have changed.
    """
    after = gaps.copy()
    open_ = np.isin(gaps["state"], (GapState.MISSING, GapState.REQUESTED))
    forgotten = open_ & (gaps["last"] < policy.oldest(now))
    unanswered = (gaps["state"] == GapState.REQUESTED) & (gaps["next_try"] <= now) & ~forgotten
    after["state"][forgotten] = GapState.PERMANENT
    after["state"][unanswered] = following_state(GapState.REQUESTED, GapEvent.UNANSWERED)
    after["next_try"][unanswered] = now + pauses(gaps["attempts"][unanswered], policy)
    return after, np.asarray(forgotten | unanswered)


def pauses(attempts: NDArray[np.int16], policy: GapPolicy) -> IndexArray:
    """How long to wait after the n-th unanswered request, µs: doubling from the first to the longest pause."""
    doubled = policy.first_pause * 2.0 ** np.clip(attempts.astype(np.int64) - 1, 0, 60)
    waits: IndexArray = np.minimum(doubled, policy.longest_pause).astype(np.int64)
    return waits


def choose(
    gaps: GapArray, concentrator: NDArray[np.int32], busy: NDArray[np.int32], now: int, policy: GapPolicy
) -> NDArray[np.intp]:
    """Which gaps to ask for now, as indices: due ones, oldest first, at most ``per_request`` intervals at once.

    concentrator: of each gap, −1 with own modem · busy: concentrators that have a request under way, or meters with
    own modem as −meter. A gap that alone exceeds the limit is asked for by itself.
    """
    place = np.where(concentrator >= 0, concentrator, -gaps["meter"])
    due = (gaps["state"] == GapState.MISSING) & (gaps["next_try"] <= now) & ~np.isin(place, busy)
    candidates = np.flatnonzero(due & (gaps["last"] >= policy.oldest(now)))
    candidates = candidates[np.lexsort((gaps["first"][candidates], place[candidates]))]
    size = (gaps["last"][candidates] - gaps["first"][candidates]) // policy.period + 1
    total = np.cumsum(size)
    starts = np.flatnonzero(np.diff(place[candidates], prepend=-_METER_KEY))
    lengths = np.diff(np.append(starts, len(candidates)))
    before = np.repeat(total[starts] - size[starts], lengths)
    is_first = np.zeros(len(candidates), dtype=np.bool_)
    is_first[starts] = True
    chosen: NDArray[np.intp] = candidates[(total - before <= policy.per_request) | is_first]
    return chosen


def ask(gaps: GapArray, now: int, policy: GapPolicy) -> GapArray:
    """The gaps as they are once they have been asked for."""
    after = gaps.copy()
    after["state"] = following_state(GapState.MISSING, GapEvent.ASKED)
    after["attempts"] = np.minimum(gaps["attempts"] + 1, np.iinfo(np.int16).max)
    after["next_try"] = now + policy.answer_limit
    return after


def _cut(
    runs: RunArray, present: MeterTimeArray, policy: GapPolicy
) -> tuple[RunArray, NDArray[np.bool_], NDArray[np.intp]]:
    """Cut runs into pieces that are wholly present or wholly not: pieces, presence, and the run each comes from."""
    period = policy.period
    counts = (runs["last"] - runs["first"]) // period + 1
    source = np.repeat(np.arange(len(runs)), counts)
    slot = np.repeat(runs["first"] // period, counts) + _places(counts)
    there = np.isin(runs["meter"][source].astype(np.int64) * _METER_KEY + slot, _keys(present, policy))
    starts = np.flatnonzero((np.diff(source, prepend=-1) != 0) | (np.diff(there.astype(np.int8), prepend=0) != 0))
    ends = np.append(starts[1:], len(source)) - 1 if len(starts) else starts
    pieces = np.zeros(len(starts), dtype=RUN)
    pieces["meter"] = runs["meter"][source[starts]]
    pieces["first"], pieces["last"] = slot[starts] * period, slot[ends] * period
    return pieces, there[starts], source[starts]


def _keys(present: MeterTimeArray, policy: GapPolicy) -> IndexArray:
    """Meter and interval of each reading that is near enough to an interval's end."""
    slot = (present["time"] + policy.period // 2) // policy.period
    near = np.abs(present["time"] - slot * policy.period) <= policy.tolerance
    keys: IndexArray = present["meter"][near].astype(np.int64) * _METER_KEY + slot[near]
    return keys


def _places(counts: IndexArray) -> IndexArray:
    """0, 1, … counts[0] − 1, 0, 1, … counts[1] − 1, …"""
    places: IndexArray = np.arange(int(counts.sum())) - np.repeat(np.cumsum(counts) - counts, counts)
    return places


def _look_up(meters: NDArray[np.int32], known: NDArray[np.int32], values: NDArray[np.int32]) -> NDArray[np.int32]:
    order = np.argsort(known, kind="stable")
    found: NDArray[np.int32] = values[order[np.searchsorted(known, meters, sorter=order)]]
    return found


def _of_silent(
    runs: RunArray, concentrator: NDArray[np.int32], expected: ExpectedArray, policy: GapPolicy
) -> _BoolArray:
    """Which runs hold an interval that SILENT_SHARE of their concentrator's meters lack."""
    behind = expected["concentrator"][expected["concentrator"] >= 0]
    members = np.bincount(behind) if len(behind) else np.zeros(1, dtype=np.int64)
    counts = (runs["last"] - runs["first"]) // policy.period + 1
    source = np.repeat(np.arange(len(runs)), counts)
    slot = np.repeat(runs["first"] // policy.period, counts) + _places(counts)
    _, place, lacking = np.unique(
        concentrator[source].astype(np.int64) * _METER_KEY + slot, return_inverse=True, return_counts=True
    )
    behind_one = concentrator[source] >= 0
    silent = np.zeros(len(source), dtype=np.bool_)
    of = concentrator[source][behind_one]
    silent[behind_one] = lacking[place[behind_one]] >= SILENT_SHARE * members[of]
    found = np.zeros(len(runs), dtype=np.bool_)
    found[source[silent]] = True
    return found
