"""A desk in a process of its own, to be killed or stopped.

``python -m tests.control_process FOLDER PORT MODE DOCUMENT REPORT``

MODE: ``kill-before`` dies between journal and frame, ``kill-after`` between frame and confirmation, ``stop`` stops
itself after the select until somebody lets it go on.
"""

import asyncio
import json
import os
import signal
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from scada.clock import now_us
from scada.model.commandlink import CommandLink, CommandLinks, DeviceAnswer
from simulators.grid_solver import GridSolver
from simulators.plant import Plant
from tests.fakes_control import PATIENCE_S, Proxy, Rig, province


@dataclass
class Dying:
    """A link that lets the process die or stop at the moment asked for."""

    inner: CommandLink
    mode: str

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    async def select(self, command: str, action: str) -> DeviceAnswer:
        answer = await self.inner.select(command, action)
        if self.mode == "stop":
            os.kill(os.getpid(), signal.SIGSTOP)
        return answer

    async def operate(self, command: str, action: str) -> DeviceAnswer:
        if self.mode == "kill-before":
            os.kill(os.getpid(), signal.SIGKILL)
        answer = await self.inner.operate(command, action)
        if self.mode == "kill-after":
            os.kill(os.getpid(), signal.SIGKILL)
        return answer


@dataclass
class DyingLinks:
    inner: CommandLinks
    mode: str

    def of(self, station: str) -> Any:
        return Dying(self.inner.of(station), self.mode)

    async def close(self) -> None:
        await self.inner.close()  # type: ignore[attr-defined]  # StationCommands has it


async def main(folder: Path, port: int, mode: str, document: bytes) -> dict[str, Any]:
    found = next(each for each in province().stations if each.code == "TN01")
    station = replace(found, endpoint=replace(found.endpoint, host="127.0.0.1", port=port, timeout_s=PATIENCE_S))
    plant = Plant(province(), GridSolver(province()), seed=1, now=now_us())
    simulated: Any = SimpleNamespace(plant=plant)
    rig = Rig(folder, station, {}, Proxy(), simulated, wrap=lambda links: DyingLinks(links, mode))  # type: ignore[arg-type,return-value]  # a stand-in of the same shape
    rig.start_desk()
    answer = await rig.ended(await rig.desk.submit(document))
    await rig.stop_desk()
    return answer


if __name__ == "__main__":
    answer = asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3], Path(sys.argv[4]).read_bytes()))
    Path(sys.argv[5]).write_text(json.dumps(answer), encoding="utf-8")
