"""Claims about vendors' point lists: what becomes a map, and which lines are refused with which words."""

from pathlib import Path

import pytest

from scada.model.errors import Fault
from substations.mapcheck import load_register_map
from substations.mapimport import map_text, read_list
from substations.wiretypes import Order, Table, WireType

NAMES = ("position", "f51", "current", "power", "energy")
LIST = """Name;Register;Data Type;Word Order;Bit;Bits;Factor;Function
position;100;bits;;0;2;;4
f51;100;bits;;2;;;4
current;0x65;int16;;;;0,1;4
power;102;Real;Word swap;;;;input
energy;40201;udint;;;;;
"""


def test_a_vendors_words_numbers_and_semicolons_are_understood() -> None:
    found: list[Fault] = []
    points = read_list(LIST, NAMES, "list.csv", found)
    assert [(p.name, p.table, p.address, p.type, p.order, dict(p.numbers)) for p in points] == [
        ("position", Table.INPUT_REGISTER, 100, WireType.BITS, Order.ABCD, {"bit": 0.0, "width": 2.0}),
        ("f51", Table.INPUT_REGISTER, 100, WireType.BITS, Order.ABCD, {"bit": 2.0}),
        ("current", Table.INPUT_REGISTER, 101, WireType.INT16, Order.ABCD, {"scale": 0.1}),
        ("power", Table.INPUT_REGISTER, 102, WireType.FLOAT32, Order.CDAB, {}),
        ("energy", Table.HOLDING_REGISTER, 200, WireType.UINT32, Order.ABCD, {}),
    ]
    assert found == []


def test_the_map_made_of_it_is_one_the_scan_accepts(tmp_path: Path) -> None:
    found: list[Fault] = []
    text = map_text(read_list(LIST, NAMES, "list.csv", found), "vendor", 100, "list.csv")
    (tmp_path / "vendor.modbus.toml").write_text(text, encoding="utf-8")
    loaded = load_register_map(tmp_path / "vendor.modbus.toml", found)
    assert found == []
    assert loaded is not None
    places = {entry.name: (block.table, entry.offset, entry.scale) for block in loaded.block for entry in block.points}
    assert places == {
        "position": (Table.INPUT_REGISTER, 0, 1.0),
        "f51": (Table.INPUT_REGISTER, 0, 1.0),
        "current": (Table.INPUT_REGISTER, 1, 0.1),
        "power": (Table.INPUT_REGISTER, 2, 1.0),
        "energy": (Table.HOLDING_REGISTER, 100, 1.0),
    }


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("curent,101,input,int16,,", "line 2: the bay type has no point 'curent'; did you mean 'current'?"),
        ("current,x1,input,int16,,", "line 2: address 'x1' is no whole number"),
        ("current,70000,input,int16,,", "line 2: address 70000 is not in 0..65535"),
        ("current,101,inputs,int16,,", "line 2: unknown table 'inputs'; did you mean 'input'?"),
        ("current,101,input,int17,,", "line 2: unknown type 'int17'; did you mean 'int16'?"),
        ("current,101,input,int16,ABDC,", "line 2: unknown order 'ABDC'; did you mean 'badc'?"),
        ("current,101,input,int16,,ten", "line 2: scale 'ten' is no number"),
        ("current,101,input,int16,,0", "line 2: a scale of 0 makes every value 0"),
        ("current,101,,int16,,", "line 2: the table is not told: give a column 'table', or a number such as 40001"),
    ],
)
def test_a_line_that_cannot_be_is_refused(row: str, message: str) -> None:
    found: list[Fault] = []
    read_list(f"point,address,table,type,order,scale\n{row}\n", ("current",), "list.csv", found)
    assert str(found[0]) == f"list.csv: {message}"


def test_missing_and_repeated_points_and_missing_columns_are_told() -> None:
    found: list[Fault] = []
    read_list("point,address,table\ncurrent,1,input\ncurrent,2,input\n", ("current", "power"), "l", found)
    assert [str(each) for each in found] == [
        "l: line 3: 'current' stands in line 2 already",
        "l: no line for point 'power' of the bay type",
    ]
    found.clear()
    assert read_list("point,place\nx,1\n", ("x",), "l", found) == []
    assert [each.key for each in found] == ["line 1"]


def test_an_overlap_is_found_by_the_loader_of_maps(tmp_path: Path) -> None:
    found: list[Fault] = []
    listed = "point,address,table,type\ncurrent,10,input,float32\npower,11,input,int16\n"
    points = read_list(listed, ("current", "power"), "l", found)
    (tmp_path / "v.modbus.toml").write_text(map_text(points, "v", 0, "l"), encoding="utf-8")
    load_register_map(tmp_path / "v.modbus.toml", found)
    assert len(found) == 1
