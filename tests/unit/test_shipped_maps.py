"""Claims about the maps and stations that come with the product, and about the table of adapters."""

import subprocess
import sys
from pathlib import Path

import pytest

from scada.config import ScanConfig
from scada.model.errors import ConfigurationError, Fault
from scada.model.station import Protocol, Province
from scada.stationfile import load_province
from substations.adapters import Maps, bind, load_maps, read_maps, station_scans
from substations.polling import plan_reads
from substations.registers import StationRegisters
from substations.wiretypes import WireType

FOLDER = Path(__file__).parents[2] / "substations"


@pytest.fixture(scope="module")
def province() -> Province:
    return load_province(FOLDER)


@pytest.fixture(scope="module")
def maps() -> Maps:
    return load_maps(FOLDER / "maps")


def test_every_point_and_command_of_every_station_has_its_place(province: Province, maps: Maps) -> None:
    found: list[Fault] = []
    for station in province.stations:
        bound = bind(station, maps, found)
        assert {each.point.id for each in bound.points} == {point.id for point in station.points}
        assert len(bound.commands) == sum(len(bay.commands) for bay in station.bays)
    assert found == []


def test_the_maps_show_every_order_and_most_types(maps: Maps) -> None:
    blocks = [block for each in maps.registers.values() for block in each.block]
    assert {block.order.value for block in blocks} == {"ABCD", "CDAB", "BADC", "DCBA"}
    types = {entry.type or block.type for block in blocks for entry in block.points}
    assert {WireType.BITS, WireType.INT16, WireType.INT32, WireType.UINT64, WireType.FLOAT32} <= types


def test_a_station_needs_few_requests_a_second(province: Province, maps: Maps) -> None:
    for station in province.stations:
        bound = bind(station, maps, [])
        if isinstance(bound, StationRegisters):
            plan = plan_reads(bound.points)
            assert sum(1 / block.period_s for block in plan) < 10


def test_a_map_named_after_no_protocol_and_one_with_a_fault_are_both_told(tmp_path: Path) -> None:
    (tmp_path / "line.dnp3.toml").write_text("", encoding="utf-8")
    (tmp_path / "line.opcua.toml").write_text('bay_type = "x"', encoding="utf-8")
    found: list[Fault] = []
    read_maps(tmp_path, found)
    assert {fault.file for fault in found} == {"line.dnp3.toml", "line.opcua.toml"}
    with pytest.raises(ConfigurationError):
        load_maps(tmp_path)


def test_a_folder_without_maps_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="holds no maps"):
        load_maps(tmp_path)


def test_each_protocol_gets_its_own_link(province: Province, maps: Maps) -> None:
    kinds = {station.endpoint.protocol: station for station in province.stations}
    scans = station_scans(tuple(kinds.values()), maps, lambda _batch: None, ScanConfig())
    assert {scan.code for scan in scans} == {station.code for station in kinds.values()}
    assert set(kinds) == set(Protocol)


def test_no_field_driver_is_loaded_before_a_link_needs_it() -> None:
    modules = "substations.adapters, substations.scan, substations.decode, substations.polling, substations.quality"
    code = f"import sys, {modules}; print([m for m in sys.modules if m in ('pymodbus', 'asyncua', 'paho')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
