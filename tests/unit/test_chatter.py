"""Claims about a flapping contact: limited by rule, counted to the last change, never silent."""

import logging

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scada.model.cause import Cause
from scada.model.point import PointKind
from scada.model.quality import Quality
from scada.model.sample import SampleArray, samples
from substations.chatter import ChatterFilter, ChatterRule
from tests.fakes_substations import make_point

CONTACT = make_point(1, kind=PointKind.SINGLE_POINT)
OTHER = make_point(2, kind=PointKind.DOUBLE_POINT)
POWER = make_point(3)
RULE = ChatterRule(changes=10, window_us=1_000_000, quiet_us=5_000_000)
SECOND = 1_000_000


def changes(count: int, first_us: int, step_us: int, *, start: int = 0, point: int = CONTACT.id) -> SampleArray:
    """``count`` changes of one contact, one every ``step_us``."""
    times = first_us + step_us * np.arange(count, dtype=np.int64)
    return samples(np.full(count, point, dtype=np.int32), times, (start + np.arange(count)) % 2.0, 0, Cause.SPONTANEOUS)


def chattering() -> tuple[ChatterFilter, SampleArray]:
    """A filter that has just seen 200 changes in a second, and what it passed on."""
    one = ChatterFilter((CONTACT, OTHER, POWER), RULE)
    return one, one.pass_on(changes(200, 0, 5000), SECOND)


def test_two_hundred_changes_a_second_are_cut_off_by_the_rule_and_counted() -> None:
    one, passed = chattering()
    assert len(passed) + one.suppressed == 200
    assert passed["quality"].tolist() == [0] * 11 + [int(Quality.BLOCKED)]
    assert one.blocked == 1


def test_the_last_state_goes_out_when_the_contact_is_quiet() -> None:
    one, _ = chattering()
    nothing = samples(np.empty(0, dtype=np.int32), 0, np.empty(0), 0, Cause.SPONTANEOUS)
    assert len(one.pass_on(nothing, 5 * SECOND)) == 0
    released = one.pass_on(nothing, 6 * SECOND)
    assert released[["point", "time", "value", "quality"]].tolist() == [(CONTACT.id, 6 * SECOND, 1.0, 0)]
    assert one.blocked == 0
    assert len(one.pass_on(changes(1, 7 * SECOND, 1, start=0), 7 * SECOND)) == 1


def test_a_contact_that_goes_on_flapping_stays_blocked() -> None:
    one, _ = chattering()
    for second in range(2, 30):
        assert len(one.pass_on(changes(3, second * SECOND, 1000, start=second), second * SECOND)) == 0
    assert one.blocked == 1


def test_what_is_slow_enough_is_never_touched() -> None:
    one = ChatterFilter((CONTACT,), RULE)
    batch = changes(500, 0, 100_001)
    assert one.pass_on(batch, 51 * SECOND).tolist() == batch.tolist()
    assert one.suppressed == 0


def test_other_points_go_on_while_one_is_blocked_and_measured_values_are_none_of_its_business() -> None:
    one, _ = chattering()
    mixed = np.concatenate(
        [
            changes(4, 2 * SECOND, 1000),
            changes(4, 2 * SECOND, 1000, point=OTHER.id),
            changes(300, 2 * SECOND, 1000, point=POWER.id),
        ]
    )
    passed = one.pass_on(mixed, 3 * SECOND)
    assert [int((passed["point"] == each.id).sum()) for each in (CONTACT, OTHER, POWER)] == [0, 4, 300]


def test_an_interrogation_shows_a_blocked_contact_as_blocked() -> None:
    one, _ = chattering()
    asked = samples(np.array([CONTACT.id], dtype=np.int32), 2 * SECOND, np.ones(1), 0, Cause.GENERAL_INTERROGATION)
    assert one.pass_on(asked, 2 * SECOND)["quality"].tolist() == [int(Quality.BLOCKED)]


def test_blocking_and_release_are_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    one, _ = chattering()
    one.pass_on(changes(1, 0, 1, point=POWER.id), 60 * SECOND)
    assert [record.getMessage() for record in caplog.records] == [
        "TN07/171/P1 chatters: more than 10 changes in 1 s; blocked until it is quiet for 5 s",
        "TN07/171/P1 is quiet again: 188 samples were held back",
    ]


@given(st.lists(st.tuples(st.integers(1, 40), st.integers(1, 400_000), st.integers(0, 3)), max_size=15))
def test_received_is_passed_on_plus_suppressed(scans: list[tuple[int, int, int]]) -> None:
    one = ChatterFilter((CONTACT, OTHER), RULE)
    now = received = passed = value = 0
    for count, step, pause in scans:
        now += pause * 4 * SECOND + count * step
        value += count
        received += count
        before = one.blocked
        out = one.pass_on(changes(count, now - count * step, step, start=value), now)
        released = before and not one.blocked
        passed += len(out) - int(released)
    assert received == passed + one.suppressed
