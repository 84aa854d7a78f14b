"""The state door: each process tells its state as JSON on a loopback port and writes down where.

Knows HTTP and the file ``var/run/NAME.json``. Does not know what the answers mean. The answers only tell; orders enter
by the control desk's routes alone (``control_door``).
"""

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from scada.config import HttpConfig
from scada.model.errors import GridScadaError

log = logging.getLogger(__name__)

Answer = Callable[[Mapping[str, str]], Any]
"""Gets the path parameters, returns what msgspec can encode; KeyError becomes 404 with its text."""


class DoorTaken(GridScadaError):
    """The state door's port cannot be had."""


class _Server(uvicorn.Server):
    """A server that leaves signals to the process it lives in."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class StateDoor:
    """Serves ``answers`` (path → function) and ``routes`` of others while its block lasts.

    At the end requests under way get ``end_within_s`` to be answered. Raises DoorTaken when the configured port is.
    """

    def __init__(
        self,
        name: str,
        answers: Mapping[str, Answer],
        http: HttpConfig,
        var: Path,
        routes: Sequence[BaseRoute] = (),
        *,
        end_within_s: int = 1,
    ) -> None:
        self._name = name
        self._file = var / "run" / f"{name}.json"
        family = socket.AF_INET6 if ":" in http.host else socket.AF_INET
        try:
            self._socket = socket.create_server((http.host, http.port), family=family)
        except OSError as error:
            raise DoorTaken(
                f"{http.host} port {http.port} for the state of {name}: {os.strerror(error.errno or 0)}; "
                "set http.port in config.toml to another one, or to 0 for a free one"
            ) from None
        host = f"[{http.host}]" if ":" in http.host else http.host
        self.url = f"http://{host}:{self._socket.getsockname()[1]}"
        application = Starlette(routes=[*(Route(path, _endpoint(answer)) for path, answer in answers.items()), *routes])
        self._server = _Server(
            uvicorn.Config(
                application,
                log_config=None,
                access_log=False,
                lifespan="off",
                timeout_graceful_shutdown=end_within_s,
            )
        )
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._server.serve(sockets=[self._socket]), name=f"{self._name} state door")
        self._write_down()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.should_exit = True
        if self._task is not None:
            await self._task
        with contextlib.suppress(OSError):
            self._file.unlink(missing_ok=True)

    def _write_down(self) -> None:
        place = {"name": self._name, "pid": os.getpid(), "url": self.url}
        _write(self._file, place, f"`scada status` cannot find {self._name} at {self.url}")


def write_last_state(var: Path, name: str, state: Any) -> None:
    """Leave the state of a clean end in ``var/run/NAME.last.json``: totals are final only now."""
    _write(var / "run" / f"{name}.last.json", state, f"the last state of {name} is not kept")


def _write(file: Path, content: Any, consequence: str) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        scratch = file.with_suffix(".new")
        scratch.write_bytes(msgspec.json.encode(content))
        scratch.replace(file)
    except OSError as error:
        log.warning("%s is not written (%s): %s", file, error.strerror, consequence)


def _endpoint(answer: Answer) -> Callable[[Request], Any]:
    async def respond(request: Request) -> Response:
        try:
            body, status = answer(request.path_params), 200
        except KeyError as error:
            body, status = {"error": str(error.args[0])}, 404
        return Response(msgspec.json.encode(body), status_code=status, media_type="application/json")

    return respond
