"""Claims about register maps: what is accepted, what is refused and how the refusal reads."""

from dataclasses import replace
from pathlib import Path

import pytest

from scada.model.errors import Fault
from scada.model.point import PointKind
from scada.model.station import CommandKind, CommandPoint
from substations.mapcheck import load_register_map
from substations.mapnames import in_bay
from substations.registermap import RegisterMap
from substations.registers import bind_registers
from substations.wiretypes import Order, Table, WireType
from tests.fakes_substations import make_point, make_station

MAP = """
bay_type = "feeder_22"

[[block]]
name = "measured values"
table = "input_register"
type = "int16"
order = "BADC"
period_s = 2.0
gap = 3
points = [
  { name = "P1", offset = 1, scale = 0.1, invalid = -32768, quality_offset = 0 },
  { name = "P2", offset = 2, type = "float32", order = "CDAB", add = -40.0 },
]

[[command]]
name = "{bay}.operate"
table = "holding_register"
select = 10
echo = 11
operate = 12
values = { open = 1, close = 2 }
"""
OPERATE = CommandPoint("171.operate", "171", CommandKind.DOUBLE_COMMAND, select=True, return_information=None)


def load(tmp_path: Path, text: str) -> tuple[RegisterMap | None, list[str]]:
    path = tmp_path / "feeder_22.modbus.toml"
    path.write_text(text, encoding="utf-8")
    found: list[Fault] = []
    register_map = load_register_map(path, found)
    return register_map, [f"{fault.key}: {fault.message}" for fault in found]


def good(tmp_path: Path) -> RegisterMap:
    register_map, faults = load(tmp_path, MAP)
    assert faults == []
    assert register_map is not None
    return register_map


def block(points: str, *, table: str = "input_register", extra: str = "") -> str:
    return f'bay_type = "t"\n[[block]]\nname = "b"\ntable = "{table}"\n{extra}\npoints = [{points}]\n'


def test_a_station_gets_every_point_at_its_absolute_address(tmp_path: Path) -> None:
    station = make_station((make_point(1), make_point(2)), commands=(OPERATE,), base=400)
    found: list[Fault] = []
    bound = bind_registers(station, {"feeder_22.modbus": good(tmp_path)}, found)
    assert found == []
    first, second = bound.points
    assert (first.address, first.quality_address, first.type, first.order) == (401, 400, WireType.INT16, Order.BADC)
    assert (first.scale, first.add, first.invalid) == (0.1, 0.0, -32768.0)
    assert (second.address, second.quality_address, second.type, second.order) == (
        402,
        None,
        WireType.FLOAT32,
        Order.CDAB,
    )
    assert (second.add, second.period_s, second.gap, second.size) == (-40.0, 2.0, 3, 2)
    command = bound.commands[0]
    assert (command.name, command.select, command.echo, command.operate) == ("TN07/171/171.operate", 410, 411, 412)


