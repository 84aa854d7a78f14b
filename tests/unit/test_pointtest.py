"""Claims about the point-to-point test: what it proves, and that no wrong wiring passes it."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scada.hmi.pointreport import Frame, report_csv, report_pdf
from scada.model.point import Point, PointKind
from scada.model.quality import Quality
from scada.model.station import Station
from scada.pointtest import PointVerdict, Seen, Verdict, judge, rounds_for
from scada.stationfile import load_province

FOLDER = Path(__file__).parents[2] / "substations"
NOON = 1_767_268_800_000_000


@pytest.fixture(scope="module")
def station() -> Station:
    return next(each for each in load_province(FOLDER).stations if each.code == "TN03")


Wire = Callable[[Mapping[str, float]], dict[str, Seen]]


def straight(values: Mapping[str, float]) -> dict[str, Seen]:
    return {name: Seen(value, 0, NOON) for name, value in values.items()}


def walked(points: tuple[Point, ...], wire: Wire) -> dict[str, PointVerdict]:
    rounds = rounds_for(points)
    verdicts = judge(points, rounds, [wire(values) for values in rounds], [NOON + n for n in range(len(rounds))])
    return {each.point.name: each for each in verdicts}


def failed(verdicts: Mapping[str, PointVerdict]) -> list[str]:
    return [name for name, each in verdicts.items() if each.verdict is Verdict.FAIL]


def test_a_right_station_passes_in_every_point(station: Station) -> None:
    verdicts = walked(station.points, straight)
    assert failed(verdicts) == []
    assert len(verdicts) == len(station.points)


def test_every_contact_is_seen_in_each_of_its_states(station: Station) -> None:
    rounds = rounds_for(station.points)
    for point in station.points:
        shown = {values[point.name] for values in rounds if point.name in values}
        if point.kind is PointKind.SINGLE_POINT:
            assert shown == {0.0, 1.0}
        elif point.kind is PointKind.DOUBLE_POINT:
            assert shown == {0.0, 1.0, 2.0, 3.0}
        else:
            assert len(shown) > 1


@given(st.data())
def test_two_crossed_points_never_pass(data: st.DataObject) -> None:
    kinds = data.draw(st.sampled_from([PointKind.SINGLE_POINT, PointKind.DOUBLE_POINT, PointKind.MEASURED_VALUE]))
    count = data.draw(st.integers(2, 300))
    points = tuple(Point(n, f"S/B/p{n}", kinds, "", "", low=0.0, high=10.0) for n in range(1, count + 1))
    one, other = data.draw(st.lists(st.sampled_from(points), min_size=2, max_size=2, unique=True))

    def crossed(values: Mapping[str, float]) -> dict[str, Seen]:
        swapped = {**values, one.name: values[other.name], other.name: values[one.name]}
        return straight(swapped)

    assert set(failed(walked(points, crossed))) == {one.name, other.name}


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (lambda value: Seen(value * 10.0, 0, NOON), "shows"),
        (lambda value: Seen(value, int(Quality.INVALID), NOON), "quality invalid"),
        (lambda value: Seen(value, int(Quality.NOT_TOPICAL), NOON), "quality not_topical"),
    ],
)
def test_a_wrong_scale_or_a_doubtful_value_fails_that_point_alone(
    station: Station, wrong: Callable[[float], Seen], why: str
) -> None:
    name = "TN03/171/active_power"

    def wire(values: Mapping[str, float]) -> dict[str, Seen]:
        return {**straight(values), **({name: wrong(values[name])} if name in values else {})}

    verdicts = walked(station.points, wire)
    assert failed(verdicts) == [name]
    assert verdicts[name].why.startswith(why)


def test_an_inverted_double_point_fails(station: Station) -> None:
    name = "TN03/171/171.position"

    def wire(values: Mapping[str, float]) -> dict[str, Seen]:
        return {**straight(values), name: Seen(3.0 - values[name], 0, NOON)} if name in values else straight(values)

    assert failed(walked(station.points, wire)) == [name]


def test_the_report_names_every_point_with_result_time_and_tester(station: Station) -> None:
    verdicts = tuple(walked(station.points[:3], straight).values())
    frame = Frame(station, "field team 2", "simulator", NOON, NOON + 1_000_000, "Asia/Ho_Chi_Minh")
    lines = report_csv(frame, verdicts).splitlines()
    assert len(lines) == 4
    assert lines[1].split(",")[0] == station.points[0].name
    assert ",pass," in lines[1]
    assert lines[1].split(",")[9:] == ["2026-01-01 19:00:00.000", "field team 2", ""]


def test_the_report_is_a_document(station: Station) -> None:
    frame = Frame(station, "field team 2", "simulator", NOON, NOON, "Asia/Ho_Chi_Minh")
    assert report_pdf(frame, tuple(walked(station.points[:40], straight).values())).startswith(b"%PDF-")
