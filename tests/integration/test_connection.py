"""The head-end's connection against a broker of the test's own: what goes over the wire, and in which order."""

import socket
import struct
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress

import pytest

from meters import connection as wire
from meters.connection import Broker, Connection
from meters.message import Message
from tests.fakes_meters import NOW
from tests.integration.test_headend import until

pytestmark = pytest.mark.integration

CONNACK = b"\x20\x03\x00\x00\x00"


class ScriptedBroker:
    """Accepts one client at a time, answers CONNECT and SUBSCRIBE, and sends what the test says; never a PINGRESP."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.connections = 0
        self.heard: list[bytes] = []
        self._link: socket.socket | None = None
        self._serving = threading.Thread(target=self._serve)
        self._serving.start()

    def send(self, packet_id: int) -> None:
        """One message with QoS 1."""
        assert self._link is not None
        body = b"\x00\x01t" + struct.pack(">H", packet_id) + b"\x00x"
        self._link.sendall(bytes([0x32, len(body)]) + body)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        if self._link is not None:
            with suppress(OSError):
                self._link.shutdown(socket.SHUT_RDWR)
        self._serving.join()

    def _serve(self) -> None:
        while True:
            try:
                link, _ = self._listener.accept()
            except OSError:
                return
            self._link = link
            self.connections += 1
            with link:
                self._talk(link)

    def _talk(self, link: socket.socket) -> None:
        try:
            while data := link.recv(4096):
                while data:
                    packet, data = data[: 2 + data[1]], data[2 + data[1] :]
                    self.heard.append(packet)
                    if packet[0] == 0x10:
                        link.sendall(CONNACK)
                    elif packet[0] == 0x82:
                        link.sendall(b"\x90\x04" + packet[2:4] + b"\x00\x01")
        except OSError:
            return


@pytest.fixture
def broker() -> Iterator[ScriptedBroker]:
    scripted = ScriptedBroker()
    yield scripted
    scripted.close()


class Served:
    """A connection in its thread, and what it delivered."""

    def __init__(self, broker: ScriptedBroker) -> None:
        self.has_room = True
        self.delivered: list[Message] = []
        self.connection = Connection(
            Broker("127.0.0.1", broker.port), "test", "t", 100, lambda: NOW, self._take, lambda: self.has_room
        )
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self.connection.serve, args=(self._stop,))
        self._thread.start()
        until(lambda: self.connection.is_connected, "connected")

    def _take(self, messages: Sequence[Message]) -> None:
        self.delivered += messages

    def stop(self) -> None:
        self._stop.set()
        self.connection.wake()
        self._thread.join()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pings ten times a second and waits a third of one for a word."""
    monkeypatch.setattr(wire, "PING_S", 0.1)
    monkeypatch.setattr(wire, "SILENCE_S", 0.3)
    monkeypatch.setattr(wire, "POLL_MS", 20)


@pytest.fixture
def served(broker: ScriptedBroker) -> Iterator[Served]:
    each = Served(broker)
    yield each
    each.stop()


def acknowledged(broker: ScriptedBroker) -> list[int]:
    return [int.from_bytes(packet[2:4]) for packet in broker.heard if packet[0] == 0x40]


def test_acknowledgements_go_out_in_the_order_of_arrival_whatever_was_committed_first(
    broker: ScriptedBroker, served: Served
) -> None:
    for packet_id in (7, 8, 3, 9):
        broker.send(packet_id)
    until(lambda: len(served.delivered) == 4, "delivered")
    first, second, third, fourth = served.delivered
    served.connection.acknowledge([second, fourth])
    served.connection.acknowledge([first])
    until(lambda: acknowledged(broker) == [7, 8], "the first two")
    served.connection.acknowledge([third])
    until(lambda: acknowledged(broker) == [7, 8, 3, 9], "all")


@pytest.mark.usefixtures("impatient")
def test_a_broker_that_says_nothing_any_more_is_left_and_sought_again(broker: ScriptedBroker, served: Served) -> None:
    until(lambda: b"\xc0\x00" in broker.heard, "a ping")
    until(lambda: broker.connections == 2, "connected again")


@pytest.mark.usefixtures("impatient")
def test_while_there_is_no_room_nothing_is_read_and_silence_is_no_loss(broker: ScriptedBroker, served: Served) -> None:
    served.has_room = False
    before = len(broker.heard)
    until(lambda: len(broker.heard) >= before + 5, "five pings: longer than a silent broker is given")
    broker.send(7)
    until(lambda: len(broker.heard) >= before + 6, "another ping")
    assert (served.delivered, broker.connections) == ([], 1)
    served.has_room = True
    until(lambda: [message.packet_id for message in served.delivered] == [7], "read when there is room")
