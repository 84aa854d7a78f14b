"""Spans of time as people write them: ``90s``, ``15min``, ``1h``, ``7d``; a bare number is seconds."""

import re

from scada.model.errors import GridScadaError

_LONGEST_S = 36_525 * 86_400.0
"""Where it begins or ends, calendars have a day for it."""
_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}


class NotASpan(GridScadaError):
    """The text is no span of time."""


def seconds_of(text: str) -> float:
    """Seconds in ``text``. Raises NotASpan with an example."""
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*([a-z]*)", text.strip())
    if found is None or found[2] not in _UNITS or float(found[1]) == 0:
        raise NotASpan(f"{text!r} is no span of time; write 90s, 15min, 1h or 7d")
    seconds = float(found[1]) * _UNITS[found[2]]
    if seconds > _LONGEST_S:
        raise NotASpan(f"{text!r} is longer than a hundred years")
    return seconds
