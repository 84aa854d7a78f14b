"""The gap ledger's decisions: what is missing, what becomes of it, and that no interval is ever forgotten."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meters.gaps import (
    TRANSITIONS,
    GapEvent,
    GapPolicy,
    ask,
    causes,
    choose,
    expire,
    following_state,
    missing_runs,
    new_gaps,
    pauses,
    settle,
    without,
)
from scada.model.gap import (
    EXPECTED,
    GAP,
    METER_TIME,
    RUN,
    ExpectedArray,
    GapArray,
    GapCause,
    GapState,
    MeterTimeArray,
    RunArray,
)

PERIOD = 1_800_000_000
SECOND = 1_000_000
POLICY = GapPolicy(period=PERIOD, grace=PERIOD, first_pause=3600 * SECOND, longest_pause=86_400 * SECOND)
NOW = 1_000_000 * PERIOD
FOREVER = 2_000_000 * PERIOD


def expected(*meters: tuple[int, int], since: int = 0, until: int = FOREVER) -> ExpectedArray:
    """Meters of (id, concentrator)."""
    return np.array([(meter, concentrator, since, until) for meter, concentrator in meters], dtype=EXPECTED)


def readings(*rows: tuple[int, float]) -> MeterTimeArray:
    """Readings of (meter, interval number)."""
    return np.array([(meter, round(interval * PERIOD)) for meter, interval in rows], dtype=METER_TIME)


def runs(*rows: tuple[int, int, int]) -> RunArray:
    return np.array([(meter, first * PERIOD, last * PERIOD) for meter, first, last in rows], dtype=RUN)


def gap(first: int, last: int, **columns: int) -> GapArray:
    """One gap of meter 1."""
    row = np.zeros(1, dtype=GAP)
    row["id"], row["meter"], row["first"], row["last"] = 7, 1, first * PERIOD, last * PERIOD
    row["state"], row["cause"] = GapState.MISSING, GapCause.METER_SILENT
    for name, value in columns.items():
        row[name] = value
    return row


def spans(gaps: GapArray) -> list[tuple[int, int, GapState]]:
    return [(int(g["first"]) // PERIOD, int(g["last"]) // PERIOD, GapState(int(g["state"]))) for g in gaps]


def test_what_no_reading_fills_is_missing_in_runs() -> None:
    present = readings((1, 11), (1, 14), (2, 11), (2, 12), (2, 13), (2, 14))
    found = missing_runs(expected((1, -1), (2, -1)), present, 10 * PERIOD, 14 * PERIOD, POLICY)
    assert found.tolist() == runs((1, 12, 13)).tolist()


def test_a_reading_off_by_half_a_minute_fills_its_interval_and_one_off_by_more_fills_none() -> None:
    present = readings((1, 11 + 30 * SECOND / PERIOD), (1, 12 + 31 * SECOND / PERIOD))
    found = missing_runs(expected((1, -1)), present, 10 * PERIOD, 12 * PERIOD, POLICY)
    assert found.tolist() == runs((1, 12, 12)).tolist()


def test_a_meter_owes_only_whole_intervals_of_its_installation() -> None:
    installed = expected((1, -1), since=10 * PERIOD + 1, until=14 * PERIOD - 1)
    assert missing_runs(installed, readings(), 0, 20 * PERIOD, POLICY).tolist() == runs((1, 12, 13)).tolist()


def test_who_owes_nothing_lacks_nothing() -> None:
    removed = expected((1, -1), until=5 * PERIOD)
    assert len(missing_runs(removed, readings(), 10 * PERIOD, 14 * PERIOD, POLICY)) == 0


@given(
    st.sets(st.tuples(st.integers(1, 4), st.integers(1, 30)), max_size=100),
    st.integers(0, 10),
    st.integers(0, 20),
)
def test_present_and_missing_intervals_are_all_there_are(
    present: set[tuple[int, int]], after: int, length: int
) -> None:
    """Against the plainest way to say it."""
    until = after + length
    meters = expected(*((meter, -1) for meter in range(1, 5)))
    found = missing_runs(meters, readings(*present), after * PERIOD, until * PERIOD, POLICY)
    listed = [(int(m), n) for m, first, last in found.tolist() for n in range(first // PERIOD, last // PERIOD + 1)]
    owed = set(product(range(1, 5), range(after + 1, until + 1)))
    # a meter is installed at 0, so its first whole interval is the first
    assert sorted(listed) == sorted(owed - present)


def test_a_gap_is_cut_where_intervals_arrive_and_nothing_of_it_is_lost() -> None:
    pieces, replaced = settle(gap(1, 6, attempts=2), readings((1, 3), (1, 4), (9, 5)), POLICY)
    assert spans(pieces) == [(1, 2, GapState.MISSING), (3, 4, GapState.RECOVERED), (5, 6, GapState.MISSING)]
    assert (pieces["id"].tolist(), pieces["attempts"].tolist(), replaced.tolist()) == ([7] * 3, [2] * 3, [True])


def test_a_gap_of_which_nothing_arrived_is_left_alone() -> None:
    pieces, replaced = settle(gap(1, 6), readings((1, 7), (2, 3)), POLICY)
    assert (len(pieces), replaced.tolist()) == (0, [False])


@given(st.sets(st.integers(1, 40)))
def test_pieces_cover_their_gap_exactly(arrived: set[int]) -> None:
    pieces, _ = settle(gap(5, 30), readings(*((1, each) for each in arrived)), POLICY)
    covered = [n for first, last, _ in spans(pieces) for n in range(first, last + 1)]
    recovered = {n for first, last, s in spans(pieces) if s is GapState.RECOVERED for n in range(first, last + 1)}
    assert covered == (list(range(5, 31)) if arrived & set(range(5, 31)) else [])
    assert recovered == arrived & set(range(5, 31))


@pytest.mark.parametrize("state", [GapState.NO_DATA, GapState.PERMANENT])
def test_what_was_given_up_is_recovered_when_it_arrives_after_all(state: GapState) -> None:
    pieces, _ = settle(gap(1, 1, state=state), readings((1, 1)), POLICY)
    assert spans(pieces) == [(1, 1, GapState.RECOVERED)]


def test_no_data_is_an_answer_for_the_intervals_it_names() -> None:
    pieces, _ = without(gap(1, 4, state=GapState.REQUESTED), runs((1, 1, 2)), POLICY)
    assert spans(pieces) == [(1, 2, GapState.NO_DATA), (3, 4, GapState.REQUESTED)]


def test_a_silent_concentrator_is_told_from_silent_meters_and_lost_supply() -> None:
    meters = expected(*((meter, 0) for meter in range(1, 11)), (11, 1), (12, 1), (13, -1), (14, -1))
    missing = runs(*((meter, 5, 6) for meter in range(1, 10)), (11, 5, 5), (13, 5, 5), (14, 5, 5))
    why = causes(missing, meters, np.array([14], dtype=np.int32), POLICY)
    assert why.tolist() == [GapCause.CONCENTRATOR_SILENT] * 9 + [GapCause.METER_SILENT] * 2 + [GapCause.SUPPLY_LOST]


def test_one_meter_short_of_the_share_no_concentrator_is_silent() -> None:
    meters = expected(*((meter, 0) for meter in range(1, 11)))
    missing = runs(*((meter, 5, 5) for meter in range(1, 9)))
    assert set(causes(missing, meters, np.array([], dtype=np.int32), POLICY).tolist()) == {GapCause.METER_SILENT}


def test_a_new_gap_is_asked_for_at_once() -> None:
    (entry,) = new_gaps(runs((3, 1, 2)), np.array([GapCause.METER_SILENT], dtype=np.uint8), NOW)
    assert entry.item() == (0, 3, PERIOD, 2 * PERIOD, GapState.MISSING, GapCause.METER_SILENT, 0, NOW)


def test_an_unanswered_request_waits_twice_as_long_each_time_and_a_day_at_most() -> None:
    waits = pauses(np.array([1, 2, 3, 5, 6, 40], dtype=np.int16), POLICY) // (3600 * SECOND)
    assert waits.tolist() == [1, 2, 4, 16, 24, 24]


@pytest.mark.parametrize("first_pause", [6 * 3600 * SECOND, 864_000 * SECOND])
def test_however_often_nobody_answered_the_next_request_is_not_due_at_once(first_pause: int) -> None:
    policy = replace(POLICY, first_pause=first_pause, longest_pause=max(first_pause, POLICY.longest_pause))
    often = np.array([29, 40, 32_767], dtype=np.int16)
    assert pauses(often, policy).tolist() == [policy.longest_pause] * 3


def test_a_request_is_given_up_when_its_time_is_over_and_not_before() -> None:
    recent = NOW // PERIOD - 10
    asked = np.concatenate(
        [
            gap(recent, recent, state=GapState.REQUESTED, attempts=1, next_try=NOW),
            gap(recent, recent, state=GapState.REQUESTED, attempts=1, next_try=NOW + 1),
        ]
    )
    after, changed = expire(asked, NOW, POLICY)
    assert changed.tolist() == [True, False]
    assert (after["state"].tolist(), after["next_try"].tolist()) == (
        [GapState.MISSING, GapState.REQUESTED],
        [NOW + 3600 * SECOND, NOW + 1],
    )


def test_what_no_meter_remembers_is_permanent() -> None:
    last_remembered = POLICY.oldest(NOW) // PERIOD
    after, changed = expire(np.concatenate([gap(1, last_remembered - 1), gap(1, last_remembered)]), NOW, POLICY)
    assert (after["state"].tolist(), changed.tolist()) == ([GapState.PERMANENT, GapState.MISSING], [True, False])


def test_only_due_gaps_of_places_with_nothing_under_way_are_asked_for() -> None:
    recent = NOW // PERIOD - 10
    gaps = np.concatenate(
        [
            gap(recent, recent, meter=1),
            gap(recent, recent, meter=2, next_try=NOW + 1),
            gap(recent, recent, meter=3, state=GapState.REQUESTED),
            gap(recent, recent, meter=4),
            gap(recent, recent, meter=5),
            gap(recent, recent, meter=6),
        ]
    )
    concentrator = np.array([0, 0, 0, 1, -1, -1], dtype=np.int32)
    busy = np.array([1, -6], dtype=np.int32)
    assert sorted(choose(gaps, concentrator, busy, NOW, POLICY).tolist()) == [0, 4]


def test_one_request_is_no_longer_than_the_limit_and_the_oldest_go_first() -> None:
    policy = GapPolicy(period=PERIOD, grace=PERIOD, per_request=5)
    recent = NOW // PERIOD - 100
    lengths = {0: (20, 3), 1: (10, 3), 2: (0, 2), 3: (0, 50)}
    gaps = np.concatenate(
        [gap(recent + start, recent + start + n - 1, meter=m + 1) for m, (start, n) in lengths.items()]
    )
    concentrator = np.array([0, 0, 0, 1], dtype=np.int32)
    chosen = choose(gaps, concentrator, np.array([], dtype=np.int32), NOW, policy)
    # 2 + 3 intervals fit at the first place; at the other a gap that alone exceeds the limit goes by itself
    assert sorted(chosen.tolist()) == [1, 2, 3]


def test_nothing_due_is_no_request() -> None:
    assert len(choose(gap(1, 1), np.array([0], dtype=np.int32), np.array([], dtype=np.int32), NOW, POLICY)) == 0


def test_an_asked_gap_counts_the_attempt_and_has_a_time_limit() -> None:
    after = ask(gap(1, 1, attempts=3), NOW, POLICY)
    assert (after["state"].item(), after["attempts"].item(), after["next_try"].item()) == (
        GapState.REQUESTED,
        4,
        NOW + POLICY.answer_limit,
    )


def test_an_interval_is_missing_one_grace_after_its_end() -> None:
    assert POLICY.horizon(12 * PERIOD) == 11 * PERIOD
    assert POLICY.horizon(12 * PERIOD - 1) == 10 * PERIOD


@pytest.mark.parametrize(("state", "event"), list(product(GapState, GapEvent)))
def test_every_state_knows_what_may_happen_to_it(state: GapState, event: GapEvent) -> None:
    allowed = {
        GapState.MISSING: {GapEvent.ASKED, GapEvent.ARRIVED, GapEvent.NOTHING_THERE, GapEvent.MEMORY_RAN_OUT},
        GapState.REQUESTED: set(GapEvent) - {GapEvent.ASKED},
        GapState.RECOVERED: set(),
        GapState.NO_DATA: {GapEvent.ARRIVED},
        GapState.PERMANENT: {GapEvent.ARRIVED},
    }
    if event in allowed[state]:
        assert following_state(state, event) is TRANSITIONS[state, event]
    else:
        with pytest.raises(ValueError, match="cannot be told"):
            following_state(state, event)
