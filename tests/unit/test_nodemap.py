"""Claims about node maps."""

from dataclasses import replace
from pathlib import Path

import pytest

from scada.model.errors import Fault
from scada.model.point import PointKind
from scada.model.station import CommandKind, CommandPoint, Protocol, Station
from substations.nodemap import NodeMap, NodeType
from substations.nodemapcheck import load_node_map
from substations.nodes import bind_nodes
from tests.fakes_substations import make_point, make_station

MAP = """
bay_type = "feeder_22"
namespace = "urn:gridscada:substation"

[[group]]
name = "measured values"
node = "s={station}.{bay}.{point}"
type = "float"
period_s = 0.5
sampling_s = 0.25
queue_size = 5
points = [
  { name = "P1", scale = 0.001, deadband = 0.2 },
  { name = "P2", node = "s={station}/{bay}/MMXU1.TotW", type = "int32" },
]

[[command]]
name = "{bay}.operate"
select = "s={station}.{point}.SBO"
echo = "s={station}.{point}.SBO.echo"
operate = "s={station}.{point}.Oper"
values = { open = 1, close = 2 }
"""
CONDITIONS = """
[[condition]]
name = "protection"
source = "s={station}/{bay}"
points = [ { name = "P1" }, { name = "P2", condition = "{bay} P2" } ]
"""
OPERATE = CommandPoint("171.operate", "171", CommandKind.DOUBLE_COMMAND, select=True, return_information=None)
STATION = make_station(
    (make_point(1), make_point(2)), map_name="feeder_22.opcua", commands=(OPERATE,), protocol=Protocol.OPCUA
)


def load(tmp_path: Path, text: str = MAP) -> tuple[NodeMap | None, list[str]]:
    path = tmp_path / "feeder_22.opcua.toml"
    path.write_text(text, encoding="utf-8")
    found: list[Fault] = []
    node_map = load_node_map(path, found)
    return node_map, [f"{fault.key}: {fault.message}" for fault in found]


def test_a_station_gets_every_point_at_its_node(tmp_path: Path) -> None:
    node_map, faults = load(tmp_path)
    assert node_map is not None and faults == []
    found: list[Fault] = []
    bound = bind_nodes(STATION, {"feeder_22.opcua": node_map}, found)
    assert found == []
    first, second = bound.points
    assert (first.identifier, first.type, first.scale, first.deadband) == (
        "s=TN07.171.P1",
        NodeType.FLOAT,
        0.001,
        200.0,
    )
    assert (first.namespace, first.period_s, first.sampling_s, first.queue_size) == (
        "urn:gridscada:substation",
        0.5,
        0.25,
        5,
    )
    assert (second.identifier, second.type, second.deadband) == ("s=TN07/171/MMXU1.TotW", NodeType.INT32, 0.0)
    command = bound.commands[0]
    assert (command.name, command.select, command.echo, command.operate, command.result) == (
        "TN07/171/171.operate",
        "s=TN07.171.operate.SBO",
        "s=TN07.171.operate.SBO.echo",
        "s=TN07.171.operate.Oper",
        "",
    )


@pytest.mark.parametrize(
    ("before", "after", "fault"),
    [
        ("urn:gridscada:substation", "", "namespace: must be the URI of the server's namespace"),
        ('"s={station}.{bay}.{point}"', '"ns=2;s=x"', "measured values: P1: 'ns=2;s=x' is no node identifier"),
        ("scale = 0.001", "scale = 0", "measured values: P1: scale must not be 0"),
        ('name = "P2"', 'name = "P1"', "measured values: P1: is there twice"),
        ("queue_size = 5", "queue_size = 0", "group[1].queue_size: 0 is below 1"),
        ('"float"', '"flot"', "group[1].type: 'flot' is not allowed; did you mean 'float'?"),
        ('echo = "s={station}.{point}.SBO.echo"', "", "command {bay}.operate: select needs echo, or object"),
        ('select = "s={station}.{point}.SBO"', "", "command {bay}.operate: echo belongs to select"),
        ("values = { open = 1, close = 2 }", "", "command {bay}.operate: needs either values or set_point = true"),
        (
            "values = { open = 1, close = 2 }",
            'type = "boolean"\nset_point = true',
            "command {bay}.operate: a set-point is a number, not boolean",
        ),
        ("close = 2", "close = 1", "command {bay}.operate.values: two actions have the same value"),
        ("close = 2", "clos = 2", "command {bay}.operate.values: unknown action 'clos'; did you mean 'close'?"),
    ],
)
def test_a_wrong_map_is_refused_with_the_place_and_the_reason(
    tmp_path: Path, before: str, after: str, fault: str
) -> None:
    assert before in MAP
    node_map, faults = load(tmp_path, MAP.replace(before, after))
    assert node_map is None
    assert any(each.startswith(fault) for each in faults), faults


