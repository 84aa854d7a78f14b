"""Names in maps of either protocol: words in braces, actions of commands, and the nearest known name.

Knows words. Does not know addresses or nodes.
"""

from collections.abc import Sequence
from typing import Final

from scada.model.station import Bay
from scada.tables import nearest

ACTIONS: Final = ("open", "close", "raise", "lower", "reset")


def in_bay(pattern: str, bay: Bay) -> str:
    """A name of a map with its words in braces replaced by what they stand for in this bay."""
    for word, name in (("bay", bay.name), *bay.placeholders):
        pattern = pattern.replace(f"{{{word}}}", name)
    return pattern


def like(name: str, known: Sequence[str]) -> str:
    """``; did you mean X?`` for the known name most like ``name``; all known names only when they are few."""
    hint = nearest(name, known)
    return hint if len(known) <= 8 or "did you mean" in hint else ""
