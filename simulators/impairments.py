"""Faults of a station's link, on request: what is wrong, from when, for how long.

Knows how a fault is written and which one holds at a moment. Does not know any socket: ``simulators.relay`` applies it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from scada.tables import nearest


class Impairment(StrEnum):
    """What a station's link does instead of answering."""

    NONE = "none"
    REFUSE = "refuse"
    """Nobody listens; open connections are closed."""
    SILENT = "silent"
    """Connections are accepted and every byte is swallowed."""
    CUT = "cut"
    """The first half of an answer is sent, then the connection is closed."""


@dataclass(frozen=True, slots=True)
class LinkFault:
    """One fault of one station; times in seconds since the simulator was ready, ``until_s`` may be infinite."""

    station: str
    kind: Impairment
    from_s: float
    until_s: float


class FaultSyntax(ValueError):
    """A fault that cannot be understood; the message says what is expected."""


_WRITTEN = re.compile(
    r"(?P<station>[^=\s]+)=(?P<kind>[a-z]+)(?:@(?P<start>\d+(?:\.\d+)?)s?(?::(?P<length>\d+(?:\.\d+)?)s?)?)?"
)
_KINDS = tuple(kind.value for kind in Impairment if kind is not Impairment.NONE)


def parse_fault(text: str) -> LinkFault:
    """``TN03=silent@30s:20s`` as a fault: from 30 s on, for 20 s.

    Without a length it holds until the end, without ``@`` from the start. Raises FaultSyntax.
    """
    written = _WRITTEN.fullmatch(text.strip())
    if written is None:
        raise FaultSyntax(f"{text!r} is not a fault; write STATION=KIND@START:LENGTH, e.g. TN03=silent@30s:20s")
    if written["kind"] not in _KINDS:
        raise FaultSyntax(f"{written['kind']!r} is no kind of fault{nearest(written['kind'], _KINDS)}")
    start = float(written["start"] or 0.0)
    length = float(written["length"]) if written["length"] else float("inf")
    return LinkFault(written["station"], Impairment(written["kind"]), start, start + length)


def impairment_at(faults: Sequence[LinkFault], station: str, elapsed_s: float) -> Impairment:
    """What the link of ``station`` suffers ``elapsed_s`` seconds after the start; the last one written wins."""
    holding = [each.kind for each in faults if each.station == station and each.from_s <= elapsed_s < each.until_s]
    return holding[-1] if holding else Impairment.NONE


def next_change_s(faults: Sequence[LinkFault], station: str, elapsed_s: float) -> float:
    """Seconds after the start of the next moment at which ``impairment_at`` may change; infinite when never."""
    edges = [edge for each in faults if each.station == station for edge in (each.from_s, each.until_s)]
    return min((edge for edge in edges if edge > elapsed_s), default=float("inf"))
