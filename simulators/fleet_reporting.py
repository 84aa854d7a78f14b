"""Who of the fleet reports which intervals when, and what must be said again.

Knows senders (a concentrator with its meters, or a meter with its own modem), their place in the reporting window, what
was offered, acknowledged and must be repeated. Does not know energy, bytes, topics, sockets or the clock.

Nothing that waits is stored: a sender has the end of the interval it sends next, and what it sends is computed when its
turn comes. So the memory is a few columns, however long the broker is away.

A broker that is killed may forget what it has acknowledged since it last wrote its file. Therefore a lost link sets its
senders back to what was acknowledged at least ``resend`` ago, and they say everything since then again, as historical.
"""

from collections import deque
from dataclasses import dataclass
from enum import Enum

import numpy as np

from scada.model.reading import EventCode
from simulators.meter_fleet import METERS_PER_CONCENTRATOR, Fleet, IndexArray, unit_interval

_NEVER = np.iinfo(np.int64).max
_MARKS = 6
"""Marks kept over the time of ``resend``: it is exceeded by a fifth at most."""

LAST_GASP_US = 60_000_000
"""How long a dying meter or concentrator may try to be heard, on its capacitor (assumed)."""


@dataclass(frozen=True, slots=True)
class ReportingPlan:
    """Times of the fleet, µs. Reports spread over ``window_us`` after the interval's end.

    ``resend_us``: what is said again after a lost link, at least; longer than the broker's autosave interval.
    ``memory_us``: what a meter keeps. ``backlog_intervals``: intervals in one batch when a concentrator is behind.
    """

    capture_period_us: int
    window_us: int
    resend_us: int
    memory_us: int = 60 * 86_400_000_000
    backlog_intervals: int = 10

    def __post_init__(self) -> None:
        if self.capture_period_us <= 0 or self.capture_period_us % 1_000_000:
            raise ValueError(f"a capture period of {self.capture_period_us} µs is not a number of seconds above 0")
        if not 0 <= self.window_us < self.capture_period_us:
            raise ValueError("the reporting window must be shorter than the capture period")
        if self.resend_us <= 0 or self.memory_us < self.capture_period_us or self.backlog_intervals < 1:
            raise ValueError("resend, memory and backlog must be above 0, the memory one capture period or more")


@dataclass(frozen=True, slots=True)
class Report:
    """The intervals ending at ``first_end`` … ``last_end`` of all meters of one sender."""

    sender: int
    first_end: int
    last_end: int
    historical: bool


class NoticeKind(Enum):
    """What a message that is no report says."""

    ONLINE = "online"
    OFFLINE = "offline"
    EVENT = "event"


@dataclass(frozen=True, slots=True)
class Notice:
    """State of a concentrator (``index`` into the concentrators), or an event of a meter (``index`` is its row)."""

    kind: NoticeKind
    index: int
    time: int
    code: int = 0


