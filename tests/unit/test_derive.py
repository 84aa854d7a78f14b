"""Claims about derived points: their rules, the doubts and times they inherit, and faults in the files."""

from pathlib import Path

import numpy as np
import pytest

from scada.derive import Derivation
from scada.derivedrow import DerivedRow, StationDerivedRow, check_derived_rows, check_station_rows
from scada.image import ProcessImage
from scada.model.cause import Cause
from scada.model.derived import BayState, Rule
from scada.model.errors import Fault
from scada.model.point import DoublePoint, Point, PointKind
from scada.model.quality import Quality
from scada.model.quantity import Quantity
from scada.model.sample import samples
from scada.model.station import Station
from scada.stationfile import load_province
from scada.tables import Faults

FOLDER = Path(__file__).parents[2] / "substations"
NOON = 1_767_225_600_000_000


@pytest.fixture(scope="module")
def station() -> Station:
    return next(each for each in load_province(FOLDER).stations if each.code == "TN05")


class Bench:
    """One station's image with its derivation."""

    def __init__(self, station: Station) -> None:
        self.known = {point.name: point for point in station.shown_points}
        self.image = ProcessImage(station.shown_points)
        self.derivation = Derivation([station], self.image.reader)
        everything = np.array([point.id for point in station.points], dtype=np.int32)
        self.image.apply(samples(everything, NOON, np.full(len(everything), 2.0), 0, Cause.GENERAL_INTERROGATION))

    def tell(
        self, values: dict[str, float], time: int = NOON + 5, quality: int = 0
    ) -> dict[str, tuple[float, int, int]]:
        """Value, quality and time of every derived point after ``values`` came."""
        ids = np.array([self.known[name].id for name in values], dtype=np.int32)
        delta = self.image.apply(samples(ids, time, np.array(list(values.values())), quality, Cause.SPONTANEOUS))
        made = self.derivation.after(delta)
        names = {point.id: name for name, point in self.known.items()}
        return {names[int(row["point"])]: (float(row["value"]), int(row["quality"]), int(row["time"])) for row in made}


def test_the_station_shows_the_sum_of_its_transformers(station: Station) -> None:
    found = Bench(station).tell({"TN05/T1/hv.active_power": 21.5, "TN05/T2/hv.active_power": 10.25})
    assert found["TN05/TD/station.active_power"] == (31.75, 0, NOON + 5)


def test_loading_is_apparent_power_over_the_rating_of_that_transformer(station: Station) -> None:
    """3-4-5: 30 MW and 40 Mvar are 50 MVA, 125 % of 40 MVA."""
    found = Bench(station).tell({"TN05/T1/hv.active_power": 30.0, "TN05/T1/hv.reactive_power": 40.0})
    assert found["TN05/T1/apparent_power"][0] == pytest.approx(50.0)
    assert found["TN05/T1/loading"][0] == pytest.approx(125.0)


def test_power_follows_from_voltage_current_and_power_factor(station: Station) -> None:
    """110 kV and 100 A at cos φ 0.9: √3 · 110 · 100 · 0.9 / 1000 = 17.147 MW, by hand."""
    found = Bench(station).tell(
        {"TN05/171/voltage_l12": 110.0, "TN05/171/current_l1": 100.0, "TN05/171/power_factor": 0.9}
    )
    assert found["TN05/171/power_check"][0] == pytest.approx(17.147, abs=0.001)


def test_a_derived_value_inherits_every_doubt_and_the_newest_time(station: Station) -> None:
    bench = Bench(station)
    bench.tell({"TN05/T1/hv.active_power": 20.0}, NOON + 9, Quality.SUBSTITUTED)
    found = bench.tell({"TN05/T2/hv.active_power": 5.0}, NOON + 7, Quality.OVERFLOW)
    assert found["TN05/TD/station.active_power"] == (25.0, Quality.SUBSTITUTED | Quality.OVERFLOW, NOON + 9)


