"""The control desk: the one door through which anything is operated.

Takes signed messages, has them judged, hands commands to who leads them, and writes everything down first. Knows which
message goes where. Does not know protocols, HTTP, files of keys, or how the network is judged.
"""

import asyncio
import base64
import difflib
import logging
from typing import Any, Final

from scada.control.alarms import DeskAlarms
from scada.control.authority import Right
from scada.control.checks import Checks
from scada.control.conduct import Conduct
from scada.control.course import Course, refusal_report
from scada.control.gate import Admitted
from scada.control.journal import JournalWriter
from scada.control.jws import NotSigned, read
from scada.control.lifecycle import Event, Outcome, has_sent
from scada.control.message import US, Message, NotAMessage, Wish, read_message
from scada.control.movement import MovementWatch
from scada.control.parts import DeskParts
from scada.control.recovery import RELEASED, OpenCommand
from scada.control.supply import SupplyDesk
from scada.control.tagging import Tagging
from scada.control.tags import Tags
from scada.hashchain import ChainError
from scada.model.addcause import AddCause
from scada.model.event import EventKind
from scada.model.sample import SampleArray
from scada.model.switching import Refusal

KEPT_COURSES: Final = 500
EVIDENCE_BYTES: Final = 2048
"""How much of a document that was refused unread is kept in the journal."""
CLOCK_BACK_US: Final = 2 * US

log = logging.getLogger(__name__)


