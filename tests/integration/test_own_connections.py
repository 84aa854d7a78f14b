"""Meters with connections of their own: several processes and addresses, a broker that dies, and no reading lost."""

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import paho.mqtt.client as mqtt
import psutil
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from meters.payload import INCOMING, decode_profile
from meters.rejection import Rejected
from scada.clock import now_us
from scada.config import SOURCE_ROOT
from simulators.own_connections import MOST_IN_A_PROCESS, OwnConnections, parts, summed
from simulators.own_modems import ModemPlan, ModemState
from tests.fakes_meters import Mosquitto

METERS = 60


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    broker = Mosquitto(tmp_path)
    broker.start()
    yield broker
    broker.stop()


def plan(port: int, meters: int = METERS) -> ModemPlan:
    stations = str(SOURCE_ROOT / "substations")
    return ModemPlan(meters, 3, 0, meters, "127.0.0.1", port, "field", "", 1, "modem", stations, now_us())


def test_every_meter_belongs_to_one_process_and_each_process_has_an_address_of_its_own() -> None:
    cut = parts(plan(1, 10 * MOST_IN_A_PROCESS + 1), 3)
    assert [each.first for each in cut[1:]] == [each.after for each in cut[:-1]]
    assert (cut[0].first, cut[-1].after, len(cut)) == (0, 10 * MOST_IN_A_PROCESS + 1, 11)
    assert [each.source for each in cut[:2]] == ["127.0.0.2", "127.0.0.3"]
    assert max(each.after - each.first for each in cut) <= MOST_IN_A_PROCESS
    states = [ModemState(1, 2, 3, 4, 5, 6, 7, 8, 9, last=True), ModemState(10, 20, 30, 40, 50, 60, 70, 80, 90)]
    assert summed(states) == ModemState(11, 22, 33, 44, 55, 66, 77, 88, 99)
    told = parts(replace(plan(1), truth_file="truth", exchange_file="exchanges"), 2)
    assert [(each.truth_file, each.exchange_file) for each in told] == [("truth.0", "exchanges"), ("truth.1", "")]


@pytest.mark.integration
async def test_all_meters_report_by_themselves_and_nothing_is_lost_when_the_broker_dies(broker: Mosquitto) -> None:
    readings: set[tuple[int, int]] = set()
    listener = listen(broker.port, readings)
    async with OwnConnections(parts(plan(broker.port), 2), "") as crowd:
        await until(lambda: crowd.state.connected == METERS, "all are connected")
        assert sources(broker) == {"127.0.0.2": METERS // 2, "127.0.0.3": METERS // 2}
        await until(lambda: crowd.state.acknowledged >= 2 * METERS, "all have reported twice")
        broker.kill()
        broker.start()
        await until(lambda: crowd.state.losses == METERS == crowd.state.connected, "all are back")
        before = crowd.state.acknowledged
        await until(lambda: crowd.state.acknowledged >= before + METERS, "they report on")
        last = await crowd.finish()
    await until(lambda: len(readings) >= last.acknowledged, "the listener has them")
    listener.disconnect()
    listener.loop_stop()
    assert (len(readings), last.offered, last.last) == (last.acknowledged, last.acknowledged, True)
    assert len({serial for serial, _ in readings}) == METERS


def listen(port: int, readings: set[tuple[int, int]]) -> mqtt.Client:
    """A session that outlives the broker's death, as a head-end's does."""

    def heard(_client: object, _data: object, message: mqtt.MQTTMessage) -> None:
        reading = decode_profile(bytes(message.payload))
        assert not isinstance(reading, Rejected)
        row = dict(zip(INCOMING.names or (), reading, strict=False))
        readings.add((row["serial"], row["time"]))

    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="listener", protocol=mqtt.MQTTv5)
    client.on_connect = lambda *_: client.subscribe("ami/v1/+/+/+/profile", qos=1)
    client.on_message = heard
    client.reconnect_delay_set(1, 1)
    session = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho gives it no types
    session.SessionExpiryInterval = 600
    client.connect("127.0.0.1", port, clean_start=mqtt.MQTT_CLEAN_START_FIRST_ONLY, properties=session)
    client.loop_start()
    return client


def sources(broker: Mosquitto) -> dict[str, int]:
    """How many connections the broker has from each address but the listener's."""
    connections = psutil.net_connections("tcp4")
    up = [each for each in connections if each.status == "ESTABLISHED" and each.laddr and each.raddr]
    found = [each.raddr.ip for each in up if each.laddr.port == broker.port]
    return {address: found.count(address) for address in sorted(set(found) - {"127.0.0.1"})}


async def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, what
        await asyncio.sleep(0.05)
