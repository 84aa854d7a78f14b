"""The life of a request, enumerated; working days, reminders and expiry."""

from dataclasses import replace
from datetime import date, datetime
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scada.contracts import workdays
from scada.contracts.request import (
    NEEDS,
    NEEDS_DOCUMENT,
    TRANSITIONS,
    WITHOUT_STATE,
    ActionRefused,
    after,
    allowed,
    fold,
)
from scada.contracts.settings import RuleSettings
from scada.contracts.upkeep import Due, judge_day
from scada.contracts.workdays import INDOCHINA, Calendar, deadline, working_days_left
from scada.model.contract import Action, ContractEvent, RequestKind, State
from scada.model.errors import ConfigurationError
from tests.fakes_contracts import BUYER, NOW, SUPPLY, application, as_dict

DAY_US = 86_400_000_000
DETAILS = {
    "offer": {},
    "meter": {"serial": 1, "start_registers": {"1.8.0": 0}, "photo_sha256": "", "installed_at": NOW},
    "valid_from": NOW,
    "valid_to": NOW,
    "successor": "PL-1",
    "reason": "sample",
    "reasons": [],
}
ROAD = [
    (Action.SURVEY, State.SURVEYED),
    (Action.OFFER, State.OFFERED),
    (Action.PREPARE, State.PREPARED),
    (Action.SIGN_BUYER, State.BUYER_SIGNED),
    (Action.SIGN_SELLER, State.SELLER_SIGNED),
    (Action.INSTALL_METER, State.METER_INSTALLED),
    (Action.ENERGISE, State.ENERGISED),
    (Action.ACTIVATE, State.ACTIVE),
]


def _event(action: Action, sequence: int, **details: object) -> ContractEvent:
    needed = {name: DETAILS[name] for name in NEEDS.get(action, ()) if name in DETAILS}
    document = "a" * 64 if action in NEEDS_DOCUMENT else ""
    return ContractEvent("HD-2026-000001", sequence, NOW + sequence, "clerk", action, document, {**needed, **details})


def _applied(kind: RequestKind = RequestKind.NEW) -> ContractEvent:
    event = application()
    return replace(event, details={**event.details, "kind": kind.value, "predecessor": "HD-0"})


def test_the_road_from_application_to_active_has_these_states() -> None:
    events, states = [_applied()], []
    for action, _ in ROAD:
        events.append(_event(action, len(events) + 1))
        states.append(fold(events).state)
    assert states == [state for _, state in ROAD]
    request = fold(events)
    assert request.meter is not None
    assert (request.meter.serial, request.valid_from, request.sequence) == (1, NOW, 9)
    assert request.record().start_registers == {"1.8.0": 0}


@pytest.mark.parametrize("kind", RequestKind)
def test_every_pair_of_state_and_action_is_either_in_the_table_or_refused(kind: RequestKind) -> None:
    base = fold([_applied(kind)])
    for state, action in product(State, Action):
        request = replace(base, state=state)
        event = _event(action, 2, kind="new", customer=as_dict(BUYER), supply=as_dict(SUPPLY))
        if action in WITHOUT_STATE:
            assert after(request, replace(event, document_sha256="a" * 64)).state is state
        elif (state, action) in TRANSITIONS[kind]:
            assert allowed(request, action) == ""
            assert after(request, event).state is TRANSITIONS[kind][state, action]
        else:
            assert "is not possible" in allowed(request, action)
            with pytest.raises(ActionRefused):
                after(request, event)


def test_nothing_leaves_an_ended_request() -> None:
    for table in TRANSITIONS.values():
        left = {state for state, _ in table}
        assert not left & {State.REJECTED, State.EXPIRED, State.TERMINATED, State.AMENDED}


def test_the_seller_cannot_sign_before_the_buyer() -> None:
    for table in TRANSITIONS.values():
        assert {state for state, action in table if action is Action.SIGN_SELLER} == {State.BUYER_SIGNED}


def test_an_event_that_lacks_its_facts_or_its_place_is_refused() -> None:
    request = fold([_applied()])
    with pytest.raises(ActionRefused, match="reject lacks reason"):
        after(request, ContractEvent(request.number, 2, NOW, "clerk", Action.REJECT))
    with pytest.raises(ActionRefused, match="does not follow"):
        after(request, _event(Action.SURVEY, 3))
    with pytest.raises(ActionRefused, match="does not follow"):
        after(request, replace(_event(Action.SURVEY, 2), request="HD-2"))
    with pytest.raises(ActionRefused, match="begins with an application"):
        fold([_event(Action.SURVEY, 1)])
    prepared = fold([_applied(RequestKind.AMENDMENT)])
    with pytest.raises(ActionRefused, match="prepare lacks document"):
        after(prepared, ContractEvent(request.number, 2, NOW, "clerk", Action.PREPARE))


def test_waiting_is_shown_since_its_first_moment_and_ends_with_the_next_step() -> None:
    events = [_applied(), _event(Action.SURVEY, 2), _event(Action.OFFER, 3), _event(Action.PREPARE, 4)]
    events += [_event(Action.WAIT, 5), _event(Action.WAIT, 6)]
    waiting = fold(events)
    assert (waiting.state, waiting.waiting, waiting.waiting_since) == (State.PREPARED, "sample", NOW + 5)
    signed = after(waiting, _event(Action.SIGN_BUYER, 7))
    assert (signed.waiting, signed.waiting_since) == ("", None)


