"""Which register is which rate is the model's map, and a person reads it in words."""

import pytest

from meters.obis import BY_CODE
from meters.rates import rate_of, register_title

RATES = {"1-0:1.8.1": "BT", "1-0:1.8.2": "CD", "1-0:1.8.3": "TD", "1-0:1.8.4": "X1"}


@pytest.mark.parametrize(
    ("code", "language", "title"),
    [
        ("1-0:1.8.1", "en", "Active energy import, normal hours"),
        ("1-0:1.8.2", "en", "Active energy import, peak hours"),
        ("1-0:1.8.3", "vi", "Điện năng hữu công giao, giờ thấp điểm"),
        ("1-0:1.8.4", "en", "Active energy import, X1"),
        ("1-0:1.8.0", "en", "Active energy import, total"),
        ("1-0:2.8.2", "vi", "Điện năng hữu công nhận, biểu giá 2"),
    ],
)
def test_a_register_is_called_by_the_rate_its_model_gives_it(code: str, language: str, title: str) -> None:
    assert register_title(BY_CODE[code].number, RATES, language) == title


def test_another_model_may_count_peak_in_another_register() -> None:
    number = BY_CODE["1-0:1.8.1"].number
    assert (rate_of(number, RATES), rate_of(number, {"1-0:1.8.1": "CD"}), rate_of(number, {})) == ("BT", "CD", "")
