"""Registry, newest readings, outages and the account: columns by position, numbers that add up."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meters.account import Account
from meters.latest import Latest
from meters.outage import Outages
from meters.registry import UNKNOWN, build_registry
from meters.rejection import Reason
from scada.model.ports import RegisteredMeter
from tests.fakes_meters import NOW, meters, point_of, serial_of

I64 = np.int64


def positions(*values: int) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    return np.array(values, dtype=np.intp)


def times(*values: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.array(values, dtype=np.int64)


# -- registry


@given(st.sets(st.integers(0, 999_999_999_999), max_size=50), st.lists(st.integers(-5, 10**12), max_size=50))
def test_registered_serials_are_found_and_others_are_not(known: set[int], asked: list[int]) -> None:
    registry = build_registry([RegisteredMeter(n, serial, "P") for n, serial in enumerate(known)])
    wanted = np.array([*asked, *known], dtype=np.int64)
    places = registry.locate(wanted)
    found = [None if place == UNKNOWN else int(registry.serial[place]) for place in places]
    assert found == [serial if serial in known else None for serial in wanted.tolist()]


def test_columns_follow_the_order_of_serials() -> None:
    registry = build_registry(
        [RegisteredMeter(7, 30, "C", "F2"), RegisteredMeter(9, 10, "A", ""), RegisteredMeter(8, 20, "B", "F1")]
    )
    assert registry.serial.tolist() == [10, 20, 30]
    assert registry.id.tolist() == [9, 8, 7]
    assert [registry.feeders[place] for place in registry.feeder] == ["", "F1", "F2"]


def test_two_meters_of_one_serial_or_id_are_refused() -> None:
    with pytest.raises(ValueError, match="serial 10 belongs"):
        build_registry([RegisteredMeter(1, 10, "A"), RegisteredMeter(2, 10, "B")])
    with pytest.raises(ValueError, match="id 1 belongs"):
        build_registry([RegisteredMeter(1, 10, "A"), RegisteredMeter(1, 11, "B")])


def test_whose_a_reading_of_a_moved_meter_is_depends_on_its_time() -> None:
    day = 86_400_000_000
    moved = [
        RegisteredMeter(1, 10, "A", installed_at=0, removed_at=5 * day),
        RegisteredMeter(2, 10, "B", installed_at=7 * day, removed_at=9 * day),
        RegisteredMeter(3, 10, "C", installed_at=9 * day),
        RegisteredMeter(4, 11, "D"),
    ]
    registry = build_registry(moved[::-1])
    asked = times(-day, 0, 4 * day, 6 * day, 7 * day, 9 * day - 1, 9 * day, 99 * day)
    places = registry.locate(np.full(8, 10, dtype=np.int64), asked)
    assert registry.id[places].tolist() == [1, 1, 1, 1, 2, 2, 3, 3]
    assert registry.id[registry.locate(times(10, 11))].tolist() == [3, 4]
    assert registry.locate(times(9, 12), times(0, 0)).tolist() == [UNKNOWN, UNKNOWN]
    assert (registry.installed, registry.places) == (2, 3)


def test_marks_of_a_moved_meter_stay_with_each_of_its_places() -> None:
    here = RegisteredMeter(1, 10, "A", installed_at=0, removed_at=50)
    there = RegisteredMeter(2, 10, "B", installed_at=50)
    latest = Latest(build_registry([here]))
    latest.advance(positions(0), times(40))
    again = latest.rebased(build_registry([here, there]))
    assert again.time[again.registry.id == 1].tolist() == [40]
    assert again.meters_heard == 1


# -- newest readings


def test_the_newest_time_of_a_meter_only_grows() -> None:
    latest = Latest(build_registry(meters(3)))
    latest.advance(positions(0, 1, 0), times(30, 10, 20))
    latest.advance(positions(0), times(25))
    assert latest.time[:2].tolist() == [30, 10]
    assert latest.meters_heard == 2


def test_late_is_what_is_older_than_the_newest() -> None:
    latest = Latest(build_registry(meters(3)))
    latest.advance(positions(0), times(30))
    assert latest.is_late(positions(0, 0, 0, 1), times(29, 30, 31, 1)).tolist() == [True, False, False, False]


def test_marks_survive_a_registry_that_is_read_again() -> None:
    latest = Latest(build_registry(meters(3)))
    latest.advance(positions(0, 2), times(10, 30))
    newcomer = RegisteredMeter(99, serial_of(0), point_of(0))
    again = latest.rebased(build_registry([newcomer, *meters(3)[1:]]))
    assert again.time[again.registry.locate(np.array([serial_of(3)]))].tolist() == [30]
    assert again.meters_heard == 1


# -- outages


def outages() -> Outages:
    feeders = {1: "F1", 2: "F1", 3: "F2"}
    return Outages(build_registry([RegisteredMeter(n, serial_of(n), point_of(n), feeders[n]) for n in feeders]))


def note(state: Outages, *events: tuple[int, int, int]) -> None:
    """Events as (position, time, code)."""
    columns = np.array(events, dtype=np.int64).reshape(-1, 3)
    state.note_events(columns[:, 0].astype(np.intp), columns[:, 1], columns[:, 2].astype(np.int16))


def test_last_gasps_are_counted_per_feeder() -> None:
    state = outages()
    note(state, (0, 10, 99), (1, 10, 1), (2, 10, 40))
    assert state.by_feeder() == {"F1": 2}
    assert state.meters_out == 2


def test_the_newer_word_holds_in_whatever_order_they_come() -> None:
    state = outages()
    note(state, (0, 20, 2), (0, 10, 99), (2, 20, 99), (2, 10, 2))
    assert state.by_feeder() == {"F2": 1}
    note(state, (2, 15, 2))
    assert state.by_feeder() == {"F2": 1}
    note(state, (2, 21, 2))
    assert state.by_feeder() == {}


def test_a_later_reading_proves_that_the_supply_is_back() -> None:
    state = outages()
    note(state, (0, 10, 99), (1, 10, 99), (2, 10, 99))
    state.note_readings(positions(0, 1, 2), times(11, 10, 12), np.array([0, 0, 0x80], dtype=np.uint8))
    assert state.by_feeder() == {"F1": 1, "F2": 1}


def test_outages_survive_a_registry_that_is_read_again() -> None:
    state = outages()
    note(state, (1, 10, 99))
    again = state.rebased(build_registry([RegisteredMeter(5, serial_of(2), point_of(2), "F9")]))
    assert again.by_feeder() == {"F9": 1}


# -- the account

ACCOUNTS = st.builds(
    Account,
    stored=st.integers(0, 1000),
    revised=st.integers(0, 1000),
    duplicate=st.integers(0, 1000),
    rejected=st.dictionaries(st.sampled_from(Reason), st.integers(1, 1000)),
    late=st.integers(0, 1000),
)


@given(ACCOUNTS, ACCOUNTS)
def test_accounts_add_up(one: Account, other: Account) -> None:
    both = one + other
    assert both.received == one.received + other.received
    assert both.since(one) == other


def test_an_account_reads_as_a_sentence() -> None:
    account = Account(
        stored=199_812,
        late=171,
        rejected={Reason.NO_ZONE: 5, Reason.WRONG_METERING_POINT: 12},
        doubtful={"not_for_billing": 3, "misaligned": 0},
    )
    assert account.sentence("Readings 10:30") == (
        "Readings 10:30: 199 812 stored, 171 late, 3 not for billing, "
        "17 rejected: wrong metering point (12), no zone (5)"
    )
    assert Account().sentence("Readings 10:30") == "Readings 10:30: 0 stored"
    assert Account(1, 2, 3).sentence("Events") == "Events: 1 stored, 2 revised, 3 duplicate"


def test_reasons_have_distinct_codes_that_fit_a_byte_and_a_sentence() -> None:
    assert len({reason.code for reason in Reason}) == len(Reason)
    assert all(0 < reason.code < 256 and " " in reason.sentence for reason in Reason)
    assert NOW % 1_800_000_000 == 0
