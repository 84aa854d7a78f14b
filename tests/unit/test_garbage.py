"""The collector of cycles: what stands is left out, and a process that asks for rare looks gets its old ways back."""

import gc

import pytest

from scada.garbage import MANY, leave_out_what_stands, rarely_looked_for


def test_while_much_is_held_nothing_is_looked_for_before_very_much_has_gathered() -> None:
    before = gc.get_threshold()
    with rarely_looked_for():
        assert gc.get_threshold() == (MANY, *before[1:])
        collections = gc.get_stats()[0]["collections"]
        held = [[number] for number in range(MANY // 2)]
        assert gc.get_stats()[0]["collections"] == collections
    assert len(held) == MANY // 2
    assert gc.get_threshold() == before


def test_what_goes_wrong_leaves_no_other_ways_behind() -> None:
    before = gc.get_threshold()
    with pytest.raises(KeyError), rarely_looked_for():
        raise KeyError
    assert gc.get_threshold() == before


def test_what_stands_is_walked_through_no_more() -> None:
    stands = [{} for _ in range(1000)]
    try:
        leave_out_what_stands()
        assert gc.get_freeze_count() >= len(stands)
        assert not any(each is stands for each in gc.get_objects())
    finally:
        gc.unfreeze()
