"""What an operation would bring about: figures found by hand, what is told and what is not, gaps filled and said."""

from pathlib import Path

import numpy as np
import pytest

from scada.control.interlocking import operation_on
from scada.control.orders_copy import NetworkCopy
from scada.control.whatif import LoadFlowWhatIf
from scada.control.whatif_inputs import InputReader, Inputs
from scada.grid.loadflow import Flows, LoadFlow
from scada.image import ProcessImage
from scada.model.point import DoublePoint
from scada.model.quality import Quality
from scada.model.station import Province
from scada.model.switching import Action, Consequences, Operation
from scada.stationfile import load_province
from tests.fakes_grid import edit, write_province

OPEN, CLOSE = Action.OPEN, Action.CLOSE
NOW = 1_790_000_000_000_000


@pytest.fixture
def province(tmp_path: Path) -> Province:
    """A01 with the supply, a transformer with coupler 312 and feeder 372 (8 MW); a line to A02 with 30 MW, 10 Mvar."""
    return load_province(write_province(tmp_path))


def image_of(load_flow: LoadFlow) -> ProcessImage:
    """The process image in the normal switching state at peak load."""
    points = [point for station in load_flow.topology.province.stations for point in station.points]
    copy = NetworkCopy(load_flow, None, NOW)
    image = ProcessImage(points)
    image.apply(copy.read([point.name for point in points]))
    return image


def reading(load_flow: LoadFlow, image: ProcessImage) -> Inputs:
    return InputReader(load_flow.topology, load_flow.neutral_taps()).read(image)


def solve(load_flow: LoadFlow, inputs: Inputs) -> Flows:
    return load_flow.solve(inputs.positions == DoublePoint.CLOSED, inputs.p_mw, inputs.q_mvar, inputs.tap)


def wish(province: Province, target: str, action: Action) -> Operation:
    code, device = target.split("/")
    return operation_on(next(each for each in province.stations if each.code == code), device, action)


def ask(province: Province, target: str, action: Action, customers: dict[str, int] | None = None) -> Consequences:
    load_flow = LoadFlow(province)
    return LoadFlowWhatIf(load_flow, customers).after(wish(province, target, action), image_of(load_flow), NOW)


def test_opening_a_feeder_loses_its_load_and_its_customers(province: Province) -> None:
    found = ask(province, "A01/372", OPEN, {"A01/372": 1700, "A02/173": 3})

    assert found == Consequences(known=True, lost_loads=("A01/372",), lost_mw=8.0, lost_customers=1700)


def test_opening_a_line_loses_what_hangs_behind_it(province: Province) -> None:
    found = ask(province, "A01/171", OPEN, {"A01/372": 1700, "A02/173": 3})

    assert (found.lost_loads, found.lost_mw, found.lost_customers) == (("A02/173",), 30.0, 3)
    assert found.remarks == ("without voltage: busbar A02/C11",)


def test_opening_a_transformer_tells_the_dark_busbars(province: Province) -> None:
    found = ask(province, "A01/131", OPEN)

    assert found.remarks == ("without voltage: busbar A01/C31, A01/C32, A01/C41",)


def test_two_lines_of_which_one_is_left_are_overloaded(tmp_path: Path) -> None:
    """30 MW and 10 Mvar at 115 kV are 159 A: half of it on each of two lines rated 100 A, all of it on one."""
    folder = write_province(tmp_path)
    edit(folder, "province.toml", "rated_a = 300.0", "rated_a = 100.0")
    line = '"A01/171", "A02/171"], length_km = 10.0, conductor = "thin" }'
    edit(
        folder,
        "province.toml",
        line,
        line + ', { name = "second", ends = ["A01/172", "A02/172"], length_km = 10.0, conductor = "thin" }',
    )
    for station, suffix, base in (("A01", "modbus", "base = 500\n"), ("A02", "opcua", "")):
        bay = f'[[bay]]\ntype = "line"\nname = "172"\nnumber = 12\nmap = "line.{suffix}"\n{base}busbars = ["C11"]\n\n'
        edit(folder, f"stations/{station}.toml", '[[bay]]\ntype = "line"', bay + '[[bay]]\ntype = "line"')
    province = load_province(folder)

    found = ask(province, "A01/172", OPEN)

    (overload,) = found.overloads
    assert overload.subject == "line A01-A02"
    assert overload.value == pytest.approx(159.0, rel=0.03)
    assert (overload.limit, overload.unit) == (100.0, "A")
    assert overload.sentence.startswith("line A01-A02 at 16")
    assert overload.sentence.endswith("% of 100 A (now 79%)") or overload.sentence.endswith("% of 100 A (now 80%)")
    assert found.lost_loads == ()


def test_losing_the_load_overloads_nothing(province: Province) -> None:
    assert ask(province, "A02/173", OPEN).overloads == ()


def test_an_overload_that_is_there_already_and_does_not_grow_is_not_told(tmp_path: Path) -> None:
    folder = write_province(tmp_path)
    edit(folder, "province.toml", "rated_a = 300.0", "rated_a = 100.0")
    province = load_province(folder)

    assert ask(province, "A01/372", OPEN).overloads == ()


