"""Claims about the life of a command, over every state and every event there is."""

import itertools

import pytest

from scada.control.lifecycle import (
    IGNORED,
    OUTCOMES,
    TRANSITIONS,
    Event,
    ImpossibleTransition,
    Outcome,
    State,
    following,
    has_sent,
)

EVERYTHING = list(itertools.product(State, Event))


@pytest.mark.parametrize(("state", "event"), EVERYTHING)
def test_every_pair_is_allowed_ignored_or_impossible(state: State, event: Event) -> None:
    if (state, event) in IGNORED:
        assert following(state, event) is state
    elif (state, event) in TRANSITIONS:
        assert following(state, event) is TRANSITIONS[state, event]
    else:
        with pytest.raises(ImpossibleTransition, match=f"{event} in state {state}"):
            following(state, event)


def test_no_pair_is_both_allowed_and_ignored() -> None:
    assert not IGNORED & TRANSITIONS.keys()


def test_nothing_leaves_an_end() -> None:
    assert {state for state, _ in TRANSITIONS} & OUTCOMES.keys() == set()


def test_every_state_reaches_an_end_and_is_reached_from_the_beginning() -> None:
    reached, front = {State.REQUESTED}, {State.REQUESTED}
    while front:
        front = {after for (before, _), after in TRANSITIONS.items() if before in front} - reached
        reached |= front
    assert reached == set(State)
    for state in set(State) - OUTCOMES.keys():
        assert any(before is state for before, _ in TRANSITIONS)


def test_only_a_verified_position_is_completed() -> None:
    assert [state for state, outcome in OUTCOMES.items() if outcome is Outcome.COMPLETED] == [State.VERIFIED]
    assert [pair for pair, after in TRANSITIONS.items() if after is State.VERIFIED] == [
        (State.TERMINATED, Event.VERIFY)
    ]


def test_after_the_frame_only_the_devices_own_no_is_a_refusal() -> None:
    """Every way from a state in which a frame may have left to an outcome of refused."""
    found = [
        (state, event)
        for (state, event), after in TRANSITIONS.items()
        if has_sent(state) and OUTCOMES.get(after) is Outcome.REFUSED
    ]
    assert found == [(State.EXECUTED, Event.REFUSE)]


def test_no_way_leads_to_a_frame_without_check_reservation_and_selection() -> None:
    """All paths, without repetition, from the beginning to EXECUTED."""
    paths: list[list[State]] = [[State.REQUESTED]]
    complete = []
    while paths:
        path = paths.pop()
        for (before, _), after in TRANSITIONS.items():
            if before is path[-1]:
                (complete if after is State.EXECUTED else paths).append([*path, after])
    for path in complete:
        assert path[:4] == [State.REQUESTED, State.CHECKED, State.RESERVED, State.SELECTED]


def test_a_repeated_confirmation_changes_nothing() -> None:
    for state in (State.CONFIRMED, State.TERMINATED, State.VERIFIED, State.UNKNOWN):
        assert following(state, Event.CONFIRM) is state
