"""Who the meters of the fleet are."""

import dataclasses

import numpy as np
import pytest

from scada.model.station import Bay, CustomerShares, Endpoint, Load, Protocol, Province, Station
from simulators.load_shapes import week_of
from simulators.meter_fleet import (
    CLASSES,
    METERS_PER_CONCENTRATOR,
    SOLAR_RATIO,
    UNITS,
    FeederShare,
    Fleet,
    feeders_of,
    make_fleet,
    scramble_number,
)

HOMES = CustomerShares(residential=1.0)
FACTORIES = CustomerShares(residential=0.05, production=0.85, business=0.1, pv=0.1)
FEEDERS = (
    FeederShare("TN01/471", "PN01", 6.0, HOMES),
    FeederShare("TN01/473", "PN01", 0.0, CustomerShares(business=1.0)),
    FeederShare("TN21/473", "PN09", 3.0, HOMES),
    FeederShare("TN21/475", "PN09", 30.0, FACTORIES),
)


@pytest.fixture(scope="module")
def fleet() -> Fleet:
    return make_fleet(FEEDERS, meters=20_000, seed=7)


def test_the_full_fleet_has_a_thousand_concentrators_and_twenty_thousand_modems() -> None:
    fleet = make_fleet(FEEDERS)
    assert (len(fleet), len(fleet.concentrators), fleet.behind_concentrators) == (200_000, 1_000, 180_000)
    assert np.bincount(fleet.concentrator[:180_000]).tolist() == [METERS_PER_CONCENTRATOR] * 1_000
    assert set(fleet.concentrator[180_000:].tolist()) == {-1}
    assert fleet.concentrator_of(0) == "DCU00001"
    assert fleet.concentrator_of(199_999) == ""


def test_serials_and_metering_points_are_unique_and_of_the_right_form(fleet: Fleet) -> None:
    points = [fleet.metering_point(row) for row in range(len(fleet))]
    assert len(set(fleet.serial.tolist())) == len(set(points)) == 20_000
    assert fleet.serial.min() > 0
    assert fleet.serial.max() < 10**12
    assert {len(point) for point in points} == {13}
    assert points[0] == "PN01000000001"


def test_meters_spread_over_like_feeders_by_load_and_none_where_there_is_none() -> None:
    fleet = make_fleet(FEEDERS[:3], meters=30_000)
    counts = [len(fleet.rows_of_feeder(number)) for number in range(3)]
    assert counts == [20_000, 0, 10_000]
    assert np.concatenate([fleet.rows_of_feeder(number) for number in range(3)]).size == len(fleet)


def test_a_concentrator_and_its_meters_hang_on_one_feeder(fleet: Fleet) -> None:
    behind = fleet.feeder[: fleet.behind_concentrators].reshape(-1, METERS_PER_CONCENTRATOR)
    assert (behind == fleet.concentrator_feeder[:, None]).all()


def test_rows_of_a_feeder_are_the_rows_whose_feeder_it_is(fleet: Fleet) -> None:
    for number in range(len(FEEDERS)):
        assert fleet.rows_of_feeder(number).tolist() == np.flatnonzero(fleet.feeder == number).tolist()


def test_the_customers_of_a_feeder_use_its_load_in_the_shares_of_its_classes() -> None:
    """The sum over the meters must split like the load they hang on, or no balance by feeder can close."""
    fleet = make_fleet((FEEDERS[3],), meters=100_000)
    primary_w = fleet.mean_w * fleet.multiplier * np.where(fleet.load_class == 3, SOLAR_RATIO, 1.0)
    peak_w = np.array([primary_w[fleet.load_class == n].sum() * week_of(each).max() for n, each in enumerate(CLASSES)])
    assert peak_w / peak_w[:3].sum() == pytest.approx([0.05, 0.85, 0.1, 0.1], rel=0.05)


