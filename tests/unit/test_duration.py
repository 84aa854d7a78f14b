"""Spans of time as people write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scada.commands.duration import NotASpan, seconds_of


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("90", 90), ("15min", 900), ("15m", 900), ("1h", 3600), ("1.5 h", 5400), ("7d", 604_800)],
)
def test_a_span_is_read_in_its_unit(text: str, seconds: float) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "h", "-1h", "1w", "1h30", "0s", "0.0h", "1e3s", "nan", "١s", "1 0s"])
def test_what_is_no_span_is_refused_with_examples(text: str) -> None:
    with pytest.raises(NotASpan, match="write 90s, 15min, 1h or 7d"):
        seconds_of(text)


@pytest.mark.parametrize("text", ["36526d", "9999999d", "9" * 400])
def test_what_leads_out_of_every_calendar_is_refused(text: str) -> None:
    with pytest.raises(NotASpan, match="is longer than a hundred years"):
        seconds_of(text)


@given(st.integers(1, 36_525), st.sampled_from([("s", 1), ("min", 60), ("h", 3600), ("d", 86400)]))
def test_whole_numbers_of_every_unit_are_exact(number: int, unit: tuple[str, int]) -> None:
    assert seconds_of(f"{number}{unit[0]}") == number * unit[1]
