"""The steps on the wire: ask the device where it stands, select, operate, and see that the position comes back.

The one place from which a frame that moves something leaves. Right before it: all checks again on fresh facts, the
entry in the journal on the disk, the fencing token. Nothing is tried twice.

Knows the order of these steps and what may be claimed after each failure. Does not know protocols, nor who may order.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from scada.control.course import Course, fact_report, refusal_report, wish_report
from scada.control.journal import JournalWriter
from scada.control.lifecycle import Event
from scada.control.policy import PointClass, Policy
from scada.control.readiness import WIRE_ACTION, Controllable, in_words, is_reached, wanted_value
from scada.control.setpoint import nearness
from scada.control.tenure import Tenure
from scada.hashchain import ChainError
from scada.model.addcause import AddCause
from scada.model.cause import Cause
from scada.model.commandlink import AnswerLost, CommandLink, CommandLinks, DeviceAnswer, WireAction
from scada.model.errors import LinkError
from scada.model.event import EventKind
from scada.model.ports import Clock
from scada.model.quality import Quality
from scada.model.sample import SampleArray
from scada.model.switching import Action, Blocked, Decision, ImageView, Refusal

POLL_S: Final = 0.05
"""How often the device is asked for its position after an operate: a breaker needs 60 ms."""
SWITCHING: Final = frozenset(
    {PointClass.CIRCUIT_BREAKER, PointClass.DISCONNECTOR, PointClass.EARTHING_SWITCH, PointClass.LOAD_BREAK_SWITCH}
)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What execution needs of the desk and the world. ``check`` judges everything again at this moment; ``begun`` is
    told right before the frame leaves."""

    links: CommandLinks
    view: ImageView
    take: Callable[[SampleArray], None]
    check: Callable[[Course], Decision]
    journal: JournalWriter
    begun: Callable[[Course], None]
    alarm: Callable[[EventKind, str, str], None]
    tenure: Tenure
    policy: Policy
    near: Mapping[str, frozenset[str]]
    clock: Clock
    monotonic: Callable[[], float]


