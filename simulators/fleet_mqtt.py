"""The fleet on the wire: MQTT 5, QoS 1, a few shared connections.

Owns one thread, the sockets and the clock. Decides nothing: who reports what is ``simulators.fleet_reporting``, the
values are ``simulators.fleet_energy``, the bytes ``simulators.fleet_messages``.

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

import heapq
import logging
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from itertools import count
from typing import Any

import numpy as np
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from meters.topic import ROOT, Subject
from scada.clock import now_us
from scada.model.ports import Clock
from simulators.fleet_account import FleetStats, FleetTruth
from simulators.fleet_answers import Answering, FleetAnswers, Question
from simulators.fleet_energy import FleetEnergy
from simulators.fleet_exchange import ExchangeRecord, Identities
from simulators.fleet_faults import FleetFaults, near_rollover, spoilt
from simulators.fleet_messages import FleetMessages, Message, OnRequest
from simulators.fleet_reporting import Notice, NoticeKind, Report, Reporting, ReportingPlan
from simulators.fleet_scenario import FleetFault
from simulators.meter_fleet import Fleet

log = logging.getLogger(__name__)

TICK_S = 0.05
KEEP_ALIVE_S = 30
CONNECT_TIMEOUT_S = 3.0
RETRY_MIN_US = 300_000
RETRY_MAX_US = 5_000_000
UNHEARD_PAUSE_US = 1_000_000
NO_MATCHING_SUBSCRIBERS = 0x10
SESSION_EXPIRY_S = 3600
REQUESTS = f"{ROOT}/+/+/+/{Subject.REQUEST}"


class _Link:
    """One connection and what is on its way. ``window`` shrinks to 1 while nobody listens."""

    def __init__(self, number: int, client: mqtt.Client, in_flight: int) -> None:
        self.number = number
        self.client = client
        self.connected = False
        self.limit = in_flight
        self.window = in_flight
        self.quiet_until = 0
        self.retry_at = 0
        self.retry_us = RETRY_MIN_US
        self.outstanding: dict[int, Message] = {}

    @property
    def room(self) -> int:
        return min(self.window, self.limit) - len(self.outstanding)


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
        self._plan = ReportingPlan(period_us, int(period_us * window_share), int(resend_s * 1_000_000))
        start = clock()
        self._faults = FleetFaults(faults, fleet, start)
        fleet = near_rollover(fleet, self._faults.rolling_over(), start, period_us)
        self._fleet = fleet
        self._address = (host, port)
        self._clock = clock
        self._exchanges = self._faults.exchanges(period_us)
        tamperings = self._faults.tamperings()
        self._logged = deque(sorted(event for each in tamperings for event in each.events()))
        self._identities = Identities(fleet, self._exchanges)
        self._energy = FleetEnergy(fleet, (*tamperings, *self._exchanges))
        self._reporting = Reporting(fleet, self._plan, links=connections, start=start)
        for sender, until in self._faults.held_back():
            self._reporting.hold_back(sender, until)
        self._messages = FleetMessages(fleet, self._energy, self._reporting, self._identities)
        self._messages.clock_off_us = self._faults.clock_off_us()
        answers = FleetAnswers(
            fleet,
            self._energy,
            period_us,
            self._plan.memory_us,
            self._messages.clock_off_us,
            self._identities,
            tuple(self._logged),
        )
        self._answering = Answering(fleet, answers, self._messages, self._faults)
        self._questions: deque[Question] = deque()
        self._replies: deque[Message] = deque()
        self._delayed: list[tuple[int, int, Message]] = []
        self._held = count()
        self._reports_lost = self._questions_answered = 0
        self._links = [
            _Link(number, self._client(f"{client_id}-{number}", username, password), in_flight)
            for number in range(connections)
        ]
        for link in self._links:
            self._attach(link)
        self._changes: deque[tuple[int, int, bool]] = deque()
        self._dead_since: dict[int, int] = {}
        self._feeder_numbers = {fleet.feeders[number].name: number for number in np.unique(fleet.feeder).tolist()}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._drain_until: int | None = None
        self._thread = threading.Thread(target=self._run, name="meter-fleet", daemon=True)
        self._down_since: int | None = None
        self._unheard_since: int | None = None
        self._ever_up = False
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
        return self._fleet

    @property
    def running(self) -> bool:
        """False before ``start``, after ``stop``, and when the thread died of a fault of ours."""
        return self._thread.is_alive()

    def feeder_state(self, feeder: str, now: int, *, energised: bool) -> bool:
        """Tell that a feeder (``TN07/473``) died or returned at ``now``; telling the same twice is no harm.

        It takes effect within a tick. False when no meter of this fleet hangs there.
        """
        number = self._feeder_numbers.get(feeder)
        if number is None:
            return False
        self._changes.append((number, now, energised))
        return True

    def stats(self) -> FleetStats:
        """The figures so far."""
        with self._lock:
            reporting = self._reporting
            return FleetStats(
                meters=len(self._fleet),
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
                reports_lost=self._reports_lost,
                requests_answered=self._questions_answered,
            )

    def truth(self) -> FleetTruth:
        """What must have arrived; see ``simulators.registry_file.write_truth`` for the file."""
        with self._lock:
            offered, acknowledged = self._reporting.last_ends()
            first_end = self._reporting.first_end
        return self._identities.truth(self._plan.capture_period_us, first_end, offered, acknowledged)

    def exchanged(self) -> list[ExchangeRecord]:
        """What fitters have written down so far."""
        with self._lock:
            return self._identities.exchanged(self._clock(), self._energy.before)

    def _run(self) -> None:
        while not self._stop.wait(TICK_S):
            with self._lock:
                self._tick(self._clock())
        for link in self._links:
            link.connected = False  # before: an end we want is no loss
            link.client.disconnect()

    def _tick(self, now: int) -> None:
        while self._changes:
            self._change(*self._changes.popleft())
        while self._logged and self._logged[0][0] <= now:
            time, row, code = self._logged.popleft()
            self._reporting.event(row, time, code)
        self._reporting.pass_time(now)
        for link in self._links:
            self._serve(link, now)
        ready = [link for link in self._links if link.connected and now >= link.quiet_until]
        for link in ready:
            self._send_notices(link, now)
        reports = [report for link in ready for report in self._reporting.due(link.number, now, link.room)]
        for report, message in zip(reports, self._messages.reports(reports), strict=True):
            self._send_report(report, message, now)
        self._send_delayed(now)
        self._answer(now)
        if self._drain_until is not None:
            idle = not any(link.outstanding for link in self._links) and not self._reporting.owed
            idle = idle and not self._delayed and not self._replies
            if idle or now >= self._drain_until:
                self._stop.set()

    def _serve(self, link: _Link, now: int) -> None:
        """Read and write what the socket has, or try to connect when it is time."""
        client = link.client
        if client.socket() is None:
            if now >= link.retry_at:
                self._connect(link, now)
            return
        client.loop_read()
        if client.want_write():
            client.loop_write()
        client.loop_misc()

    def _connect(self, link: _Link, now: int) -> None:
        # Links do not try all at once: a broker's listen queue holds about a hundred.
        link.retry_at = now + link.retry_us + link.number * 10_000
        link.retry_us = min(link.retry_us * 2, RETRY_MAX_US)
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho gives it no types
        properties.SessionExpiryInterval = SESSION_EXPIRY_S
        try:
            link.client.connect(*self._address, keepalive=KEEP_ALIVE_S, properties=properties)
        except OSError as error:
            self._note_down(now, str(error))

    def _send_notices(self, link: _Link, now: int) -> None:
        """Notices go first: they are short and urgent."""
        while link.connected and link.room > 0:
            notice = self._reporting.next_notice(link.number, now)
            if notice is None:
                return
            self._publish(link, self._messages.notice(notice))

    def _send_report(self, report: Report, message: Message, now: int) -> None:
        """Send a report as the scenario lets it through."""
        fate = self._faults.fate(report, now)
        if not fate.copies:
            self._reports_lost += 1
            self._reporting.acknowledged(report)
        if fate.corrupted:
            message = replace(message, payload=spoilt(message.payload))
        for _ in range(fate.copies):
            if fate.delay_us:
                heapq.heappush(self._delayed, (now + fate.delay_us, next(self._held), message))
            else:
                self._publish(self._links[self._reporting.link_of(report.sender)], message)

    def _send_delayed(self, now: int) -> None:
        """Send what a scenario has held up; at the end, everything."""
        while self._delayed and (self._delayed[0][0] <= now or self._drain_until is not None):
            content = self._delayed[0][2].content
            link = self._links[self._reporting.link_of(content.sender) if isinstance(content, Report) else 0]
            if not link.connected:
                return
            self._publish(link, heapq.heappop(self._delayed)[2])

    def _answer(self, now: int) -> None:
        """Answer what was asked, as far as the first link has room: reports go first."""
        if self._questions:
            _, acknowledged = self._reporting.last_ends()
            while self._questions:
                said = self._answering.messages(self._questions.popleft(), acknowledged, now)
                self._questions_answered += bool(said)
                self._replies.extend(said)
        link = self._links[0]
        while self._replies and link.connected and link.room > 0:
            self._publish(link, self._replies.popleft())

    def _publish(self, link: _Link, message: Message) -> None:
        """Send one message; when the connection breaks, or just broke, it is due again like all outstanding ones."""
        if link.connected:
            properties = _properties_of(message)
            info = link.client.publish(
                message.topic, message.payload, qos=1, retain=message.retain, properties=properties
            )
        if link.connected:
            link.outstanding[info.mid] = message
            self._sent += 1
            return
        link.client.drop_out_messages()
        if isinstance(message.content, Notice):
            self._reporting.notices[link.number].appendleft(message.content)
        elif isinstance(message.content, OnRequest):
            self._replies.appendleft(message)

    def _change(self, feeder: int, now: int, energised: bool) -> None:  # noqa: FBT001  # unpacked from the queue only
        if self._energy.energised(feeder) == energised:
            return
        time = self._reporting.feeder_state(feeder, now, energised=energised)
        self._energy.feeder_state(feeder, time, energised=energised)
        self._energy.forget_outages_before(time - self._plan.memory_us)
        name, meters = self._fleet.feeders[feeder].name, len(self._fleet.rows_of_feeder(feeder))
        if energised:
            dead_s = (time - self._dead_since.pop(feeder)) / 1e6
            log.info("%s energised again after %.0f s: %d meters report", name, dead_s, meters)
        else:
            self._dead_since[feeder] = time
            log.info("%s dead: %d meters send their last gasp and fall silent", name, meters)

    def _client(self, client_id: str, username: str, password: str) -> mqtt.Client:
        client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=client_id, protocol=mqtt.MQTTv5)
        client.username_pw_set(username, password)
        client.connect_timeout = CONNECT_TIMEOUT_S
        # The window is ours. With a limit of its own paho walks through all outstanding messages at each PUBACK.
        client.max_inflight_messages_set(0)
        return client

    def _attach(self, link: _Link) -> None:
        def connected(
            _client: mqtt.Client,
            _data: Any,
            _flags: mqtt.ConnectFlags,
            reason: ReasonCode,
            properties: Properties | None,
        ) -> None:
            self._connected(link, reason, properties)

        def disconnected(_client: mqtt.Client, _data: Any, _flags: Any, reason: ReasonCode, _properties: Any) -> None:
            self._disconnected(link, str(reason))

        def published(_client: mqtt.Client, _data: Any, mid: int, reason: ReasonCode, _properties: Any) -> None:
            self._settled(link, mid, reason)

        def asked(_client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
            wanted = message.properties
            self._questions.append(
                Question(
                    message.topic,
                    bytes(message.payload),
                    getattr(wanted, "ResponseTopic", ""),
                    getattr(wanted, "CorrelationData", b""),
                )
            )

        link.client.on_connect = connected
        link.client.on_disconnect = disconnected
        link.client.on_publish = published
        if link.number == 0:
            link.client.on_message = asked

    def _connected(self, link: _Link, reason: ReasonCode, properties: Properties | None) -> None:
        if reason.is_failure:
            self._note_down(self._clock(), str(reason))
            return
        link.connected = True
        link.retry_us = RETRY_MIN_US
        if link.number == 0:
            link.client.subscribe(REQUESTS, qos=1)
        link.limit = min(link.limit, getattr(properties, "ReceiveMaximum", 65_535))
        if all(each.connected for each in self._links):
            self._note_up(self._clock())

    def _disconnected(self, link: _Link, why: str) -> None:
        if link.connected:
            link.connected = False
            self._note_down(self._clock(), why)
        link.client.drop_out_messages()
        lost = list(link.outstanding.values())
        notices = [each.content for each in lost if isinstance(each.content, Notice)]
        self._reporting.notices[link.number].extendleft(reversed(notices))
        self._replies.extendleft(reversed([each for each in lost if isinstance(each.content, OnRequest)]))
        link.outstanding.clear()
        self._reporting.link_lost(link.number)

    def _settled(self, link: _Link, mid: int, reason: ReasonCode) -> None:
        message = link.outstanding.pop(mid, None)
        if message is None:
            return
        content = message.content
        taken = not reason.is_failure and reason.value != NO_MATCHING_SUBSCRIBERS
        if taken or (isinstance(content, Notice) and content.kind is not NoticeKind.EVENT and not reason.is_failure):
            self._acknowledged += 1
            if isinstance(content, Report):
                self._reporting.acknowledged(content)
                self._note_heard(link)
            return
        self._unheard += 1
        if isinstance(content, Report):
            self._reporting.refused(content)
        elif isinstance(content, OnRequest):
            self._replies.append(message)
        else:
            self._reporting.notices[link.number].append(content)
        link.window = 1
        link.quiet_until = self._clock() + UNHEARD_PAUSE_US
        if self._unheard_since is None:
            self._unheard_since = self._clock()
            log.warning("Fleet is not heard: %s; meters keep their readings and try again", reason)

    def _note_heard(self, link: _Link) -> None:
        link.window = min(link.limit, link.window * 2)
        if self._unheard_since is not None:
            log.info("Fleet is heard again after %.0f s", (self._clock() - self._unheard_since) / 1e6)
            self._unheard_since = None

    def _note_down(self, now: int, why: str) -> None:
        if self._down_since is None:
            self._down_since = now
            what = "lost the broker" if self._ever_up else "cannot reach the broker"
            log.warning("Fleet %s at %s:%d: %s; meters keep their readings", what, *self._address, why)

    def _note_up(self, now: int) -> None:
        if self._down_since is not None and self._ever_up:
            seconds, again_s = (now - self._down_since) / 1e6, self._plan.resend_us / 1e6
            log.info("Fleet has the broker back after %.0f s; the last %.0f s are sent again", seconds, again_s)
        elif not self._ever_up:
            log.info("Fleet of %d meters connected, %d connections", len(self._fleet), len(self._links))
        self._down_since = None
        self._ever_up = True


def _properties_of(message: Message) -> Properties | None:
    """An answer bears the mark of its request (MQTT 5, 4.10.1)."""
    if not isinstance(message.content, OnRequest) or not message.content.correlation:
        return None
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]  # paho gives it no types
    properties.CorrelationData = message.content.correlation
    return properties
