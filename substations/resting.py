"""Reads that fail while others of their station are answered: how many scans each is left out.

Knows doubling. Does not know why a read failed, or how it is asked.

A read that is silent costs a whole timeout each time it is asked: it rests for one scan, then two, up to ``LONGEST``.
"""

from dataclasses import dataclass
from typing import Final

from substations.link import FailedRead

LONGEST: Final = 32


@dataclass(slots=True)
class _Rest:
    """With what the read failed, and how many of how many scans it is still left out."""

    failed: FailedRead
    scans: int
    left: int


class RestingReads:
    """Those of one station, by name."""

    def __init__(self) -> None:
        self._rests: dict[str, _Rest] = {}

    def __contains__(self, name: object) -> bool:
        return name in self._rests

    def left_out(self, name: str) -> FailedRead | None:
        """What a read failed with, when it is left out of this scan; None when it is to be asked."""
        rest = self._rests.get(name)
        if rest is None or not rest.left:
            return None
        rest.left -= 1
        return rest.failed

    def failed(self, name: str, failed: FailedRead) -> None:
        """It was asked and failed: it rests twice as long as the last time."""
        before = self._rests.get(name)
        scans = 1 if before is None else min(before.scans * 2, LONGEST)
        self._rests[name] = _Rest(failed, scans, scans)

    def answered(self, name: str) -> None:
        """It was answered: it rests no longer."""
        self._rests.pop(name, None)

    def clear(self) -> None:
        """A new connection: everything is asked again."""
        self._rests.clear()
