"""The shipped province: complete, within the size the centre is built for, energised in its normal state."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from scada.grid.topology import Certainty, Topology
from scada.model.quantity import MEANINGS, Quantity, Role
from scada.model.station import Protocol, Province, TerminalKind
from scada.stationfile import load_province

FOLDER = Path(__file__).resolve().parents[2] / "substations"


@pytest.fixture(scope="module")
def province() -> Province:
    """The shipped province."""
    return load_province(FOLDER)


def test_twenty_one_stations_twelve_modbus_and_nine_opcua(province: Province) -> None:
    assert [each.code for each in province.stations] == [f"TN{number:02d}" for number in range(1, 22)]
    assert [each.common_address for each in province.stations] == list(range(1, 22))
    assert Counter(each.endpoint.protocol for each in province.stations) == {Protocol.MODBUS: 12, Protocol.OPCUA: 9}


def test_a_station_has_about_six_hundred_points(province: Province) -> None:
    sizes = [len(each.points) for each in province.stations]

    assert min(sizes) >= 450
    assert max(sizes) <= 750
    assert 12_000 <= sum(sizes) <= 14_000


def test_ids_and_names_are_unique_in_the_province(province: Province) -> None:
    points = [point for station in province.stations for point in station.points]

    assert len({each.id for each in points}) == len(points)
    assert len({each.name for each in points}) == len(points)


def test_titles_are_unique_in_their_bay_in_both_languages(province: Province) -> None:
    for station in province.stations:
        for bay in station.bays:
            for titles in ([each.title_vi for each in bay.points], [each.title_en for each in bay.points]):
                repeated = [title for title, count in Counter(titles).items() if count > 1]
                assert repeated == [], f"{station.code}/{bay.name}"


def test_every_bay_names_a_map_that_is_there(province: Province) -> None:
    maps = {path.stem for path in (FOLDER / "maps").glob("*.toml")}

    assert {bay.map for station in province.stations for bay in station.bays} <= maps


def test_every_measurement_says_where_it_is_taken_and_what_is_plausible(province: Province) -> None:
    loose = {Quantity.AMBIENT_TEMPERATURE, Quantity.ROOM_TEMPERATURE, Quantity.DC_VOLTAGE, Quantity.DC_CURRENT}
    for station in province.stations:
        for point in station.points:
            quantity = Quantity(point.quantity)
            if MEANINGS[quantity].role in (Role.MEASUREMENT, Role.COUNTER) and quantity not in loose:
                assert point.device or point.terminal, point.name
            if MEANINGS[quantity].role is Role.MEASUREMENT:
                assert point.low is not None and point.high is not None, point.name
                assert point.deadband > 0.0, point.name


def test_every_circuit_breaker_can_be_operated_and_shows_its_position(province: Province) -> None:
    for station in province.stations:
        commands = {c.device: c for bay in station.bays for c in bay.commands if c.name == f"{c.device}.operate"}
        for device in station.devices:
            if device.kind == "circuit_breaker":
                assert commands[device.name].return_information == device.position
                assert commands[device.name].select


def test_lines_join_all_stations_into_one_meshed_grid(province: Province) -> None:
    bays = [t for station in province.stations for t in station.terminals if t.kind is TerminalKind.LINE]

    assert 28 <= len(province.lines) <= 32
    assert len(bays) == 2 * len(province.lines)
    assert all(5.0 <= line.length_km <= 35.0 for line in province.lines)
    assert len(province.infeeds) == 3


def test_every_node_is_energised_and_none_earthed_in_the_normal_state(province: Province) -> None:
    topology = Topology(province)
    state = topology.state(topology.normal_positions())

    assert np.unique(state.energised).tolist() == [Certainty.YES]
    assert np.unique(state.earthed).tolist() == [Certainty.NO]
    assert topology.dead_loads(state) == ()


def test_every_load_knows_whom_it_supplies(province: Province) -> None:
    loads = [load for station in province.stations for load in station.loads]

    assert {load.mix for load in loads} == {"residential", "production", "business"}
    assert 500.0 < sum(load.p_mw for load in loads) < 1000.0
