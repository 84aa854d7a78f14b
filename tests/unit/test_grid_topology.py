"""The topology: energised, earthed, joined; and doubt where a position is doubtful."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scada.grid.topology import Certainty, NetworkState, Topology, connected_components
from scada.model.point import DoublePoint
from scada.stationfile import load_province
from tests.fakes_grid import edit, write_province

YES, NO, UNKNOWN = Certainty.YES, Certainty.NO, Certainty.UNKNOWN
OPEN, CLOSED, INTERMEDIATE, FAULTY = DoublePoint.OPEN, DoublePoint.CLOSED, DoublePoint.INTERMEDIATE, DoublePoint.FAULTY


@pytest.fixture
def topology(tmp_path: Path) -> Topology:
    """The small province: supply at A01, line to A02, load there; transformer, coupler 312 and feeder 372 at A01."""
    return Topology(load_province(write_province(tmp_path)))


def state(topology: Topology, **positions: DoublePoint) -> NetworkState:
    """The state with some devices moved; ``A02_171_7`` stands for A02/171-7."""
    moved = topology.normal_positions()
    for name, position in positions.items():
        moved[topology.device_index[name.replace("_", "/", 1).replace("_", "-")]] = position
    return topology.state(moved)


def energised(topology: Topology, state: NetworkState, node: str) -> Certainty:
    return Certainty(int(state.energised[topology.node_index[node]]))


def earthed(topology: Topology, state: NetworkState, node: str) -> Certainty:
    return Certainty(int(state.earthed[topology.node_index[node]]))


def test_nodes_devices_terminals_and_loads_follow_the_files(topology: Topology) -> None:
    assert topology.nodes[:4] == ("A01/C11", "A01/C31", "A01/C32", "A01/C41")
    assert list(topology.device_index)[:3] == ["A01/171", "A01/171-7", "A01/171-76"]
    assert topology.device_nodes[2].tolist() == [topology.node_index["A01/171:line"], -1]
    assert list(topology.terminal_index)[:4] == ["A01/171/line", "A01/T1/hv", "A01/T1/mv", "A01/T1/lv"]
    assert [each.name for each in topology.loads] == ["A01/372", "A02/173"]
    assert topology.load_nodes.tolist() == [
        topology.node_index["A01/372:feeder"],
        topology.node_index["A02/173:feeder"],
    ]


def test_everything_is_energised_through_lines_transformers_and_couplers(topology: Topology) -> None:
    normal = state(topology)

    assert set(normal.energised.tolist()) == {YES}
    assert set(normal.earthed.tolist()) == {NO}
    assert len(set(normal.island.tolist())) == 1


def test_an_opened_feeder_goes_dead_alone(topology: Topology) -> None:
    opened = state(topology, A02_173=OPEN)

    assert [topology.nodes[index] for index in np.flatnonzero(opened.energised == NO)] == ["A02/173:feeder"]
    assert [each.name for each in topology.dead_loads(opened)] == ["A02/173"]


def test_an_opened_line_kills_the_far_station_but_not_its_own_end(topology: Topology) -> None:
    opened = state(topology, A02_171=OPEN)

    assert energised(topology, opened, "A02/171:line") == YES
    assert energised(topology, opened, "A02/C11") == NO


@pytest.mark.parametrize("doubtful", [INTERMEDIATE, FAULTY])
def test_behind_a_doubtful_position_nothing_is_known(topology: Topology, doubtful: DoublePoint) -> None:
    doubt = state(topology, A02_171=doubtful)

    assert energised(topology, doubt, "A02/171:inside") == YES
    assert energised(topology, doubt, "A02/C11") == UNKNOWN
    assert topology.dead_loads(doubt) == ()


def test_doubt_behind_an_open_device_changes_nothing(topology: Topology) -> None:
    doubt = state(topology, A02_171=INTERMEDIATE, A02_171_7=OPEN)

    assert energised(topology, doubt, "A02/C11") == NO


def test_two_ways_of_which_one_is_doubtful_leave_no_doubt(topology: Topology) -> None:
    assert energised(topology, state(topology, A01_331=INTERMEDIATE), "A01/T1:mv_winding") == YES


def test_an_earthing_switch_earths_the_line_to_its_far_end(topology: Topology) -> None:
    both_open = state(topology, A01_171=OPEN, A02_171=OPEN, A02_171_76=CLOSED)

    assert earthed(topology, both_open, "A02/171:line") == YES
    assert earthed(topology, both_open, "A01/171:inside") == YES
    assert earthed(topology, both_open, "A01/C11") == NO
    assert energised(topology, both_open, "A01/171:line") == NO


@pytest.mark.parametrize("doubtful", [INTERMEDIATE, FAULTY])
def test_a_doubtful_earthing_switch_leaves_open_whether_it_earths(topology: Topology, doubtful: DoublePoint) -> None:
    doubt = state(topology, A02_171=OPEN, A02_171_7=OPEN, A02_171_76=doubtful)

    assert earthed(topology, doubt, "A02/171:line") == UNKNOWN
    assert earthed(topology, doubt, "A02/171:inside") == NO


def test_earthing_one_winding_does_not_earth_the_others(topology: Topology) -> None:
    switched_off = state(topology, A01_131=OPEN, A01_331=OPEN, A01_431=OPEN, A01_431_38=CLOSED)

    assert earthed(topology, switched_off, "A01/T1:lv_winding") == YES
    assert earthed(topology, switched_off, "A01/T1:hv_winding") == NO


def test_a_live_node_may_be_earthed_which_is_a_short_circuit(topology: Topology) -> None:
    short = state(topology, A02_171_76=CLOSED)

    assert energised(topology, short, "A02/171:line") == YES
    assert earthed(topology, short, "A02/171:line") == YES


def test_a_transformer_fed_from_below_is_energised(tmp_path: Path) -> None:
    folder = write_province(tmp_path)
    edit(
        folder, "province.toml", '"A01/C11", p_mw = 40.0, target_kv = 115.0', '"A01/C31", p_mw = 40.0, target_kv = 36.0'
    )
    topology = Topology(load_province(folder))

    assert energised(topology, state(topology), "A02/C11") == YES
    assert energised(topology, state(topology, A01_331=OPEN), "A02/C11") == NO


def test_sections_end_at_lines_and_transformers_and_islands_do_not(topology: Topology) -> None:
    normal = state(topology)
    node = topology.node_index

    assert normal.section[node["A01/C11"]] == normal.section[node["A01/171:line"]]
    assert normal.section[node["A01/C11"]] != normal.section[node["A02/C11"]]
    assert normal.section[node["A01/C31"]] == normal.section[node["A01/C32"]]
    assert normal.section[node["A01/C11"]] != normal.section[node["A01/C31"]]
    assert normal.island[node["A02/C11"]] == normal.island[node["A01/C31"]]


@given(st.data())
def test_components_are_those_a_walk_finds(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 30))
    node = st.integers(0, count - 1)
    edges = data.draw(st.lists(st.tuples(node, node), max_size=60))
    label = connected_components(count, np.array(edges, dtype=np.int32).reshape(-1, 2))

    neighbours: dict[int, set[int]] = {each: set() for each in range(count)}
    for first, second in edges:
        neighbours[first].add(second)
        neighbours[second].add(first)
    for start in range(count):
        reached, fresh = {start}, [start]
        while fresh:
            found = neighbours[fresh.pop()] - reached
            reached |= found
            fresh += found
        assert label[start] == min(reached)
