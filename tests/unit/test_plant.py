"""Claims about the simulated province: what flows, what dies, what moves and what counters add up to."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from scada.model.addcause import AddCause
from scada.model.point import DoublePoint
from scada.model.quality import Quality
from scada.model.station import Province, TerminalKind
from scada.stationfile import load_province
from simulators.grid_solver import GridSolver
from simulators.plant import FeederChange, Plant

SUBSTATIONS = Path(__file__).resolve().parents[2] / "substations"
SECOND = 1_000_000
HOUR = 3600 * SECOND
MIDNIGHT = 1_795_366_800_000_000
"""2026-11-23 00:00 local time (UTC+7), a Monday."""
NOON = MIDNIGHT + 12 * HOUR
BREAKER = ("TN07", "473")
FEEDER = "TN07/473"


@cache
def province() -> Province:
    return load_province(SUBSTATIONS)


def plant_at(now: int, *, seed: int = 1) -> Plant:
    return Plant(province(), GridSolver(province()), seed=seed, now=now)


@pytest.fixture
def plant() -> Plant:
    return plant_at(NOON)


def shown(plant: Plant, name: str) -> float:
    station = name.split("/", maxsplit=1)[0]
    point = next(each for s in province().stations if s.code == station for each in s.points if each.name == name)
    values = plant.values(station)
    return float(values.values[np.searchsorted(values.points, point.id)])


def time_of(plant: Plant, name: str) -> int:
    station = name.split("/", maxsplit=1)[0]
    point = next(each for s in province().stations if s.code == station for each in s.points if each.name == name)
    values = plant.values(station)
    return int(values.times[np.searchsorted(values.points, point.id)])


def test_an_opened_feeder_goes_dead_and_its_neighbours_carry_on(plant: Plant) -> None:
    neighbours = {name: alive for name, alive in plant.feeder_energised().items() if name != FEEDER}
    before = shown(plant, "TN07/471/active_power")

    assert plant.operate(*BREAKER, "open", NOON) is None
    changes = plant.advance(NOON + SECOND)

    assert changes == [FeederChange(FEEDER, energised=False, time=NOON + 60_000)]
    assert [shown(plant, f"TN07/473/{each}") for each in ("current_l1", "active_power", "reactive_power")] == [0, 0, 0]
    assert plant.feeder_energised() == {**neighbours, FEEDER: False}
    assert shown(plant, "TN07/471/active_power") == pytest.approx(before, rel=0.05)
    assert before > 0.5


def test_a_closed_feeder_comes_back(plant: Plant) -> None:
    plant.operate(*BREAKER, "open", NOON)
    plant.advance(NOON + SECOND)

    assert plant.operate(*BREAKER, "close", NOON + 2 * SECOND) is None
    changes = plant.advance(NOON + 3 * SECOND)

    assert changes == [FeederChange(FEEDER, energised=True, time=NOON + 2 * SECOND + 60_000)]
    assert shown(plant, "TN07/473/active_power") > 0.5


def test_a_breaker_is_intermediate_for_60_ms_and_then_open_with_the_time_it_arrived(plant: Plant) -> None:
    position = "TN07/473/473.position"
    operations = shown(plant, "TN07/473/473.operations_counter")

    plant.operate(*BREAKER, "open", NOON)
    assert (shown(plant, position), time_of(plant, position)) == (DoublePoint.INTERMEDIATE, NOON)
    plant.advance(NOON + 59_000)
    assert shown(plant, position) == DoublePoint.INTERMEDIATE
    assert plant.next_event == NOON + 60_000
    plant.advance(NOON + 400_000)
    assert (shown(plant, position), time_of(plant, position)) == (DoublePoint.OPEN, NOON + 60_000)
    assert shown(plant, "TN07/473/473.operations_counter") == operations + 1
    assert plant.next_event is None


def test_an_opening_breaker_carries_current_until_it_has_opened(plant: Plant) -> None:
    plant.operate(*BREAKER, "open", NOON)
    plant.advance(NOON + 30_000)
    assert plant.feeder_energised()[FEEDER]


@pytest.mark.parametrize("hour", [0, 4, 12, 19])
def test_what_the_grid_delivers_is_what_feeders_lines_and_transformers_take(hour: int) -> None:
    plant = plant_at(MIDNIGHT + hour * HOUR)
    flows, terminals = plant.flows, plant.columns.terminals
    kind = np.array([each.kind.value for each in terminals])

    feeders = flows.p_mw[kind == TerminalKind.LOAD].sum()
    losses = flows.p_mw[kind == TerminalKind.LINE].sum() + flows.p_mw[kind == TerminalKind.WINDING].sum()

    assert flows.converged
    assert flows.infeed_mw == pytest.approx(feeders + losses, abs=0.05)
    assert 0.002 < losses / feeders < 0.06


def test_the_evening_peak_is_well_above_the_night() -> None:
    night, evening = plant_at(MIDNIGHT + 3 * HOUR), plant_at(MIDNIGHT + 19 * HOUR)
    assert evening.flows.infeed_mw > 1.3 * night.flows.infeed_mw


def test_the_same_seed_gives_the_same_values_and_another_seed_others() -> None:
    def run(seed: int) -> list[list[float]]:
        plant = plant_at(NOON, seed=seed)
        plant.operate(*BREAKER, "open", NOON)
        for second in range(1, 8):
            plant.advance(NOON + second * SECOND)
        return [plant.values(station.code).values.tolist() for station in province().stations]

    first = run(1)
    assert run(1) == first
    assert run(2) != first


def test_energy_counters_add_up_to_the_integral_of_power(plant: Plant) -> None:
    terminal = plant.columns.terminal_row["TN07", "473/load"]
    before = plant.energy_kwh()[0, terminal]
    register = shown(plant, "TN07/473/energy_export")
    integral_kwh = 0.0
    for second in range(10, 510, 10):
        integral_kwh += plant.flows.p_mw[terminal] * 1000.0 * 10.0 / 3600.0
        plant.advance(NOON + second * SECOND)

    assert plant.energy_kwh()[0, terminal] - before == pytest.approx(integral_kwh, rel=1e-9)
    assert shown(plant, "TN07/473/energy_export") - register == pytest.approx(integral_kwh, abs=1.0)
    assert integral_kwh > 100.0


def test_an_open_feeder_counts_no_energy(plant: Plant) -> None:
    plant.operate(*BREAKER, "open", NOON)
    plant.advance(NOON + SECOND)
    register = shown(plant, "TN07/473/energy_export")
    plant.advance(NOON + HOUR)
    assert shown(plant, "TN07/473/energy_export") == register


def test_every_point_is_finite_and_plausible_at_all_hours_of_a_week() -> None:
    plant = plant_at(MIDNIGHT)
    limits = {
        station.code: np.array(
            [
                (-np.inf if each.low is None else each.low, np.inf if each.high is None else each.high)
                for each in sorted(station.points, key=lambda point: point.id)
            ]
        )
        for station in province().stations
    }
    implausible: list[tuple[int, int, float]] = []
    for hour in (*range(24), *range(5 * 24, 7 * 24, 3)):
        plant.advance(MIDNIGHT + hour * HOUR + 77 * SECOND)
        for station in province().stations:
            now = plant.values(station.code)
            assert np.isfinite(now.values).all()
            assert (now.quality == Quality.GOOD).all()
            assert now.points.tolist() == sorted(each.id for each in station.points)
            lowest, highest = limits[station.code].T
            outside = np.flatnonzero((now.values < lowest) | (now.values > highest))
            implausible += [(hour, int(now.points[row]), float(now.values[row])) for row in outside.tolist()]
    assert implausible == []


def test_a_feeder_shows_its_voltage_times_its_current(plant: Plant) -> None:
    current = np.mean([shown(plant, f"TN07/473/current_l{phase}") for phase in (1, 2, 3)])
    power = np.hypot(shown(plant, "TN07/473/active_power"), shown(plant, "TN07/473/reactive_power"))
    voltage = shown(plant, "TN07/TD/TUC41.voltage_l12")
    assert 3**0.5 * voltage * current / 1000.0 == pytest.approx(power, rel=0.05)


def test_opening_both_ends_of_supply_kills_the_transformer_side_and_its_feeders(plant: Plant) -> None:
    low_side = [each.name for each in province().stations[6].loads if each.name.startswith("TN07/47")]
    plant.operate("TN07", "431", "open", NOON)
    plant.operate("TN07", "432", "open", NOON)
    plant.advance(NOON + SECOND)
    assert [plant.feeder_energised()[name] for name in low_side] == [False] * len(low_side)
    assert shown(plant, "TN07/TD/TUC41.voltage_l12") == 0.0
    assert shown(plant, "TN07/TD/TD41.auxiliary_supply_lost") == 1.0
    assert shown(plant, "TN07/T1/lv.voltage_l12") > 20.0


def test_a_frequency_without_voltage_is_no_measurement(plant: Plant) -> None:
    for breaker, station, far in (("171", "TN06", "173"), ("172", "TN08", "172"), ("173", "TN10", "171")):
        plant.operate("TN07", breaker, "open", NOON)
        plant.operate(station, far, "open", NOON)
    plant.advance(NOON + SECOND)
    values = plant.values("TN07")
    row = values.points.tolist().index(
        next(p.id for p in province().stations[6].points if p.name == "TN07/171/frequency")
    )
    assert (values.values[row], values.quality[row]) == (0.0, Quality.INVALID)


def test_a_load_flow_without_an_answer_keeps_the_last_figures_and_is_no_exception(
    plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = shown(plant, "TN07/471/active_power")
    demand = plant._demand.at
    monkeypatch.setattr(plant._demand, "at", lambda now: tuple(each * 40.0 for each in demand(now)))
    plant.operate(*BREAKER, "open", NOON)
    plant.advance(NOON + 10 * SECOND)

    assert not plant.flows.converged
    assert shown(plant, "TN07/471/active_power") == pytest.approx(before, rel=0.01)
    assert not plant.feeder_energised()[FEEDER]
    monkeypatch.undo()
    plant.advance(NOON + 20 * SECOND)
    assert plant.flows.converged


def test_raising_the_tap_raises_the_low_voltage_after_five_seconds(plant: Plant) -> None:
    assert plant.operate("TN07", "T1", "raise", NOON) is AddCause.BLOCKED_BY_MODE
    assert plant.order("TN07/T1/oltc_automatic.operate", "open", NOON) is None
    tap, voltage = shown(plant, "TN07/T1/tap_position"), shown(plant, "TN07/T1/lv.voltage_l12")

    assert plant.order("TN07/T1/tap.operate", "raise", NOON) is None
    assert shown(plant, "TN07/T1/oltc_in_progress") == 1.0
    assert plant.operate("TN07", "T1", "raise", NOON) is AddCause.COMMAND_ALREADY_IN_EXECUTION
    plant.advance(NOON + 6 * SECOND)

    assert shown(plant, "TN07/T1/tap_position") == tap + 1
    assert shown(plant, "TN07/T1/lv.voltage_l12") == pytest.approx(voltage * 1.0178, rel=0.006)


def test_the_regulator_keeps_the_low_side_near_its_set_point_while_the_load_grows() -> None:
    plant = plant_at(MIDNIGHT)
    for minute in range(0, 14 * 60, 6):
        plant.advance(MIDNIGHT + minute * 60 * SECOND)
    low_sides = plant.flows.voltage_kv[plant.columns.windings[:, -1]]
    assert (np.abs(low_sides / (22.0 * 1.02) - 1.0) < 0.025).all()
    assert len(set(plant._taps.tap.tolist())) > 1


def test_the_regulator_steps_towards_another_set_point() -> None:
    plant = plant_at(MIDNIGHT)
    assert shown(plant, "TN07/T1/voltage_set_point") == 22.44
    command, tap = "TN07/T1/avr.voltage_setpoint", shown(plant, "TN07/T1/tap_position")
    assert plant.order(command, 23.8, MIDNIGHT) is None
    assert shown(plant, "TN07/T1/voltage_set_point") == 23.8
    for minute in range(1, 16):
        plant.advance(MIDNIGHT + minute * 60 * SECOND)
    assert shown(plant, "TN07/T1/tap_position") > tap
    assert shown(plant, "TN07/T1/lv.voltage_l12") == pytest.approx(23.8, rel=0.02)
    assert shown(plant, "TN07/T2/voltage_set_point") == 22.44


@pytest.mark.parametrize(
    ("action", "signal", "cause"),
    [
        (24.01, None, AddCause.INCONSISTENT_PARAMETERS),
        (float("nan"), None, AddCause.INCONSISTENT_PARAMETERS),
        ("raise", None, AddCause.NOT_SUPPORTED),
        (23.1, "TN07/T1/oltc_local_remote", AddCause.BLOCKED_BY_SWITCHING_HIERARCHY),
    ],
)
def test_a_regulator_refuses_a_set_point(action: str | float, signal: str | None, cause: AddCause) -> None:
    plant = plant_at(MIDNIGHT)
    if signal is not None:
        plant.set_signal(signal, 0.0, MIDNIGHT)
    assert plant.order("TN07/T1/avr.voltage_setpoint", action, MIDNIGHT) is cause
    assert shown(plant, "TN07/T1/voltage_set_point") == 22.44


def test_a_regulator_whose_tap_changer_moves_refuses_a_set_point() -> None:
    plant = plant_at(MIDNIGHT)
    plant.set_signal("TN07/T1/oltc_automatic", 0.0, MIDNIGHT)
    assert plant.operate("TN07", "T1", "raise", MIDNIGHT) is None
    assert plant.order("TN07/T1/avr.voltage_setpoint", 23.1, MIDNIGHT) is AddCause.COMMAND_ALREADY_IN_EXECUTION