def test_words_in_braces_stand_for_what_the_bay_says() -> None:
    bay = replace(make_station(()).bays[0], placeholders=(("bus_section", "1"), ("unit", "2")))
    assert in_bay("{bay}-{bus_section}5.position", bay) == "171-15.position"
    assert in_bay("13{unit}.position", bay) == "132.position"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (block('{ name = "P", offset = 0 }'), "b: P: has no type"),
        (block('{ name = "P", offset = 0, type = "bit" }'), "b: P: type 'bit' does not fit table 'input_register'"),
        (
            block('{ name = "P", offset = 0, type = "int16" }', table="coil"),
            "b: P: type 'int16' does not fit table 'coil'",
        ),
        (
            block('{ name = "P", offset = 0, type = "int16", width = 2 }'),
            "b: P: width belongs to bits, not to 'int16'",
        ),
        (
            block('{ name = "P", offset = 0, type = "int16", bit = 2 }'),
            "b: P: bit belongs to type 'bits', not to 'int16'",
        ),
        (
            block('{ name = "P", offset = 0, type = "bits", bit = 15, width = 2 }'),
            "b: P: bits 15 to 16 do not fit a register",
        ),
        (
            block('{ name = "P", offset = 0, width = 3 }', table="coil"),
            "b: P: at most 2 bits of a table of bits make one point",
        ),
        (block('{ name = "P", offset = 65535, type = "int32" }'), "b: P: ends at 65536, above 65535"),
        (block('{ name = "P", offset = 0, type = "int16", scale = 0.0 }'), "b: P: scale must not be 0"),
        (
            block('{ name = "P", offset = 0, quality_offset = 1 }', table="coil"),
            "b: P: a quality register needs a table of registers",
        ),
        (
            block('{ name = "P", offset = 9, type = "int16", quality_offset = 1 }'),
            "b: P: quality register 1 cannot be read together with the value",
        ),
        (block(""), "block b: has no points"),
        (
            block('{ name = "P", offset = 0, type = "int16" }', extra="gap = 121"),
            "block b: gap 121 is above 120, the most a read of registers can hold",
        ),
        (
            block('{ name = "P", offset = 0, type = "int32" }, { name = "Q", offset = 1, type = "int16" }'),
            "b: Q: overlaps b: P at input_register 1",
        ),
        (
            block(
                '{ name = "P", offset = 0, type = "bits", bit = 0, width = 2 },'
                '{ name = "Q", offset = 0, type = "bits", bit = 1 }'
            ),
            "b: Q: overlaps b: P at input_register 0",
        ),
        (
            block(
                '{ name = "P", offset = 0, type = "bits" },'
                '{ name = "Q", offset = 0, type = "bits", bit = 1, order = "BADC" }'
            ),
            "b: Q: shares register 0 with another order of bytes",
        ),
        (
            block('{ name = "P", offset = 0, type = "int16" }, { name = "P", offset = 1, type = "int16" }'),
            "P: is there twice",
        ),
        (
            block('{ name = "P", offset = 0, type = "int17" }'),
            "block[1].points[1].type: 'int17' is not allowed; did you mean 'int16'?",
        ),
        (
            block('{ name = "P", ofset = 0, type = "int16" }'),
            "block[1].points[1].ofset: unknown key; did you mean 'offset'?",
        ),
        (
            block('{ name = "P", offset = 0, type = "int16" }', extra="period_s = 0"),
            "block[1].period_s: 0.0 is below 0.05",
        ),
        (
            MAP.replace('"holding_register"', '"input_register"'),
            "command {bay}.operate: table 'input_register' cannot be written",
        ),
        (MAP.replace("echo = 11", ""), "command {bay}.operate: select and echo belong together"),
        (
            MAP.replace("open = 1", "opn = 1"),
            "command {bay}.operate.values: unknown action 'opn'; did you mean 'open'?",
        ),
        (
            MAP.replace("open = 1", "open = 65536"),
            "command {bay}.operate.values: open = 65536 is not in 0..65535: no frame can carry it",
        ),
        (MAP.replace("open = 1", "open = 2"), "command {bay}.operate.values: two actions have the same value"),
        (
            MAP + '[[command]]\nname = "f86.reset"\ntable = "holding_register"\noperate = 12\nvalues = { reset = 2 }\n',
            "command f86.reset: reset is the same frame as {bay}.operate close",
        ),
        (
            MAP.replace("values = { open = 1, close = 2 }", ""),
            "command {bay}.operate: needs either values or set_point = true",
        ),
        (
            MAP
            + '[[command]]\nname = "set"\ntable = "holding_register"\noperate = 9\ntype = "int32"\nset_point = true\n',
            "command set: shares a register with {bay}.operate, where a value is an order",
        ),
        (
            MAP.replace("values = { open = 1, close = 2 }", 'type = "float64"\nset_point = true'),
            "command {bay}.operate: select and operate of a set-point overlap",
        ),
        (
            MAP.replace("values = { open = 1, close = 2 }", 'type = "bits"\nset_point = true'),
            "command {bay}.operate: a set-point takes whole registers: a table of registers and a number's type",
        ),
        (
            MAP.replace("values = { open = 1, close = 2 }", 'echo_table = "coil"\nset_point = true'),
            "command {bay}.operate: the echo of a set-point takes whole registers",
        ),
    ],
)
def test_a_wrong_map_is_refused_with_the_place_and_the_reason(tmp_path: Path, text: str, fault: str) -> None:
    register_map, faults = load(tmp_path, text)
    assert register_map is None
    assert fault in faults


def test_all_faults_of_a_map_are_found_at_once(tmp_path: Path) -> None:
    _, faults = load(
        tmp_path,
        block(
            '{ name = "P", offset = 0, type = "int16", scale = 0.0 },'
            '{ name = "Q", offset = 65535, type = "int64" },'
            '{ name = "R", offset = 3 }'
        ),
    )
    assert len(faults) == 3


def bind(tmp_path: Path, *names: str, **fields: object) -> list[str]:
    points = tuple(make_point(n, name=f"TN07/171/{name}") for n, name in enumerate(names, start=1))
    station = make_station(points, commands=(OPERATE,), **fields)  # type: ignore[arg-type]  # tests pass fields by name
    found: list[Fault] = []
    bind_registers(station, {"feeder_22.modbus": good(tmp_path)}, found)
    return [str(fault) for fault in found]


