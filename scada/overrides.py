"""The book of substituted and blocked points: what holds now, and what is still to be written into the history.

Knows the rules of substitution and its form on the disk. Does not know a clock, files or the image.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from scada.model.override import OverrideAct, OverrideAction
from scada.model.point import DoublePoint, Point, PointKind

ENDS = (OverrideAction.RELEASE, OverrideAction.EXPIRE)
LATEST_END_US = 4_102_444_800_000_000
"""2100-01-01: no calendar of the database or of Python has every number that JSON can write."""


@dataclass(frozen=True, slots=True)
class OverrideRequest:
    """What an operator asks for; who asks is told by whoever carries the request, not by the request itself."""

    id: str
    point: str
    action: OverrideAction
    why: str
    value: float | None = None
    until: int | None = None


@dataclass(frozen=True, slots=True)
class OverrideAnswer:
    """What became of a request: done, or the reason why not."""

    id: str
    done: bool
    sentence: str


@dataclass(slots=True)
class OverrideBook:
    """What holds now, by point, and the acts the historian has not confirmed yet, oldest first."""

    holding: dict[str, OverrideAct] = field(default_factory=dict)
    unrecorded: list[OverrideAct] = field(default_factory=list)

    def judge(self, request: OverrideRequest, points: Mapping[str, Point], now: int) -> str:
        """Why the request cannot be met, in a sentence; '' when it can."""
        point = points.get(request.point)
        if point is None:
            return f"no point {request.point!r} here"
        if not request.why.strip():
            return "say why: a point that does not show the field needs a reason"
        if "\x00" in request.why:
            return "the reason holds a NUL, which nobody can write down"
        if request.action is OverrideAction.RELEASE and request.point not in self.holding:
            return f"{request.point} is neither substituted nor blocked"
        if request.action is OverrideAction.EXPIRE:
            return "nobody may ask for an expiry"
        if request.until is not None and request.until <= now:
            return "the end of the substitution is in the past"
        if request.until is not None and request.until > LATEST_END_US:
            return "the end of the substitution is after the year 2100: without one it holds until it is released"
        if request.action is OverrideAction.SUBSTITUTE:
            return unfit(point, request.value)
        return ""

    def enter(self, act: OverrideAct) -> None:
        """Note an act; from now on it holds, or what it ends no longer does."""
        if act.action in ENDS:
            self.holding.pop(act.point, None)
        else:
            self.holding[act.point] = act
        self.unrecorded.append(act)

    def due(self, now: int) -> tuple[OverrideAct, ...]:
        """What holds although its time is over."""
        return tuple(act for act in self.holding.values() if act.until is not None and act.until <= now)

    def recorded(self, acts: Sequence[OverrideAct]) -> None:
        """The historian has these."""
        known = {act.id for act in acts}
        self.unrecorded = [act for act in self.unrecorded if act.id not in known]


def unfit(point: Point, value: float | None) -> str:
    """Why ``value`` cannot be one of ``point``; '' when it can."""
    if value is None or not abs(value) < float("inf"):
        return "a substitution needs a finite value"
    allowed: Mapping[PointKind, tuple[float, ...]] = {
        PointKind.SINGLE_POINT: (0.0, 1.0),
        PointKind.DOUBLE_POINT: tuple(float(each) for each in DoublePoint),
    }
    if point.kind in allowed and value not in allowed[point.kind]:
        return f"{value:g} is no value of a {point.kind}; it takes {', '.join(f'{v:g}' for v in allowed[point.kind])}"
    if point.low is not None and value < point.low:
        return f"{value:g} {point.unit} is below the plausible {point.low:g}"
    if point.high is not None and value > point.high:
        return f"{value:g} {point.unit} is above the plausible {point.high:g}"
    return ""


def book_bytes(book: OverrideBook) -> bytes:
    """The book as it lies on the disk."""
    return msgspec.json.format(msgspec.json.encode(book), indent=1)


def read_book(content: bytes) -> OverrideBook:
    """The inverse of ``book_bytes``. Raises ValueError for anything else."""
    return msgspec.json.decode(content, type=OverrideBook)


def request_bytes(request: OverrideRequest) -> bytes:
    """A request as a file."""
    return msgspec.json.encode(request)


def read_request(content: bytes) -> OverrideRequest:
    """The inverse of ``request_bytes``. Raises ValueError for anything else."""
    return msgspec.json.decode(content, type=OverrideRequest)
