"""Claims about scenarios of stations: what they make of the plant's values, and faults in their files."""

from pathlib import Path

import numpy as np
import pytest

from scada.model.addcause import AddCause
from scada.model.errors import ConfigurationError, Fault
from scada.model.station import Station
from scada.stationfile import load_province
from simulators.disturbance import BREAKER_FAILURE_US, TRIP_US, Disturbance
from simulators.fleet_scenario import SCENARIOS, load_scenario
from simulators.impairments import Impairment, LinkFault
from simulators.plant import StationValues
from simulators.station_scenario import StationFault, StationFaultKind, check_against, link_faults

FOLDER = Path(__file__).parents[2] / "substations"
START = 1_767_268_800_000_000
SECOND = 1_000_000
SPRING = "471/471.spring_not_charged"


@pytest.fixture(scope="module")
def stations() -> tuple[Station, ...]:
    return load_province(FOLDER).stations


def plain(station: Station) -> StationValues:
    ids = np.array(sorted(point.id for point in station.points), dtype=np.int32)
    count = len(ids)
    return StationValues(ids, np.ones(count), np.zeros(count, dtype=np.uint8), np.full(count, START, dtype=np.int64))


class Bench:
    def __init__(self, stations: tuple[Station, ...], *faults: StationFault) -> None:
        self.station = next(each for each in stations if each.code == "TN05")
        self.disturbance = Disturbance(faults, stations, START)

    def row(self, name: str) -> int:
        number = next(point.id for point in self.station.points if point.name == f"TN05/{name}")
        return int(np.searchsorted(plain(self.station).points, number))

    def frames(self, seconds: float) -> list[StationValues]:
        return list(self.disturbance.frames("TN05", plain(self.station), START + int(seconds * SECOND)))


class Plant:
    """Notes what is done to it."""

    def __init__(self) -> None:
        self.done: list[tuple[int, str]] = []

    def set_signal(self, point: str, value: float, now: int) -> None:
        self.done.append((now - START, f"{point}={value:g}"))

    def operate(self, station: str, device: str, wanted: str | float, now: int) -> AddCause | None:
        self.done.append((now - START, f"{station}/{device} {wanted}"))
        return None

    def stick(self, station: str, device: str, *, stuck: bool) -> None:
        self.done.append((0, f"{station}/{device} {'stuck' if stuck else 'free'}"))


def test_without_a_fault_the_plants_values_pass_untouched(stations: tuple[Station, ...]) -> None:
    (frame,) = Bench(stations).frames(1.0)
    assert frame.values.tolist() == plain(Bench(stations).station).values.tolist()


def test_every_change_of_a_flapping_contact_has_a_frame_with_its_own_time(stations: tuple[Station, ...]) -> None:
    bench = Bench(stations, StationFault("TN05", StationFaultKind.FLAPPING, 0.0, 9.0, point=SPRING, rate=200.0))
    seen = [frame for second in (0.5, 1.0, 1.5) for frame in bench.frames(second)]
    row = bench.row(SPRING)
    course = list(dict.fromkeys((int(frame.times[row]) - START, float(frame.values[row])) for frame in seen))
    assert course == [(n * 5000, float(n % 2)) for n in range(1, 301)]


def test_a_forced_point_shows_its_value_and_ends_with_the_fault(stations: tuple[Station, ...]) -> None:
    bench = Bench(stations, StationFault("TN05", StationFaultKind.FORCE, 1.0, 2.0, point="471/current_l1", value=77.0))
    row = bench.row("471/current_l1")
    assert [float(bench.frames(second)[-1].values[row]) for second in (0.5, 1.0, 1.9, 2.0)] == [1.0, 77.0, 77.0, 1.0]


def test_a_wrong_clock_moves_every_time_tag_and_no_value(stations: tuple[Station, ...]) -> None:
    bench = Bench(stations, StationFault("TN05", StationFaultKind.CLOCK_SKEW, seconds=-2.5))
    (frame,) = bench.frames(1.0)
    assert set(frame.times.tolist()) == {START - 2_500_000}
    assert set(frame.values.tolist()) == {1.0}


