"""As many live MQTT connections as one broker process may open: held, then a broker that dies and comes back.

Each meter holds its own connection, in several processes and from several loopback addresses, and reports once a
minute. After the hold the broker is killed and started again; how long until all are back, and is every reading there?
The broker saves every five seconds, so meters say their last reading again after reconnecting, as ours do.

SECONDS is the length of the hold, 300 in full, and below 60 the number of connections shrinks with it.
"""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack

from historian.registry import import_meters
from scada.clock import now_us
from scada.config import SOURCE_ROOT
from scada.services import supervisor
from scada.services.endpoints import Role
from tests.bench import _fleet as fleet
from tests.bench._collector import collector
from tests.bench._house import House, private_services
from tests.bench._publisher import PASSWORD_VARIABLE
from tests.bench.result import Result, say

SECONDS = 300.0
CONNECTIONS = 18_000
"""Of the 20,000 descriptors a process may open on this kind of machine."""
PROCESSES = 3
UP_WITHIN_S = 180.0


class Crowd:
    """One process of modems; its newest word is in ``state``."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.state: Mapping[str, int] = {}
        self._listening = asyncio.create_task(self._listen(), name="modems")

    async def _listen(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            self.state = json.loads(line)

    async def leave(self) -> Mapping[str, int]:
        """Have it make no more readings and wait until all are acknowledged; its last word."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"stop\n")
        await self._process.stdin.drain()
        await asyncio.wait_for(self._listening, 90)
        return self.state

    async def end(self) -> None:
        """End the process, whatever it does."""
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()
        await asyncio.gather(self._listening, return_exceptions=True)


async def run(seconds: float | None) -> Result:
    """Hold, kill, come back, count."""
    span = seconds or SECONDS
    count = CONNECTIONS if span >= 60 else max(300, int(CONNECTIONS * span / 60))
    result = Result("connections")
    with private_services() as house:
        registry = house.folder / "meters.csv"
        fleet.write_registry(registry, count)
        import_meters(house.dsn, registry)
        with collector(house) as head_end:
            empty_kib = house.broker().memory_info().rss / 1024
            async with AsyncExitStack() as stack:
                crowds = await _crowds(stack, house, count)
                took = await _all_connected(crowds, count)
                say(f"{count:,} connections after {took:.1f} s")
                full_kib = house.broker().memory_info().rss / 1024
                await asyncio.sleep(span)
                held = _sum(crowds, "connected")
                back_s = await _reconnect_storm(house, crowds, count)
                say(f"all back after {back_s:.1f} s")
                last = [await crowd.leave() for crowd in crowds]
            made = sum(state["made"] for state in last)
            unacknowledged = sum(state["unacknowledged"] for state in last)
            await asyncio.to_thread(_until_quiet, house, made)
            rows = house.number("SELECT count(*) FROM reading")
            duplicates = int(head_end.readings()["duplicate"])
    result.lost = max(0, made - unacknowledged - rows)
    result.duplicated = max(0, rows - made)
    result.figures = {
        "connections_held": held,
        "connect_s": took,
        "held_s": span,
        "broker_kb_per_connection": (full_kib - empty_kib) / count,
        "all_back_s": back_s,
        "readings_made": made,
        "readings_stored": rows,
        "readings_said_again": duplicates,
        "refusals": sum(state["refusals"] for state in last),
    }
    return result


async def _crowds(stack: AsyncExitStack, house: House, count: int) -> list[Crowd]:
    credential = house.credential(Role.FIELD)
    crowds = []
    for number in range(PROCESSES):
        first, after = count * number // PROCESSES, count * (number + 1) // PROCESSES
        plan = {
            "host": house.endpoints.mqtt_host,
            "port": house.endpoints.mqtt_port,
            "username": credential.username,
            "source": f"127.0.0.{2 + number}",
            "first": first + 1,
            "count": after - first,
            "start": fleet.midnight(now_us(), 30),
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.bench._modems", json.dumps(plan),
            cwd=SOURCE_ROOT, env={**os.environ, PASSWORD_VARIABLE: credential.password},
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        crowd = Crowd(process)
        stack.push_async_callback(crowd.end)
        crowds.append(crowd)
    return crowds


async def _all_connected(crowds: Sequence[Crowd], count: int) -> float:
    """Seconds until every modem is connected. Raises TimeoutError."""
    begun = time.monotonic()
    for _ in range(int(UP_WITHIN_S * 10)):
        if _sum(crowds, "connected") == count:
            return time.monotonic() - begun
        await asyncio.sleep(0.1)
    raise TimeoutError(f"{_sum(crowds, 'connected')} of {count} connected after {UP_WITHIN_S:.0f} s")


async def _reconnect_storm(house: House, crowds: Sequence[Crowd], count: int) -> float:
    """Kill the broker and start it again; seconds from its death until all are back."""
    before = _sum(crowds, "losses")
    begun = time.monotonic()
    house.broker().send_signal(signal.SIGKILL)
    await asyncio.sleep(0.5)
    supervisor.ensure(house.config)
    for _ in range(int(UP_WITHIN_S * 10)):
        if _sum(crowds, "losses") >= before + count and _sum(crowds, "connected") == count:
            return time.monotonic() - begun
        await asyncio.sleep(0.1)
    raise TimeoutError(f"{_sum(crowds, 'connected')} of {count} are back after {UP_WITHIN_S:.0f} s")


def _until_quiet(house: House, expected: int) -> None:
    """Wait until all readings are stored, or none has come for ten seconds."""
    before, since = -1, time.monotonic()
    while time.monotonic() < since + 10 and before < expected:
        rows = house.number("SELECT count(*) FROM reading")
        if rows != before:
            before, since = rows, time.monotonic()
        time.sleep(0.2)


def _sum(crowds: Sequence[Crowd], name: str) -> int:
    return sum(crowd.state.get(name, 0) for crowd in crowds)
