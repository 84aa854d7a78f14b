"""A fleet whose meters each hold their own MQTT connection, over several processes and loopback addresses.

Knows the processes and adds up what they tell. A process may open some 20,000 descriptors and an address has some
28,000 ports towards one broker; so each process has a part of the meters and a source address of its own. Does not know
modems.
"""

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Self

from scada.config import SOURCE_ROOT
from simulators.own_modems import PASSWORD_VARIABLE, TELL_S, ModemPlan, ModemState
from simulators.registry_file import join_truths
from simulators.state_file import write_json

MOST_IN_A_PROCESS = 9_000
"""Of the 20,000 descriptors it may open; more would also be more than one core can serve at a report a minute."""


def parts(plan: ModemPlan, processes: int) -> list[ModemPlan]:
    """The plan cut for ``processes`` processes, each with its own source address; more when they would be too large."""
    processes = max(processes, -(-plan.meters // MOST_IN_A_PROCESS))
    bounds = [plan.meters * number // processes for number in range(processes + 1)]
    return [
        replace(
            plan,
            first=first,
            after=after,
            source=f"127.0.0.{2 + number}",
            truth_file=f"{plan.truth_file}.{number}" if plan.truth_file else "",
            exchange_file="" if number else plan.exchange_file,
        )
        for number, (first, after) in enumerate(pairwise(bounds))
    ]


def summed(states: Sequence[ModemState]) -> ModemState:
    """The figures of all processes together."""
    names = [each.name for each in fields(ModemState) if each.name != "last"]
    sums = {name: sum(getattr(state, name) for state in states) for name in names}
    return ModemState(**sums, last=all(state.last for state in states))


@dataclass(slots=True)
class _Process:
    process: asyncio.subprocess.Process
    state: ModemState
    listening: asyncio.Task[None]


class OwnConnections:
    """The processes of a fleet. Use as ``async with``; leaving it ends them, whatever they do."""

    def __init__(self, plans: Sequence[ModemPlan], password: str) -> None:
        self._plans = plans
        self._password = password
        self._processes: list[_Process] = []

    @property
    def state(self) -> ModemState:
        """What all have told last, together."""
        return summed([each.state for each in self._processes])

    async def finish(self) -> ModemState:
        """Have them offer nothing new and deliver what they owe; the last figures."""
        for each in self._processes:
            assert each.process.stdin is not None
            each.process.stdin.close()
        await asyncio.gather(*(each.listening for each in self._processes))
        return self.state

    async def __aenter__(self) -> Self:
        for plan in self._plans:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "simulators.own_modems", json.dumps(asdict(plan)),
                cwd=SOURCE_ROOT, env={**os.environ, PASSWORD_VARIABLE: self._password},
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, start_new_session=True,
            )  # fmt: skip
            started = _Process(process, ModemState(), asyncio.create_task(asyncio.sleep(0)))
            started.listening = asyncio.create_task(_listen(started), name=f"modems of {plan.source}")
            self._processes.append(started)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for each in self._processes:
            if each.process.returncode is None:
                each.process.terminate()
        await asyncio.gather(*(each.process.wait() for each in self._processes))
        await asyncio.gather(*(each.listening for each in self._processes), return_exceptions=True)


async def serve_own_connections(
    plans: Sequence[ModemPlan],
    password: str,
    stop: asyncio.Event,
    ready_file: Path | None,
    state_file: Path | None,
    truth_file: Path | None,
) -> None:
    """Report until ``stop`` is set, then deliver what is owed. Ready once every modem is connected.

    state_file: ``ModemState`` every second · truth_file: what must be in the historian, at the end, put together from
    what the processes wrote into the files of their plans.
    """
    async with OwnConnections(plans, password) as crowd:
        is_ready = ready_file is None
        while not stop.is_set():
            if not is_ready and ready_file is not None and crowd.state.connected == plans[0].meters:
                write_json(ready_file, {"meters": plans[0].meters, "processes": len(plans)})
                is_ready = True
            if state_file is not None:
                write_json(state_file, asdict(crowd.state))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TELL_S):
                    await stop.wait()
        last = await crowd.finish()
        if state_file is not None:
            write_json(state_file, asdict(last))
        if truth_file is not None:
            await asyncio.to_thread(join_truths, [Path(each.truth_file) for each in plans], truth_file)


async def _listen(started: _Process) -> None:
    assert started.process.stdout is not None
    async for line in started.process.stdout:
        started.state = ModemState(**json.loads(line))
