"""Flow through couplers by the balance of their sections."""

import numpy as np
import pytest

from scada.grid.couplers import coupler_flows


def flows(edges: list[tuple[int, int]], drawn: list[float]) -> list[float]:
    return coupler_flows(np.array(edges, dtype=np.int32).reshape(-1, 2), np.array(drawn)).tolist()


def test_a_coupler_carries_what_its_second_section_draws() -> None:
    assert flows([(0, 1)], [-30.0, 30.0]) == [30.0]


def test_the_sign_turns_with_the_direction() -> None:
    assert flows([(1, 0)], [-30.0, 30.0]) == [-30.0]


def test_couplers_in_a_row_add_up() -> None:
    assert flows([(0, 1), (1, 2)], [-30.0, 10.0, 20.0]) == [30.0, 20.0]


def test_couplers_of_separate_stations_do_not_mix() -> None:
    assert flows([(0, 1), (2, 3)], [-5.0, 5.0, 7.0, -7.0]) == [5.0, -7.0]


def test_a_ring_leaves_the_split_open_but_not_the_branch_on_it() -> None:
    assert flows([(0, 1), (1, 2), (2, 0), (2, 3)], [-30.0, 10.0, 5.0, 15.0]) == [
        pytest.approx(np.nan, nan_ok=True),
        pytest.approx(np.nan, nan_ok=True),
        pytest.approx(np.nan, nan_ok=True),
        15.0,
    ]


def test_no_couplers_no_flows() -> None:
    assert flows([], [1.0]) == []
