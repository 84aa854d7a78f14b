"""Substitution and blocking in ``scada run``: requests taken, the book kept, the image told, the history written.

Knows the order: first the disk, then the image, then the answer; the database when it can. Does not know rules or SQL.
"""

import asyncio
import logging
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final

import msgspec

from historian.overrides import record_overrides
from scada.clock import now_us
from scada.image import ProcessImage, Taken
from scada.model.errors import StoreError
from scada.model.override import OverrideAct, OverrideAction
from scada.model.point import Point
from scada.model.ports import Clock
from scada.operatorfiles import OperatorFile, OperatorFolder, OperatorFolderError
from scada.overrides import (
    OverrideAnswer,
    OverrideBook,
    OverrideRequest,
    book_bytes,
    read_book,
    read_request,
)

log = logging.getLogger(__name__)

LOOK_EVERY_S: Final = 0.3
RECORD_EVERY_S: Final = 2.0
_DONE: Final = {
    OverrideAction.SUBSTITUTE: "substituted",
    OverrideAction.BLOCK: "blocked",
    OverrideAction.RELEASE: "released",
    OverrideAction.EXPIRE: "released, its time is over",
}

Deliver = Callable[[Taken], None]
"""Brings what changed in the image to whoever follows it."""


class OverrideKeeper:
    """Keeps the book while ``scada run`` is in control. ``restore`` before the first scan, then ``keep``."""

    def __init__(
        self,
        image: ProcessImage,
        points: Mapping[str, Point],
        folder: OperatorFolder,
        deliver: Deliver,
        *,
        clock: Clock = now_us,
    ) -> None:
        self._image = image
        self._points = points
        self._folder = folder
        self._deliver = deliver
        self._clock = clock
        self._book = OverrideBook()
        self._broken = ""

    def restore(self) -> None:
        """Show again what was substituted and blocked before. Raises OperatorFolderError when the book is unreadable.

        Better no start than a start that silently shows the field where an operator said that it lies.
        """
        self._folder.prepare()
        kept = self._folder.kept()
        if kept is None:
            return
        try:
            self._book = read_book(kept)
        except ValueError as error:
            raise OperatorFolderError(f"var/operator/overrides.json cannot be understood: {error}") from error
        for act in tuple(self._book.holding.values()):
            if act.point in self._points:
                self._show(act)
            else:
                log.warning("%s is %s, but is no point here any more", act.point, _DONE[act.action])
        if self._book.holding:
            log.info("%d points are substituted or blocked since before the start", len(self._book.holding))

    async def keep(self, dsn: str) -> None:
        """Take requests, end what has expired and write the history, until cancelled."""
        next_record = 0.0
        loop = asyncio.get_running_loop()
        while True:
            self.turn()
            if self._book.unrecorded and loop.time() >= next_record:
                next_record = loop.time() + RECORD_EVERY_S
                await self._record(dsn)
            await asyncio.sleep(LOOK_EVERY_S)

    def turn(self) -> None:
        """One look: everything asked for and everything that is over."""
        try:
            for file in self._folder.requests():
                self._answer(file)
            for act in self._book.due(self._clock()):
                self._carry_out(_end_of(act, self._clock()))
        except OperatorFolderError as error:
            if str(error) != self._broken:
                log.error("Substitution is not possible: %s", error)
            self._broken = str(error)
        else:
            self._broken = ""

    def state(self) -> list[dict[str, Any]]:
        """What holds now, for whoever shows it; with what the field says beside."""
        rows = []
        for act in self._book.holding.values():
            if act.point not in self._points:
                continue
            field = self._image.field_value(act.point)[0]
            rows.append(
                {
                    **msgspec.to_builtins(act),
                    "field_value": float(field["value"]),
                    "field_quality": int(field["quality"]),
                    "field_time": int(field["time"]),
                }
            )
        return rows

    def _answer(self, file: OperatorFile) -> None:
        try:
            request = read_request(file.content)
        except ValueError as error:
            answer = OverrideAnswer(file.name, done=False, sentence=f"not understood: {error}")
        else:
            answer = self._meet(request, file.owner)
        self._folder.answer(file.name, msgspec.json.encode(answer))

    def _meet(self, request: OverrideRequest, originator: str) -> OverrideAnswer:
        now = self._clock()
        why_not = self._book.judge(request, self._points, now)
        if why_not:
            log.warning("%s by %s refused: %s", request.action, originator, why_not)
            return OverrideAnswer(request.id, done=False, sentence=why_not)
        value = request.value
        if request.action is OverrideAction.BLOCK:
            value = float(self._image.read([request.point])["value"][0])
        elif request.action is OverrideAction.RELEASE:
            value = None
        act = OverrideAct(
            str(uuid.uuid4()), now, request.point, request.action, value, originator, request.why, request.until
        )
        self._carry_out(act)
        sentence = f"{act.point} {_DONE[act.action]} by {originator}"
        return OverrideAnswer(request.id, done=True, sentence=sentence)

    def _carry_out(self, act: OverrideAct) -> None:
        before = OverrideBook(dict(self._book.holding), list(self._book.unrecorded))
        self._book.enter(act)
        try:
            self._folder.keep(book_bytes(self._book))
        except OperatorFolderError:
            self._book = before
            raise
        self._show(act)
        value = "" if act.value is None else f" at {act.value:g}"
        log.warning("%s %s%s by %s: %s", act.point, _DONE[act.action], value, act.originator, act.why)

    def _show(self, act: OverrideAct) -> None:
        now = self._clock()
        if act.action is OverrideAction.SUBSTITUTE and act.value is not None:
            self._deliver(self._image.substitute(act.point, act.value, now))
        elif act.action is OverrideAction.BLOCK:
            self._deliver(self._image.block(act.point, now, held=act.value))
        else:
            self._deliver(self._image.release(act.point, now))

    async def _record(self, dsn: str) -> None:
        acts = tuple(self._book.unrecorded)
        ids = {name: point.id for name, point in self._points.items()}
        known = [act for act in acts if act.point in ids]
        with suppress(StoreError):
            await asyncio.to_thread(record_overrides, dsn, known, ids)
            self._book.recorded(acts)
            with suppress(OperatorFolderError):  # written down again by the next act; the rows know their ids
                self._folder.keep(book_bytes(self._book))


def _end_of(act: OverrideAct, now: int) -> OverrideAct:
    return OverrideAct(
        str(uuid.uuid4()), now, act.point, OverrideAction.EXPIRE, None, act.originator, f"until was reached: {act.why}"
    )
