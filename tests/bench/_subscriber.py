"""A process that takes from a broker what meters say, acknowledges it at once and stores nothing.

What it needs is what the broker and any head-end need. Knows plain sockets and the bytes of a message. Says ``ready``
when it is subscribed, and prints a JSON object when it has had as many messages as it was told.
"""

import json
import os
import socket
import sys
import time
from dataclasses import asdict, dataclass

from meters.framing import cut, pubacks
from meters.topic import ROOT
from simulators.mqtt_packets import Login
from tests.bench._mqtt import connect_all
from tests.bench._publisher import PASSWORD_VARIABLE

READ_BYTES = 256 * 1024
GATHER_S = 0.002
"""A pause for more to come, as the head-end's."""


@dataclass(slots=True)
class Taken:
    """What came; the moment in s since 1970."""

    messages: int = 0
    last_at: float = 0.0
    subscriber_cpu_s: float = 0.0


def main() -> None:
    """The job is the only argument, as JSON; the broker's password is in the environment."""
    job = json.loads(sys.argv[1])
    login = Login(job["host"], job["port"], job["username"], os.environ[PASSWORD_VARIABLE])
    (link,) = connect_all(login, [f"bench-{os.getpid()}-taking"])
    topic = f"{ROOT}/#".encode()
    link.sendall(bytes([0x82, len(topic) + 6, 0, 1, 0, 0, len(topic)]) + topic + b"\x01")
    link.settimeout(None)
    print("ready", flush=True)
    print(json.dumps(asdict(_take(link, int(job["messages"])))), flush=True)


def _take(link: socket.socket, count: int) -> Taken:
    taken, data, begun = Taken(), b"", time.process_time()
    while taken.messages < count:
        received = link.recv(READ_BYTES)
        if not received:
            raise RuntimeError("the broker closed the connection")
        data += received
        messages, _, consumed = cut(data)
        data = data[consumed:]
        link.sendall(pubacks([message.packet_id for message in messages]))
        taken.messages += len(messages)
        time.sleep(GATHER_S)
    taken.last_at, taken.subscriber_cpu_s = time.time(), time.process_time() - begun
    return taken


if __name__ == "__main__":
    main()
