"""The fleet on the wire: who reports joined to a few shared connections.

Owns one thread and the clock. Decides nothing: who reports what is ``simulators.fleet_reporting``, the values are
``simulators.fleet_energy``, the bytes ``simulators.fleet_messages``, a connection is ``simulators.fleet_link``.

How a plant uses it::

    fleet = make_fleet(feeders_of(load_province(folder)), meters=200_000, seed=1)
    publisher = FleetPublisher(fleet, host, port, username, password, capture_period_s=60)
    publisher.start()                                          # returns at once, connects and reconnects by itself
    publisher.feeder_state("TN07/473", now, energised=False)   # last gasps, then silence; any thread may call it
    publisher.feeder_state("TN07/473", now, energised=True)    # power returned, then the outage's intervals from memory
    publisher.stats()                                          # figures so far; any thread
    publisher.stop()                                           # repeats what it owes, disconnects, final figures

A message counts as delivered when the broker says so *and* somebody listens: to a publisher of MQTT 5 the broker can
answer "no matching subscribers"; then the sender keeps the interval and tries again, one message a second until heard.
"""

import threading
from collections import deque
from collections.abc import Sequence

from paho.mqtt.reasoncodes import ReasonCode

from scada.clock import now_us
from scada.model.ports import Clock
from simulators.fleet_account import FleetStats, FleetTruth
from simulators.fleet_answers import Question
from simulators.fleet_exchange import ExchangeRecord
from simulators.fleet_hearing import Hearing
from simulators.fleet_life import FleetLife
from simulators.fleet_link import FleetLink
from simulators.fleet_messages import Message, OnRequest, Registers
from simulators.fleet_reporting import Notice, NoticeKind, Report, ReportingPlan
from simulators.fleet_scenario import FleetFault
from simulators.meter_fleet import Fleet

TICK_S = 0.05


