"""Claims about the restlessness of simulated values."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from simulators.wander import wander

DAY = 86_400_000_000


@given(now=st.integers(0, 4_000_000_000_000_000), seed=st.integers(0, 2**32 - 1))
def test_it_stays_within_one_and_depends_on_seed_and_time_alone(now: int, seed: int) -> None:
    first = wander(5, seed, shortest_s=3.0, longest_s=600.0).at(now)
    assert np.abs(first).max() <= 1.0
    assert first.tolist() == wander(5, seed, shortest_s=3.0, longest_s=600.0).at(now).tolist()


def test_it_moves_a_little_in_a_second_and_much_in_minutes_also_at_midnight() -> None:
    signals = wander(200, 7, shortest_s=30.0, longest_s=900.0)
    for start in (20_000 * DAY - 500_000, 20_000 * DAY + 36_000_000_000):
        step = np.abs(signals.at(start + 1_000_000) - signals.at(start))
        assert 0.0 < step.max() < 0.25
        assert np.abs(signals.at(start + 300_000_000) - signals.at(start)).max() > 0.5


def test_another_seed_gives_another_signal() -> None:
    one, other = (wander(3, seed, shortest_s=3.0, longest_s=600.0).at(5 * DAY) for seed in (1, 2))
    assert one.tolist() != other.tolist()