def test_a_busbar_that_would_leave_its_limits_is_told(tmp_path: Path) -> None:
    """The supply holds 104.2 kV, just within the limit of 104 kV; sixty times the load behind the line is too much."""
    folder = write_province(tmp_path)
    edit(folder, "province.toml", "target_kv = 115.0", "target_kv = 104.2")
    edit(folder, "province.toml", "r_ohm_per_km = 0.4, x_ohm_per_km = 1.0", "r_ohm_per_km = 0.01, x_ohm_per_km = 0.01")
    province = load_province(folder)
    load_flow = LoadFlow(province)
    what_if = LoadFlowWhatIf(load_flow)
    image = image_of(load_flow)
    before = reading(load_flow, image)
    heavy = before.p_mw * np.where([load.name == "A02/173" for load in load_flow.topology.loads], 60.0, 1.0)

    found = what_if.compare(before, type(before)(before.positions, heavy, before.q_mvar, before.tap))

    (voltage,) = [each for each in found.voltages if each.subject == "busbar A02/C11"]
    assert voltage.limit == 104.0
    assert voltage.value < 104.0
    assert "below 104 kV (now 104.2 kV)" in voltage.sentence


def test_a_tap_step_moves_the_voltage_of_the_lower_sides(province: Province) -> None:
    load_flow = LoadFlow(province)
    before = reading(load_flow, image_of(load_flow))
    node = load_flow.topology.node_index["A01/C41"]

    raised = solve(load_flow, before.with_step(0, 1)).node_kv[node] / solve(load_flow, before).node_kv[node]

    assert raised == pytest.approx(1.0178, abs=0.004)
    assert ask(province, "A01/T1", Action.RAISE).known


def test_what_a_regulator_will_do_with_a_set_point_is_not_claimed(province: Province) -> None:
    load_flow = LoadFlow(province)
    operation = Operation("A01", "T1", "avr.voltage_setpoint", "", Action.SET, 23.1, "kV")
    found = LoadFlowWhatIf(load_flow).after(operation, image_of(load_flow), NOW)
    assert (found.known, found.reason.startswith("the regulator steps the taps")) == (False, True)


def test_closing_what_was_open_supplies_it_again(province: Province) -> None:
    load_flow = LoadFlow(province)
    what_if = LoadFlowWhatIf(load_flow, {"A01/372": 1700})
    copy = NetworkCopy(load_flow, image_of(load_flow), NOW)
    copy.apply(wish(province, "A01/372", OPEN))

    found = what_if.after(wish(province, "A01/372", CLOSE), copy, NOW)

    assert (found.lost_mw, found.lost_customers) == (0.0, 0)
    assert found.regained_mw == pytest.approx(8.0)


def test_what_moves_nothing_is_said_to_move_nothing(province: Province) -> None:
    load_flow = LoadFlow(province)
    reset = Operation("A01", "171", "f86.reset", "", Action.RESET)

    assert LoadFlowWhatIf(load_flow).after(reset, image_of(load_flow), NOW) == Consequences(
        known=True, remarks=("A01/171/f86.reset moves nothing in the network",)
    )


def test_doubtful_positions_count_as_last_reported_and_are_told(province: Province) -> None:
    load_flow = LoadFlow(province)
    image = image_of(load_flow)
    doubtful = image.read(["A02/173/173.position"]).copy()
    doubtful["quality"] = Quality.NOT_TOPICAL
    image.apply(doubtful)

    found = LoadFlowWhatIf(load_flow).after(wish(province, "A01/372", OPEN), image, NOW)

    assert found.lost_loads == ("A01/372",)
    assert found.remarks == ("1 positions are in doubt and count as last reported",)


def test_an_image_that_knows_nothing_gives_the_normal_state_and_says_so(province: Province) -> None:
    load_flow = LoadFlow(province)
    points = [point for station in province.stations for point in station.points]
    devices = len(load_flow.topology.devices)

    found = LoadFlowWhatIf(load_flow).after(wish(province, "A01/372", OPEN), ProcessImage(points), NOW)

    assert found.lost_mw == 8.0
    assert found.remarks == (
        f"{devices} positions are in doubt and count as last reported",
        "1 tap positions are not known and count as neutral",
    )


def test_two_halves_are_told_as_two_islands(tmp_path: Path) -> None:
    folder = write_province(tmp_path)
    supply = '{ name = "supply", busbar = "A01/C11", p_mw = 40.0, target_kv = 115.0, slack = true }'
    second = '{ name = "second", busbar = "A02/C11", p_mw = 10.0, target_kv = 115.0, slack = false }'
    edit(folder, "province.toml", supply, f"{supply}, {second}")
    province = load_province(folder)

    assert ask(province, "A01/171", OPEN).remarks == ("the energised network splits into 2 islands (now 1)",)


def test_the_network_is_as_before_after_each_answer(province: Province) -> None:
    load_flow = LoadFlow(province)
    what_if, image = LoadFlowWhatIf(load_flow), image_of(load_flow)
    operations = [wish(province, "A01/372", OPEN), wish(province, "A01/171", OPEN), wish(province, "A01/131", OPEN)]

    first = [what_if.after(each, image, NOW) for each in operations]
    again = [what_if.after(each, image, NOW) for each in reversed(operations)]

    assert first == again[::-1]