def _at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=INDOCHINA).timestamp() * 1_000_000)


@pytest.mark.parametrize(
    ("applied", "day"),
    [
        ("2026-09-21T09:00", "2026-09-30"),  # Monday: Tue … Wed of the next week
        ("2026-02-12T09:00", "2026-03-02"),  # Tet lies between
        ("2027-02-02T09:00", "2027-02-18"),  # Tet: rest from Thursday the 4th to Wednesday the 10th
        ("2026-04-24T09:00", "2026-05-08"),  # Hung Kings, 30 April, 1 May
        ("2026-11-20T09:00", "2026-12-02"),  # Culture Day, Tuesday 24 November
        ("2026-08-20T09:00", "2026-08-28"),  # Saturday 22 August is worked
        ("2026-09-21T23:59", "2026-09-30"),  # late in the evening is the same day
        ("2026-09-22T00:01", "2026-10-01"),
    ],
)
def test_seven_working_days_are_counted_with_vietnamese_days_of_rest(applied: str, day: str) -> None:
    end = deadline(workdays.vietnam(), _at(applied), 7)
    assert end.day == date.fromisoformat(day)
    assert not end.unconfirmed


@pytest.mark.parametrize(
    ("applied", "words"),
    [
        ("2026-12-25T09:00", "2027-01-06"),
        ("2027-04-01T09:00", "2027-04-12 (provisional: Giỗ Tổ Hùng Vương 2027 not confirmed)"),
        ("2027-04-19T09:00", "2027-04-28 (provisional: Giỗ Tổ Hùng Vương 2027, 30.4 và 1.5.2027 not confirmed)"),
        ("2027-05-17T09:00", "2027-05-26"),
        ("2027-12-28T09:00", "2028-01-06 (provisional: 2028 not confirmed)"),
        ("2029-06-01T09:00", "2029-06-12 (provisional: 2029 not confirmed)"),
    ],
)
def test_a_deadline_names_what_it_relies_on_without_a_decision(applied: str, words: str) -> None:
    assert str(deadline(workdays.vietnam(), _at(applied), 7)) == words


@given(st.integers(min_value=0, max_value=400), st.integers(min_value=1, max_value=30))
def test_counting_forward_and_counting_what_is_left_agree(shift: int, days: int) -> None:
    start = _at("2026-01-05T12:00") + shift * DAY_US
    calendar = workdays.vietnam()
    end = deadline(calendar, start, days)
    assert calendar.is_working_day(end.day)
    assert working_days_left(calendar, start, end.day) == days
    later = int(datetime(end.day.year, end.day.month, end.day.day, 12, tzinfo=INDOCHINA).timestamp() * 1_000_000)
    assert working_days_left(calendar, later, workdays.local_day(start)) == -days


def test_the_table_of_days_is_checked_when_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "holidays.toml"
    path.write_text('years = [2026]\n[[occasion]]\nname = "x"\nrest = ["2026-02-30"]\n', encoding="utf-8")
    with pytest.raises(ConfigurationError, match="day is out of range"):
        workdays.load_calendar(path)
    path.write_text('[[occasion]]\nrest = ["2026-02-27"]\nconfirmed = true\n', encoding="utf-8")
    with pytest.raises(ConfigurationError) as refused:
        workdays.load_calendar(path)
    assert [fault.key for fault in refused.value.faults] == ["occasion[1].confirmed", "occasion[1].name"]


def test_every_day_in_the_table_is_as_its_kind_needs_and_stands_once() -> None:
    calendar = workdays.vietnam()
    assert all(day.weekday() < workdays.SATURDAY and day.year in calendar.years for day in calendar.rest)
    assert all(day.weekday() >= workdays.SATURDAY and day.year in calendar.years for day in calendar.work)


RULES = RuleSettings()
PLAIN = Calendar(frozenset(), frozenset(), frozenset({2026}))


@pytest.mark.parametrize(
    ("days", "due", "words"),
    [
        (0, Due.NOTHING, ""),
        (7, Due.REMIND, "due 2026-09-30, 2 working days left"),
        (9, Due.REMIND, "due 2026-09-30, 0 working days left"),
        (11, Due.REMIND, "due 2026-09-30, 2 working days late"),
    ],
)
def test_a_reminder_comes_two_days_before_and_says_how_late(days: int, due: Due, words: str) -> None:
    request = fold([_applied()])
    found, reason = judge_day(request, PLAIN, RULES, NOW + days * DAY_US)
    assert (found, reason.partition(";")[0]) == (due, words)


def test_what_is_signed_by_both_never_expires_and_what_is_active_is_not_reminded() -> None:
    request = fold([_applied()])
    late = NOW + 400 * DAY_US
    assert judge_day(replace(request, state=State.PREPARED), PLAIN, RULES, late)[0] is Due.EXPIRE
    assert judge_day(replace(request, state=State.SELLER_SIGNED), PLAIN, RULES, late)[0] is Due.REMIND
    assert judge_day(replace(request, state=State.ACTIVE), PLAIN, RULES, late)[0] is Due.NOTHING
    assert judge_day(replace(request, reminded_at=late), PLAIN, RULES, late)[0] is Due.NOTHING
