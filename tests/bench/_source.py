"""A process that makes changes at a steady rate and sends them over a socket as arrays of SAMPLE.

Knows rates and the clock: every change carries the moment it was made, and no two of a point the same one. Does not
know a field protocol. Prints how many changes it made, analog and status.
"""

import json
import socket
import struct
import sys
import time

import numpy as np

from scada.clock import now_us
from scada.model.cause import Cause
from scada.model.sample import SAMPLE, samples

TICK_S = 0.05
COUNT = struct.Struct("<I")


def main() -> None:
    """Arguments: port, and a JSON object with ``analog`` and ``status`` point ids, and phases of (s, rate, rate)."""
    plan = json.loads(sys.stdin.readline())
    ids = {kind: np.array(plan[kind], dtype=np.int32) for kind in ("analog", "status")}
    made = {"analog": 0, "status": 0}
    with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as link:
        begun = time.monotonic()
        for seconds, *rates in plan["phases"]:
            at_start = dict(made)
            since = time.monotonic() - begun
            for tick in range(1, round(seconds / TICK_S) + 1):
                time.sleep(max(0.0, begun + since + tick * TICK_S - time.monotonic()))
                for kind, rate in zip(("analog", "status"), rates, strict=True):
                    due = at_start[kind] + int(tick * TICK_S * rate) - made[kind]
                    link.sendall(_frame(ids[kind], made[kind], due, plan["step"] if kind == "analog" else 1.0))
                    made[kind] += due
    print(json.dumps(made), flush=True)


def _frame(ids: "np.ndarray[tuple[int], np.dtype[np.int32]]", first: int, count: int, step: float) -> bytes:
    """``count`` changes, point after point; each differs from the point's last value by ``step`` or more."""
    numbers = np.arange(first, first + count)
    rounds = numbers // len(ids)
    points = ids[numbers % len(ids)]
    batch = samples(points, now_us(), ((1 + rounds % 2) * step).astype(np.float64), 0, Cause.SPONTANEOUS)
    assert batch.dtype == SAMPLE
    return COUNT.pack(count) + batch.tobytes()


if __name__ == "__main__":
    main()