def bind_set_point(
    tmp_path: Path, high: float, text: str = 'type = "int16"\nscale = 0.001\nset_point = true'
) -> list[str]:
    register_map, faults = load(tmp_path, MAP.replace("values = { open = 1, close = 2 }", text))
    assert register_map is not None, faults
    command = replace(OPERATE, kind=CommandKind.SET_POINT, low=21.0, high=high, return_information=make_point(1))
    found: list[Fault] = []
    station = make_station((make_point(1), make_point(2)), commands=(command,))
    bind_registers(station, {"feeder_22.modbus": register_map}, found)
    return [str(fault) for fault in found]


def test_limits_of_a_set_point_that_no_frame_can_carry_are_refused(tmp_path: Path) -> None:
    assert bind_set_point(tmp_path, 32.0) == []
    (fault,) = bind_set_point(tmp_path, 33.0)
    assert fault.endswith("command 171.operate: its limit 33.0 does not fit int16 with scale 0.001")


def test_a_map_that_gives_actions_to_a_set_point_is_refused(tmp_path: Path) -> None:
    (fault,) = bind_set_point(tmp_path, 32.0, "values = { open = 1, close = 2 }")
    assert fault.endswith("171.operate: is a set_point in bay type 'feeder_22': set_point does not fit")


def test_a_point_the_bay_type_does_not_have_is_refused_with_the_nearest_name(tmp_path: Path) -> None:
    assert bind(tmp_path, "P1") == ["feeder_22.modbus.toml: P2: is no point of bay type 'feeder_22'; known are P1"]


def test_a_point_the_map_forgets_is_refused(tmp_path: Path) -> None:
    assert bind(tmp_path, "P1", "P2", "P3") == [
        "feeder_22.modbus.toml: P3: is a point of bay type 'feeder_22' that the map does not place"
    ]


def test_a_base_that_pushes_points_out_of_the_table_is_refused(tmp_path: Path) -> None:
    assert bind(tmp_path, "P1", "P2", base=65534) == [
        "TN07/171: base: 65534 puts the last address at 65537, above 65535",
        "TN07/171: command 171.operate: address 65546 is above 65535",
    ]


def test_an_unknown_map_is_refused_with_the_nearest_name(tmp_path: Path) -> None:
    assert bind(tmp_path, "P1", "P2", map_name="feeder_2.modbus") == [
        "TN07/171: map: no such register map: 'feeder_2.modbus'; did you mean 'feeder_22.modbus'?"
    ]


def test_a_map_of_another_bay_type_is_refused(tmp_path: Path) -> None:
    found: list[Fault] = []
    other = replace(good(tmp_path), bay_type="feeder_35")
    bind_registers(make_station((make_point(1),)), {"feeder_22.modbus": other}, found)
    assert [fault.message for fault in found] == ["'feeder_22.modbus' is for bay type 'feeder_35', not 'feeder_22'"]


def test_a_device_that_wants_select_needs_a_map_that_selects(tmp_path: Path) -> None:
    station = make_station((make_point(1), make_point(2)), commands=(replace(OPERATE, select=False),))
    found: list[Fault] = []
    bind_registers(station, {"feeder_22.modbus": good(tmp_path)}, found)
    assert [fault.message for fault in found] == ["select-before-operate is False in bay type 'feeder_22', not here"]


def test_bays_whose_registers_overlap_are_refused(tmp_path: Path) -> None:
    station = make_station((make_point(1), make_point(2)), commands=(OPERATE,))
    second = tuple(replace(point, id=point.id + 256, name=point.name.replace("171", "172")) for point in station.points)
    bay = replace(station.bays[0], name="172", number=2, base=2, points=second, commands=())
    found: list[Fault] = []
    both = replace(station, bays=(station.bays[0], bay))
    bind_registers(both, {"feeder_22.modbus": good(tmp_path)}, found)
    assert Fault("TN07", "TN07/172/P1", "overlaps TN07/171/P2 at input_register 3") in found


def test_bays_in_units_of_their_own_have_addresses_of_their_own(tmp_path: Path) -> None:
    assert two_bays(tmp_path, MAP, base=0) != []
    assert two_bays(tmp_path, MAP, base=0, unit=2) == []


def two_bays(
    tmp_path: Path, text: str, *, base: int, kind: PointKind | None = None, unit: int | None = None
) -> list[Fault]:
    """Faults of bays 171 at 0 and 172 at ``base`` of ``unit``, both with ``text`` for a map; ``kind``: of point E."""
    third = () if kind is None else (make_point(3, name="TN07/171/E", kind=kind),)
    station = make_station((make_point(1), make_point(2), *third), commands=(OPERATE,))
    second = tuple(replace(point, id=point.id + 256, name=point.name.replace("171", "172")) for point in station.points)
    operate = replace(OPERATE, name="172.operate", device="172")
    bay = replace(station.bays[0], name="172", number=2, base=base, points=second, commands=(operate,), unit_id=unit)
    found: list[Fault] = []
    register_map, _ = load(tmp_path, text)
    assert register_map is not None
    bind_registers(replace(station, bays=(station.bays[0], bay)), {"feeder_22.modbus": register_map}, found)
    return found


