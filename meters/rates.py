"""Which part of the day a rate is: the names that models of meters give their registers, in words.

Knows the names in use. Which register of a meter is which rate is the map of its model, never the number in its code.
"""

from collections.abc import Mapping

from meters.obis import BY_NUMBER

DAY_PARTS: Mapping[str, tuple[str, str]] = {
    "BT": ("giờ bình thường", "normal hours"),
    "CD": ("giờ cao điểm", "peak hours"),
    "TD": ("giờ thấp điểm", "off-peak hours"),
}
"""Vietnamese and English, by the name of the rate. Another name stands for itself."""


def rate_of(number: int, rates: Mapping[str, str]) -> str:
    """The name of the rate a register counts, '' where it counts none. ``rates``: by OBIS code."""
    return rates.get(BY_NUMBER[number].code, "")


def register_title(number: int, rates: Mapping[str, str], language: str) -> str:
    """What a register counts: ``Active energy import, peak hours``; without a map ``…, rate 2``."""
    register, rate = BY_NUMBER[number], rate_of(number, rates)
    title = register.title_vi if language == "vi" else register.title_en
    if not rate:
        return title
    words = DAY_PARTS.get(rate, (rate, rate))
    return f"{title.rpartition(', ')[0]}, {words[0] if language == 'vi' else words[1]}"