def test_an_avalanche_changes_as_many_points_a_second_as_asked(stations: tuple[Station, ...]) -> None:
    bench = Bench(stations, StationFault("TN05", StationFaultKind.AVALANCHE, rate=100.0))
    (frame,) = bench.frames(1.0)
    kinds = [point.kind for point in bench.station.points[:100]]
    told = sum(kind not in ("integrated_total", "step_position") for kind in kinds)
    assert int((frame.values != 1.0).sum()) == told


def test_a_trip_with_a_failing_breaker_runs_as_protection_does(stations: tuple[Station, ...]) -> None:
    bench = Bench(
        stations,
        StationFault("TN05", StationFaultKind.BREAKER_FAILURE, 0.0, 50.0, device="471", signal="471/f50bf"),
        StationFault("TN05", StationFaultKind.TRIP, 10.0, 20.0, device="471", signal="471/f51"),
    )
    plant = Plant()
    bench.disturbance.move(plant, START + 60 * SECOND)
    ten = 10 * SECOND
    assert plant.done == [
        (0, "TN05/471 stuck"),
        (ten, "TN05/471/f51=1"),
        (ten + TRIP_US, "TN05/471 open"),
        (ten + TRIP_US + BREAKER_FAILURE_US, "TN05/471/f50bf=1"),
        (20 * SECOND, "TN05/471/f50bf=0"),
        (20 * SECOND, "TN05/471/f51=0"),
        (0, "TN05/471 free"),
    ]
    assert bench.disturbance.next_act is None


def test_values_forced_from_outside_replace_the_ones_before(stations: tuple[Station, ...]) -> None:
    bench = Bench(stations)
    bench.disturbance.force({"TN05/471/current_l1": 5.0})
    bench.disturbance.force({"TN05/471/current_l2": 6.0})
    (frame,) = bench.frames(1.0)
    assert (frame.values[bench.row("471/current_l1")], frame.values[bench.row("471/current_l2")]) == (1.0, 6.0)


def test_faults_of_the_link_go_to_the_relay() -> None:
    fault = StationFault("TN07", StationFaultKind.SILENT, 30.0, 90.0)
    assert link_faults([fault]) == (LinkFault("TN07", Impairment.SILENT, 30.0, 90.0),)


@pytest.mark.parametrize("path", sorted(SCENARIOS.glob("*.toml")), ids=lambda path: path.stem)
def test_a_shipped_scenario_fits_the_shipped_stations(path: Path, stations: tuple[Station, ...]) -> None:
    found: list[Fault] = []
    check_against(load_scenario(path.stem).station, stations, path.name, found)
    assert found == []


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ('kind = "flapping"\ncode = "TN05"\nrate = 2.0', "station[1].point: is needed for flapping"),
        ('kind = "force"\ncode = "TN05"\npoint = "x"\nfrom_s = 2.0\nuntil_s = 1.0', "station[1].until_s: is not after"),
        ('kind = "floping"\ncode = "TN05"', "station[1].kind: 'floping' is not allowed; did you mean 'flapping'?"),
    ],
)
def test_a_scenario_that_cannot_be_is_refused(tmp_path: Path, row: str, fault: str) -> None:
    (tmp_path / "s.toml").write_text(f"[[station]]\n{row}\n")
    with pytest.raises(ConfigurationError) as refused:
        load_scenario(str(tmp_path / "s.toml"))
    assert str(refused.value.faults[0]).startswith(f"s.toml: {fault}")


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        (StationFault("TN99", StationFaultKind.SILENT), "station[1].code: 'TN99' is not simulated"),
        (StationFault("TN05", StationFaultKind.FORCE, point="471/curent_l1"), "station[1].point: no point"),
        (
            StationFault("TN05", StationFaultKind.BREAKER_FAILURE, device="499"),
            "station[1].device: no switching device",
        ),
        (
            StationFault("TN05", StationFaultKind.FLAPPING, point="471/current_l1", rate=2.0),
            "station[1].point: 471/current_l1 is a measured_value, no contact",
        ),
    ],
)
def test_a_scenario_for_other_stations_is_refused(stations: tuple[Station, ...], row: StationFault, fault: str) -> None:
    found: list[Fault] = []
    check_against([row], stations, "s", found)
    assert str(found[0]).startswith(f"s: {fault}")