class ControlDesk:
    """One desk, while it is in control. ``start`` first; all calls on one event loop."""

    def __init__(self, parts: DeskParts) -> None:
        self._parts = parts
        self._journal = JournalWriter(parts.journal, parts.clock, parts.carried.last_time)
        self.tags = Tags(parts.carried.tags.values())
        self.checks = Checks(parts, self.tags, dict(parts.carried.seen), parts.carried.authority, self._journal)
        self.alarms = DeskAlarms(parts.carried.alarms.values(), self._journal, parts.clock)
        self._tagging = Tagging(self.checks)
        self._supply = SupplyDesk(self.checks, self._journal, self.alarms, parts.supply)
        self.courses: dict[str, Course] = {}
        self._movements = MovementWatch(parts.stations)
        self._conduct = Conduct(parts, self.checks, self._journal, self.alarms, self._movements)

    def start(self) -> None:
        """End what the desk before us left open: unknown when its frame may have left, else refused."""
        token = self._parts.tenure.token
        if not self._parts.carried.released:
            sentence = f"the desk before this one did not give up control; it passed to token {token}"
            self.alarms.sound(EventKind.CONTROL_TAKEN_OVER, "control", sentence)
        for left in self._parts.carried.open.values():
            self._end_left_open(left)

    async def stop(self) -> None:
        """End every command under way: before its frame refused, after it unknown. Then the journal may be closed."""
        await asyncio.gather(self._conduct.stop(), self._supply.stop())
        if not self._parts.tenure.why_not():
            try:
                self._journal(RELEASED, {"token": self._parts.tenure.token})
            except ChainError as error:
                log.error("Giving up control is not in the journal: %s", error)

    # -- the door

    async def submit(self, document: bytes) -> dict[str, Any]:
        """Take a signed message: a report of the command, or of what became of it. Never raises for its content."""
        now = self._parts.clock()
        try:
            admitted = self._admit(document, now)
            if isinstance(admitted, Refusal):
                return self._turned_away(document, admitted)
            self.checks.gate(now).remember(admitted.message, now)
            self._journal_received(admitted, document)
            return await self._do(admitted, document, now)
        except ChainError as error:
            return _not_journaled(error)

    async def approve(self, document: bytes) -> dict[str, Any]:
        """Take a second signature over a command that waits for it."""
        now = self._parts.clock()
        try:
            found = self._clock_behind(now) or self.checks.approval(document, self.courses, now)
            if isinstance(found, Refusal):
                return self._turned_away(document, found)
            course, approver = found
            self._journal("approved", {"id": course.id, "by": approver, "document": document.decode()})
            course.approver, course.document = approver, document
            course.advance(Event.APPROVE, f"approved by {approver}", now)
            course.waits_for = ""
            course.wake.set()
            return course.report()
        except ChainError as error:
            return _not_journaled(error)

    def observe(self, delta: SampleArray) -> None:
        """Look at what the field reported: what moved or was set though nobody here ordered it is an alarm."""
        found = list(self._movements.moved(delta, self._parts.monotonic()))
        for number, (kind, target, sentence) in enumerate(found, start=1):
            # A whole station may have moved while its link was lost: one flush for all.
            self.alarms.sound(kind, target, sentence, followed=number < len(found))

    def _admit(self, document: bytes, now: int) -> Admitted | Refusal:
        if why := self._parts.tenure.why_not():
            return Refusal(AddCause.BLOCKED_BY_HEALTH, why)
        return self._clock_behind(now) or self.checks.gate(now).admit(document, now)

    def _clock_behind(self, now: int) -> Refusal | None:
        if now < self._journal.last_time - CLOCK_BACK_US:
            behind_s = (self._journal.last_time - now) / US
            return Refusal(AddCause.BLOCKED_BY_HEALTH, f"the desk's clock is {behind_s:.1f} s behind its own journal")
        return None

    def _turned_away(self, document: bytes, refusal: Refusal) -> dict[str, Any]:
        evidence = base64.b64encode(document[:EVIDENCE_BYTES]).decode()
        self._journal("refused", {"document": evidence, "refusals": [refusal_report(refusal)], **_named(document)})
        log.warning("Message refused: %s", refusal)
        return _refused_report(refusal)

    def _journal_received(self, admitted: Admitted, document: bytes) -> None:
        message = admitted.message
        is_order = message.do in (Wish.OPERATE, Wish.SELECT, Wish.SUPPLY)
        body: dict[str, Any] = {
            "id": message.id,
            "do": str(message.do),
            "by": admitted.person.name,
            "target": message.target if is_order else "",
            "action": str(message.action or message.supply or ""),
            "expires": message.expires,
            "document": document.decode(),
        }
        if message.set_point is not None:
            body |= {"set_point": message.set_point, "unit": message.unit}
        # Of every message something follows: what was selected, a tag, an outcome.
        self._journal.ahead("received", body)

    async def _do(self, admitted: Admitted, document: bytes, now: int) -> dict[str, Any]:
        wish = admitted.message.do
        if wish in (Wish.OPERATE, Wish.SELECT):
            return await self._begin(admitted, document, now)
        if wish in (Wish.EXECUTE, Wish.CANCEL):
            return await self._continue(admitted, now)
        if wish is Wish.SUPPLY:
            return await self._supply.take(admitted)
        if wish is Wish.ACKNOWLEDGE:
            answer = self.alarms.acknowledge(admitted, self.checks, now)
        else:
            answer = self._tagging.take(admitted, now)
        return self._not_begun(admitted.message, answer) if isinstance(answer, Refusal) else answer

    # -- commands

    async def _begin(self, admitted: Admitted, document: bytes, now: int) -> dict[str, Any]:
        message = admitted.message
        each = self._parts.controllables.get(message.target)
        if each is None or message.action is None:
            meant = difflib.get_close_matches(message.target.upper(), self._parts.controllables, n=1, cutoff=0.8)
            hint = f"; did you mean {meant[0]!r}?" if meant else ""
            sentence = f"nothing here is called {message.target!r}{hint}"
            return self._not_begun(message, Refusal(AddCause.NOT_SUPPORTED, sentence))
        operation = each.operation(message.action, message.set_point, message.unit)
        expires_at = self._parts.monotonic() + (message.expires - now) / US
        payload = admitted.document.payload
        course = Course(message, document, payload, each, operation, admitted.person.name, expires_at)
        course.needs_approval = self._parts.policy.rule(each.point_class).persons > 1 and not message.emergency
        self.courses[course.id] = course
        self._forget()
        self._conduct.begin(course)
        await self._conduct.settled(course)
        return course.report()

    async def _continue(self, admitted: Admitted, now: int) -> dict[str, Any]:
        message, person = admitted.message, admitted.person
        course = self.courses.get(message.subject)
        if course is None or course.outcome is not None:
            why = "is not selected" if course is None else f"is not selected any more ({course.steps[-1].sentence})"
            return self._not_begun(message, Refusal(AddCause.OBJECT_NOT_SELECTED, f"command {message.subject} {why}"))
        station = course.each.station.code
        refusal = self.checks.gate(now).may(person, Right.OPERATE, station, now)
        if refusal is None:
            refusal = _execute_refusal(course, person.name) if message.do is Wish.EXECUTE else _cancel_refusal(course)
        if refusal is not None:
            return self._not_begun(message, refusal)
        self._journal.flush()
        if message.do is Wish.EXECUTE:
            course.go = True
        else:
            course.cancelled_by = person.name
        course.waits_for = ""
        course.wake.set()
        await self._conduct.settled(course)
        return course.report()

    def _not_begun(self, message: Message, refusal: Refusal) -> dict[str, Any]:
        body: dict[str, Any] = {
            "id": message.id,
            "target": message.target,
            "action": str(message.action or ""),
            "state": "refused",
        }
        body |= {"outcome": "refused", "sentence": refusal.sentence, "persons": [message.originator]}
        self._journal("outcome", {**body, "refusals": [refusal_report(refusal)]})
        return {**_refused_report(refusal), "id": message.id, "target": message.target}

    def _end_left_open(self, left: OpenCommand) -> None:
        if left.sent or left.lost:
            sentence = "the desk ended after the order was sent; whether it was carried out is not known"
            if not left.sent:
                sentence = "the end of the desk's journal is lost; whether the order was sent is not known"
            told = f"{left.target} {left.action}: {sentence}; not tried again"
            self.alarms.sound(EventKind.OUTCOME_UNKNOWN, left.target, told)
            cause, state, outcome = AddCause.ABORTED_BY_COMMUNICATION_LOSS, "unknown", Outcome.UNKNOWN
        else:
            sentence = "the desk ended before the order was sent"
            cause, state, outcome = AddCause.ABORTED_BY_CANCEL, "refused", Outcome.REFUSED
        body: dict[str, Any] = {"id": left.id, "target": left.target, "action": left.action, "state": state}
        body |= {"outcome": str(outcome), "sentence": sentence, "persons": []}
        self._journal("outcome", {**body, "refusals": [refusal_report(Refusal(cause, sentence))]})
        log.warning("%s %s: %s (%s)", left.target, left.action, outcome, sentence)

    def _forget(self) -> None:
        ended = [each for each in self.courses.values() if each.outcome is not None]
        for each in ended[: max(0, len(self.courses) - KEPT_COURSES)]:
            del self.courses[each.id]


