"""The head-end with a real broker and a fake store: nothing published is lost, nothing is stored twice."""

import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from meters.connection import READ_BYTES, Broker, Connection
from meters.headend import HeadEnd, HeadEndStats
from meters.message import Message
from scada.config import HeadEndConfig
from tests.fakes_meters import (
    INTERVAL,
    NOW,
    FakeStore,
    Mosquitto,
    batch_message,
    meters,
    profile_message,
    until,
)

pytestmark = pytest.mark.integration

CONFIG = HeadEndConfig(batch_rows=500, batch_age_s=0.02, registry_reload_s=1.0)


@pytest.fixture(autouse=True)
def none_left_working(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A test that fails leaves its head-end working, and the whole run would wait for it at its end."""
    started: list[HeadEnd] = []
    start = HeadEnd.start

    def noted(each: HeadEnd) -> None:
        started.append(each)
        start(each)

    monkeypatch.setattr(HeadEnd, "start", noted)
    yield
    for each in started:
        each.stop()


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    broker = Mosquitto(tmp_path)
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture
def store() -> FakeStore:
    return FakeStore(registered=meters(2000))


def head_end(broker: Mosquitto, store: FakeStore, config: HeadEndConfig = CONFIG) -> HeadEnd:
    return HeadEnd(config, Broker("127.0.0.1", broker.port), [store, store], lambda: NOW)


class Publisher:
    """A concentrator's side: publishes with QoS 1 and knows what the broker has acknowledged."""

    def __init__(self, broker: Mosquitto) -> None:
        self._client = Client(
            CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5, client_id="concentrator"
        )
        self._client.max_inflight_messages_set(200)
        self._client.reconnect_delay_set(1, 1)
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho left its constructor untyped
        properties.SessionExpiryInterval = 600
        self._client.connect("127.0.0.1", broker.port, clean_start=False, properties=properties)
        self._client.loop_start()

    def publish(self, messages: Sequence[Message], *, timeout: float = 60) -> None:
        """Publish and wait until the broker has acknowledged all."""
        sent = [self._client.publish(message.topic, message.payload, qos=1) for message in messages]
        deadline = time.monotonic() + timeout
        for each in sent:
            each.wait_for_publish(max(0.0, deadline - time.monotonic()))
            assert each.is_published()

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture
def publisher(mosquitto: Mosquitto) -> Iterator[Publisher]:
    each = Publisher(mosquitto)
    yield each
    each.close()


def publish_until(enough: threading.Event, publisher: Publisher, messages: Sequence[Message]) -> None:
    """Publish again and again, so that there is a load whenever it is over."""
    while not enough.is_set():
        publisher.publish(messages)


def until_connected(worker: HeadEnd) -> None:
    until(lambda: worker.stats().connected, "the head-end connects")


def lose_the_store(store: FakeStore) -> None:
    """From now on it is away; the registry was read, and nothing waits for its acknowledgement.

    An acknowledgement that comes to mosquitto 2.0 while messages wait lets it send another receive maximum of them.
    """
    until(lambda: store.registry_reads > 0, "the registry is read")
    store.is_away.set()


def until_received(worker: HeadEnd, count: int) -> HeadEndStats:
    """Wait for a quiet moment with ``count`` readings received; the account holds in it."""
    until(lambda: worker.stats().received >= count and worker.stats().in_hand == 0, f"{count} received")
    stats = worker.stats()
    assert stats.received == stats.stored + stats.revised + stats.duplicate + sum(stats.rejected.values())
    return stats


def test_singles_and_batches_arrive_and_bad_ones_are_counted(
    mosquitto: Mosquitto, store: FakeStore, publisher: Publisher
) -> None:
    worker = head_end(mosquitto, store)
    worker.start()
    until_connected(worker)
    publisher.publish([profile_message(n) for n in range(1, 301)])
    publisher.publish([batch_message(range(301, 501)), Message("ami/v1/PC01/direct/1/profile", b"{", NOW)])
    stats = until_received(worker, 501)
    worker.stop()
    assert (stats.stored, stats.rejected, stats.meters_heard) == (500, {"not_json": 1}, 500)
    assert {key[0] for key in store.rows} == set(range(1, 501))
    assert [entry.reason for entry in store.quarantine] == ["not_json"]


def test_what_is_published_while_the_head_end_is_away_waits_in_its_session(
    mosquitto: Mosquitto, store: FakeStore, publisher: Publisher
) -> None:
    first = head_end(mosquitto, store)
    first.start()
    until_connected(first)
    publisher.publish([profile_message(1)])
    until_received(first, 1)
    first.stop()
    publisher.publish([profile_message(n) for n in range(2, 102)])
    second = head_end(mosquitto, store)
    second.start()
    stats = until_received(second, 100)
    second.stop()
    assert (stats.stored, stats.duplicate) == (100, 0)
    assert len(store.rows) == 101


def test_messages_queued_for_an_absent_head_end_survive_a_restart_of_the_broker(
    mosquitto: Mosquitto, store: FakeStore, publisher: Publisher
) -> None:
    first = head_end(mosquitto, store)
    first.start()
    until_connected(first)
    first.stop()
    publisher.publish([profile_message(n) for n in range(1, 101)])
    mosquitto.stop()
    mosquitto.start()
    second = head_end(mosquitto, store)
    second.start()
    stats = until_received(second, 100)
    second.stop()
    assert (stats.stored, stats.duplicate, len(store.rows)) == (100, 0, 100)


def test_a_store_that_is_away_costs_nothing_but_time(
    mosquitto: Mosquitto, store: FakeStore, publisher: Publisher
) -> None:
    worker = head_end(mosquitto, store, replace(CONFIG, receive_maximum=100))
    worker.start()
    until_connected(worker)
    lose_the_store(store)
    publisher.publish([profile_message(n) for n in (1, *range(1, 501))])
    until(lambda: worker.stats().in_hand == 100, "the receive maximum is reached")
    until(lambda: not worker.stats().database_available, "a writer has found the store away")
    away = worker.stats()
    assert (away.in_hand, away.received, away.connected) == (100, 0, True)
    store.is_away.clear()
    stats = until_received(worker, 501)
    worker.stop()
    assert (stats.stored, stats.duplicate, stats.database_available) == (500, 1, True)


def test_however_large_messages_are_no_more_is_in_hand_than_allowed(
    mosquitto: Mosquitto, store: FakeStore, publisher: Publisher
) -> None:
    worker = head_end(mosquitto, store, replace(CONFIG, in_hand_mib=1))
    worker.start()
    until_connected(worker)
    store.is_away.set()
    batches = [batch_message(range(1, 1001), NOW - each * INTERVAL) for each in range(100)]
    publisher.publish(batches)
    size = len(batches[0].payload)
    until(lambda: worker.stats().in_hand * size >= 2**20, "what is allowed is in hand")
    over = worker.stats().in_hand
    assert over * size < 2**20 + READ_BYTES + size
    store.is_away.clear()
    stats = until_received(worker, 100_000)
    worker.stop()
    assert (stats.stored, stats.duplicate) == (100_000, 0)


def test_a_broker_killed_under_load_loses_nothing_that_is_published_again(
    mosquitto: Mosquitto, store: FakeStore, publisher: Publisher
) -> None:
    worker = head_end(mosquitto, store)
    worker.start()
    until_connected(worker)
    messages = [profile_message(n, NOW - k * INTERVAL) for k in range(5) for n in range(1, 1001)]
    enough = threading.Event()
    load = threading.Thread(target=publish_until, args=(enough, publisher, messages))
    load.start()
    until(lambda: worker.stats().received > 300, "the load has begun")
    mosquitto.kill()
    enough.set()
    until(lambda: not worker.stats().connected, "the head-end notices")
    mosquitto.start()
    load.join()
    until_connected(worker)
    publisher.publish(messages)  # the broker lost what it had only acknowledged: the concentrator repeats its memory
    until(lambda: len(store.rows) == len(messages), "all stored")
    until(lambda: worker.stats().in_hand == 0, "quiet")
    stats = until_received(worker, len(messages))
    worker.stop()
    assert stats.stored == len(messages)
    assert (stats.revised, stats.rejected) == (0, {})
    assert stats.received == stats.stored + stats.duplicate


def test_a_worker_that_dies_between_commit_and_acknowledgement_leaves_duplicates_and_no_twins(
    mosquitto: Mosquitto, store: FakeStore, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Connection, "acknowledge", _forget)
        dying = head_end(mosquitto, store)
        dying.start()
        until_connected(dying)
        publisher.publish([profile_message(n) for n in range(1, 201)])
        until_received(dying, 200)
        dying.stop()
    heir = head_end(mosquitto, store)
    heir.start()
    stats = until_received(heir, 200)
    heir.stop()
    assert (stats.stored, stats.duplicate, stats.revised) == (0, 200, 0)
    assert len(store.rows) == 200


def test_acknowledgements_of_a_lost_connection_are_not_sent_on_the_next(
    mosquitto: Mosquitto, store: FakeStore, publisher: Publisher
) -> None:
    """Packet identifiers start again after a reconnect, so a late acknowledgement would hit another message."""
    worker = head_end(mosquitto, store, replace(CONFIG, receive_maximum=100))
    worker.start()
    until_connected(worker)
    lose_the_store(store)
    publisher.publish([profile_message(n) for n in range(1, 101)])
    until(lambda: worker.stats().in_hand == 100, "all in hand, none committed")
    mosquitto.stop()
    until(lambda: not worker.stats().connected, "the head-end notices")
    mosquitto.start()
    until(lambda: worker.stats().in_hand == 200, "the broker sends again what was not acknowledged")
    store.is_away.clear()
    stats = until_received(worker, 200)
    until(lambda: worker.stats().stale_acknowledgements == 100, "the wire's thread has dropped the late ones")
    worker.stop()
    assert (stats.stored, stats.duplicate) == (100, 100)


def test_two_workers_share_one_subscription(mosquitto: Mosquitto, store: FakeStore, publisher: Publisher) -> None:
    configs = [replace(CONFIG, client_id=name, shared_group="head-ends") for name in ("worker-1", "worker-2")]
    workers = [head_end(mosquitto, store, config) for config in configs]
    for worker in workers:
        worker.start()
        until_connected(worker)
    publisher.publish([profile_message(n) for n in range(1, 401)])
    until(lambda: len(store.rows) == 400, "all stored")
    until(lambda: all(worker.stats().in_hand == 0 for worker in workers), "quiet")
    received = [worker.stats().received for worker in workers]
    for worker in workers:
        worker.stop()
    assert sum(received) == 400
    assert min(received) > 0


def test_a_broker_that_is_not_there_is_told_and_waited_for(tmp_path: Path, store: FakeStore) -> None:
    broker = Mosquitto(tmp_path)
    worker = head_end(broker, store)
    worker.start()
    until(lambda: worker.stats().last_error != "", "the error is told")
    assert "refused" in worker.stats().last_error
    broker.start()
    until_connected(worker)
    worker.stop()
    broker.stop()
    assert worker.stats().last_error == ""


def test_a_new_meter_is_accepted_once_the_registry_is_read_again(
    mosquitto: Mosquitto, store: FakeStore, publisher: Publisher
) -> None:
    now = [NOW]
    worker = HeadEnd(CONFIG, Broker("127.0.0.1", mosquitto.port), [store], lambda: now[0])
    worker.start()
    until_connected(worker)
    publisher.publish([profile_message(3000)])
    assert until_received(worker, 1).rejected == {"unknown_meter": 1}
    store.registered = meters(3000)
    now[0] += 2_000_000
    publisher.publish([profile_message(3000)])
    stats = until_received(worker, 2)
    worker.stop()
    assert (stats.stored, stats.meters_registered) == (1, 3000)


def test_other_transformers_at_a_known_meter_are_known_in_time_though_nothing_unknown_is_heard(
    mosquitto: Mosquitto, store: FakeStore, publisher: Publisher
) -> None:
    now = [NOW]
    worker = HeadEnd(CONFIG, Broker("127.0.0.1", mosquitto.port), [store], lambda: now[0])
    worker.start()
    until_connected(worker)
    publisher.publish([profile_message(1)])
    until_received(worker, 1)
    known, *others = store.registered
    store.registered = [replace(known, removed_at=NOW), replace(known, id=5000, installed_at=NOW), *others]
    now[0] += INTERVAL
    publisher.publish([profile_message(1, NOW + INTERVAL)])
    until_received(worker, 2)
    worker.stop()
    assert sorted(store.rows) == [(1, NOW), (5000, NOW + INTERVAL)]


def test_a_bug_in_a_thread_ends_the_head_end_and_is_raised(
    mosquitto: Mosquitto, store: FakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise RuntimeError("our own bug")

    monkeypatch.setattr(store, "registered_meters", broken)
    with pytest.raises(RuntimeError, match="our own bug"):
        head_end(mosquitto, store).run(threading.Event())


def _forget(_connection: Connection, _messages: Sequence[Message]) -> None:
    """Stands for a process that dies after the commit."""