@dataclass(slots=True)
class Execution:
    """Carries commands out, one at a time among stations a line joins: two at once could undo each other's checks.

    A station is spoken to about one command at a time: between the checks and the frame nothing waits for a turn.
    """

    world: Surroundings
    _busy: dict[str, str] = field(default_factory=dict)
    _turns: dict[str, asyncio.Lock] = field(default_factory=dict)

    async def select(self, course: Course) -> Refusal | None:
        """Select at the device, if it wants that: the refusal, or None when it holds the selection."""
        async with self._turn(course):
            return await self._select(course)

    async def withdraw(self, course: Course) -> None:
        """Withdraw the device's selection; when that fails it ends by itself."""
        if not course.device_selected:
            return
        course.device_selected = False
        link = self.world.links.of(course.each.station.code)
        try:
            async with self._turn(course):
                answer = await link.cancel(course.each.link_name)
            self.world.journal.ahead("device", {"id": course.id, "step": "cancel", **answer_report(answer)})
        except (LinkError, ChainError) as error:
            log.warning("%s: selection not withdrawn, it ends by itself: %s", course.operation.target, error)

    async def execute(self, course: Course) -> None:
        """From selected or approved to the end."""
        if (other := self._in_the_way(course)) is not None:
            sentence = f"{other} is being operated; its neighbourhood must stand still meanwhile"
            await self._refuse(course, (Refusal(AddCause.ONE_OF_N_CONTROL, sentence),))
            return
        if course.each.point_class in SWITCHING:
            self._busy[course.operation.target] = course.each.station.code
        link = self.world.links.of(course.each.station.code)
        try:
            async with self._turn(course):
                refusals = await self._send(course, link)
            if refusals:
                await self._refuse(course, refusals)
            elif course.outcome is None:
                await self._verify(course, link)
        finally:
            self._busy.pop(course.operation.target, None)

    def _turn(self, course: Course) -> asyncio.Lock:
        return self._turns.setdefault(course.each.station.code, asyncio.Lock())

    async def _send(self, course: Course, link: CommandLink) -> Sequence[Refusal]:
        """Fresh position, checks, select, checks, frame: what stands against it, or () when the frame left."""
        if (refusal := await self._ask_position(course, link)) is not None:
            return (refusal,)
        if isinstance(decision := self._judged(course), Blocked):
            return decision.refusals
        if (refusal := await self._select(course)) is not None:
            return (refusal,)
        if isinstance(decision := self._judged(course), Blocked):
            return decision.refusals
        if why := self.world.tenure.why_not():
            return (Refusal(AddCause.BLOCKED_BY_HEALTH, why),)
        course.facts = decision.facts
        course.before = self._shown(course.each)[0]
        return await self._operate(course, link)

    def _judged(self, course: Course) -> Decision:
        """Everything again, as it stands at this moment; a cancel counts until the frame leaves."""
        if (cancellation := course.cancellation) is not None:
            return Blocked((cancellation,))
        return self.world.check(course)

    async def _ask_position(self, course: Course, link: CommandLink) -> Refusal | None:
        try:
            rows = await link.return_information(course.each.link_name)
        except LinkError as error:
            code = course.each.station.code
            return Refusal(AddCause.ABORTED_BY_COMMUNICATION_LOSS, f"{code} does not answer, nothing was sent: {error}")
        if len(rows):
            self.world.take(rows)
        return None

    async def _select(self, course: Course) -> Refusal | None:
        each, link = course.each, self.world.links.of(course.each.station.code)
        if link.select_timeout_s(each.link_name) is None or course.device_selected:
            return None
        try:
            answer = await link.select(each.link_name, wire_action(course))
        except LinkError as error:
            return Refusal(
                AddCause.ABORTED_BY_COMMUNICATION_LOSS,
                f"{each.station.code} lost while selecting, nothing moved: {error}",
            )
        course.device_selected = answer.refused is None
        self.world.journal.ahead("device", {"id": course.id, "step": "select", **answer_report(answer)})
        return None if answer.refused is None else _said_no(course, answer, "select")

    async def _operate(self, course: Course, link: CommandLink) -> Sequence[Refusal]:
        """Journal, token, frame; nothing may be put between the last two."""
        each = course.each
        body = {
            "id": course.id,
            "command": each.link_name,
            **wish_report(course.operation),
            "action": wire_word(course.operation.action),
            "persons": list(course.persons),
            "token": self.world.tenure.token,
            "facts": [fact_report(fact) for fact in course.facts],
        }
        self.world.journal("execute", body)
        course.advance(Event.EXECUTE, f"{course.operation}: sent", self.world.clock())
        self.world.begun(course)
        if why := self.world.tenure.why_not():
            return (Refusal(AddCause.BLOCKED_BY_HEALTH, f"nothing was sent: {why}"),)
        try:
            answer = await link.operate(each.link_name, wire_action(course))
        except AnswerLost as error:
            self._lose(course, f"{each.station.code} lost after the order was sent: {error}")
            return ()
        except LinkError as error:
            sentence = f"{each.station.code} lost before the order was sent: {error}"
            return (Refusal(AddCause.ABORTED_BY_COMMUNICATION_LOSS, sentence),)
        course.device_selected = False
        if answer.refused is not None:
            return (_said_no(course, answer, "operate"),)
        course.advance(Event.CONFIRM, "the device accepted", self.world.clock())
        return ()

    async def _verify(self, course: Course, link: CommandLink) -> None:
        """Wait for the position; only what came back counts."""
        each = course.each
        if each.command.return_information is None:
            self._lose(course, f"{each.target} shows no return information")
            return
        wanted = wanted_value(course.operation, course.before)
        near = nearness(each, course.operation, link)
        return_s = self.world.policy.rule(each.point_class).return_s
        deadline = self.world.monotonic() + return_s
        last: tuple[float, int] | None = None
        silence = ""
        while True:
            try:
                async with self._turn(course):
                    rows = await link.return_information(each.link_name)
                silence = ""
            except LinkError as error:
                rows, silence = None, str(error)
            if rows is not None and len(rows) and last != (now := (float(rows[0]["value"]), int(rows[0]["quality"]))):
                last = now
                self.world.take(rows)
            if is_reached(*self._shown(each), wanted, near) and not silence:
                self._complete(course, wanted)
                return
            if self.world.monotonic() >= deadline:
                break
            await asyncio.sleep(POLL_S)
        if silence:
            self._lose(course, f"{each.station.code} lost before the position came back: {silence}")
            return
        self._fail(course, return_s)

    def _complete(self, course: Course, wanted: float) -> None:
        point = course.each.command.return_information
        assert point is not None
        words = f"{course.operation.target} is {in_words(point, wanted)}"
        ended = "the movement ended" if course.operation.value is None else "the value is in force"
        course.advance(Event.TERMINATE, ended, self.world.clock())
        course.advance(Event.VERIFY, words, self.world.clock())
        self._outcome(course, words)

    def _fail(self, course: Course, return_s: float) -> None:
        value, quality = self._shown(course.each)
        point = course.each.command.return_information
        assert point is not None
        shown = in_words(point, value) + ("" if quality == 0 else f", {Quality(quality).label}")
        sentence = f"{course.operation.target} did not {course.operation.wish} within {return_s:g} s: it is {shown}"
        course.refusals = (Refusal(AddCause.TIME_LIMIT_OVER, sentence),)
        course.advance(Event.TIME_OUT, sentence, self.world.clock())
        self.world.alarm(EventKind.FAIL_TO_OPERATE, course.operation.target, sentence)
        self._outcome(course, sentence)

    def _lose(self, course: Course, sentence: str) -> None:
        course.refusals = (Refusal(AddCause.ABORTED_BY_COMMUNICATION_LOSS, sentence),)
        course.advance(Event.LOSE, sentence, self.world.clock())
        self._doubt_position(course)
        told = f"{course.operation}: {sentence}; not tried again"
        self.world.alarm(EventKind.OUTCOME_UNKNOWN, course.operation.target, told)
        self._outcome(course, sentence)

    def _doubt_position(self, course: Course) -> None:
        """What was last reported may be wrong by now: until the field reports anew, nothing may rest on it."""
        point = course.each.command.return_information
        if point is not None:
            row = self.world.view.read([point.name]).copy()
            row["quality"] |= np.uint8(Quality.NOT_TOPICAL)
            row["cause"] = Cause.SPONTANEOUS
            self.world.take(row)

    async def _refuse(self, course: Course, refusals: Sequence[Refusal]) -> None:
        await self.withdraw(course)
        course.refusals = tuple(refusals)
        event = Event.CANCEL if refusals[0] == course.cancellation else Event.REFUSE
        course.advance(event, refusals[0].sentence, self.world.clock())
        self._outcome(course, refusals[0].sentence)

    def _outcome(self, course: Course, sentence: str) -> None:
        self.world.journal("outcome", outcome_report(course, sentence))

    def _shown(self, each: Controllable) -> tuple[float, int]:
        point = each.command.return_information
        if point is None:
            return 0.0, int(Quality.INVALID)
        row = self.world.view.read([point.name])[0]
        return float(row["value"]), int(row["quality"])

    def _in_the_way(self, course: Course) -> str | None:
        if course.each.point_class not in SWITCHING:
            return None
        near = self.world.near.get(course.each.station.code, frozenset())
        return next((target for target, station in self._busy.items() if station in near), None)


