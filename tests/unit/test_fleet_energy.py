"""What the meters count: exact sums, the same for every asking, and outages that leave no trace of energy."""

from datetime import datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scada.model.reading import READING, Method, ProfileStatus, QualityFlag
from scada.model.station import CustomerShares
from simulators.fleet_energy import FIRST_DAY, FleetEnergy
from simulators.load_shapes import DAY_US, HOUR_US, MINUTE_US, LoadClass
from simulators.meter_fleet import CLASSES, FeederShare, Fleet, make_fleet

FEEDERS = (
    FeederShare("TN01/471", "PN01", 6.0, CustomerShares(residential=0.8, production=0.1, business=0.1, pv=0.1)),
    FeederShare("TN21/473", "PN09", 6.0, CustomerShares(residential=0.8, production=0.1, business=0.1, pv=0.1)),
)
FLEET = make_fleet(FEEDERS, meters=4_000, seed=3)
ROWS = np.arange(len(FLEET))
HALF_HOUR = 30 * MINUTE_US
SECOND = 1_000_000


def at(text: str) -> int:
    """µs UTC of a local time, by the calendar of the standard library."""
    local = datetime.fromisoformat(text).replace(tzinfo=timezone(timedelta(hours=7)))
    return int(local.timestamp()) * SECOND


NOON = at("2026-03-11 12:00")
MIDNIGHT = at("2026-03-11 00:00")


def of_class(name: LoadClass, fleet: Fleet = FLEET) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    return np.flatnonzero(fleet.load_class == CLASSES.index(name))