class Reporting:
    """The senders of a fleet as columns. Sender n is concentrator n; after them come the meters with own modem."""

    def __init__(self, fleet: Fleet, plan: ReportingPlan, *, links: int, start: int) -> None:
        self.fleet = fleet
        self.plan = plan
        self.links = links
        concentrators = len(fleet.concentrators)
        behind = fleet.behind_concentrators
        self.senders = concentrators + len(fleet) - behind
        self.concentrators = concentrators
        self._meters = np.ones(self.senders, dtype=np.int64)
        self._meters[:concentrators] = METERS_PER_CONCENTRATOR
        self._feeder = np.concatenate((fleet.concentrator_feeder, fleet.feeder[behind:]))
        self._energised = np.ones(self.senders, dtype=np.bool_)
        self._changed = np.zeros(len(fleet.feeders), dtype=np.int64)
        # By the key of the sender's first meter: a place in the window that it keeps.
        first_meter = np.concatenate(
            (np.arange(concentrators) * METERS_PER_CONCENTRATOR, np.arange(behind, len(fleet)))
        )
        self._offset = np.floor(unit_interval(fleet.key[first_meter], 21) * plan.window_us).astype(np.int64)
        newest = start // plan.capture_period_us * plan.capture_period_us
        self.first_end = newest
        self._next = np.full(self.senders, newest)
        # The first report is as late after the start as later ones after their interval: no burst at the start.
        self._hold = start + self._offset
        self._offered = self._next - plan.capture_period_us
        self._acknowledged = self._offered.copy()
        self._turn = self._next + self._offset
        self._marks = deque([self._acknowledged.copy()], maxlen=_MARKS)
        self._marked_at = start
        self._closing = False
        self.notices: tuple[deque[Notice], ...] = tuple(deque() for _ in range(links))
        self.readings_resent = 0
        self.readings_forgotten = 0
        self.last_gasps_lost = 0
        self._schedule(np.arange(self.senders))
        for index in range(concentrators):
            self.notices[self.link_of(index)].append(Notice(NoticeKind.ONLINE, index, start))

    def rows_of(self, sender: int) -> IndexArray:
        """Rows of the sender's meters."""
        if sender < self.concentrators:
            return np.arange(sender * METERS_PER_CONCENTRATOR, (sender + 1) * METERS_PER_CONCENTRATOR)
        return np.array([self.fleet.behind_concentrators + sender - self.concentrators])

    def sender_of(self, row: int) -> int:
        """Who speaks for a meter."""
        behind = self.fleet.behind_concentrators
        return row // METERS_PER_CONCENTRATOR if row < behind else self.concentrators + row - behind

    def event(self, row: int, time: int, code: int) -> None:
        """A meter has logged something worth telling at once."""
        self.notices[self.link_of(self.sender_of(row))].append(Notice(NoticeKind.EVENT, row, time, code))

    def link_of(self, sender: int) -> int:
        """The link of a sender: it keeps to one, so its messages stay in order."""
        return sender % self.links

    def due(self, link: int, now: int, room: int) -> list[Report]:
        """At most ``room`` reports that senders on a link should make now, the longest overdue first.

        They count as offered. Each must come back by ``acknowledged``, ``refused`` or ``link_lost``.
        """
        waiting = np.flatnonzero(self._turn[link :: self.links] <= now)
        if room <= 0 or not waiting.size:
            return []
        senders = waiting * self.links + link
        if len(senders) > room:
            senders = senders[np.argsort(self._turn[senders], kind="stable")[:room]]
        self._forget(senders, now)
        # How many intervals are complete although a newer one is complete as well.
        past = (now - self._next[senders]) // self.plan.capture_period_us
        reports = [self._take(sender, count) for sender, count in zip(senders.tolist(), past.tolist(), strict=True)]
        self._schedule(senders)
        return reports

    def next_notice(self, link: int, now: int) -> Notice | None:
        """The next notice of a link, None when there is none. Last gasps nobody could take in time are dropped."""
        queue = self.notices[link]
        while queue:
            notice = queue.popleft()
            if notice.code != EventCode.LAST_GASP or now - notice.time <= LAST_GASP_US:
                return notice
            self.last_gasps_lost += 1
        return None

    def acknowledged(self, report: Report) -> None:
        """The broker has taken a report."""
        if report.last_end > self._acknowledged[report.sender]:
            self._acknowledged[report.sender] = report.last_end

    def refused(self, report: Report) -> None:
        """The broker did not take a report, or nobody listens: it is due again."""
        self._next[report.sender] = min(self._next[report.sender], report.first_end)
        self._schedule(np.array([report.sender]))

    def link_lost(self, link: int) -> None:
        """A link is down: everything its senders said lately is due again."""
        own = slice(link, None, self.links)
        self._next[own] = np.minimum(self._next[own], self._marks[0][own] + self.plan.capture_period_us)
        self._schedule(np.arange(link, self.senders, self.links))

    def sender_lost(self, sender: int) -> None:
        """As ``link_lost``, for a sender with a connection of its own."""
        self._next[sender] = min(self._next[sender], self._marks[0][sender] + self.plan.capture_period_us)
        self._schedule(np.array([sender]))

    def pass_time(self, now: int) -> None:
        """Move the marks that tell what was acknowledged long enough ago. Call at least every second."""
        if now - self._marked_at >= self.plan.resend_us // (_MARKS - 1):
            self._marks.append(self._acknowledged.copy())
            self._marked_at = now

    def feeder_state(self, feeder: int, now: int, *, energised: bool) -> int:
        """A feeder (index) lost or got back its supply: its senders fall silent or begin again. Returns the time of it.

        That time is after the last interval they offered, so that nothing reported changes afterwards, and not before
        the feeder's last change.
        """
        own = np.flatnonzero(self._feeder == feeder)
        time = max(now, int(self._offered[own].max(initial=0)) + 1, int(self._changed[feeder]))
        self._changed[feeder] = time
        self._energised[own] = energised
        code = EventCode.POWER_RETURNED if energised else EventCode.LAST_GASP
        state = NoticeKind.ONLINE if energised else NoticeKind.OFFLINE
        if energised:
            self._hold[own] = time + self._offset[own] // 4
        self._schedule(own)
        for sender in own.tolist():
            queue = self.notices[self.link_of(sender)]
            queue.extend(Notice(NoticeKind.EVENT, row, time, code) for row in self.rows_of(sender).tolist())
            if sender < self.concentrators:
                queue.append(Notice(state, sender, time))
        return time

    def hold_back(self, sender: int, until: int) -> None:
        """A sender says nothing before ``until``, and then everything."""
        self._hold[sender] = until
        self._schedule(np.array([sender]))

    def close(self) -> None:
        """Offer nothing new from now on; repeat what is owed."""
        self._closing = True
        self._schedule(np.arange(self.senders))

    @property
    def owed(self) -> bool:
        """True while a sender that can speak has to repeat something or has something unacknowledged."""
        behind = (self._next <= self._offered) | (self._acknowledged < self._offered)
        return bool((behind & self._energised).any())

    @property
    def readings_offered(self) -> int:
        """Distinct readings offered so far."""
        return self._count(self._offered)

    @property
    def readings_acknowledged(self) -> int:
        """Distinct readings the broker has acknowledged at least once."""
        return self._count(self._acknowledged)

    @property
    def meters_reported(self) -> int:
        """Meters of which the broker has acknowledged at least one reading."""
        return int(self._meters[self._acknowledged >= self.first_end].sum())

    @property
    def meters_dead(self) -> int:
        """Meters whose feeder is dead."""
        return int(self._meters[~self._energised].sum())

    def last_ends(self) -> tuple[IndexArray, IndexArray]:
        """For each meter the end of the last interval offered and acknowledged; before ``first_end`` = none."""
        return np.repeat(self._offered, self._meters), np.repeat(self._acknowledged, self._meters)

    def overdue_us(self, now: int) -> int:
        """How long the report that waits longest has been due, 0 when none is."""
        return max(now - int(self._turn.min(initial=now)), 0)

    def _count(self, ends: IndexArray) -> int:
        period = self.plan.capture_period_us
        return int((((ends - self.first_end) // period + 1) * self._meters).sum()) - self.readings_forgotten

    def _take(self, sender: int, past: int) -> Report:
        """Oldest first; the newest interval goes alone, because only it may become the live value."""
        period = self.plan.capture_period_us
        first, offered = int(self._next[sender]), int(self._offered[sender])
        most = self.plan.backlog_intervals if sender < self.concentrators else 1
        if self._closing:
            most = min(most, (offered - first) // period + 1)
        last = first + (min(max(past, 1), most) - 1) * period
        self._next[sender] = last + period
        self.readings_resent += max((min(last, offered) - first) // period + 1, 0) * int(self._meters[sender])
        self._offered[sender] = max(offered, last)
        return Report(sender, first, last, historical=past > 0 or first <= int(self._acknowledged[sender]))

    def _schedule(self, senders: IndexArray) -> None:
        """When each sender's turn comes next; never for the dead, nor for new intervals when closing."""
        following = self._next[senders]
        turn = np.maximum(following + self._offset[senders], self._hold[senders])
        silent = ~self._energised[senders]
        if self._closing:
            silent |= following > self._offered[senders]
        self._turn[senders] = np.where(silent, _NEVER, turn)

    def _forget(self, senders: IndexArray, now: int) -> None:
        """Intervals older than the memory are gone; count those never offered."""
        period = self.plan.capture_period_us
        oldest = -(-(now - self.plan.memory_us) // period) * period
        late = senders[self._next[senders] < oldest]
        if late.size:
            gone = np.maximum(
                (oldest - period - np.maximum(self._offered[late], self._next[late] - period)) // period, 0
            )
            self.readings_forgotten += int((gone * self._meters[late]).sum())
            self._next[late] = oldest
            self._offered[late] = np.maximum(self._offered[late], oldest - period)
            self._acknowledged[late] = np.maximum(self._acknowledged[late], oldest - period)