def bind(tmp_path: Path, station: object = STATION, **changes: object) -> list[str]:
    node_map, _ = load(tmp_path)
    assert node_map is not None
    found: list[Fault] = []
    changed = replace(node_map, **changes)  # type: ignore[arg-type]  # tests pass fields by name
    bind_nodes(station, {"feeder_22.opcua": changed}, found)  # type: ignore[arg-type]  # a Station by default
    return [str(fault) for fault in found]


def test_points_must_be_those_of_the_bay_type(tmp_path: Path) -> None:
    bay = replace(STATION.bays[0], points=(make_point(1), make_point(3)))
    assert bind(tmp_path, replace(STATION, bays=(bay,))) == [
        "feeder_22.opcua.toml: P2: is no point of bay type 'feeder_22'; known are P1, P3",
        "feeder_22.opcua.toml: P3: is a point of bay type 'feeder_22' that the map does not place",
    ]


def test_a_map_of_another_bay_type_is_refused(tmp_path: Path) -> None:
    assert bind(tmp_path, bay_type="feeder_35") == [
        "TN07/171: map: 'feeder_22.opcua' is for bay type 'feeder_35', not 'feeder_22'"
    ]


def test_two_points_at_one_node_are_refused(tmp_path: Path) -> None:
    node_map, _ = load(
        tmp_path, MAP.replace("{bay}/MMXU1.TotW", "x").replace('"s={station}.{bay}.{point}"', '"s={station}/x"')
    )
    assert node_map is not None
    found: list[Fault] = []
    bind_nodes(STATION, {"feeder_22.opcua": node_map}, found)
    assert [str(fault) for fault in found] == ["TN07: TN07/171/P2: has the node of TN07/171/P1: s=TN07/x"]


def test_select_must_agree_with_the_bay_type(tmp_path: Path) -> None:
    bay = replace(STATION.bays[0], commands=(replace(OPERATE, select=False),))
    assert bind(tmp_path, replace(STATION, bays=(bay,))) == [
        "feeder_22.opcua.toml: 171.operate: select-before-operate is False in bay type 'feeder_22', not here"
    ]


def single_points() -> Station:
    points = tuple(make_point(number, kind=PointKind.SINGLE_POINT) for number in (1, 2))
    return make_station(points, map_name="feeder_22.opcua", commands=(OPERATE,), protocol=Protocol.OPCUA)


def test_a_point_told_by_a_condition_has_its_source_and_its_name_there(tmp_path: Path) -> None:
    node_map, faults = load(tmp_path, MAP + CONDITIONS)
    assert node_map is not None and faults == []
    found: list[Fault] = []
    bound = bind_nodes(single_points(), {"feeder_22.opcua": node_map}, found)
    assert found == []
    assert [(each.point.name, each.source, each.condition) for each in bound.conditions] == [
        ("TN07/171/P1", "s=TN07/171", "P1"),
        ("TN07/171/P2", "s=TN07/171", "171 P2"),
    ]


