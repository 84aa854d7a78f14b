"""The control desk's door over HTTP: signed messages in, reports out, and the description of both (OpenAPI 3.1).

Knows HTTP and JSON. Does not judge: the signature in the message is the authentication, and the desk verifies it.
Bodies are the JWS documents themselves, byte for byte.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from scada.control.alarms import event_report
from scada.control.desk import ControlDesk
from scada.control.jws import MOST_BYTES
from scada.control.recovery import tag_report
from scada.hmi.control_openapi import description
from scada.hmi.deskwords import worded
from scada.model.event import EventRecord

LONGEST_WAIT_S: Final = 30.0
MOST_WATCHERS: Final = 64

Desk = Callable[[], ControlDesk | None]


def control_routes(desk: Desk, why: Callable[[], str] = str, language: str = "en") -> list[BaseRoute]:
    """The routes; ``desk`` gives the desk while this process is in control, else None: then they answer 503, and
    ``why``, when there is more to say. ``language`` is that of the texts beside what is kept."""
    door = _Door(desk, why, language)
    prefix = "/api/v1/control"
    return [
        Route(f"{prefix}/messages", door.submit, methods=["POST"]),
        Route(f"{prefix}/approvals", door.approve, methods=["POST"]),
        Route(f"{prefix}/commands", door.commands),
        Route(f"{prefix}/commands/{{id}}", door.command),
        Route(f"{prefix}/tags", door.tags),
        Route(f"{prefix}/events", door.events),
        Route(f"{prefix}/alarms", door.alarms),
        Route("/api/v1/openapi.json", lambda _: _answer(description())),
    ]


class _Door:
    def __init__(self, desk: Desk, why: Callable[[], str], language: str) -> None:
        self._desk = desk
        self._why = why
        self._language = language
        self._watchers = 0

    async def submit(self, request: Request) -> Response:
        return await self._taken(request, ControlDesk.submit)

    async def approve(self, request: Request) -> Response:
        return await self._taken(request, ControlDesk.approve)

    def _standing_by(self) -> Response:
        return self._said({"error": self._why() or "this process is not in control"}, 503)

    def _said(self, report: Any, status: int = 200) -> Response:
        return _answer(worded(report, self._language), status)

    async def _taken(self, request: Request, give: Callable[[ControlDesk, bytes], Any]) -> Response:
        desk = self._desk()
        if desk is None:
            return self._standing_by()
        document = await _body(request)
        if document is None:
            return self._said({"error": f"a message has at most {MOST_BYTES} bytes"}, 413)
        report = await give(desk, document)
        return self._said(report, 200 if report.get("outcome") != "refused" else 409)

    async def commands(self, _: Request) -> Response:
        desk = self._desk()
        if desk is None:
            return self._standing_by()
        return _answer({"commands": [each.report() for each in desk.courses.values()]})

    async def command(self, request: Request) -> Response:
        """``?steps=N&wait_s=S``: answer when there are more than N steps, it waits for somebody, or S s are over."""
        desk = self._desk()
        if desk is None:
            return self._standing_by()
        course = desk.courses.get(request.path_params["id"])
        if course is None:
            return self._said({"error": f"no command {request.path_params['id']!r} here"}, 404)
        try:
            steps = int(request.query_params.get("steps", "-1"))
            wait_s = min(float(request.query_params.get("wait_s", "0")), LONGEST_WAIT_S)
        except ValueError:
            return self._said({"error": "steps and wait_s are numbers"}, 400)
        if self._watchers < MOST_WATCHERS:
            self._watchers += 1
            try:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(max(0.0, wait_s)):
                        while len(course.steps) <= steps and course.outcome is None:
                            await course.changed.wait()
            finally:
                self._watchers -= 1
        return self._said(course.report())

    async def tags(self, _: Request) -> Response:
        desk = self._desk()
        if desk is None:
            return self._standing_by()
        return _answer({"tags": [tag_report(tag) for tag in desk.tags.all()]})

    async def events(self, _: Request) -> Response:
        desk = self._desk()
        if desk is None:
            return self._standing_by()
        return await self._listed("events", desk.alarms.events)

    async def alarms(self, _: Request) -> Response:
        desk = self._desk()
        if desk is None:
            return self._standing_by()
        return await self._listed("alarms", desk.alarms.unacknowledged.values())

    async def _listed(self, name: str, events: Iterable[EventRecord]) -> Response:
        """Beside the loop: a thousand sentences take 0.1 s the first time."""
        reports = [event_report(each) for each in events]
        return _answer({name: await asyncio.to_thread(worded, reports, self._language)})


async def _body(request: Request) -> bytes | None:
    content = b""
    async for chunk in request.stream():
        content += chunk
        if len(content) > MOST_BYTES:
            return None
    return content


def _answer(body: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(body), status_code=status, media_type="application/json")
