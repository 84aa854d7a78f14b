"""Claims about what the process image calls an event, and about points an operator has put something in place of."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scada.image import ImageCounts, ProcessImage
from scada.model.cause import Cause
from scada.model.point import Point, PointKind
from scada.model.quality import Quality
from scada.model.sample import SAMPLE, SampleArray

BREAKER = Point(3, "TN07/171/171.position", PointKind.DOUBLE_POINT, "", "")
TRIP = Point(5, "TN07/171/f21_zone_1", PointKind.SINGLE_POINT, "", "")
POWER = Point(1, "TN07/171/active_power", PointKind.MEASURED_VALUE, "", "", "MW", deadband=0.5)
SPONTANEOUS = int(Cause.SPONTANEOUS)


def rows(*given: tuple[int, int, float] | tuple[int, int, float, int], cause: int = SPONTANEOUS) -> SampleArray:
    """Rows of (point, time, value, quality = good)."""
    return np.array([(p, t, v, *(q or [0]), cause) for p, t, v, *q in given], dtype=SAMPLE)


def image() -> ProcessImage:
    """Breaker closed, no trip, 10 MW, all told before."""
    one = ProcessImage((BREAKER, TRIP, POWER))
    one.take(rows((3, 1, 2.0), (5, 1, 0.0), (1, 1, 10.0)))
    return one


def events(one: ProcessImage, batch: SampleArray) -> list[tuple[int, int, float]]:
    return [(int(r["point"]), int(r["time"]), float(r["value"])) for r in one.take(batch).events]


def test_the_first_state_of_a_point_is_no_event() -> None:
    assert events(ProcessImage((BREAKER,)), rows((3, 1, 2.0))) == []


def test_a_changed_position_is_an_event_and_a_changed_measured_value_is_none() -> None:
    assert events(image(), rows((3, 7, 1.0), (1, 7, 99.0))) == [(3, 7, 1.0)]


def test_every_change_of_a_flapping_contact_is_an_event_of_its_own() -> None:
    flapping = rows(*((5, 10 + n, float(n % 2 == 0)) for n in range(200)))
    assert events(image(), flapping) == [(5, 10 + n, float(n % 2 == 0)) for n in range(200)]


def test_an_integrity_scan_repeats_no_event() -> None:
    assert events(image(), rows((3, 7, 2.0), (5, 7, 0.0), cause=Cause.BACKGROUND_SCAN)) == []


def test_a_change_found_by_a_general_interrogation_is_an_event() -> None:
    assert events(image(), rows((3, 7, 1.0), cause=Cause.GENERAL_INTERROGATION)) == [(3, 7, 1.0)]


def test_a_lost_link_and_its_return_are_no_events_of_the_points_but_a_change_meanwhile_is() -> None:
    one = image()
    assert events(one, rows((3, 7, 2.0, Quality.NOT_TOPICAL), (5, 7, 0.0, Quality.NOT_TOPICAL))) == []
    back = rows((3, 9, 1.0), (5, 9, 0.0), cause=Cause.GENERAL_INTERROGATION)
    assert events(one, back) == [(3, 9, 1.0)]


def test_becoming_invalid_and_valid_again_are_events_and_the_value_of_an_invalid_sample_is_not_believed() -> None:
    one = image()
    assert events(one, rows((3, 7, 0.0, Quality.INVALID))) == [(3, 7, 0.0)]
    assert events(one, rows((3, 8, 1.0, Quality.INVALID))) == []
    assert events(one, rows((3, 9, 2.0))) == [(3, 9, 2.0)]


SAMPLES = st.tuples(
    st.sampled_from([3, 5, 1]),
    st.sampled_from([0.0, 1.0, 2.0]),
    st.sampled_from([0, Quality.NOT_TOPICAL, Quality.INVALID, Quality.BLOCKED, Quality.INVALID | Quality.NOT_TOPICAL]),
    st.sampled_from([Cause.SPONTANEOUS, Cause.BACKGROUND_SCAN]),
)


@given(st.lists(st.lists(SAMPLES, max_size=8), max_size=6))
def test_events_are_exactly_those_of_the_rule_told_sample_by_sample(
    batches: list[list[tuple[int, float, int, int]]],
) -> None:
    """The rule once more, without arrays: the last valid value, and every doubt but NOT_TOPICAL."""
    one = ProcessImage((BREAKER, TRIP, POWER))
    last: dict[int, tuple[float, int]] = {}
    for moment, batch in enumerate(batches):
        wanted = []
        for place, (point, value, quality, _) in enumerate(batch):
            doubts, valid = quality & ~Quality.NOT_TOPICAL, not quality & Quality.INVALID
            if point == POWER.id or (point not in last and not valid):
                continue
            before = last.get(point, (value, doubts))
            if (valid and value != before[0]) or doubts != before[1]:
                wanted.append((point, 100 * moment + place, value))
            last[point] = (value if valid else before[0], doubts)
        given = np.array([(p, 100 * moment + n, v, q, c) for n, (p, v, q, c) in enumerate(batch)], dtype=SAMPLE)
        assert events(one, given) == wanted


def test_a_point_that_was_only_invalid_so_far_tells_its_state_without_an_event() -> None:
    one = ProcessImage((BREAKER,))
    one.take(rows((3, 1, 0.0, Quality.INVALID | Quality.NOT_TOPICAL)))
    assert events(one, rows((3, 2, 2.0))) == []


def state(one: ProcessImage, name: str) -> tuple[float, int]:
    row = one.read([name])[0]
    return float(row["value"]), int(row["quality"])


def test_a_substituted_value_is_shown_until_it_is_released_and_the_fields_is_kept_beside() -> None:
    one = image()
    shown = one.substitute(POWER.name, 42.0, 50).delta
    assert shown.tolist() == [(1, 50, 42.0, int(Quality.SUBSTITUTED), SPONTANEOUS)]
    assert len(one.take(rows((1, 60, 17.0))).delta) == 0
    assert state(one, POWER.name) == (42.0, Quality.SUBSTITUTED)
    assert one.field_value(POWER.name).tolist() == [(1, 60, 17.0, 0, SPONTANEOUS)]
    assert one.release(POWER.name, 70).delta.tolist() == [(1, 70, 17.0, 0, SPONTANEOUS)]
    assert one.overridden == ()


def test_a_blocked_point_holds_its_value_with_the_doubts_it_had() -> None:
    one = image()
    one.take(rows((3, 5, 2.0, Quality.NOT_TOPICAL)))
    one.block(BREAKER.name, 50)
    assert state(one, BREAKER.name) == (2.0, Quality.BLOCKED | Quality.NOT_TOPICAL)


def test_a_blocked_flapping_contact_makes_no_more_events_and_its_rows_are_counted() -> None:
    one = image()
    blocking = one.block(TRIP.name, 9).events
    assert [(int(row["point"]), int(row["quality"])) for row in blocking] == [(5, Quality.BLOCKED)]
    assert events(one, rows(*((5, 10 + n, float(n % 2 == 0)) for n in range(200)))) == []
    assert one.counts == ImageCounts(received=204, reported=4, unknown=0, events=1, overridden=200)


def test_an_integrity_scan_reports_what_is_shown_not_what_the_field_says() -> None:
    one = image()
    one.substitute(BREAKER.name, 1.0, 50)
    delta = one.take(rows((3, 60, 2.0), cause=Cause.BACKGROUND_SCAN)).delta
    assert delta.tolist() == [(3, 60, 1.0, int(Quality.SUBSTITUTED), int(Cause.BACKGROUND_SCAN))]


def test_a_point_substituted_before_it_was_heard_of_is_shown_and_released_to_nothing_known() -> None:
    one = ProcessImage((POWER,))
    one.substitute(POWER.name, 5.0, 50)
    assert state(one, POWER.name) == (5.0, Quality.SUBSTITUTED)
    one.release(POWER.name, 60)
    assert state(one, POWER.name) == (0.0, Quality.INVALID | Quality.NOT_TOPICAL)


def test_a_second_substitution_replaces_the_first_and_keeps_the_fields_value() -> None:
    one = image()
    one.substitute(POWER.name, 42.0, 50)
    one.substitute(POWER.name, 43.0, 51)
    assert one.release(POWER.name, 60).delta["value"].tolist() == [10.0]


def test_releasing_a_point_nobody_overrode_changes_nothing() -> None:
    assert len(image().release(POWER.name, 60).delta) == 0


def test_an_unknown_point_cannot_be_substituted() -> None:
    with pytest.raises(KeyError):
        image().substitute("TN07/171/nothing", 1.0, 50)
