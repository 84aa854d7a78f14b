# ruff: noqa: E501  # one row per fault reads best
"""The loader: what it builds from the small province, and one failing example for every check."""

from pathlib import Path

import pytest

from scada.model.errors import ConfigurationError, Fault
from scada.model.point import Point, PointKind
from scada.model.station import (
    CommandKind,
    CommandPoint,
    CustomerShares,
    Device,
    DeviceKind,
    Endpoint,
    Infeed,
    Line,
    Load,
    Protocol,
    Terminal,
    TerminalKind,
)
from scada.stationfile import load_province, read_province, readdressed
from tests.fakes_grid import edit, write_province


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The files of the small province."""
    return write_province(tmp_path)


def faults(folder: Path) -> list[str]:
    """What the loader finds, as sentences."""
    found: list[Fault] = []
    assert read_province(folder, found) is None
    return [str(fault) for fault in sorted(found)]


def test_a_bay_becomes_points_with_the_ids_names_and_units_of_its_type(folder: Path) -> None:
    bay = load_province(folder).stations[0].bays[0]

    assert (bay.name, bay.number, bay.bay_type, bay.map, bay.base) == ("171", 11, "line", "line.modbus", 100)
    assert bay.busbars == ("C11",)
    assert bay.points[1] == Point(
        id=1 << 16 | 11 << 8 | 2,
        name="A01/171/171-7.position",
        kind=PointKind.DOUBLE_POINT,
        title_vi="Dao 171-7",
        title_en="171-7",
        quantity="position",
        device="171-7",
    )
    assert bay.points[3] == Point(
        id=1 << 16 | 11 << 8 | 9,
        name="A01/171/active_power",
        kind=PointKind.MEASURED_VALUE,
        title_vi="P",
        title_en="P",
        unit="MW",
        deadband=0.5,
        low=-9.0,
        high=9.0,
        quantity="active_power",
        terminal="line",
    )


def test_a_bay_becomes_devices_terminals_and_commands(folder: Path) -> None:
    station = load_province(folder).stations[1]
    line = station.bays[0]

    assert station.devices[:3] == (
        Device(
            "171", DeviceKind.CIRCUIT_BREAKER, "171", 110.0, "C11", "171:inside", line.points[0], normally_closed=True
        ),
        Device(
            "171-7",
            DeviceKind.DISCONNECTOR,
            "171",
            110.0,
            "171:inside",
            "171:line",
            line.points[1],
            normally_closed=True,
        ),
        Device(
            "171-76", DeviceKind.EARTHING_SWITCH, "171", 110.0, "171:line", "", line.points[2], normally_closed=False
        ),
    )
    assert station.terminals == (
        Terminal("line", TerminalKind.LINE, "171", 110.0, "171:line", "A01-A02"),
        Terminal("load", TerminalKind.LOAD, "173", 110.0, "173:feeder", "A02/173"),
    )
    assert line.commands == (
        CommandPoint("171.operate", "171", CommandKind.DOUBLE_COMMAND, select=True, return_information=line.points[0]),
    )
    assert station.loads == (Load("A02/173", "173", 30.0, 10.0, CustomerShares(production=1.0)),)
    assert station.loads[0].mix == "production"


def test_the_bay_of_a_transformer_numbers_its_devices_after_it(folder: Path) -> None:
    station = load_province(folder).stations[0]

    assert [each.name for each in station.devices if each.bay == "T1"] == ["131", "331", "431", "431-38"]
    assert [(t.name, t.equipment, t.voltage_kv) for t in station.terminals if t.bay == "T1"] == [
        ("hv", "T1", 110.0),
        ("mv", "T1", 35.0),
        ("lv", "T1", 22.0),
    ]
    tap = next(each for each in station.bays if each.name == "T1").commands[0]
    assert (tap.device, tap.kind) == ("T1", CommandKind.REGULATING_STEP)
    assert tap.return_information is not None and tap.return_information.name == "A01/T1/tap"


def test_a_line_gets_its_parameters_from_conductor_and_length(folder: Path) -> None:
    province = load_province(folder)

    assert province.lines == (Line("A01-A02", "A01/171", "A02/171", 10.0, 4.0, 10.0, 0.0, 300.0),)
    assert province.infeeds == (Infeed("supply", "A01/C11", 40.0, 115.0, slack=True),)


def test_stations_are_in_the_order_of_their_common_addresses(folder: Path) -> None:
    edit(folder, "stations/A01.toml", "common_address = 1", "common_address = 9")

    assert [each.code for each in load_province(folder).stations] == ["A02", "A01"]


def test_readdressed_stations_answer_at_base_port_plus_common_address(folder: Path) -> None:
    moved = readdressed(load_province(folder), host="127.0.0.2", base_port=40000)

    assert [each.endpoint for each in moved.stations] == [
        Endpoint(Protocol.MODBUS, "127.0.0.2", 40001),
        Endpoint(Protocol.OPCUA, "127.0.0.2", 40002, path="/A02", security="None"),
    ]


A01_FILE, A02_FILE, PROVINCE_FILE = "stations/A01.toml", "stations/A02.toml", "province.toml"
SECOND_LINE = ', { name = "B", ends = ["A01/171", "A02/171"], length_km = 1.0, conductor = "thin" }]'
SECOND_INFEED = ', { name = "other", busbar = "A02/C11", p_mw = 1.0, target_kv = 115.0, slack = true }]'

FAULTY = [
    (A01_FILE, "title_en", "title_eng", ["title_en: is missing", "title_eng: unknown key; did you mean 'title_en'?"]),
    (A01_FILE, "port = 15001", "portt = 15001", ["endpoint.port: is missing", "endpoint.portt: unknown key; did you mean 'port'?"]),
    (A01_FILE, "port = 15001", "port = 99999", ["endpoint.port: 99999 is not in 1..65535"]),
    (A02_FILE, 'security = "None"\n', "", ["endpoint.security: is not stated; an OPC UA station has one of None, Basic256Sha256"]),
    (A02_FILE, 'security = "None"', 'security = "Basic128"', ["endpoint.security: is 'Basic128'; an OPC UA station has one of None, Basic256Sha256"]),
    (A01_FILE, '"A01"', '"A09"', ["code: 'A09' is not the name of the file"]),
    (A01_FILE, "common_address = 1", "common_address = 0", ["common_address: 0 is below 1"]),
    (A01_FILE, 'type = "line"', 'type = "lime"', ["bay[1].type: unknown bay type 'lime'; did you mean 'line'?"]),
    (A01_FILE, '"line.modbus"', '"Line 110"', ["bay[1].map: 'Line 110' is not of the form 'line_110.modbus'"]),
    (A01_FILE, '"line.modbus"', '"line.opcua"', ["bay[1].map: 'line.opcua' is not a map for protocol modbus"]),
    (A01_FILE, 'name = "171"', 'name = "1/1"', ["bay[1].name: '1/1' may have letters, digits, '_' and '-' only"]),
    (A01_FILE, "number = 5", "number = 11", ["bay[2].number: 11 is already that of bay[1]"]),
    (A01_FILE, "number = 5", "number = 256", ["bay[2].number: 256 is above 254"]),
    (A01_FILE, "base = 200", "base = 100", ["bay[2].base: 100 is already that of bay[1]"]),
    (A01_FILE, "base = 200", "base = 100\nunit_id = 1", ["bay[2].base: 100 is already that of bay[1]"]),
    (A01_FILE, "base = 200", "base = 200\nunit_id = 0", ["bay[2].unit_id: 0 is not in 1..255"]),
    (A01_FILE, "port = 15001", "port = 15001\nunit_id = 256", ["endpoint.unit_id: 256 is not in 1..255"]),
    (A02_FILE, 'name = "173"', 'name = "173"\nunit_id = 3', ["bay[2].unit_id: belongs to Modbus; this station speaks OPC UA"]),
    (A01_FILE, "port = 15001", "port = 15001\nmax_transactions = 0", ["endpoint.max_transactions: 0 is not in 1..16"]),
    (A01_FILE, "port = 15001", "port = 15001\nmax_transactions = 17", ["endpoint.max_transactions: 17 is not in 1..16"]),
    (A02_FILE, "port = 15002", "port = 15002\nmax_transactions = 2", ["endpoint.max_transactions: belongs to Modbus; this station speaks OPC UA"]),
    (A01_FILE, 'name = "312"', 'name = "171"', ["bay[3].name: '171' is already that of bay[1]"]),
    (A01_FILE, 'name = "312"', 'name = "131"', ["bay: device 131 exists 2 times, in bays T1, 131"]),
    (A01_FILE, 'name = "C32"', 'name = "C31"', ["bay[3].busbars: unknown busbar 'C32'; did you mean 'C31'?", "bay[4].busbars: unknown busbar 'C32'; did you mean 'C31'?", "busbars[3].name: 'C31' is already that of busbars[2]"]),
    (A01_FILE, '["C32"]', '["C11"]', ["bay[4].busbars: C11 has 110 kV, slot bus is 35 kV"]),
    (A01_FILE, '["C31", "C32"]', '["C31", "C31"]', ["bay[3].busbars[2].name: 'C31' is already that of bay[3].busbars[1]"]),
    (A01_FILE, '["C31", "C32"]', '["C31"]', ["bay[3].busbars: type coupler needs 2: first, second"]),
    (A01_FILE, '"C41", voltage_kv = 22.0 },', '"C41", voltage_kv = 22.0 },\n  { name = "C42", voltage_kv = 22.0 },', ["busbars[5]: no bay is connected to C42"]),
    (A01_FILE, 'name = "T1"\n', 'name = "T2"\n', ["bay[2].name: unknown transformer 'T2'; known are T1", "transformers[1]: no bay is named T1"]),
    (A01_FILE, "rated_mva = 40.0", "rated_mva = 0.0", ["transformers[1].rated_mva: 0.0 is not above 0"]),
    (A01_FILE, "rated_mva = 40.0", "rated_mva = 40.0, rated_kv = [115.0, 23.0]", ["transformers[1].rated_kv: needs three figures above 0, one for each winding or pair of windings"]),
    (A01_FILE, "tap_neutral = 10", "tap_neutral = 20", ["transformers[1].tap_neutral: 20 is not between tap_low and tap_high"]),
    (A01_FILE, "tap_step_percent = 1.78", "tap_step_percent = 17.8", ["transformers[1].tap_step_percent: 17.8 is not in 0..5"]),
    (A01_FILE, "base = 100\n", "base = 100\nload = { p_mw = 1.0, q_mvar = 0.0, shares = { business = 1.0 } }\n", ["bay[1].load: a bay of type line has no load of its own"]),
    (A02_FILE, "load = {", "# load = {", ["bay[2].load: is missing"]),
    (A02_FILE, "production = 1.0", "production = 0.9", ["bay[2].load.shares: residential + production + business is 0.900, must be 1"]),
    (A02_FILE, "production = 1.0", "production = 1.0, pv = -0.1", ["bay[2].load.shares: a share is below 0"]),
    (A02_FILE, "p_mw = 30.0", "p_mw = -1.0", ["bay[2].load.p_mw: -1.0 is below 0.0"]),
    (A02_FILE, "common_address = 2", "common_address = 1", ["common_address: 1 is already that of stations/A01.toml"]),
    (PROVINCE_FILE, '"thin" }]', '"thick" }]', ["lines[1].conductor: unknown conductor 'thick'; did you mean 'thin'?"]),
    (PROVINCE_FILE, '"A02/171"]', '"A02/172"]', ["lines: line bay 'A02/171' is the end of no line", "lines[1].ends: 'A02/172' is no line bay; did you mean 'A02/171'?"]),
    (PROVINCE_FILE, '"A02/171"]', '"A02/173"]', ["lines: line bay 'A02/171' is the end of no line", "lines[1].ends: 'A02/173' is no line bay; did you mean 'A02/171'?"]),
    (PROVINCE_FILE, '"A02/171"]', '"A01/171"]', ["lines[1].ends: a line has two different ends"]),
    (PROVINCE_FILE, '"thin" }]', '"thin" }' + SECOND_LINE, ["lines[2].ends: 'A01/171' is already an end of line 'A01-A02'", "lines[2].ends: 'A02/171' is already an end of line 'A01-A02'"]),
    (PROVINCE_FILE, '"thin" }]', '"thin" }' + SECOND_LINE.replace('"B"', '"A01-A02"'), ["lines[2].name: 'A01-A02' is already that of lines[1]"]),
    (PROVINCE_FILE, "rated_a = 300.0 }]", 'rated_a = 300.0 }, { name = "thin", r_ohm_per_km = 0.4, x_ohm_per_km = 1.0, b_us_per_km = 0.0, rated_a = 3.0 }]', ["conductors[2].name: 'thin' is already that of conductors[1]"]),
    (PROVINCE_FILE, '"A01/C11"', '"A02/C12"', ["infeeds[1].busbar: unknown busbar 'A02/C12'; did you mean 'A02/C11'?"]),
    (PROVINCE_FILE, "target_kv = 115.0", "target_kv = 22.0", ["infeeds[1].target_kv: 22.0 does not suit busbar A01/C11"]),
    (PROVINCE_FILE, "slack = true }]", "slack = false }]", ["infeeds: exactly one infeed is the slack, here 0: none"]),
    (PROVINCE_FILE, "slack = true }]", "slack = true }" + SECOND_INFEED, ["infeeds: exactly one infeed is the slack, here 2: supply, other"]),
    (PROVINCE_FILE, "slack = true }]", "slack = true }" + SECOND_INFEED.replace('"other"', '"supply"').replace("A02", "A01").replace("true", "false"), ["infeeds[2].busbar: 'A01/C11' is already that of infeeds[1]", "infeeds[2].name: 'supply' is already that of infeeds[1]"]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "old", "new", "expected"), FAULTY, ids=[each[3][0] for each in FAULTY])
def test_a_fault_is_named_with_its_file_and_key(
    folder: Path, name: str, old: str, new: str, expected: list[str]
) -> None:
    edit(folder, name, old, new)

    assert faults(folder) == [f"{name}: {each}" for each in expected]


def test_two_stations_at_one_endpoint_are_refused(folder: Path) -> None:
    edit(folder, A02_FILE, 'protocol = "opcua"', 'protocol = "modbus"')
    edit(folder, A02_FILE, 'port = 15002\npath = "/A02"', "port = 15001")
    edit(folder, A02_FILE, "line.opcua", "line.modbus")
    edit(folder, A02_FILE, "feeder_110.opcua", "feeder_110.modbus")
    edit(folder, A02_FILE, 'feeder_110.modbus"', 'feeder_110.modbus"\nbase = 100')

    assert faults(folder) == ["stations/A02.toml: endpoint: 127.0.0.1:15001 is already that of stations/A01.toml"]


def test_two_units_behind_one_modbus_gateway_are_two_endpoints(folder: Path) -> None:
    edit(folder, A02_FILE, 'protocol = "opcua"', 'protocol = "modbus"')
    edit(folder, A02_FILE, 'port = 15002\npath = "/A02"', "port = 15001\nunit_id = 2")
    edit(folder, A02_FILE, "line.opcua", "line.modbus")
    edit(folder, A02_FILE, "feeder_110.opcua", "feeder_110.modbus")
    edit(folder, A02_FILE, 'feeder_110.modbus"', 'feeder_110.modbus"\nbase = 100')

    assert [each.endpoint.unit_id for each in load_province(folder).stations] == [1, 2]


def test_a_bay_s_own_unit_behind_the_gateway_has_addresses_of_its_own(folder: Path) -> None:
    edit(folder, A01_FILE, "base = 200", "base = 100\nunit_id = 2")
    station = load_province(folder).stations[0]

    assert [(bay.name, station.unit_of(bay), bay.base) for bay in station.bays][:3] == [
        ("171", 1, 100),
        ("T1", 2, 100),
        ("312", 1, 300),
    ]


def test_a_unit_of_one_station_s_bay_is_no_unit_of_another_station(folder: Path) -> None:
    edit(folder, A01_FILE, "base = 200", "base = 200\nunit_id = 2")
    edit(folder, A02_FILE, 'protocol = "opcua"', 'protocol = "modbus"')
    edit(folder, A02_FILE, 'port = 15002\npath = "/A02"', "port = 15001\nunit_id = 2")
    edit(folder, A02_FILE, "line.opcua", "line.modbus")
    edit(folder, A02_FILE, "feeder_110.opcua", "feeder_110.modbus")
    edit(folder, A02_FILE, 'feeder_110.modbus"', 'feeder_110.modbus"\nbase = 100')

    assert faults(folder) == ["stations/A02.toml: endpoint: 127.0.0.1:15001 is already that of stations/A01.toml"]


def test_a_code_used_by_two_files_is_refused(folder: Path) -> None:
    edit(folder, A02_FILE, '"A02"', '"A01"')

    assert faults(folder) == [
        "stations/A02.toml: code: 'A01' is already that of stations/A01.toml",
        "stations/A02.toml: code: 'A01' is not the name of the file",
    ]


def test_faults_of_all_files_are_reported_at_once(folder: Path) -> None:
    edit(folder, "baytypes/coupler.toml", "title_en", "title_eng")
    edit(folder, A01_FILE, "common_address = 1", "common_address = 70000")
    edit(folder, PROVINCE_FILE, '"thin" }]', '"thick" }]')

    with pytest.raises(ConfigurationError) as refusal:
        load_province(folder)
    assert [str(each) for each in refusal.value.faults] == [
        "baytypes/coupler.toml: title_en: is missing",
        "baytypes/coupler.toml: title_eng: unknown key; did you mean 'title_en'?",
        "province.toml: lines[1].conductor: unknown conductor 'thick'; did you mean 'thin'?",
        "stations/A01.toml: common_address: 70000 is above 32767",
    ]


def test_a_broken_bay_type_is_not_called_unknown_by_the_stations_that_use_it(folder: Path) -> None:
    edit(folder, "baytypes/line.toml", "voltage_kv = 110.0", 'voltage_kv = "high"')

    assert faults(folder) == ["baytypes/line.toml: voltage_kv: must be a number, is 'high'"]


def test_an_empty_folder_is_refused_in_words(tmp_path: Path) -> None:
    assert faults(tmp_path) == [
        f"baytypes: no bay types in {tmp_path / 'baytypes'}",
        f"province.toml: no such file: {tmp_path / 'province.toml'}",
        f"stations: no stations in {tmp_path / 'stations'}",
    ]


def test_a_file_that_is_not_toml_is_refused_with_the_place(folder: Path) -> None:
    (folder / A01_FILE).write_text("code = ", encoding="utf-8")

    assert faults(folder) == ["stations/A01.toml: is not TOML: Invalid value (at end of document)"]
