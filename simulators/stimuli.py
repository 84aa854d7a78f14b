"""Values a test bench wants a station to show: a file it writes, and a file that answers.

    STIMULI       {"round": 3, "values": {"TN03/171/171.position": 2.0, …}}    what shall be shown from now on
    STIMULI.done  {"round": 3}                                                  it is

Knows the two files. Does not know who tests what.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from simulators.state_file import write_json


@dataclass(frozen=True, slots=True)
class Stimuli:
    """One round of values."""

    round: int
    values: Mapping[str, float]


class StimuliFile:
    """Reads rounds as they come."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._last = 0

    def news(self) -> Stimuli | None:
        """A round that has not been read yet; None when there is none, or it is still being written."""
        try:
            found = msgspec.json.decode(self._path.read_bytes(), type=Stimuli)
        except (FileNotFoundError, ValueError):
            return None
        if found.round == self._last:
            return None
        self._last = found.round
        return found

    def done(self, stimuli: Stimuli) -> None:
        """Say that the round is shown."""
        write_json(self._path.with_suffix(self._path.suffix + ".done"), {"round": stimuli.round})
