"""The fleet against a real broker: what it says it published is what a listener receives, whatever breaks."""

import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from meters.packed import Batch, decode_batch
from meters.payload import INCOMING, IncomingEvent, decode_event, decode_profile, decode_state
from meters.registers import IncomingRegisters, decode_registers
from meters.topic import Subject, read_topic
from scada.clock import now_us
from scada.model.reading import EventCode, ProfileStatus
from scada.model.station import CustomerShares
from scada.services.endpoints import Credential, Endpoints, Role
from simulators.fleet_account import FleetStats, FleetTruth
from simulators.fleet_energy import FleetEnergy
from simulators.fleet_mqtt import FleetPublisher
from simulators.meter_fleet import FeederShare, Fleet, make_fleet
from tests.fakes_meters import Mosquitto, until

pytestmark = pytest.mark.integration

FEEDERS = (
    FeederShare("TN01/471", "PN01", 6.0, CustomerShares(residential=0.8, production=0.1, business=0.1, pv=0.1)),
    FeederShare("TN21/473", "PN09", 6.0, CustomerShares(residential=0.8, production=0.1, business=0.1, pv=0.1)),
)
SECOND = 1_000_000


class Listener:
    """Receives as a head-end does, with a session that outlives connections; decodes with the head-end's codec."""

    def __init__(self, port: int, credential: Credential | None = None, *, resume: bool = False) -> None:
        self.readings: dict[tuple[int, int], set[tuple[int, ...]]] = defaultdict(set)
        self.historical: dict[tuple[int, int], list[bool]] = defaultdict(list)
        self.events: list[IncomingEvent] = []
        self.states: dict[str, str] = {}
        self.received = 0
        self._lock = threading.Lock()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="listener", protocol=mqtt.MQTTv5)
        self._client.on_connect = self._connected
        self._client.on_message = self._message
        self._client.reconnect_delay_set(1, 1)
        if credential is not None:
            self._client.username_pw_set(credential.username, credential.password)
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho gives it no types
        properties.SessionExpiryInterval = 600
        clean = False if resume else mqtt.MQTT_CLEAN_START_FIRST_ONLY
        self._subscribed = threading.Event()
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.connect("127.0.0.1", port, clean_start=clean, properties=properties)
        self._client.loop_start()

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def close_when_subscribed(self) -> None:
        assert self._subscribed.wait(60.0)
        self.close()

    def count(self) -> int:
        with self._lock:
            return len(self.readings)

    def _connected(self, client: mqtt.Client, *_: Any) -> None:
        client.subscribe("ami/v1/#", qos=1)

    def _message(self, _client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        with self._lock:
            self.received += 1
            topic = read_topic(message.topic)
            assert topic is not None
            payload = bytes(message.payload)
            if topic.subject is Subject.STATE:
                state = decode_state(payload)
                assert isinstance(state, str)
                if not message.retain:  # what the broker kept of another fleet is nothing this one says
                    self.states[topic.concentrator] = state
            elif topic.subject is Subject.EVENT:
                event = decode_event(payload)
                assert isinstance(event, IncomingEvent)
                self.events.append(event)
            elif topic.subject is Subject.REGISTER:  # at midnight in Viet Nam
                assert isinstance(decode_registers(payload), IncomingRegisters)
            elif topic.is_batch:
                batch = decode_batch(payload)
                assert isinstance(batch, Batch)
                self._keep(batch.rows)
            else:
                row = decode_profile(payload)
                assert isinstance(row, tuple)
                self._keep(np.array([row], dtype=INCOMING))

    def _keep(self, rows: np.ndarray[Any, np.dtype[np.void]]) -> None:
        for serial, _, end, *values, _, _, historical in rows.tolist():
            self.readings[serial, end].add(tuple(values))
            self.historical[serial, end].append(historical)


@pytest.fixture
def autosave_s() -> int:
    return 1


@pytest.fixture
def broker(tmp_path: Path, autosave_s: int) -> Iterator[Mosquitto]:
    broker = Mosquitto(tmp_path, autosave_s=autosave_s)
    broker.start()
    yield broker
    broker.kill()


@pytest.fixture
def listener(broker: Mosquitto) -> Iterator[Listener]:
    listener = Listener(broker.port)
    yield listener
    listener.close()


def publisher(fleet: Fleet, port: int, **changes: Any) -> FleetPublisher:
    settings = {"capture_period_s": 1, "connections": 3, "in_flight": 50, "resend_s": 4.0} | changes
    return FleetPublisher(fleet, "127.0.0.1", port, "field", "", **settings)


def finished(field: FleetPublisher) -> tuple[FleetStats, FleetTruth]:
    """The last figures and the truth, once everything owed is delivered, however long that takes here."""
    return field.stop(drain_s=60.0), field.truth()


def expected_keys(truth: FleetTruth) -> set[tuple[int, int]]:
    period = truth.capture_period_us
    return {
        (serial, end)
        for serial, last in zip(truth.serial.tolist(), truth.last_acknowledged.tolist(), strict=True)
        for end in range(truth.first_end, last + 1, period)
    }


def assert_complete(listener: Listener, truth: FleetTruth, stats: FleetStats) -> None:
    """Every distinct reading arrived, none contradicts another, and the figures say so."""
    until(lambda: listener.count() >= stats.readings_acknowledged, "all readings received")
    assert set(listener.readings) == expected_keys(truth)
    assert {len(values) for values in listener.readings.values()} == {1}
    assert int(truth.readings.sum()) == stats.readings_acknowledged == stats.readings_offered == len(listener.readings)


def test_published_is_received_and_each_value_is_the_one_computed(broker: Mosquitto, listener: Listener) -> None:
    fleet = make_fleet(FEEDERS, meters=2_000)
    field = publisher(fleet, broker.port)
    field.start()
    until(lambda: field.stats().readings_acknowledged >= 4 * 2_000, "four intervals acknowledged")
    stats, truth = finished(field)
    assert_complete(listener, truth, stats)
    assert (stats.meters_reported, stats.readings_resent, stats.readings_forgotten) == (2_000, 0, 0)
    assert stats.messages_unheard == 0
    assert listener.states == dict.fromkeys(fleet.concentrators, "online")
    energy = FleetEnergy(fleet)
    computed = energy.readings(np.arange(len(fleet)), truth.first_end, SECOND)
    names = ("import_wh", "export_wh", "import_varh", "power_w", "voltage_dv", "status")
    for serial, row in zip(fleet.serial.tolist(), computed, strict=True):
        assert listener.readings[serial, truth.first_end] == {tuple(int(row[name]) for name in names)}


def test_every_reading_arrives_though_the_broker_is_killed_and_forgets_what_it_acknowledged(
    broker: Mosquitto, listener: Listener
) -> None:
    fleet = make_fleet(FEEDERS, meters=2_000)
    field = publisher(fleet, broker.port, resend_s=60.0)
    field.start()
    until(lambda: field.stats().readings_acknowledged >= 3 * 2_000, "three intervals acknowledged")
    broker.kill()
    until(lambda: field.stats().connections_up == 0, "the connections are noticed as lost")
    time.sleep(2.0)  # intervals pass while the broker is away
    broker.start()
    before = field.stats().readings_acknowledged
    until(lambda: field.stats().readings_acknowledged >= before + 6 * 2_000, "the fleet has caught up")
    stats, truth = finished(field)
    assert stats.readings_resent > 0
    assert_complete(listener, truth, stats)


@pytest.mark.parametrize("autosave_s", [3600])
@pytest.mark.parametrize(("resend_s", "complete"), [(60.0, True), (0.001, False)])
def test_what_a_killed_broker_had_acknowledged_and_forgot_is_said_again(
    broker: Mosquitto, *, resend_s: float, complete: bool
) -> None:
    """The head-end is away, the broker queues and is killed before it saves. Without repetition readings are lost."""
    # mosquitto writes down the sessions of those only who did not ask for a clean start
    Listener(broker.port, resume=True).close_when_subscribed()
    broker.save()
    fleet = make_fleet(FEEDERS, meters=400)
    field = publisher(fleet, broker.port, resend_s=resend_s)
    field.start()
    until(lambda: field.stats().readings_acknowledged >= 3 * 400, "acknowledged by the broker alone")
    broker.kill()
    until(lambda: field.stats().connections_up == 0, "the connections are noticed as lost")
    before = field.truth().last_acknowledged
    broker.start()
    until(lambda: bool((field.truth().last_acknowledged > before).all()), "everybody is back and reports")
    listener = Listener(broker.port, resume=True)
    try:
        stats, truth = finished(field)
        if complete:
            assert_complete(listener, truth, stats)
        else:
            newest = set(zip(truth.serial.tolist(), truth.last_acknowledged.tolist(), strict=True))
            until(lambda: newest <= listener.readings.keys(), "what was said last is received")
            assert len(listener.readings) < stats.readings_acknowledged == len(expected_keys(truth))
    finally:
        listener.close()


def test_a_dead_feeder_gasps_falls_silent_and_tells_its_outage_afterwards(
    broker: Mosquitto, listener: Listener
) -> None:
    fleet = make_fleet(FEEDERS, meters=400)  # two concentrators, one on each feeder, and 40 with own modems
    field = publisher(fleet, broker.port)
    field.start()
    until(lambda: field.stats().meters_reported == 400, "all meters heard")
    behind = set(fleet.serial[fleet.rows_of_feeder(1)].tolist())
    field.feeder_state("TN21/473", down := now_us(), energised=False)
    until(lambda: len(listener.events) == len(behind), "the last gasps")
    assert {event.serial for event in listener.events} == behind
    assert {event.code for event in listener.events} == {EventCode.LAST_GASP}
    until(lambda: listener.states.get("DCU00002") == "offline", "the concentrator's last word follows theirs")
    assert listener.states["DCU00001"] == "online"
    assert field.stats().meters_dead == len(behind)
    until(lambda: now_us() > (down // SECOND + 4) * SECOND, "three whole intervals without supply")
    field.feeder_state("TN21/473", up := now_us(), energised=True)
    dead = [end for end in range(down // SECOND * SECOND, up, SECOND) if down <= end - SECOND]
    assert len(dead) >= 3
    until(lambda: all((serial, dead[-1]) in listener.readings for serial in behind), "the outage told from memory")
    stats, truth = finished(field)
    assert_complete(listener, truth, stats)
    for serial in behind:
        rows = [next(iter(listener.readings[serial, end])) for end in dead]
        assert {row[3:] for row in rows} == {(0, 0, ProfileStatus.POWER_DOWN)}
        assert len({row[:3] for row in rows}) == 1
        assert all(flag for end in dead[:-1] for flag in listener.historical[serial, end])
    assert listener.states["DCU00002"] == "online"
    assert sum(event.code == EventCode.POWER_RETURNED for event in listener.events) == len(behind)


def test_nothing_is_lost_when_nobody_listens_at_first(broker: Mosquitto) -> None:
    fleet = make_fleet(FEEDERS, meters=400)
    field = publisher(fleet, broker.port)
    field.start()
    until(lambda: field.stats().messages_unheard >= 3, "the broker says that nobody listens")
    assert field.stats().readings_acknowledged == 0
    listener = Listener(broker.port)
    try:
        until(lambda: field.stats().meters_reported == 400, "all meters heard")
        stats, truth = finished(field)
        assert_complete(listener, truth, stats)
    finally:
        listener.close()


def test_a_fleet_without_a_broker_keeps_trying_and_stops_when_told(tmp_path: Path) -> None:
    broker = Mosquitto(tmp_path)
    field = publisher(make_fleet(FEEDERS, meters=400), broker.port)
    field.start()
    field.feeder_state("TN01/471", now_us(), energised=False)
    until(lambda: field.stats().meters_dead > 0, "the feeder is dead")
    stats = field.stop(drain_s=0.1)
    assert (stats.connections_up, stats.messages_sent, stats.readings_offered) == (0, 0, 0)
    assert int(field.truth().readings.sum()) == 0
    assert not field.running


def test_a_payload_is_json_with_an_offset_for_a_meter_with_its_own_modem(broker: Mosquitto, listener: Listener) -> None:
    raw: list[bytes] = []
    listener._client.message_callback_add("ami/v1/+/direct/+/profile", lambda _c, _d, m: raw.append(bytes(m.payload)))
    field = publisher(make_fleet(FEEDERS, meters=20), broker.port)
    field.start()
    until(lambda: len(raw) >= 20 and not newest(raw)["historical"], "twenty single readings, the newest in time")
    field.stop()
    message = newest(raw)
    assert message["time"].endswith("+07:00")
    assert (message["v"], message["interval_s"]) == (1, 1)


def newest(raw: list[bytes]) -> dict[str, Any]:
    return dict(max((msgspec.json.decode(each) for each in raw), key=lambda message: str(message["time"])))


def test_the_private_broker_lets_the_field_say_all_it_has_to_say(endpoints: Endpoints) -> None:
    head_end = endpoints.mqtt_credentials[Role.HEADEND]
    field_role = endpoints.mqtt_credentials[Role.FIELD]
    fleet = make_fleet(FEEDERS, meters=400)
    listener = Listener(endpoints.mqtt_port, head_end)
    field = FleetPublisher(
        fleet,
        endpoints.mqtt_host,
        endpoints.mqtt_port,
        field_role.username,
        field_role.password,
        capture_period_s=1,
        client_id="fleet-under-test",
    )
    try:
        field.start()
        until(lambda: field.stats().meters_reported == 400, "all meters heard")
        assert field.feeder_state("TN21/473", now_us(), energised=False)
        assert not field.feeder_state("TN99/473", now_us(), energised=False)
        until(lambda: len(listener.events) == len(fleet.rows_of_feeder(1)), "the last gasps")
        stats, truth = finished(field)
        assert_complete(listener, truth, stats)
        assert set(listener.states) == set(fleet.concentrators)
    finally:
        listener.close()


def test_a_wrong_password_is_told_once_and_nothing_is_offered(
    endpoints: Endpoints, caplog: pytest.LogCaptureFixture
) -> None:
    field = FleetPublisher(
        make_fleet(FEEDERS, meters=20), endpoints.mqtt_host, endpoints.mqtt_port, "field", "wrong", connections=2
    )
    field.start()
    until(lambda: bool(caplog.records), "the refusal is told")
    time.sleep(1.0)
    stats = field.stop(drain_s=0.1)
    assert stats.readings_offered == 0
    assert [record.getMessage().partition("; ")[0] for record in caplog.records] == [
        f"Fleet cannot reach the broker at 127.0.0.1:{endpoints.mqtt_port}: Not authorized"
    ]
