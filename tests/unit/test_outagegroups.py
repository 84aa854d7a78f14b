"""Outages from meters' words: grouped by place and time, the same in whatever order the words came."""

from hypothesis import given
from hypothesis import strategies as st

from meters.outagegroups import (
    TOGETHER_US,
    Interruption,
    Outage,
    PowerEvent,
    ended_by_readings,
    group,
    interruptions,
)

SECOND = 1_000_000
FAILURE, RETURNED, GASP = 1, 2, 99


def event(meter: int, second: int, code: int, transformer: str = "T1", feeder: str = "F1") -> PowerEvent:
    return PowerEvent(meter, second * SECOND, code, feeder, transformer)


def out(meter: int, began: int, restored: int | None, transformer: str = "T1", feeder: str = "F1") -> Interruption:
    back = None if restored is None else restored * SECOND
    return Interruption(meter, feeder, transformer, began * SECOND, back)


def test_a_meter_is_out_from_its_first_word_to_its_return() -> None:
    events = [event(1, 10, GASP), event(1, 12, FAILURE), event(1, 60, RETURNED), event(1, 61, RETURNED)]
    assert interruptions(events) == (out(1, 10, 60),)


def test_a_meter_that_does_not_return_is_out_still() -> None:
    assert interruptions([event(1, 10, GASP)]) == (out(1, 10, None),)


def test_a_reading_with_supply_ends_what_no_word_has_ended() -> None:
    lasting = [out(1, 10, None), out(2, 10, None), out(3, 10, 50), out(4, 10, None)]
    supplied = {1: 90 * SECOND, 2: 10 * SECOND, 3: 90 * SECOND}
    assert ended_by_readings(lasting, supplied) == (out(1, 10, 90), out(2, 10, None), out(3, 10, 50), out(4, 10, None))


def test_meters_of_one_transformer_that_go_out_together_are_one_outage() -> None:
    lasting = [out(1, 10, 60), out(2, 200, 70), out(3, 490, None), out(4, 10, 60, "T2")]
    assert group(lasting, {"F1": 9}) == (
        Outage("F1", "T1", 10 * SECOND, None, 3, 1),
        Outage("F1", "T2", 10 * SECOND, 60 * SECOND, 1, 0),
    )


def test_half_of_the_transformers_together_are_the_feeder() -> None:
    lasting = [out(1, 10, 60), out(2, 11, 65, "T2"), out(3, 12, 62, "")]
    assert group(lasting, {"F1": 4}) == (Outage("F1", "", 10 * SECOND, 65 * SECOND, 3, 0),)
    assert {each.transformer for each in group(lasting, {"F1": 5})} == {"T1", "T2", ""}


def test_one_transformer_alone_is_never_called_the_feeder() -> None:
    assert group([out(1, 10, 60)], {"F1": 1})[0].transformer == "T1"


def test_a_pause_longer_than_the_window_begins_another_outage() -> None:
    later = 10 + TOGETHER_US // SECOND + 1
    assert [each.meters for each in group([out(1, 10, 20), out(2, later, later + 5)], {})] == [1, 1]
    assert [each.meters for each in group([out(1, 10, 20), out(2, later - 1, later + 5)], {})] == [2]


def test_two_words_of_one_instant_name_the_same_transformer_whichever_came_first() -> None:
    failure, gasp = event(1, 0, FAILURE, "T1"), event(1, 0, GASP, "T2")
    assert interruptions([failure, gasp]) == interruptions([gasp, failure]) == (out(1, 0, None, "T1"),)


EVENTS = st.builds(
    event,
    st.integers(1, 6),
    st.integers(0, 2000),
    st.sampled_from([FAILURE, RETURNED, GASP]),
    st.sampled_from(["T1", "T2"]),
)


@given(st.lists(EVENTS, max_size=30), st.randoms())
def test_the_order_of_arrival_does_not_matter_and_no_interruption_is_lost(
    events: list[PowerEvent], random: st.DataObject
) -> None:
    shuffled = list(events)
    random.shuffle(shuffled)  # type: ignore[attr-defined]  # hypothesis gives a Random here
    unique = {(each.meter, each.time, each.code): each for each in events}
    assert interruptions(unique.values()) == interruptions(
        [unique[key] for key in dict.fromkeys((each.meter, each.time, each.code) for each in shuffled)]
    )
    lasting = interruptions(unique.values())
    outages = group(lasting, {"F1": 2})
    assert sum(each.still_out for each in outages) == sum(each.restored is None for each in lasting)
