"""The point-to-point test of a station: which values to show in which round, and what the answers prove.

Knows points and values. Does not know how values are brought into a device, or how they come back.

All points are stimulated at once. In the binary rounds every single and double point shows one bit of its own number,
so that over the rounds no two points show the same course: two crossed wires cannot pass. Measured values show, in each
round, another part of their range, in another order over the points.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from scada.model.point import DoublePoint, Point, PointKind
from scada.model.quality import Quality

_CONTACTS: Final = (PointKind.SINGLE_POINT, PointKind.DOUBLE_POINT)
_GOLDEN: Final = 0.6180339887498949
_UNUSABLE: Final = int(Quality.INVALID | Quality.NOT_TOPICAL)
_SHARE_OF_RANGE: Final = 0.002
"""Tolerance of a measured value: what a class 0.2 transducer may err, and more than any scale in a map rounds."""
_LARGEST_TOTAL: Final = 1_000_000.0


class Verdict(StrEnum):
    """What became of a point."""

    PASS = "pass"
    FAIL = "fail"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Seen:
    """What the control centre showed of a point in one round: value, quality octet and time (µs UTC)."""

    value: float
    quality: int
    time: int


@dataclass(frozen=True, slots=True)
class PointVerdict:
    """One line of the report. ``tried``: values shown; ``expected`` and ``seen`` are those of the first failure, or of
    the last round; ``time``: when that round was judged (µs UTC)."""

    point: Point
    verdict: Verdict
    tried: int
    expected: float
    seen: Seen
    time: int
    why: str = ""


def rounds_for(points: Sequence[Point]) -> tuple[Mapping[str, float], ...]:
    """The values of every point in each round, by full name."""
    contacts = [point for point in points if point.kind in _CONTACTS]
    others = [point for point in points if point.kind not in _CONTACTS]
    bits = max(1, math.ceil(math.log2(len(contacts) + 1)))
    patterns = [[0] * len(contacts), [1] * len(contacts)]
    patterns += [[(number >> bit) & 1 for number in range(1, len(contacts) + 1)] for bit in range(bits)]
    rounds = []
    for turn, pattern in enumerate(patterns):
        values = {point.name: _contact(point, state) for point, state in zip(contacts, pattern, strict=True)}
        values |= {point.name: _figure(point, place, turn) for place, point in enumerate(others)}
        rounds.append(values)
    for doubtful in (DoublePoint.INTERMEDIATE, DoublePoint.FAULTY):
        values = {p.name: float(doubtful) for p in contacts if p.kind is PointKind.DOUBLE_POINT}
        if values:
            rounds.append(values)
    return tuple(rounds)


def matches(point: Point, expected: float, seen: Seen) -> str:
    """Why ``seen`` is not ``expected``, in words; '' when it is."""
    if seen.quality & _UNUSABLE:
        return f"quality {Quality(seen.quality).label}"
    if abs(seen.value - expected) > tolerance(point):
        return f"shows {seen.value:g} instead of {expected:g}"
    return ""


def tolerance(point: Point) -> float:
    """By how much the centre's value may differ from the device's."""
    if point.kind is PointKind.MEASURED_VALUE:
        low, high = _range(point)
        return (high - low) * _SHARE_OF_RANGE
    return 0.5


def judge(
    points: Sequence[Point],
    rounds: Sequence[Mapping[str, float]],
    seen: Sequence[Mapping[str, Seen]],
    times: Sequence[int],
) -> tuple[PointVerdict, ...]:
    """One verdict for each point: pass only when every round was right. seen, times: one entry for each round."""
    verdicts = []
    for point in points:
        mine = [turn for turn, values in enumerate(rounds) if point.name in values]
        failures = [
            (turn, why) for turn in mine if (why := matches(point, rounds[turn][point.name], seen[turn][point.name]))
        ]
        turn, why = failures[0] if failures else (mine[-1], "")
        if failures:
            why = f"{why} ({len(failures)} of {len(mine)} rounds)"
        verdict = Verdict.FAIL if failures else Verdict.PASS
        shown = seen[turn][point.name]
        verdicts.append(PointVerdict(point, verdict, len(mine), rounds[turn][point.name], shown, times[turn], why))
    return tuple(verdicts)


def _contact(point: Point, state: int) -> float:
    if point.kind is PointKind.DOUBLE_POINT:
        return float(DoublePoint.CLOSED if state else DoublePoint.OPEN)
    return float(state)


def _figure(point: Point, place: int, turn: int) -> float:
    part = 0.05 + 0.9 * ((place + 1) * (2 * turn + 1) * _GOLDEN % 1.0)
    low, high = _range(point)
    value = low + (high - low) * part
    return value if point.kind is PointKind.MEASURED_VALUE else float(round(value))


def _range(point: Point) -> tuple[float, float]:
    low = 0.0 if point.low is None else point.low
    high = low + 100.0 if point.high is None else point.high
    return (low, min(high, _LARGEST_TOTAL)) if point.kind is PointKind.INTEGRATED_TOTAL else (low, high)