def test_a_feeder_of_homes_has_homes_only(fleet: Fleet) -> None:
    assert set(fleet.load_class[fleet.rows_of_feeder(0)].tolist()) == {0}
    assert set(fleet.load_class[fleet.rows_of_feeder(3)].tolist()) == {0, 1, 2, 3}


def test_only_big_customers_measure_through_current_transformers(fleet: Fleet) -> None:
    multipliers = {name.value: set(fleet.multiplier[fleet.load_class == n].tolist()) for n, name in enumerate(CLASSES)}
    assert multipliers == {
        "residential": {1},
        "production": {20, 30, 40, 60, 80, 120, 160},
        "business": {1, 10, 20},
        "pv": {1},
    }


def test_no_meter_measures_more_than_its_terminals_carry(fleet: Fleet) -> None:
    """5 A, 230 V, three phases; 2.1 is the highest factor of a class, 1.9 the most a customer may exceed it by."""
    through_transformers = fleet.multiplier > 1
    assert (fleet.mean_w[through_transformers] * 1.25 * 1.9).max() < 5 * 230 * 3


def test_the_same_seed_gives_the_same_fleet_and_another_one_another(fleet: Fleet) -> None:
    again, other = make_fleet(FEEDERS, meters=20_000, seed=7), make_fleet(FEEDERS, meters=20_000, seed=8)
    for each in dataclasses.fields(Fleet):
        one, two = getattr(fleet, each.name), getattr(again, each.name)
        assert np.array_equal(one, two), each.name
    assert not np.array_equal(fleet.mean_w, other.mean_w)
    assert not np.array_equal(fleet.serial, other.serial)


def test_the_scrambler_is_splitmix64() -> None:
    """Next value of SplitMix64 with state 0, as published with it: scramble(0 + golden gamma)."""
    assert scramble_number(0x9E3779B97F4A7C15) == 0xE220A8397B1DCDAF


@pytest.mark.parametrize(
    ("feeders", "meters", "message"),
    [
        ((), 10, "no feeder has a customer"),
        ((FeederShare("TN01/473", "PN01", 0.0, HOMES),), 10, "no feeder has a customer"),
        ((FeederShare("TN01/473", "PN01", 1.0, CustomerShares()),), 10, "no feeder has a customer"),
        (FEEDERS, 0, "0 meters"),
        (FEEDERS, 10_000_000, "10000000 meters"),
    ],
)
def test_an_impossible_fleet_is_refused(feeders: tuple[FeederShare, ...], meters: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_fleet(feeders, meters=meters)


def test_a_small_fleet_works_down_to_one_meter() -> None:
    one = make_fleet(FEEDERS, meters=1)
    assert (len(one), one.concentrators, one.rows_of_feeder(0).tolist()) == (1, (), [0])


def station(code: str, *loads: Load) -> Station:
    bays = tuple(
        Bay(name, number, bay_type, "", 0, 22.0, (), ())
        for number, (name, bay_type) in enumerate((("TD", "station_services"), ("471", "feeder_22")), start=1)
    )
    endpoint = Endpoint(Protocol.MODBUS, "127.0.0.1", 502)
    return Station(code, 1, code, code, endpoint, (), (), bays, (), (), loads)


def test_feeders_come_from_the_stations_loads_without_their_own_services() -> None:
    stations = tuple(
        station(
            f"TN{n:02d}",
            Load(f"TN{n:02d}/TD41", "TD", 0.1, 0.0, CustomerShares(business=1.0)),
            Load(f"TN{n:02d}/471", "471", 5.0, 1.0, FACTORIES),
        )
        for n in range(1, 22)
    )
    feeders = feeders_of(Province(stations, (), ()))
    assert [feeder.name for feeder in feeders] == [f"TN{n:02d}/471" for n in range(1, 22)]
    assert feeders[6] == FeederShare("TN07/471", "PN03", 5.0, FACTORIES)
    assert {feeder.unit for feeder in feeders} == set(UNITS)
