"""The shipped province at peak: loaded as a real one is, and everything measured adds up."""

from pathlib import Path

import numpy as np
import pytest

from scada.grid.loadflow import Flows, FlowStatus, LoadFlow
from scada.model.station import TerminalKind
from scada.stationfile import load_province

FOLDER = Path(__file__).resolve().parents[2] / "substations"


@pytest.fixture(scope="module")
def load_flow() -> LoadFlow:
    """The network of the shipped province."""
    return LoadFlow(load_province(FOLDER))


@pytest.fixture(scope="module")
def peak(load_flow: LoadFlow) -> Flows:
    """Its flows at peak load in the normal switching state."""
    p_mw, q_mvar = load_flow.peak_loads()
    return load_flow.solve(load_flow.topology.normal_positions() == 2, p_mw, q_mvar, load_flow.neutral_taps())


def test_it_converges(peak: Flows) -> None:
    assert peak.status is FlowStatus.CONVERGED


def test_no_line_is_overloaded_and_transformers_run_between_30_and_75_percent(peak: Flows) -> None:
    assert peak.line_loading.max() < 1.0
    assert peak.transformer_loading.min() > 0.30
    assert peak.transformer_loading.max() < 0.75


def test_voltages_are_those_of_a_healthy_grid(load_flow: LoadFlow, peak: Flows) -> None:
    nominal = np.array([terminal.voltage_kv for _, terminal in load_flow.topology.terminals])

    assert (peak.u_kv / nominal).min() > 0.95
    assert (peak.u_kv / nominal).max() < 1.10


def test_what_enters_a_busbar_leaves_it(load_flow: LoadFlow, peak: Flows) -> None:
    """Kirchhoff on every section, couplers left out: they lie inside."""
    topology = load_flow.topology
    section = topology.sections(topology.normal_positions() == 2)
    balance = np.zeros(len(section))
    for index, (_, terminal) in enumerate(topology.terminals):
        if terminal.kind is not TerminalKind.BUSBAR:
            balance[section[topology.terminal_nodes[index]]] += peak.p_mw[index]
    for infeed, p_mw in zip(topology.province.infeeds, peak.infeed_mw, strict=True):
        balance[section[topology.node_index[infeed.busbar]]] -= p_mw

    assert np.abs(balance).max() < 0.02


def test_losses_are_one_to_three_percent(load_flow: LoadFlow, peak: Flows) -> None:
    consumed = load_flow.peak_loads()[0].sum()

    assert 0.01 < peak.infeed_mw.sum() / consumed - 1.0 < 0.03


def test_any_single_line_may_fail_without_overload_or_loss_of_supply(load_flow: LoadFlow) -> None:
    """n-1 for the 110 kV lines, as a province's grid is planned."""
    topology = load_flow.topology
    p_mw, q_mvar = load_flow.peak_loads()
    for line in topology.province.lines:
        closed = topology.normal_positions() == 2
        closed[topology.device_index[line.end_1]] = False
        flows = load_flow.solve(closed, p_mw, q_mvar, load_flow.neutral_taps())
        assert flows.status is FlowStatus.CONVERGED, line.name
        assert flows.line_loading.max() < 1.0, line.name
        assert flows.u_kv[load_flow.topology.terminal_index["TN01/TD/TUC11"]] > 104.5, line.name