def test_a_measured_value_and_a_point_without_node_cannot_be_told_by_a_condition(tmp_path: Path) -> None:
    node_map, _ = load(tmp_path, MAP + CONDITIONS)
    assert node_map is not None
    found: list[Fault] = []
    bind_nodes(STATION, {"feeder_22.opcua": node_map}, found)
    assert "is a measured_value; a condition is a single point: active or not" in [each.message for each in found]
    _, faults = load(tmp_path, MAP + CONDITIONS.replace('"P2"', '"P3"').replace("s={station}", "{station}"))
    assert faults == [
        "condition protection: '{station}/{bay}' is no node identifier; it begins with one of s=, i=, g=, b=",
        "condition protection: P3: has no node in a group, which interrogation reads",
    ]


def test_two_points_cannot_be_the_same_condition(tmp_path: Path) -> None:
    node_map, _ = load(tmp_path, MAP + CONDITIONS.replace('condition = "{bay} P2"', 'condition = "P1"'))
    assert node_map is not None
    found: list[Fault] = []
    bind_nodes(single_points(), {"feeder_22.opcua": node_map}, found)
    assert [each.message for each in found] == ["has the condition of TN07/171/P1: P1 of s=TN07/171"]


def test_a_set_point_whose_limits_its_node_cannot_hold_is_refused(tmp_path: Path) -> None:
    text = MAP.replace("values = { open = 1, close = 2 }", 'type = "sbyte"\nset_point = true')
    node_map, faults = load(tmp_path, text)
    assert node_map is not None, faults
    told = replace(OPERATE, kind=CommandKind.SET_POINT, low=0.0, high=128.0)
    found: list[Fault] = []
    station = replace(STATION, bays=(replace(STATION.bays[0], commands=(told,)),))
    bind_nodes(station, {"feeder_22.opcua": node_map}, found)
    (fault,) = (str(each) for each in found)
    assert fault.endswith("command 171.operate: its limit 128.0 does not fit int8 with scale 1")


TWO_BAYS = replace(
    STATION,
    bays=(
        STATION.bays[0],
        replace(
            STATION.bays[0],
            name="172",
            points=tuple(replace(make_point(n), id=make_point(n).id + 256, name=f"TN07/172/P{n}") for n in (1, 2)),
            commands=(replace(OPERATE, name="172.operate"),),
        ),
    ),
)
SECOND = """
[[command]]
name = "reset"
operate = "s={station}.{bay}.operate.Oper"
values = { reset = 1 }
"""
RESET = CommandPoint("reset", "", CommandKind.SINGLE_COMMAND, select=False, return_information=None)


def test_bays_have_nodes_of_their_own_for_orders(tmp_path: Path) -> None:
    """A pattern that forgets the bay would let an order of one bay move the device of another."""
    node_map, _ = load(tmp_path)
    shared, _ = load(tmp_path, MAP.replace("s={station}.{point}.Oper", "s={station}.Oper"))
    assert node_map is not None and shared is not None
    found: list[Fault] = []
    bind_nodes(TWO_BAYS, {"feeder_22.opcua": node_map}, found)
    assert found == []
    bind_nodes(TWO_BAYS, {"feeder_22.opcua": shared}, found)
    assert [str(fault) for fault in found] == [
        "TN07: TN07/172/172.operate: is ordered at the node of TN07/171/171.operate: s=TN07.Oper"
    ]


@pytest.mark.parametrize(
    ("second", "faults"),
    [
        (SECOND, ["TN07: TN07/171/reset: reset is the same order as open of TN07/171/171.operate"]),
        (SECOND.replace("reset = 1", "reset = 3"), []),
        (
            SECOND.replace("values = { reset = 1 }", "set_point = true"),
            ["TN07: TN07/171/reset: is ordered at the node of TN07/171/171.operate, where any value is an order"],
        ),
    ],
)
def test_commands_of_a_bay_may_share_a_node_but_no_order(tmp_path: Path, second: str, faults: list[str]) -> None:
    node_map, wrong = load(tmp_path, MAP + second)
    assert node_map is not None, wrong
    kind = CommandKind.SET_POINT if "set_point" in second else RESET.kind
    bay = replace(STATION.bays[0], commands=(OPERATE, replace(RESET, kind=kind)))
    found: list[Fault] = []
    bind_nodes(replace(STATION, bays=(bay,)), {"feeder_22.opcua": node_map}, found)
    assert [str(fault) for fault in found] == faults