def test_no_two_bays_share_a_command_register(tmp_path: Path) -> None:
    """At base 2 the selection of 172 would be the order to 171."""
    at_two = two_bays(tmp_path, MAP.replace("offset = 1,", "offset = 100,").replace("t = 0", "t = 99"), base=2)
    overlap = "overlaps command register of TN07/171 at holding_register 12"
    assert Fault("TN07", "command register of TN07/172", overlap) in at_two
    assert two_bays(tmp_path, MAP, base=13) == []


EVENTS = """
[event_buffer]
table = "input_register"
next = 1000
flags = 1002
records = 1003
acknowledge = 100
capacity = 8
record_size = 9
sequence = { offset = 0, type = "uint32" }
code = { offset = 2 }
value = { offset = 3 }
quality = { offset = 4 }
time = { offset = 5, type = "uint64" }
"""


@pytest.mark.parametrize("operate", [100, 101])
def test_what_the_scan_writes_can_be_no_command_register(tmp_path: Path, operate: int) -> None:
    register_map, faults = load(tmp_path, MAP.replace("operate = 12", f"operate = {operate}") + EVENTS)
    assert (register_map is not None, faults) == (True, [])
    station = make_station((make_point(1), make_point(2)), commands=(OPERATE,))
    found: list[Fault] = []
    bind_registers(station, {"feeder_22.modbus": register_map}, found)  # type: ignore[dict-item]
    assert [str(each) for each in found] == [
        f"TN07: {first}: overlaps {second} at holding_register {operate}"
        for first, second in [
            ("TN07/171 event buffer acknowledgement", "command register of TN07/171")
            if operate == 100
            else ("command register of TN07/171", "TN07/171 event buffer acknowledgement")
        ]
    ]


FREEZE = MAP.replace(
    "]\n\n[[command]]",
    """  { name = "E", offset = 4, type = "uint32" },
]

[freeze]
write = 20
points = [{ name = "E", offset = 30 }]

[[command]]""",
)


@pytest.mark.parametrize(
    ("found", "instead", "fault"),
    [
        ("write = 20", "write = 12", "freeze.write: 12 is a register of command {bay}.operate"),
        ("write = 20", "write = 10", "freeze.write: 10 is a register of command {bay}.operate"),
        (
            "write = 20",
            'write = 20\ntable = "input_register"',
            "freeze.table: table 'input_register' cannot be written",
        ),
        (
            "write = 20",
            'write = 20\ntable = "coil"\nvalue = 2',
            "freeze.value: 2 is not in 0..1: no frame can carry it",
        ),
        ("offset = 30", "offset = 5", "freeze: E: overlaps measured values: E at input_register 5"),
        ('[{ name = "E"', '[{ name = "F"', "freeze: F: is no point of this map; known are E, P1, P2"),
        ('[{ name = "E", offset = 30 }]', "[]", "freeze.points: are missing: nobody would read what was frozen"),
    ],
)
def test_a_freeze_that_could_order_or_would_bring_nothing_is_refused(
    tmp_path: Path, found: str, instead: str, fault: str
) -> None:
    assert load(tmp_path, FREEZE)[1] == []
    register_map, faults = load(tmp_path, FREEZE.replace(found, instead))
    assert (register_map, faults) == (None, [fault])


def test_a_freeze_at_the_command_register_of_another_bay_is_refused(tmp_path: Path) -> None:
    """In its own bay nothing lies at 20; the bay at base 8 takes its orders there."""
    faults = [str(each) for each in two_bays(tmp_path, FREEZE, base=8, kind=PointKind.INTEGRATED_TOTAL)]
    assert "TN07: TN07/171 freeze: overlaps command register of TN07/172 at holding_register 20" in faults


def test_only_integrated_totals_can_be_frozen(tmp_path: Path) -> None:
    faults = [str(each) for each in two_bays(tmp_path, FREEZE, base=40, kind=PointKind.MEASURED_VALUE)]
    assert faults == [
        f"TN07/{bay}: freeze: E: is a measured_value: only integrated totals can be frozen" for bay in (171, 172)
    ]


def test_tables_know_what_an_address_is() -> None:
    assert [table for table in Table if table.of_bits] == [Table.COIL, Table.DISCRETE_INPUT]
