"""The monthly report on remote operation (form BM20c): operations, successes, rate, causes, times staff had to go.

Knows what the journal's entries mean for it. Does not know files or how it is shown. An operation counts when its order
left for the device; what was refused before is told apart, for no device was asked. Whatever is not proven to have
succeeded has not: an unknown outcome is no success.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from scada.control.journal import body_of
from scada.control.lifecycle import Outcome
from scada.control.message import Wish
from scada.hashchain import Entry
from scada.model.event import EventKind

ATTENDED: Final = "attended"
US: Final = 1_000_000
NO_CAUSE: Final = "outcome not known yet"


@dataclass(frozen=True, slots=True)
class RemoteOperation:
    """One command. ``time`` is when its order left (µs UTC), 0 when it never did; ``outcome`` '' while under way."""

    id: str
    target: str
    action: str
    received: int
    time: int = 0
    outcome: str = ""
    cause: str = ""

    @property
    def station(self) -> str:
        """Code of the substation."""
        return self.target.split("/", 1)[0]

    @property
    def counted_at(self) -> int:
        """The moment that decides its month."""
        return self.time or self.received


@dataclass(frozen=True, slots=True)
class Attendance:
    """Staff had to go to a station because something could not be operated from the centre."""

    time: int
    target: str
    reason: str

    @property
    def station(self) -> str:
        """Code of the substation."""
        return self.target.split("/", 1)[0]


@dataclass(frozen=True, slots=True)
class Override:
    """One person operated alone, in an emergency; ``sentence`` says who, what and why."""

    time: int
    target: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of a span of time. operations = successes + the sum of ``failures``."""

    operations: int
    successes: int
    failures: Mapping[str, int]
    refused_before: Mapping[str, int]
    attended: int

    @property
    def rate_percent(self) -> float | None:
        """Share of successes in percent; None without an operation."""
        return 100.0 * self.successes / self.operations if self.operations else None

    def report(self) -> dict[str, Any]:
        """As plain JSON values."""
        rate = self.rate_percent
        return {
            "operations": self.operations,
            "successes": self.successes,
            "rate_percent": None if rate is None else round(rate, 2),
            "failures": dict(self.failures),
            "refused_before": dict(self.refused_before),
            "attended": self.attended,
        }


@dataclass(frozen=True, slots=True)
class Bm20c:
    """The report of a month: the month, everything until its end, the month by station, and what happened in it."""

    month: str
    in_month: Figures
    since_commissioning: Figures
    by_station: Mapping[str, Figures]
    attendances: tuple[Attendance, ...]
    overrides: tuple[Override, ...]


def remote_operations(journal: Iterable[Entry]) -> list[RemoteOperation]:
    """The commands in the journal's entries, in the order they came in."""
    found: dict[str, RemoteOperation] = {}
    for entry in journal:
        body = body_of(entry)
        if entry.kind == "received" and body["target"] and body["action"] and body.get("do") != Wish.SUPPLY:
            found[body["id"]] = RemoteOperation(body["id"], body["target"], body["action"], entry.time)
        elif entry.kind == "execute" and body["id"] in found:
            found[body["id"]] = replace(found[body["id"]], time=entry.time)
        elif entry.kind == "outcome" and body["id"] in found:
            cause = body["refusals"][0]["label"] if body["refusals"] else ""
            found[body["id"]] = replace(found[body["id"]], outcome=body["outcome"], cause=cause)
    return list(found.values())


def overrides(journal: Iterable[Entry]) -> list[Override]:
    """The emergency overrides in the journal's entries."""
    return [
        Override(entry.time, body_of(entry)["subject"], body_of(entry)["sentence"])
        for entry in journal
        if entry.kind == "alarm" and body_of(entry)["event"] == EventKind.EMERGENCY_OVERRIDE
    ]


def attendances(chain: Iterable[Entry]) -> list[Attendance]:
    """The attendances noted in a chain."""
    return [
        Attendance(entry.time, body_of(entry)["target"], body_of(entry)["reason"])
        for entry in chain
        if entry.kind == ATTENDED
    ]


def bm20c(
    operations: Sequence[RemoteOperation],
    attended: Sequence[Attendance],
    overridden: Sequence[Override],
    month: str,
    stations: Sequence[str],
    zone: str,
) -> Bm20c:
    """The report of ``month`` (``2026-11``) in local time ``zone``. Raises ValueError for what is no month."""
    begin, end = month_bounds(month, zone)
    past = [each for each in operations if each.counted_at < end]
    gone = [each for each in attended if each.time < end]
    now = [each for each in past if each.counted_at >= begin]
    now_gone = [each for each in gone if each.time >= begin]
    by_station = {
        code: _figures([o for o in now if o.station == code], [a for a in now_gone if a.station == code])
        for code in stations
    }
    alone = tuple(each for each in overridden if begin <= each.time < end)
    return Bm20c(month, _figures(now, now_gone), _figures(past, gone), by_station, tuple(now_gone), alone)


def month_bounds(month: str, zone: str) -> tuple[int, int]:
    """First moment of the month and of the next, µs UTC. Raises ValueError."""
    begin = datetime.strptime(month, "%Y-%m").replace(tzinfo=ZoneInfo(zone))
    end = begin.replace(year=begin.year + begin.month // 12, month=begin.month % 12 + 1)
    return int(begin.timestamp()) * US, int(end.timestamp()) * US


def _figures(operations: Sequence[RemoteOperation], attended: Sequence[Attendance]) -> Figures:
    sent = [each for each in operations if each.time]
    failed = Counter(each.cause or NO_CAUSE for each in sent if each.outcome != Outcome.COMPLETED)
    kept = Counter(each.cause or NO_CAUSE for each in operations if not each.time)
    return Figures(
        operations=len(sent),
        successes=len(sent) - failed.total(),
        failures=dict(failed.most_common()),
        refused_before=dict(kept.most_common()),
        attended=len(attended),
    )