@pytest.mark.parametrize(
    ("breaker", "disconnector", "earthing", "state"),
    [
        (DoublePoint.CLOSED, DoublePoint.CLOSED, DoublePoint.OPEN, BayState.IN_SERVICE),
        (DoublePoint.OPEN, DoublePoint.CLOSED, DoublePoint.OPEN, BayState.STANDBY),
        (DoublePoint.OPEN, DoublePoint.OPEN, DoublePoint.OPEN, BayState.ISOLATED),
        (DoublePoint.CLOSED, DoublePoint.OPEN, DoublePoint.OPEN, BayState.ISOLATED),
        (DoublePoint.OPEN, DoublePoint.OPEN, DoublePoint.CLOSED, BayState.EARTHED),
        (DoublePoint.INTERMEDIATE, DoublePoint.CLOSED, DoublePoint.OPEN, BayState.IN_TRANSITION),
        (DoublePoint.OPEN, DoublePoint.OPEN, DoublePoint.FAULTY, BayState.IN_TRANSITION),
    ],
)
def test_the_state_of_a_bay_follows_from_its_positions(
    station: Station, breaker: DoublePoint, disconnector: DoublePoint, earthing: DoublePoint, state: BayState
) -> None:
    positions = {"471.position": breaker, "471-1.position": disconnector, "471-76.position": earthing}
    found = Bench(station).tell({f"TN05/471/{name}": float(value) for name, value in positions.items()})
    assert found["TN05/471/bay_state"][0] == state


def test_the_highest_of_three_currents_is_shown(station: Station) -> None:
    found = Bench(station).tell({f"TN05/471/current_l{n}": value for n, value in ((1, 90.0), (2, 95.0), (3, 70.0))})
    assert found["TN05/471/current_highest"][0] == 95.0


def test_nothing_is_derived_before_an_input_was_heard(station: Station) -> None:
    image = ProcessImage(station.shown_points)
    one = samples(np.array([station.points[0].id], dtype=np.int32), NOON, np.array([0.0]), 0, Cause.SPONTANEOUS)
    made = Derivation([station], image.reader).after(image.apply(one))
    assert made["time"].min(initial=NOON) == NOON


QUANTITIES = {"p": Quantity.ACTIVE_POWER, "q": Quantity.REACTIVE_POWER, "{bay}.position": Quantity.POSITION}


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        (DerivedRow("s", Rule.APPARENT_POWER, ("p", "x"), "", "", 9), "derived[1].of: unknown point 'x'"),
        (
            DerivedRow("s", Rule.APPARENT_POWER, ("p",), "", "", 9),
            "derived[1].of: apparent_power takes 2 points, here 1",
        ),
        (DerivedRow("p", Rule.SUM, ("p",), "", "", 9), "derived[1].name: 'p' is the name of another point"),
        (DerivedRow("s", Rule.SUM, ("p",), "", "", 3), "derived[1].number: 3 is the number of another point"),
        (DerivedRow("s", Rule.BAY_STATE, ("p",), "", "", 9), "derived[1].of: 'p' is no position"),
        (DerivedRow("s", Rule.SUM, (), "", "", 9), "derived[1].of: names no point"),
        (
            DerivedRow("s", Rule.SUM, ("p",), "", "", 9, of_rating=True),
            "derived[1].of_rating: only the bay of a transformer has a rating",
        ),
        (DerivedRow("s", Rule.SUM, ("p",), "", "", 9, low=2.0, high=1.0), "derived[1].low: 2.0 is not below high 1.0"),
    ],
)
def test_a_wrong_row_of_a_bay_type_is_told(row: DerivedRow, fault: str) -> None:
    found: list[Fault] = []
    check_derived_rows([row], QUANTITIES, [1, 2, 3], Faults("f", found), transformer=False)
    assert [str(each) for each in found] == [f"f: {fault}"]


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        (StationDerivedRow("171", "s", Rule.SUM, ("9*/p",), "", "", 9), "derived[1].of: no point matches '9*/p'"),
        (StationDerivedRow("999", "s", Rule.SUM, ("171/p",), "", "", 9), "derived[1].bay: unknown bay '999'"),
        (StationDerivedRow("171", "p", Rule.SUM, ("171/p",), "", "", 9), "derived[1].name: 171/p is the name of"),
        (StationDerivedRow("171", "s", Rule.SUM, ("171/p",), "", "", 1), "derived[1].number: 1 is the number of"),
        (StationDerivedRow("171", "s", Rule.BAY_STATE, ("171/p",), "", "", 9), "derived[1].rule: a bay's state is"),
    ],
)
def test_a_wrong_row_of_a_station_is_told(row: StationDerivedRow, fault: str) -> None:
    point = Point(1 << 16 | 1 << 8 | 1, "TN01/171/p", PointKind.MEASURED_VALUE, "", "")
    found: list[Fault] = []
    check_station_rows([row], [point], [point], Faults("f", found))
    assert str(found[0]).startswith(f"f: {fault}")