def _execute_refusal(course: Course, person: str) -> Refusal | None:
    target = course.operation.target
    if person != course.requester:
        sentence = f"{target} was selected by {course.requester}, not by {person}"
        return Refusal(AddCause.LOCKED_BY_OTHER_CLIENT, sentence)
    if course.waits_for != "execute":
        return Refusal(AddCause.OBJECT_NOT_SELECTED, f"{target} waits for {course.waits_for or 'nothing'}")
    return None


def _cancel_refusal(course: Course) -> Refusal | None:
    if not has_sent(course.state):
        return None
    sentence = f"{course.operation} was sent already: it cannot be withdrawn"
    return Refusal(AddCause.COMMAND_ALREADY_IN_EXECUTION, sentence)


def _not_journaled(error: ChainError) -> dict[str, Any]:
    return _refused_report(Refusal(AddCause.BLOCKED_BY_HEALTH, f"it cannot be journaled, so nothing is done: {error}"))


def _refused_report(refusal: Refusal) -> dict[str, Any]:
    return {"state": "refused", "outcome": "refused", "refusals": [refusal_report(refusal)]}


def _named(document: bytes) -> dict[str, Any]:
    """What an unproven document says of itself: for whoever searches the journal, worth nothing else."""
    try:
        message = read_message(read(document).payload)
    except (NotSigned, NotAMessage):
        return {}
    return {"says": {"id": message.id, "originator": message.originator, "target": message.target}}
