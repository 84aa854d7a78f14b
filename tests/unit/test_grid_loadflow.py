"""The load flow against figures found by hand, and its behaviour where there is no answer."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scada.grid.loadflow import Flows, FlowStatus, LoadFlow
from scada.grid.network import Leg, tap_ratio, transformer_legs
from scada.grid.powsybl import engine, results
from scada.grid.topology import Certainty
from scada.model.point import DoublePoint
from scada.model.station import Infeed, Province, Transformer
from scada.stationfile import load_province
from tests.fakes_grid import edit, write_province

SECOND_INFEED = ', { name = "second", busbar = "A02/C11", p_mw = 0.0, target_kv = 110.0, slack = false }]'


@pytest.fixture(scope="module")
def load_flow(tmp_path_factory: pytest.TempPathFactory) -> LoadFlow:
    """The small province: 115 kV at A01, 4 + j10 Ω to A02, 30 + j10 MVA there."""
    return LoadFlow(load_province(write_province(tmp_path_factory.mktemp("province"))))


def solve(load_flow: LoadFlow, *opened: str, closed: tuple[str, ...] = (), tap: int = 10, scale: float = 1.0) -> Flows:
    """The flows of the normal state with some devices moved."""
    positions = load_flow.topology.normal_positions() == 2
    for name in opened:
        positions[load_flow.topology.device_index[name]] = False
    for name in closed:
        positions[load_flow.topology.device_index[name]] = True
    p_mw, q_mvar = load_flow.peak_loads()
    return load_flow.solve(positions, p_mw * scale, q_mvar * scale, np.full(len(load_flow.neutral_taps()), tap))


def terminal(load_flow: LoadFlow, flows: Flows, name: str) -> tuple[float, float, float, float]:
    """MW, Mvar, A and kV at a terminal."""
    at = load_flow.topology.terminal_index[name]
    return float(flows.p_mw[at]), float(flows.q_mvar[at]), float(flows.i_a[at]), float(flows.u_kv[at])


def test_two_busbars_and_a_line_agree_with_the_closed_formula(load_flow: LoadFlow) -> None:
    """V2² = a/2 + √(a²/4 − |S|²|Z|²), a = V1² − 2(PR + QX), here a = 13225 − 440 = 12785, |S|²|Z|² = 1000 · 116.

    V2² = 12775.9205, V2 = 113.0306 kV; I = 31.6228 / (√3 · V2) = 161.526 A; 3I²R = 0.31309 MW, 3I²X = 0.78272 Mvar.
    """
    flows = solve(load_flow)

    assert flows.status is FlowStatus.CONVERGED
    assert flows.reason == ""
    assert terminal(load_flow, flows, "A02/173/load") == pytest.approx((30.0, 10.0, 161.526, 113.0306), rel=1e-5)
    assert terminal(load_flow, flows, "A02/171/line") == pytest.approx((-30.0, -10.0, 161.526, 113.0306), rel=1e-5)
    assert terminal(load_flow, flows, "A01/171/line") == pytest.approx((30.31309, 10.78272, 161.526, 115.0), rel=1e-5)
    assert flows.line_loading.tolist() == pytest.approx([161.526 / 300.0], rel=1e-5)


def test_the_supply_delivers_what_leaves_its_busbar(load_flow: LoadFlow) -> None:
    flows = solve(load_flow)
    line = terminal(load_flow, flows, "A01/171/line")
    winding = terminal(load_flow, flows, "A01/T1/hv")

    assert flows.infeed_mw.tolist() == pytest.approx([line[0] + winding[0]], abs=0.02)
    assert flows.infeed_mvar.tolist() == pytest.approx([line[1] + winding[1]], abs=0.02)


def test_legs_of_a_transformer_are_those_of_the_published_tables() -> None:
    """25 MVA, 115/38.5/23 kV, 10.5/17.5/6.5 %, 140 kW: handbooks give R = 1.5 Ω each and X = 56.9, 0 and 35.7 Ω."""
    legs = transformer_legs(Transformer("T1", 25.0, 1, 19, 10, 1.78, load_loss_kw=140.0))

    assert [leg.r_ohm for leg in legs] == pytest.approx([1.48, 1.48, 1.48], abs=0.01)
    assert [leg.x_ohm for leg in legs] == pytest.approx([56.9, -1.3, 35.7], abs=0.1)
    assert isinstance(legs[0], Leg)


def test_figures_read_without_a_data_frame_are_those_of_the_frame(load_flow: LoadFlow) -> None:
    solve(load_flow, "A02/173")
    network, kind = load_flow._network, engine.ElementType
    for element, columns in ((kind.LOAD, ["q", "p"]), (kind.THREE_WINDINGS_TRANSFORMER, ["p1", "q3"])):
        frame = network.get_elements(element, attributes=columns)
        ids = list(reversed(frame.index))
        wanted = np.nan_to_num(frame.reindex(ids).to_numpy(dtype=np.float64))
        assert np.array_equal(results(network, element, columns, ids), wanted)
        assert wanted.any()


def test_an_unloaded_transformer_shows_its_ratio(load_flow: LoadFlow) -> None:
    """115 kV at neutral tap gives 23 kV, and 23 / (1 − 4 · 1.78 %) = 24.763 kV at tap 14."""
    neutral = solve(load_flow, "A01/372")
    raised = solve(load_flow, "A01/372", tap=14)

    assert terminal(load_flow, neutral, "A01/T1/lv")[3] == pytest.approx(23.0, rel=2e-3)
    assert terminal(load_flow, neutral, "A01/T1/mv")[3] == pytest.approx(38.5, rel=2e-3)
    assert terminal(load_flow, raised, "A01/T1/lv")[3] == pytest.approx(24.763, rel=2e-3)


def test_a_higher_tap_means_fewer_turns() -> None:
    transformer = Transformer("T1", 25.0, 1, 19, 10, 1.78)

    assert tap_ratio(transformer, 10) == 1.0
    assert tap_ratio(transformer, 1) == pytest.approx(1 / 1.1602)
    assert tap_ratio(transformer, 19) == pytest.approx(1 / 0.8398)


def test_a_tap_beyond_the_range_is_held_at_its_end(load_flow: LoadFlow) -> None:
    last = solve(load_flow, tap=19)
    beyond = solve(load_flow, tap=25)

    assert beyond.u_kv.tolist() == pytest.approx(last.u_kv.tolist())


def test_a_coupler_carries_what_hangs_behind_it(load_flow: LoadFlow) -> None:
    flows = solve(load_flow)
    winding = terminal(load_flow, flows, "A01/T1/mv")
    coupler = terminal(load_flow, flows, "A01/312/coupler")

    assert coupler[:2] == pytest.approx((8.0, 2.0), abs=1e-6)
    assert coupler == pytest.approx((-winding[0], -winding[1], winding[2], winding[3]), abs=0.01)


def test_behind_an_opened_breaker_there_is_nothing_and_no_old_figure(load_flow: LoadFlow) -> None:
    solve(load_flow)
    flows = solve(load_flow, "A02/171", "A01/312")

    assert flows.status is FlowStatus.CONVERGED
    assert terminal(load_flow, flows, "A02/173/load") == (0.0, 0.0, 0.0, 0.0)
    assert terminal(load_flow, flows, "A01/372/load") == (0.0, 0.0, 0.0, 0.0)
    assert terminal(load_flow, flows, "A01/312/coupler")[:3] == (0.0, 0.0, 0.0)
    assert flows.node_kv[load_flow.topology.node_index["A02/C11"]] == 0.0


def test_an_open_line_end_has_the_voltage_of_the_charged_line(tmp_path: Path) -> None:
    """|V2| = |V1| / |1 + ZY/2|: Z = 4 + j10 Ω, Y = j3000 µS, |1 + (j4 − 10) · 0.0015| = 0.985018; 116.749 kV."""
    folder = write_province(tmp_path)
    edit(folder, "province.toml", "b_us_per_km = 0.0", "b_us_per_km = 300.0")
    load_flow = LoadFlow(load_province(folder))
    flows = solve(load_flow, "A02/171")

    assert terminal(load_flow, flows, "A02/171/line") == pytest.approx((0.0, 0.0, 0.0, 116.749), rel=1e-5)
    charging = terminal(load_flow, flows, "A01/171/line")
    assert charging[1] == pytest.approx(-3000e-6 * 115.0 * 116.749, rel=0.01)


def test_an_open_winding_shows_the_voltage_of_the_star(load_flow: LoadFlow) -> None:
    flows = solve(load_flow, "A01/431")
    loaded = solve(load_flow)

    assert terminal(load_flow, flows, "A01/T1/lv") == pytest.approx(
        (0.0, 0.0, 0.0, terminal(load_flow, loaded, "A01/T1/lv")[3]), rel=1e-4
    )
    assert flows.node_kv[load_flow.topology.node_index["A01/C41"]] == 0.0


def test_a_switched_off_transformer_is_dead_on_all_sides(load_flow: LoadFlow) -> None:
    flows = solve(load_flow, "A01/131")

    for name in ("hv", "mv", "lv"):
        assert terminal(load_flow, flows, f"A01/T1/{name}") == (0.0, 0.0, 0.0, 0.0)


def test_no_answer_is_a_value_with_a_reason_and_the_next_question_is_answered(load_flow: LoadFlow) -> None:
    lost = solve(load_flow, scale=100.0)
    found = solve(load_flow)

    assert lost.status is FlowStatus.NOT_CONVERGED
    assert lost.reason != ""
    assert not lost.p_mw.any()
    assert not lost.u_kv.any()
    assert found.status is FlowStatus.CONVERGED
    assert terminal(load_flow, found, "A02/173/load")[3] == pytest.approx(113.0306, rel=1e-5)


def test_an_island_with_its_own_infeed_lives_on(tmp_path: Path) -> None:
    folder = write_province(tmp_path)
    edit(folder, "province.toml", "slack = true }]", "slack = true }" + SECOND_INFEED)
    load_flow = LoadFlow(load_province(folder))
    split = solve(load_flow, "A01/171")

    assert split.infeed_mw.tolist() == pytest.approx([8.15, 30.0], abs=0.2)
    assert terminal(load_flow, split, "A02/173/load")[3] == pytest.approx(110.0)
    assert terminal(load_flow, split, "A01/T1/hv")[3] == pytest.approx(115.0)


def test_together_the_slack_takes_what_is_not_scheduled(tmp_path: Path) -> None:
    folder = write_province(tmp_path)
    second = SECOND_INFEED.replace("p_mw = 0.0", "p_mw = 19.0").replace("110.0", "114.0")
    edit(folder, "province.toml", "slack = true }]", "slack = true }" + second)
    flows = solve(LoadFlow(load_province(folder)), scale=0.5)

    assert flows.infeed_mw[1] == pytest.approx(9.5, abs=0.02)
    assert flows.infeed_mw.sum() == pytest.approx(19.1, abs=0.1)


def test_with_every_device_open_only_the_infeeds_have_voltage(load_flow: LoadFlow) -> None:
    solve(load_flow)
    p_mw, q_mvar = load_flow.peak_loads()
    nothing = np.zeros(len(load_flow.topology.devices), dtype=np.bool_)
    flows = load_flow.solve(nothing, p_mw, q_mvar, load_flow.neutral_taps())

    assert not flows.p_mw.any()
    assert [load_flow.topology.nodes[index] for index in np.flatnonzero(flows.node_kv)] == ["A01/C11"]
    assert flows.infeed_mw.tolist() == pytest.approx([0.0], abs=0.02)


def test_a_station_alone_and_unsupplied_is_dead(tmp_path: Path) -> None:
    station = load_province(write_province(tmp_path)).stations[1]
    load_flow = LoadFlow(Province(stations=(station,), lines=(), infeeds=()))
    flows = solve(load_flow)

    assert flows.status is FlowStatus.CONVERGED
    assert not flows.u_kv.any()
    assert flows.infeed_mw.tolist() == []
    assert flows.line_loading.tolist() == []
    assert flows.transformer_loading.tolist() == []


def test_a_busbar_without_consumers_has_the_voltage_of_its_infeed(tmp_path: Path) -> None:
    station = load_province(write_province(tmp_path)).stations[1]
    bare = replace(
        station, devices=station.devices[:3], terminals=station.terminals[:1], loads=(), bays=station.bays[:1]
    )
    load_flow = LoadFlow(Province((bare,), (), (Infeed("supply", "A02/C11", 0.0, 115.0, slack=True),)))

    assert solve(load_flow).node_kv[load_flow.topology.node_index["A02/C11"]] == pytest.approx(115.0)


@given(positions=st.lists(st.booleans(), min_size=10, max_size=10))
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_voltage_is_where_the_topology_says_energised_and_nowhere_else(
    load_flow: LoadFlow, positions: list[bool]
) -> None:
    topology = load_flow.topology
    switching = [i for i, (_, device) in enumerate(topology.devices) if device.node_2]
    closed = np.zeros(len(topology.devices), dtype=np.bool_)
    closed[switching] = positions
    p_mw, q_mvar = load_flow.peak_loads()

    flows = load_flow.solve(closed, p_mw, q_mvar, load_flow.neutral_taps())

    state = topology.state(np.where(closed, DoublePoint.CLOSED, DoublePoint.OPEN).astype(np.int8))
    assert ((flows.node_kv > 0.0) == (state.energised == Certainty.YES)).all()


def test_the_library_s_extras_that_are_not_there_are_nobody_s_news() -> None:
    program = (
        "import logging; logging.basicConfig(); import scada.grid.powsybl; logging.getLogger('powsybl').warning('x')"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=100, check=True)
    assert ended.stderr == "WARNING:powsybl:x\n"