@pytest.mark.parametrize("period", [MINUTE_US, HALF_HOUR])
def test_the_intervals_of_a_day_sum_to_the_register_difference_for_every_class(period: int) -> None:
    rows = np.concatenate([of_class(name)[:40] for name in CLASSES])
    energy = FleetEnergy(FLEET)
    day = np.stack([energy.registers(rows, MIDNIGHT + n * period) for n in range(DAY_US // period + 1)])
    intervals = np.diff(day, axis=0)
    assert intervals.min() >= 0
    assert (intervals.sum(axis=0) == day[-1] - day[0]).all()
    used = day[-1] - day[0]
    assert used[0].min() > 0, "every customer uses something in a day"
    assert (
        day
        == FleetEnergy(FLEET).registers(rows, MIDNIGHT)[None]
        + np.concatenate((np.zeros((1, 3, len(rows)), dtype=np.int64), intervals.cumsum(axis=0)))
    ).all()


def test_a_week_uses_the_mean_power_of_the_customer() -> None:
    rows = of_class(LoadClass.RESIDENTIAL)
    energy = FleetEnergy(FLEET)
    week = energy.registers(rows, NOON + 7 * DAY_US) - energy.registers(rows, NOON)
    assert week[0] == pytest.approx(FLEET.mean_w[rows] * 168, abs=2.0 + FLEET.mean_w[rows].max() * 0.5)
    assert week[2] == pytest.approx(week[0] * FLEET.tan_phi[rows], abs=2.0)


def test_registers_begin_with_the_start_values() -> None:
    rows = of_class(LoadClass.RESIDENTIAL)[:50]
    begin = FleetEnergy(FLEET).registers(rows, FIRST_DAY)
    assert np.abs(begin[0] - FLEET.start_import_wh[rows]).max() <= 1_000
    assert begin[0].min() >= 0


def test_rooftops_export_at_noon_only_and_nobody_else_exports() -> None:
    energy = FleetEnergy(FLEET)
    hours = [energy.readings(ROWS, MIDNIGHT + n * HOUR_US, HOUR_US) for n in range(25)]
    exported = np.array(
        [
            np.diff(pair, axis=0)[0]
            for pair in zip([h["export_wh"] for h in hours], [h["export_wh"] for h in hours[1:]], strict=False)
        ]
    )
    rooftops = of_class(LoadClass.PV)
    others = np.setdiff1d(ROWS, rooftops)
    assert not exported[:, others].any()
    assert not exported[:6, rooftops].any()
    assert not exported[18:, rooftops].any()
    assert exported[11:13, rooftops].all()
    assert (hours[12]["power_w"][rooftops] < 0).all()
    assert (hours[24]["power_w"][rooftops] > 0).all()


def test_an_interval_asked_for_again_is_the_same_to_the_byte_alone_or_in_company() -> None:
    everybody = FleetEnergy(FLEET).readings(ROWS, NOON, HALF_HOUR)
    energy = FleetEnergy(FLEET)
    energy.readings(ROWS, NOON + DAY_US, HALF_HOUR)
    some = np.array([0, 17, 179, 180, 2_500, 3_999])
    assert energy.readings(some, NOON, HALF_HOUR).tobytes() == everybody[some].tobytes()
    assert energy.readings(ROWS, NOON, HALF_HOUR).tobytes() == everybody.tobytes()
    other = make_fleet(FEEDERS, meters=4_000, seed=4)
    assert FleetEnergy(other).readings(ROWS, NOON, HALF_HOUR).tobytes() != everybody.tobytes()


def test_a_reading_is_complete_plausible_and_of_the_interval() -> None:
    batch = FleetEnergy(FLEET).readings(ROWS, NOON, HALF_HOUR)
    assert batch.dtype == READING
    assert batch["meter"].tolist() == ROWS.tolist()
    assert set(batch["time"].tolist()) == {NOON}
    assert (set(batch["flag"].tolist()), set(batch["method"].tolist())) == ({QualityFlag.ACTUAL}, {Method.NONE})
    assert set(batch["status"].tolist()) == {0}
    assert 2_200 <= batch["voltage_dv"].min() < batch["voltage_dv"].max() <= 2_400
    used = FleetEnergy(FLEET)
    change = used.registers(ROWS, NOON) - used.registers(ROWS, NOON - HALF_HOUR)
    assert np.abs(batch["power_w"] - (change[0] - change[1]) * 2).max() <= 4, "power is the interval's mean"


def test_neighbouring_minutes_differ_so_no_meter_looks_frozen() -> None:
    energy = FleetEnergy(FLEET)
    power = np.stack([energy.readings(ROWS, NOON + n * MINUTE_US, MINUTE_US)["power_w"] for n in range(9)])
    assert ((np.diff(power, axis=0) == 0).all(axis=0)).sum() == 0


def test_a_register_begins_again_at_zero_after_its_last_digit() -> None:
    fleet = make_fleet(FEEDERS, meters=10)
    fleet.start_import_wh[:] = fleet.wrap_wh - 1_500
    fleet.wrap_wh[5] = 10**12
    energy = FleetEnergy(fleet)
    rows = np.arange(10)
    before, after = energy.registers(rows, FIRST_DAY)[0], energy.registers(rows, FIRST_DAY + 30 * DAY_US)[0]
    wrapped = after < before
    assert wrapped.tolist() == [True] * 5 + [False] + [True] * 4
    assert after.max(where=wrapped, initial=0) < 2_000_000
    power = energy.readings(rows, FIRST_DAY + 30 * DAY_US, HALF_HOUR)["power_w"]
    assert np.abs(power).max() < 5_000, "the power of an interval knows nothing of the digits"


def dead(energy: FleetEnergy, feeder: int, down: int, up: int) -> None:
    assert energy.feeder_state(feeder, down, energised=False)
    assert energy.feeder_state(feeder, up, energised=True)


def test_an_outage_takes_energy_and_voltage_and_leaves_a_status() -> None:
    energy, undisturbed = FleetEnergy(FLEET), FleetEnergy(FLEET)
    dead(energy, 1, NOON + 40 * SECOND, NOON + 4 * MINUTE_US + 20 * SECOND)
    behind, elsewhere = FLEET.rows_of_feeder(1), FLEET.rows_of_feeder(0)
    minutes = [energy.readings(ROWS, NOON + n * MINUTE_US, MINUTE_US) for n in range(7)]
    plain = [undisturbed.readings(ROWS, NOON + n * MINUTE_US, MINUTE_US) for n in range(7)]
    for got, would in zip(minutes, plain, strict=True):
        assert got[elsewhere].tobytes() == would[elsewhere].tobytes()
    assert minutes[0].tobytes() == plain[0].tobytes()
    statuses = [set(minute["status"][behind].tolist()) for minute in minutes]
    down = {int(ProfileStatus.POWER_DOWN)}
    assert statuses == [{0}, down, down, down, down, down, {0}]
    for inside in minutes[2:5]:
        assert inside["import_wh"][behind].tolist() == minutes[1]["import_wh"][behind].tolist()
        assert not inside["power_w"][behind].any()
        assert not inside["voltage_dv"][behind].any()
    assert not minutes[1]["voltage_dv"][behind].any()
    assert minutes[5]["voltage_dv"][behind].min() > 2_200
    lost = plain[6]["import_wh"][behind] - minutes[6]["import_wh"][behind]
    assert lost.min() >= 0
    assert lost.sum() > 0
    assert (minutes[6]["power_w"] == plain[6]["power_w"]).all(), "after the outage life goes on as it would have"


def test_readings_before_an_outage_are_the_same_after_it() -> None:
    energy = FleetEnergy(FLEET)
    before = energy.readings(ROWS, NOON, MINUTE_US).tobytes()
    dead(energy, 0, NOON, NOON + HOUR_US)
    dead(energy, 0, NOON + 2 * HOUR_US, NOON + 3 * HOUR_US)
    assert energy.readings(ROWS, NOON - MINUTE_US, MINUTE_US).tobytes() != before
    assert (
        FleetEnergy(FLEET).readings(ROWS, NOON - MINUTE_US, MINUTE_US).tobytes()
        == energy.readings(ROWS, NOON - MINUTE_US, MINUTE_US).tobytes()
    )


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 5_000), st.integers(1, 5_000)), min_size=1, max_size=5))
def test_registers_never_fall_and_stand_still_whenever_the_feeder_is_dead(spans: list[tuple[int, int]]) -> None:
    energy = FleetEnergy(FLEET)
    rows = FLEET.rows_of_feeder(1)[::97]
    time, outages = NOON, []
    for live_s, dead_s in spans:
        down = time + live_s * SECOND
        time = down + dead_s * SECOND
        dead(energy, 1, down, time)
        outages.append((down, time))
    for down, up in outages:
        at_down, within, at_up = (energy.registers(rows, each) for each in (down, (down + up) // 2, up))
        assert (at_down == within).all()
        assert (at_down == at_up).all()
    course = np.stack(
        [energy.registers(rows, each) for each in range(NOON, time + HOUR_US, (time + HOUR_US - NOON) // 20)]
    )
    assert np.diff(course, axis=0).min() >= 0


def test_an_outage_that_lasts_still_counts_as_one() -> None:
    energy = FleetEnergy(FLEET)
    assert energy.feeder_state(1, NOON, energised=False)
    assert not energy.energised(1)
    assert energy.energised(0)
    rows = FLEET.rows_of_feeder(1)[:5]
    assert (energy.registers(rows, NOON) == energy.registers(rows, NOON + DAY_US)).all()
    assert set(energy.readings(rows, NOON + DAY_US, HALF_HOUR)["status"].tolist()) == {ProfileStatus.POWER_DOWN}


def test_the_same_state_told_twice_is_no_news_and_the_past_cannot_be_changed() -> None:
    energy = FleetEnergy(FLEET)
    assert not energy.feeder_state(1, NOON, energised=True)
    assert energy.feeder_state(1, NOON, energised=False)
    assert not energy.feeder_state(1, NOON + SECOND, energised=False)
    with pytest.raises(ValueError, match="TN21/473 cannot change 1000000 µs before its last change"):
        energy.feeder_state(1, NOON - SECOND, energised=True)
    assert energy.feeder_state(1, NOON + SECOND, energised=True)
    with pytest.raises(ValueError, match="before its last change"):
        energy.feeder_state(1, NOON, energised=False)


def test_forgetting_old_outages_changes_nothing_that_can_still_be_asked_for() -> None:
    kept, pruned = FleetEnergy(FLEET), FleetEnergy(FLEET)
    for n in range(6):
        for energy in (kept, pruned):
            dead(energy, 1, NOON + n * HOUR_US, NOON + n * HOUR_US + 10 * MINUTE_US)
    pruned.forget_outages_before(NOON + 3 * HOUR_US)
    rows = FLEET.rows_of_feeder(1)
    for end in range(NOON + 3 * HOUR_US, NOON + 8 * HOUR_US, HALF_HOUR):
        assert pruned.readings(rows, end, MINUTE_US).tobytes() == kept.readings(rows, end, MINUTE_US).tobytes()