class FleetPublisher:
    """Publishes a fleet. All public methods may be called from any thread.

    connections: MQTT connections shared by all senders · in_flight: unacknowledged messages on each ·
    window_share: part of the capture period over which reports spread · resend_s: what is said again after a lost
    connection; must be longer than the broker's autosave interval · client_id: prefix, unique at the broker ·
    faults: what goes wrong (``simulators.fleet_scenario``).
    Raises ValueError when a figure is impossible.
    """

    def __init__(
        self,
        fleet: Fleet,
        host: str,
        port: int,
        username: str,
        password: str,
        *,
        capture_period_s: int = 60,
        connections: int = 8,
        in_flight: int = 100,
        window_share: float = 0.6,
        resend_s: float = 60.0,
        client_id: str = "fleet",
        faults: Sequence[FleetFault] = (),
        clock: Clock = now_us,
    ) -> None:
        if connections < 1 or in_flight < 1:
            raise ValueError("connections and in_flight must be 1 or more")
        period_us = capture_period_s * 1_000_000
        plan = ReportingPlan(period_us, int(period_us * window_share), int(resend_s * 1_000_000))
        self._clock = clock
        self._life = FleetLife(fleet, plan, faults, connections, clock())
        self._reporting = self._life.reporting
        self._messages = self._life.messages
        self._registers = self._life.registers
        self._questions: deque[Question] = deque()
        self._replies: deque[Message] = deque()
        self._hearing = Hearing(f"{host}:{port}", len(fleet), connections, resend_s)
        self._questions_answered = self._registers_acknowledged = 0
        self._links = [
            FleetLink(number, (host, port), (username, password), client_id, in_flight, self)
            for number in range(connections)
        ]
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._drain_until: int | None = None
        self._thread = threading.Thread(target=self._run, name="meter-fleet", daemon=True)
        self._sent = self._acknowledged = self._unheard = 0

    def start(self) -> None:
        """Begin to connect and report; returns at once."""
        self._thread.start()

    def stop(self, *, drain_s: float = 10.0) -> FleetStats:
        """Offer nothing new, repeat and await what is owed for at most ``drain_s``, disconnect; the final figures."""
        with self._lock:
            self._reporting.close()
            self._drain_until = self._clock() + int(drain_s * 1_000_000)
        if self._thread.is_alive():
            self._thread.join()
        return self.stats()

    @property
    def fleet(self) -> Fleet:
        """The fleet it publishes."""
        return self._life.fleet

    @property
    def running(self) -> bool:
        """False before ``start``, after ``stop``, and when the thread died of a fault of ours."""
        return self._thread.is_alive()

    def feeder_state(self, feeder: str, now: int, *, energised: bool) -> bool:
        """Tell that a feeder (``TN07/473``) died or returned at ``now``; telling the same twice is no harm.

        It takes effect within a tick. False when no meter of this fleet hangs there.
        """
        return self._life.feeder_state(feeder, now, energised=energised)

    def stats(self) -> FleetStats:
        """The figures so far."""
        with self._lock:
            reporting = self._reporting
            return FleetStats(
                meters=len(self._life.fleet),
                meters_reported=reporting.meters_reported,
                meters_dead=reporting.meters_dead,
                readings_offered=reporting.readings_offered,
                readings_acknowledged=reporting.readings_acknowledged,
                readings_resent=reporting.readings_resent,
                readings_forgotten=reporting.readings_forgotten,
                messages_sent=self._sent,
                messages_acknowledged=self._acknowledged,
                messages_unheard=self._unheard,
                last_gasps_lost=reporting.last_gasps_lost,
                connections=len(self._links),
                connections_up=sum(link.connected for link in self._links),
                overdue_s=reporting.overdue_us(self._clock()) / 1e6,
                reports_lost=self._life.passage.lost,
                requests_answered=self._questions_answered,
                registers_acknowledged=self._registers_acknowledged,
            )

    def truth(self) -> FleetTruth:
        """What must have arrived; see ``simulators.registry_file.write_truth`` for the file."""
        with self._lock:
            return self._life.truth()

    def exchanged(self) -> list[ExchangeRecord]:
        """What fitters have written down so far."""
        with self._lock:
            return self._life.exchanged(self._clock())

    def _run(self) -> None:
        while not self._stop.wait(TICK_S):
            with self._lock:
                self._tick(self._clock())
        for link in self._links:
            link.leave()

    def _tick(self, now: int) -> None:
        self._life.pass_time(now, is_closing=self._drain_until is not None)
        for link in self._links:
            link.serve(now)
        ready = [link for link in self._links if link.connected and now >= link.quiet_until]
        for link in ready:
            self._send_notices(link, now)
        for message in self._life.reports({link.number: link.room for link in ready}, now):
            self._publish(self._link_of(message), message)
        self._send_delayed(now)
        self._answer(now)
        for link in ready:
            self._send_registers(link)
        if self._drain_until is not None and (now >= self._drain_until or not self._is_owing()):
            self._stop.set()

    def _is_owing(self) -> bool:
        under_way = any(link.outstanding for link in self._links) or self._life.passage.held() is not None
        return under_way or self._reporting.owed or bool(self._replies) or any(self._registers.waiting)

    def _send_notices(self, link: FleetLink, now: int) -> None:
        """Notices go first: they are short and urgent."""
        while link.room > 0:
            notice = self._reporting.next_notice(link.number, now)
            if notice is None:
                return
            self._publish(link, self._messages.notice(notice))

    def _send_delayed(self, now: int) -> None:
        """Send what a scenario has held up, once all links are there; at the end, everything."""
        if all(link.connected for link in self._links):
            for message in self._life.delayed(now, is_closing=self._drain_until is not None):
                self._publish(self._link_of(message), message)

    def _link_of(self, message: Message) -> FleetLink:
        return self._links[self._reporting.link_of(self._life.sender_of(message))]

    def _send_registers(self, link: FleetLink) -> None:
        """Registers go last: a bill waits until the morning."""
        for message in self._messages.registers(self._registers.take(link.number, link.room)):
            self._publish(link, message)

    def _answer(self, now: int) -> None:
        """Answer what was asked, as far as the first link has room: reports go first."""
        while self._questions:
            said = self._life.answers(self._questions.popleft(), now)
            self._questions_answered += bool(said)
            self._replies.extend(said)
        link = self._links[0]
        while self._replies and link.room > 0:
            self._publish(link, self._replies.popleft())

    def _publish(self, link: FleetLink, message: Message) -> None:
        """Send one message; when the connection breaks, or just broke, it is due again like all outstanding ones."""
        if link.publish(message):
            self._sent += 1
        else:
            self._due_again(link, [message])

    def _due_again(self, link: FleetLink, lost: Sequence[Message]) -> None:
        """What was on its way when the connection broke; reports are due again by ``Reporting.link_lost``."""
        contents = [each.content for each in lost]
        notices = [each for each in contents if isinstance(each, Notice)]
        self._reporting.notices[link.number].extendleft(reversed(notices))
        self._registers.again(link.number, [each for each in contents if isinstance(each, Registers)])
        self._replies.extendleft(reversed([each for each in lost if isinstance(each.content, OnRequest)]))

    # -- what happens on the links

    def link_up(self, link: FleetLink) -> None:
        """A connection is there."""
        if link.connected and all(each.connected for each in self._links):
            self._hearing.up(self._clock())

    def link_down(self, link: FleetLink, why: str, lost: list[Message], *, is_news: bool) -> None:
        """A connection is gone, or could not be made: what its senders said lately is due again."""
        if is_news:
            self._hearing.down(self._clock(), why)
        self._due_again(link, lost)
        self._reporting.link_lost(link.number)

    def asked(self, question: Question) -> None:
        """Somebody asks a meter."""
        self._questions.append(question)

    def settled(self, link: FleetLink, message: Message, reason: ReasonCode, *, heard: bool) -> None:
        """The broker has answered; what nobody hears is said again. A state is kept by the broker, heard or not."""
        content = message.content
        is_state = isinstance(content, Notice) and content.kind is not NoticeKind.EVENT
        if heard or (is_state and not reason.is_failure):
            self._acknowledged += 1
            self._registers_acknowledged += isinstance(content, Registers)
            if isinstance(content, Report):
                self._reporting.acknowledged(content)
                link.heard()
                self._hearing.heard(self._clock())
            return
        self._unheard += 1
        if isinstance(content, Report):
            self._reporting.refused(content)
        else:
            self._due_again(link, [message])
        link.not_heard(self._clock())
        self._hearing.unheard(self._clock(), str(reason))
