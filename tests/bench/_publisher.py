"""A process that offers readings to a broker: prepares everything, says ``ready``, waits for ``go``, then only sends.

Knows three jobs: concentrators' batches over a few connections as fast as the broker takes them, a lost day the same
way, and single readings over thousands of connections on a schedule. Prints a JSON object at the end.
"""

import json
import os
import selectors
import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import numpy as np

from simulators.mqtt_packets import PUBACK, Login, packets_in, publish_packet
from tests.bench._fleet import PackedReadings, single
from tests.bench._mqtt import connect_all, refused

PASSWORD_VARIABLE = "BENCH_PASSWORD"
CONNECTIONS = 8
WINDOW = 1000
"""Unacknowledged messages on one of the few connections."""


@dataclass(slots=True)
class Offered:
    """What became of it; moments in s since 1970."""

    messages: int = 0
    acknowledged: int = 0
    refused: int = 0
    first_at: float = 0.0
    last_sent_at: float = 0.0
    last_acknowledged_at: float = 0.0
    publisher_cpu_s: float = 0.0


def _batches(job: dict[str, object]) -> list[tuple[str, bytes]]:
    """Interval after interval; with ``dirty``, one message in a hundred twice and one in a hundred 300 places later."""
    readings = PackedReadings(_int(job, "meters"))
    messages = [message for time_ in _times(job) for message in readings.live(time_)]
    if not job.get("dirty"):
        return messages
    places = [(float(place + 300 if place % 100 == 50 else place), place) for place in range(len(messages))]
    places += [(place + 150.5, place) for place in range(0, len(messages), 100)]
    return [messages[place] for _, place in sorted(places)]


def _backlog(job: dict[str, object]) -> list[tuple[str, bytes]]:
    return list(PackedReadings(_int(job, "meters")).backlog(_times(job), _int(job, "intervals_per_message")))


def _stream(job: dict[str, object], address: Login) -> Offered:
    """Few connections, each always with as many messages under way as its window allows."""
    messages = _batches(job) if job["kind"] == "batches" else _backlog(job)
    links = connect_all(address, [f"bench-{os.getpid()}-{each}" for each in range(CONNECTIONS)])
    # One concentrator stays on one connection: its intervals keep their order.
    queues: list[list[bytes]] = [[] for _ in links]
    numbers: dict[str, int] = {}
    for topic, payload in messages:
        queue = queues[numbers.setdefault(topic, len(numbers)) % len(links)]
        queue.append(publish_packet(topic, payload, len(queue) % 65_535 + 1))
    _wait_for_go()
    offered = Offered(messages=len(messages), first_at=time.time(), publisher_cpu_s=time.process_time())
    selector = selectors.DefaultSelector()
    flows = [_Flow(link, iter(queue), offered) for link, queue in zip(links, queues, strict=True)]
    for flow in flows:
        flow.register(selector)
    while offered.acknowledged < offered.messages:
        for key, events in selector.select(30):
            flow = key.data
            if events & selectors.EVENT_READ:
                flow.read()
            flow.write()
            flow.register(selector)
    offered.last_acknowledged_at = time.time()
    return offered


class _Flow:
    """One connection's part of a stream."""

    def __init__(self, link: socket.socket, queue: Iterator[bytes], offered: Offered) -> None:
        self._link = link
        link.settimeout(0.0)
        self._queue = queue
        self._offered = offered
        self._under_way = 0
        self._rest = memoryview(b"")
        self._received = b""
        self._registered = 0

    def register(self, selector: selectors.BaseSelector) -> None:
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._rest or self._under_way < WINDOW else 0)
        if not self._rest and self._queue_is_done():
            wanted = selectors.EVENT_READ
        if wanted != self._registered:
            (selector.modify if self._registered else selector.register)(self._link, wanted, self)
            self._registered = wanted

    def _queue_is_done(self) -> bool:
        if not self._rest and self._under_way < WINDOW:
            self._rest = memoryview(b"".join(self._next()))
        return not self._rest

    def _next(self) -> Iterator[bytes]:
        for packet in self._queue:
            self._under_way += 1
            yield packet
            if self._under_way >= WINDOW:
                return

    def write(self) -> None:
        while self._rest or not self._queue_is_done():
            try:
                sent = self._link.send(self._rest[: 1 << 20])
            except BlockingIOError:
                return
            self._rest = self._rest[sent:]
            self._offered.last_sent_at = time.time()

    def read(self) -> None:
        received = self._link.recv(1 << 16)
        if not received:
            raise RuntimeError("the broker closed a connection")
        packets, self._received = packets_in(self._received + received)
        for kind, body in packets:
            if kind == PUBACK:
                self._under_way -= 1
                self._offered.acknowledged += 1
                self._offered.refused += refused(body)


def _singles(job: dict[str, object], address: Login) -> Offered:
    """Message i goes over connection i modulo their number, all of them spread evenly over ``seconds``."""
    (time_,) = _times(job)
    connections, seconds = _int(job, "connections"), float(str(job["seconds"]))
    links = connect_all(address, [f"bench-{os.getpid()}-{each}" for each in range(connections)])
    packets = [
        publish_packet(*single(number, time_), (number - 1) // connections + 1)
        for number in range(1, _int(job, "meters") + 1)
    ]
    for link in links:
        link.settimeout(0.0)
    _wait_for_go()
    offered = Offered(messages=len(packets), first_at=time.time(), publisher_cpu_s=time.process_time())
    begun = time.monotonic()
    for number, packet in enumerate(packets):
        if number % 100 == 0:
            time.sleep(max(0.0, begun + seconds * number / len(packets) - time.monotonic()))
        links[number % connections].send(packet)
    offered.last_sent_at = time.time()
    for number, link in enumerate(links):
        link.settimeout(60)
        _await_pubacks(link, len(range(number, len(packets), connections)), offered)
    offered.last_acknowledged_at = time.time()
    return offered


def _await_pubacks(link: socket.socket, count: int, offered: Offered) -> None:
    data = b""
    while count:
        received = link.recv(4096)
        if not received:
            raise RuntimeError("the broker closed a connection")
        packets, data = packets_in(data + received)
        for kind, body in packets:
            if kind == PUBACK:
                count -= 1
                offered.acknowledged += 1
                offered.refused += refused(body)


def _wait_for_go() -> None:
    print("ready", flush=True)
    sys.stdin.readline()


def _times(job: dict[str, object]) -> list[int]:
    times = job["times"]
    assert isinstance(times, list)
    return [int(np.int64(each)) for each in times]


def _int(job: dict[str, object], name: str) -> int:
    return int(str(job[name]))


def main() -> None:
    """The job is the only argument, as JSON; the broker's password is in the environment."""
    job = json.loads(sys.argv[1])
    address = Login(job["host"], job["port"], job["username"], os.environ[PASSWORD_VARIABLE])
    offered = _singles(job, address) if job["kind"] == "singles" else _stream(job, address)
    offered.publisher_cpu_s = time.process_time() - offered.publisher_cpu_s
    print(json.dumps(asdict(offered)), flush=True)


if __name__ == "__main__":
    main()
