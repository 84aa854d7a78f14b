"""Requests to meters on their way: by priority, bundled for each concentrator, one at a time there, never forever.

Knows what waits, what is under way and until when. Does not know wire, clock or store. A request ends in one of three
ways and exactly once: done, refused, or unknown. Unknown is what remains when no answer came in time, because the meter
may have done it all the same; a request whose time passed before it was sent was certainly not carried out: refused.
"""

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum

from meters.request import MAX_ASKED, Answered, Asked, RequestKind


class Priority(IntEnum):
    """What goes first to a concentrator."""

    SUPPLY = 0
    """Somebody sits in the dark, or must."""
    ON_DEMAND = 1
    """Somebody waits at a desk."""
    ROUTINE = 2
    GAP = 3


class Ending(StrEnum):
    """How a request ended."""

    DONE = "done"
    REFUSED = "refused"
    UNKNOWN = "unknown"


NOT_SENT_IN_TIME = "not sent in time: the concentrator was busy or the broker away"
NO_ANSWER = "no answer in time"
NOT_NAMED = "the answer does not name the meter"


@dataclass(frozen=True, slots=True)
class MeterRequest:
    """One request to one meter. ``reference`` is the asker's own name for it; ``concentrator`` '' with own modem.

    expires_at: µs; what was not answered then has ended.
    """

    reference: str
    kind: RequestKind
    priority: Priority
    unit: str
    concentrator: str
    asked: Asked
    expires_at: int

    @property
    def place(self) -> str:
        """Where only one request is under way at a time: the concentrator, or the meter's own modem."""
        return self.concentrator or str(self.asked.serial)


@dataclass(frozen=True, slots=True)
class Result:
    """How a request ended: ``answer`` of the meter when it gave one; ``why`` in words when not done."""

    request: MeterRequest
    ending: Ending
    why: str = ""
    answer: Answered | None = None


@dataclass(frozen=True, slots=True)
class Bundle:
    """Requests of one kind that go to one place in one message, found again by ``correlation``."""

    correlation: bytes
    requests: tuple[MeterRequest, ...]
    sent_at: int

    @property
    def kind(self) -> RequestKind:
        """The kind of all of them."""
        return self.requests[0].kind

    @property
    def expires_at(self) -> int:
        """When the last of them ends, µs."""
        return max(each.expires_at for each in self.requests)


def random_correlation() -> bytes:
    """16 bytes that no other bundle has."""
    return uuid.uuid4().bytes


@dataclass(slots=True)
class _Place:
    waiting: list[MeterRequest] = field(default_factory=list)
    under_way: Bundle | None = None


class RequestQueue:
    """Not safe for several threads."""

    def __init__(self, new_correlation: Callable[[], bytes] = random_correlation, *, bundle: int = MAX_ASKED) -> None:
        self._new_correlation = new_correlation
        self._bundle = bundle
        self._places: dict[str, _Place] = {}
        self._under_way: dict[bytes, str] = {}

    def add(self, requests: Sequence[MeterRequest]) -> None:
        """Queue requests, behind those of the same priority."""
        for request in requests:
            self._places.setdefault(request.place, _Place()).waiting.append(request)
        for name in {request.place for request in requests}:
            self._places[name].waiting.sort(key=lambda each: each.priority)

    def next_bundles(self, now: int, *, limit: int = 100) -> tuple[Bundle, ...]:
        """At most ``limit`` bundles to send now, to places with nothing under way; they count as sent."""
        bundles: list[Bundle] = []
        ready = [each for each in self._places.values() if each.waiting and each.under_way is None]
        for place in sorted(ready, key=lambda each: each.waiting[0].priority)[:limit]:
            place.under_way = Bundle(self._new_correlation(), self._take(place), now)
            self._under_way[place.under_way.correlation] = place.under_way.requests[0].place
            bundles.append(place.under_way)
        return tuple(bundles)

    def answered(self, correlation: bytes, answers: Sequence[Answered]) -> tuple[Result, ...]:
        """The results of a bundle; none when it is not under way (answered already, or too late)."""
        bundle = self._end(correlation)
        if bundle is None:
            return ()
        given = {(each.serial, each.first): each for each in answers}
        return tuple(_result(each, given.get(_key(each))) for each in bundle.requests)

    def not_sent(self, correlation: bytes, why: str) -> tuple[Result, ...]:
        """The results of a bundle that certainly did not leave this machine."""
        bundle = self._end(correlation)
        return () if bundle is None else tuple(Result(each, Ending.REFUSED, why) for each in bundle.requests)

    def expire(self, now: int) -> tuple[Result, ...]:
        """The results of what has run out of time."""
        results: list[Result] = []
        for place in self._places.values():
            results += [
                Result(each, Ending.REFUSED, NOT_SENT_IN_TIME) for each in place.waiting if each.expires_at <= now
            ]
            place.waiting = [each for each in place.waiting if each.expires_at > now]
            bundle = place.under_way
            if bundle is not None and bundle.expires_at <= now:
                self._end(bundle.correlation)
                results += [Result(each, Ending.UNKNOWN, NO_ANSWER) for each in bundle.requests]
        self._places = {name: place for name, place in self._places.items() if place.waiting or place.under_way}
        return tuple(results)

    @property
    def waiting(self) -> int:
        """Requests not yet sent."""
        return sum(len(each.waiting) for each in self._places.values())

    @property
    def under_way(self) -> int:
        """Requests sent and not answered."""
        return sum(len(each.under_way.requests) for each in self._places.values() if each.under_way)

    def _take(self, place: _Place) -> tuple[MeterRequest, ...]:
        """The first waiting request and the others of its kind and priority, each meter and span once."""
        head = place.waiting[0]
        taken: list[MeterRequest] = []
        left: list[MeterRequest] = []
        keys: set[tuple[int, int]] = set()
        for each in place.waiting:
            fits = (each.kind, each.priority) == (head.kind, head.priority) and _key(each) not in keys
            if fits and len(taken) < self._bundle:
                taken.append(each)
                keys.add(_key(each))
            else:
                left.append(each)
        place.waiting = left
        return tuple(taken)

    def _end(self, correlation: bytes) -> Bundle | None:
        name = self._under_way.pop(correlation, None)
        if name is None:
            return None
        place = self._places[name]
        bundle, place.under_way = place.under_way, None
        return bundle


def _key(request: MeterRequest) -> tuple[int, int]:
    return request.asked.serial, request.asked.first


def _result(request: MeterRequest, answer: Answered | None) -> Result:
    if answer is None:
        return Result(request, Ending.UNKNOWN, NOT_NAMED)
    if answer.refused:
        return Result(request, Ending.REFUSED, answer.refused, answer)
    return Result(request, Ending.DONE, "", answer)
