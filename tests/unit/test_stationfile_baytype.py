# ruff: noqa: E501  # one row per fault reads best
"""Bay types: one failing example for every contradiction a file may contain."""

from pathlib import Path

import pytest

from scada.baytype import names_of_bay, read_bay_types
from scada.model.errors import Fault
from tests.fakes_grid import edit, write_province

LINE, FEEDER, TRANSFORMER, COUPLER = (
    f"baytypes/{name}.toml" for name in ("line", "feeder_35", "transformer", "coupler")
)

FAULTY = [
    (LINE, 'slot = "bus", voltage_kv = 110.0 }', 'slot = "bus", voltage_kv = 110.0 }, { slot = "bus", voltage_kv = 110.0 }', ["busbars[2].slot: 'bus' is already that of busbars[1]", "nodes[2].node: 'bus' is already that of nodes[1]"]),
    (LINE, 'nodes = ["bus", "inside"]', 'nodes = ["bus", "insid"]', ["devices[1].nodes: unknown node 'insid'; did you mean 'inside'?", "nodes[1]: 'inside' is connected to no busbar through the devices of the bay", "nodes[2]: 'line' is connected to no busbar through the devices of the bay"]),
    (LINE, '["inside", "line"]', '["inside", "line", "spare"]', ["nodes[3]: 'spare' is connected to no busbar through the devices of the bay"]),
    (LINE, 'nodes = ["line"], normal', 'nodes = ["line", "inside"], normal', ["devices[3].nodes: earthing_switch {bay}-76 needs 1 different node(s)"]),
    (LINE, 'nodes = ["inside", "line"], normal', 'nodes = ["inside", "inside"], normal', ["devices[2].nodes: disconnector {bay}-7 needs 2 different node(s)", "nodes[2]: 'line' is connected to no busbar through the devices of the bay"]),
    (LINE, 'normal = "open"', 'normal = "opened"', ["devices[3].normal: 'opened' is not allowed; did you mean 'open'?"]),
    (LINE, 'kind = "disconnector"', 'kind = "isolator"', ["devices[2].kind: 'isolator' is not allowed; did you mean 'disconnector'?"]),
    (LINE, 'number = 2', 'number = 1', ["points[2].number: 1 is already that of points[1]"]),
    (LINE, 'number = 9', 'number = 0', ["points[4].number: 0 is below 1"]),
    (LINE, 'name = "active_power"', 'name = "{bay}.position"', ["points[4].name: '{bay}.position' is already that of points[1]"]),
    (LINE, 'quantity = "active_power"', 'quantity = "activ_power"', ["points[4].quantity: 'activ_power' is not allowed; did you mean 'active_power'?"]),
    (LINE, 'terminal = "line", vi', 'terminal = "lime", vi', ["points[4].terminal: unknown terminal 'lime'; did you mean 'line'?"]),
    (LINE, 'device = "{bay}-76", vi', 'device = "{bay}-77", vi', ["devices[3]: {bay}-76 has 0 points of quantity 'position', needs one", "points[3].device: unknown device '{bay}-77'; did you mean '{bay}-7'?"]),
    (LINE, 'quantity = "active_power"', 'quantity = "position", device = "{bay}"', ["devices[1]: {bay} has 2 points of quantity 'position', needs one"]),
    (LINE, "low = -9.0, high = 9.0", "low = 9.0, high = 9.0", ["points[4].low: 9.0 is not below high 9.0"]),
    (LINE, "deadband = 0.5", "deadband = -0.5", ["points[4].deadband: -0.5 is below 0.0"]),
    (LINE, 'vi = "P"', 'vi = "P {bays}"', ["points[4].vi: {bays} stands for nothing; did you mean 'bay'?"]),
    (LINE, 'vi = "P"', 'vi = "P {bay"', ["points[4].vi: 'P {bay' is no pattern: expected '}' before end of string"]),
    (LINE, 'node = "line" }]', 'node = "lime" }]', ["terminals[1].node: unknown node 'lime'; did you mean 'line'?"]),
    (LINE, 'node = "line" }]', 'node = "bus" }]', ["terminals[1].node: 'bus' already holds the busbar"]),
    (LINE, 'node = "line" }]', 'node = "line" }, { name = "cable", kind = "line", node = "line" }]', ["terminals[2].node: 'line' already holds line"]),
    (LINE, 'node = "line" }]', 'node = "line" }, { name = "vt", kind = "busbar", node = "line", busbar = "bus" }]', ["terminals[2].node: 'line' is not at the circuit breaker whose flow it measures"]),
    (LINE, 'node = "line" }]', 'node = "line", load = { p_mw = 1.0, q_mvar = 0.0, shares = { business = 1.0 } } }]', ["terminals[1].load: a terminal of kind line has no load"]),
    (FEEDER, 'node = "feeder" }]', 'node = "feeder", load = { p_mw = 1.0, q_mvar = 0.0, shares = { business = 0.5 } } }]', ["terminals[1].load.shares: residential + production + business is 0.500, must be 1"]),
    (COUPLER, 'busbar = "first"', 'busbar = "frist"', ["terminals[1].busbar: unknown slot 'frist'; did you mean 'first'?"]),
    (LINE, 'return_information = "{bay}.position"', 'return_information = "{bay}.positon"', ["commands[1].return_information: unknown point '{bay}.positon'; did you mean '{bay}.position'?"]),
    (LINE, '{ name = "{bay}.operate"', '{ name = "active_power"', ["commands[1].name: 'active_power' is the name of a point"]),
    (LINE, 'device = "{bay}", kind = "double', 'device = "{bay}-8", kind = "double', ["commands[1].device: unknown device '{bay}-8'; did you mean '{bay}-7'?"]),
    (LINE, 'kind = "double_command"', 'kind = "set_point"', ["commands[1]: a set-point moves no device", "commands[1]: a set-point needs a measured value as return_information", "commands[1]: a set-point needs low and high, low below high"]),
    (LINE, 'kind = "double_command"', 'kind = "double_command", low = 1.0', ["commands[1]: low and high belong to set_point, not to double_command"]),
    (TRANSFORMER, "transformer = true\n", "", ["commands[1].device: unknown device '{bay}'; known are 13{unit}, 33{unit}, 43{unit}, 43{unit}-38", "points[5].device: unknown device '{bay}'; known are 13{unit}, 33{unit}, 43{unit}, 43{unit}-38"]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "old", "new", "expected"), FAULTY, ids=[each[3][0] for each in FAULTY])
def test_a_contradiction_is_named_with_its_file_and_key(
    tmp_path: Path, name: str, old: str, new: str, expected: list[str]
) -> None:
    edit(write_province(tmp_path), name, old, new)
    found: list[Fault] = []

    usable, known = read_bay_types(tmp_path / "baytypes", found)

    assert [str(each) for each in sorted(found)] == [f"{name}: {each}" for each in expected]
    assert known - usable.keys() == {Path(name).stem}


def test_placeholders_take_bay_unit_and_section_from_the_names(tmp_path: Path) -> None:
    usable, _ = read_bay_types(write_province(tmp_path) / "baytypes", [])

    assert names_of_bay(usable["transformer"], "T2", ["C12", "C32", "C42"]) == {
        "bay": "T2",
        "unit": "2",
        "hv": "C12",
        "hv_section": "2",
        "mv": "C32",
        "mv_section": "2",
        "lv": "C42",
        "lv_section": "2",
    }