def wire_action(course: Course) -> WireAction:
    """The action in the words of the maps, or the value of a set-point."""
    operation = course.operation
    return wire_word(operation.action) if operation.value is None else operation.value


def wire_word(action: Action) -> str:
    """The action in the words of the maps."""
    return WIRE_ACTION.get(action, str(action))


def answer_report(answer: DeviceAnswer) -> dict[str, Any]:
    """What a device said, as plain JSON values."""
    return {"refused": None if answer.refused is None else int(answer.refused), "detail": answer.detail}


def outcome_report(course: Course, sentence: str) -> dict[str, Any]:
    """How a command ended, as plain JSON values."""
    return {
        "id": course.id,
        "target": course.operation.target,
        **wish_report(course.operation),
        "state": str(course.state),
        "outcome": str(course.outcome),
        "sentence": sentence,
        "persons": list(course.persons),
        "refusals": [refusal_report(each) for each in course.refusals],
    }


def _said_no(course: Course, answer: DeviceAnswer, moment: str) -> Refusal:
    cause = answer.refused or AddCause.UNKNOWN
    if moment == "select" and cause is AddCause.UNKNOWN:
        cause = AddCause.SELECT_FAILED
    said = f" ({answer.detail})" if answer.detail else ""
    return Refusal(cause, f"{course.operation.target} refused the {moment}: {cause.label}{said}")
