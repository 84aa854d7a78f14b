"""The control desk: the one door through which anything is operated.

Takes signed messages, judges them, leads commands through their life, keeps tags, and writes everything down first.
Knows the order of the steps. Does not know protocols, HTTP, files of keys, or how the network is judged.
"""

import asyncio
import base64
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Final

from scada.control.authority import Right
from scada.control.checks import Checks
from scada.control.course import Course, consequences_report, fact_report, refusal_report
from scada.control.execution import Execution, Surroundings, outcome_report
from scada.control.gate import Admitted
from scada.control.jws import NotSigned, read
from scada.control.lifecycle import Event, Outcome
from scada.control.message import US, Message, NotAMessage, Wish, read_message
from scada.control.movement import MovementWatch
from scada.control.parts import DeskParts
from scada.control.tagging import Tagging
from scada.control.tags import Tags
from scada.hashchain import ChainError
from scada.model.addcause import AddCause
from scada.model.event import EventKind, EventRecord
from scada.model.sample import SampleArray
from scada.model.switching import Allowed, Blocked, Consequences, Refusal

KEPT_COURSES: Final = 500
KEPT_EVENTS: Final = 500
EVIDENCE_BYTES: Final = 2048
"""How much of a document that was refused unread is kept in the journal."""
CLOCK_BACK_US: Final = 2 * US

log = logging.getLogger(__name__)


class ControlDesk:
    """One desk, while it is in control. ``start`` first; all calls on one event loop."""

    def __init__(self, parts: DeskParts) -> None:
        self._parts = parts
        self._last_time = parts.carried.last_time
        self.tags = Tags(parts.carried.tags.values())
        self.checks = Checks(parts, self.tags, dict(parts.carried.seen), parts.carried.authority, self._journal)
        self._tagging = Tagging(self.checks)
        self.courses: dict[str, Course] = {}
        self.events: deque[EventRecord] = deque(maxlen=KEPT_EVENTS)
        self._leases: dict[str, Course] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._movements = MovementWatch(parts.stations)
        self._execution = Execution(
            Surroundings(
                links=parts.links,
                view=parts.view,
                take=parts.take,
                check=self.checks.check,
                journal=self._journal,
                alarm=self._alarm,
                tenure=parts.tenure,
                policy=parts.policy,
                near=parts.near,
                clock=parts.clock,
                monotonic=parts.monotonic,
            )
        )

    def start(self) -> None:
        """End what the desk before us left open: unknown when its frame may have left, else refused."""
        for left in self._parts.carried.open.values():
            if left.sent:
                sentence = "the desk ended after the order was sent; whether it was carried out is not known"
                self._alarm(EventKind.OUTCOME_UNKNOWN, left.target, f"{sentence}; not tried again")
                cause, state, outcome = AddCause.ABORTED_BY_COMMUNICATION_LOSS, "unknown", Outcome.UNKNOWN
            else:
                sentence = "the desk ended before the order was sent"
                cause, state, outcome = AddCause.ABORTED_BY_CANCEL, "refused", Outcome.REFUSED
            body: dict[str, Any] = {"id": left.id, "target": left.target, "action": left.action, "state": state}
            body |= {"outcome": str(outcome), "sentence": sentence, "persons": []}
            self._journal("outcome", {**body, "refusals": [refusal_report(Refusal(cause, sentence))]})
            log.warning("%s %s: %s (%s)", left.target, left.action, outcome, sentence)

    async def stop(self) -> None:
        """End every command under way: before its frame refused, after it unknown. Then the journal may be closed."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

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
            return _refused_report(
                Refusal(AddCause.BLOCKED_BY_HEALTH, f"it cannot be journaled, so nothing is done: {error}")
            )

    async def approve(self, document: bytes) -> dict[str, Any]:
        """Take a second signature over a command that waits for it."""
        now = self._parts.clock()
        try:
            found = self.checks.approval(document, self.courses, now)
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
            return _refused_report(
                Refusal(AddCause.BLOCKED_BY_HEALTH, f"it cannot be journaled, so nothing is done: {error}")
            )

    def observe(self, delta: SampleArray) -> None:
        """Look at what the field reported: a device that moved though nobody ordered it is an alarm."""
        for target, sentence in self._movements.moved(delta, self._parts.monotonic()):
            self._alarm(EventKind.MOVED_WITHOUT_COMMAND, target, sentence)

    def _admit(self, document: bytes, now: int) -> Admitted | Refusal:
        if why := self._parts.tenure.why_not():
            return Refusal(AddCause.BLOCKED_BY_HEALTH, why)
        if now < self._last_time - CLOCK_BACK_US:
            behind_s = (self._last_time - now) / US
            return Refusal(AddCause.BLOCKED_BY_HEALTH, f"the desk's clock is {behind_s:.1f} s behind its own journal")
        return self.checks.gate(now).admit(document, now)

    def _turned_away(self, document: bytes, refusal: Refusal) -> dict[str, Any]:
        evidence = base64.b64encode(document[:EVIDENCE_BYTES]).decode()
        self._journal("refused", {"document": evidence, "refusals": [refusal_report(refusal)], **_named(document)})
        log.warning("Message refused: %s", refusal)
        return _refused_report(refusal)

    def _journal_received(self, admitted: Admitted, document: bytes) -> None:
        message = admitted.message
        body = {
            "id": message.id,
            "do": str(message.do),
            "by": admitted.person.name,
            "target": message.target if message.do in (Wish.OPERATE, Wish.SELECT) else "",
            "action": str(message.action or ""),
            "expires": message.expires,
            "document": document.decode(),
        }
        self._journal("received", body)

    async def _do(self, admitted: Admitted, document: bytes, now: int) -> dict[str, Any]:
        wish = admitted.message.do
        if wish in (Wish.OPERATE, Wish.SELECT):
            return await self._begin(admitted, document, now)
        if wish in (Wish.EXECUTE, Wish.CANCEL):
            return await self._continue(admitted, now)
        answer = self._tagging.take(admitted, now)
        return self._not_begun(admitted.message, answer) if isinstance(answer, Refusal) else answer

    # -- commands

    async def _begin(self, admitted: Admitted, document: bytes, now: int) -> dict[str, Any]:
        message = admitted.message
        each = self._parts.controllables.get(message.target)
        if each is None or message.action is None:
            return self._not_begun(
                message, Refusal(AddCause.NOT_SUPPORTED, f"nothing here is called {message.target!r}")
            )
        operation = each.operation(message.action)
        expires_at = self._parts.monotonic() + (message.expires - now) / US
        payload = admitted.document.payload
        course = Course(message, document, payload, each, operation, admitted.person.name, expires_at)
        course.needs_approval = self._parts.policy.rule(each.point_class).persons > 1 and not message.emergency
        self.courses[course.id] = course
        self._forget()
        decision = self.checks.check(course)
        if isinstance(decision, Allowed) and (refusal := self._reserve(course)) is not None:
            decision = Blocked((refusal,), decision.facts)
        if isinstance(decision, Blocked):
            self._refuse(course, decision)
            course.ended_at = self._parts.monotonic()
            return course.report()
        course.facts, course.remarks = decision.facts, decision.remarks
        course.advance(Event.CHECK, "nothing stands against it", now)
        course.advance(Event.RESERVE, f"{operation.target} is reserved for {course.requester}", now)
        task = asyncio.create_task(self._conduct(course), name=f"{operation} {course.id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        await self._settled(course)
        return course.report()

    async def _settled(self, course: Course) -> None:
        """Until it waits for a person or has ended."""
        while course.ended_at is None and not course.waits_for:
            await course.changed.wait()

    async def _conduct(self, course: Course) -> None:
        """Lead one command from reserved to its end."""
        try:
            await self._lead(course)
        except ChainError as error:
            log.error("%s: the journal cannot be written: %s", course.operation, error)
            self._give_up(course, f"the journal cannot be written: {error}")
        except asyncio.CancelledError:
            self._give_up(course, "the desk was stopped")
            raise
        finally:
            if self._leases.get(course.operation.target) is course:
                del self._leases[course.operation.target]
            course.ended_at = self._parts.monotonic()
            course.waits_for = ""
            self._movements.ended(course.operation.target, course.ended_at)
            course.tell()
            log.info(
                "%s by %s: %s (%s)",
                course.operation,
                " and ".join(course.persons),
                course.outcome,
                course.steps[-1].sentence,
            )

    async def _lead(self, course: Course) -> None:
        what_if = self._parts.what_if(course.operation)
        if course.needs_approval or course.message.do is Wish.SELECT:
            course.consequences = await what_if
        else:
            # Nobody reads it before it is done, so nobody waits for it.
            self._tasks.add(noting := asyncio.create_task(self._note(course, what_if), name="what-if"))
            noting.add_done_callback(self._tasks.discard)
        body: dict[str, Any] = {"id": course.id, "facts": [fact_report(each) for each in course.facts]}
        body |= {"remarks": list(course.remarks), "consequences": consequences_report(course.consequences)}
        self._journal("selected", body)
        if course.message.emergency:
            sentence = f"{course.requester} operates {course.operation} alone: {course.message.reason}"
            self._alarm(EventKind.EMERGENCY_OVERRIDE, course.operation.target, sentence)
        course.advance(Event.SELECT, f"{course.operation.target} is selected", self._parts.clock())
        if course.needs_approval and not await self._wait(course, "approval", lambda: bool(course.approver)):
            return
        if course.message.do is Wish.SELECT:
            if (refusal := await self._execution.select(course)) is not None:
                self._refuse(course, Blocked((refusal,)))
                return
            if not await self._wait(course, "execute", lambda: course.go):
                return
        if course.message.test:
            course.cancelled_by = "the test flag"
        if course.cancelled_by:
            await self._cancel(course)
            return
        self._movements.begun(course.operation.target)
        await self._execution.execute(course)

    async def _note(self, course: Course, what_if: "asyncio.Future[Consequences]") -> None:
        course.consequences = await what_if
        body = {"id": course.id, "consequences": consequences_report(course.consequences)}
        with contextlib.suppress(ChainError):
            self._journal("consequences", body)

    async def _wait(self, course: Course, what: str, ready: Callable[[], bool]) -> bool:
        """Wait for a person; False when the course has ended instead."""
        policy = self._parts.policy
        limit_s = policy.approval_s if what == "approval" else self._select_limit_s(course)
        deadline = min(course.expires_at, self._parts.monotonic() + limit_s)
        course.waits_for = what
        course.tell()
        in_time = await course.until(ready, deadline, self._parts.monotonic)
        course.waits_for = ""
        if course.cancelled_by:
            await self._cancel(course)
            return False
        if not in_time:
            await self._execution.withdraw(course)
            sentence = f"no {what} in time"
            course.refusals = (Refusal(AddCause.TIME_LIMIT_OVER, sentence),)
            course.advance(Event.TIME_OUT, sentence, self._parts.clock())
            self._journal("outcome", outcome_report(course, sentence))
        return in_time

    def _select_limit_s(self, course: Course) -> float:
        link = self._parts.links.of(course.each.station.code)
        return min(
            self._parts.policy.select_s, link.select_timeout_s(course.each.link_name) or self._parts.policy.select_s
        )

    async def _cancel(self, course: Course) -> None:
        await self._execution.withdraw(course)
        sentence = f"cancelled by {course.cancelled_by}; nothing was sent"
        course.refusals = (Refusal(AddCause.ABORTED_BY_CANCEL, sentence),)
        course.advance(Event.CANCEL, sentence, self._parts.clock())
        self._journal("outcome", outcome_report(course, sentence))

    def _give_up(self, course: Course, sentence: str) -> None:
        """End what cannot go on; the outcome is what may be claimed now."""
        if course.outcome is None:
            course.refusals = (Refusal(AddCause.BLOCKED_BY_HEALTH, sentence),)
            course.advance(Event.LOSE, sentence, self._parts.clock())
            try:
                self._journal("outcome", outcome_report(course, sentence))
            except ChainError as error:
                log.error("%s: its outcome (%s) is not in the journal: %s", course.operation, course.outcome, error)

    def _refuse(self, course: Course, blocked: Blocked) -> None:
        course.refusals, course.facts = blocked.refusals, blocked.facts
        course.advance(Event.REFUSE, blocked.refusals[0].sentence, self._parts.clock())
        self._journal("outcome", outcome_report(course, blocked.refusals[0].sentence))
        log.warning("%s refused: %s", course.operation, blocked.refusals[0])

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

    def _reserve(self, course: Course) -> Refusal | None:
        holder = self._leases.get(course.operation.target)
        if holder is not None:
            cause = (
                AddCause.OBJECT_ALREADY_SELECTED
                if holder.requester == course.requester
                else AddCause.LOCKED_BY_OTHER_CLIENT
            )
            return Refusal(
                cause, f"{course.operation.target} is reserved for {holder.requester} ({holder.operation.action})"
            )
        self._leases[course.operation.target] = course
        return None

    # -- second messages about a command

    async def _continue(self, admitted: Admitted, now: int) -> dict[str, Any]:
        message, person = admitted.message, admitted.person
        course = self.courses.get(message.subject)
        if course is None or course.outcome is not None:
            why = "is not selected" if course is None else f"is not selected any more ({course.steps[-1].sentence})"
            return self._not_begun(message, Refusal(AddCause.OBJECT_NOT_SELECTED, f"command {message.subject} {why}"))
        station = course.each.station.code
        refusal = self.checks.gate(now).may(person, Right.OPERATE, station, now)
        if message.do is Wish.EXECUTE and refusal is None:
            refusal = self._execute_refusal(course, person.name)
        if refusal is not None:
            return self._not_begun(message, refusal)
        if message.do is Wish.EXECUTE:
            course.go = True
        else:
            course.cancelled_by = person.name
        course.waits_for = ""
        course.wake.set()
        await self._settled(course)
        return course.report()

    def _execute_refusal(self, course: Course, person: str) -> Refusal | None:
        target = course.operation.target
        if person != course.requester:
            return Refusal(
                AddCause.LOCKED_BY_OTHER_CLIENT, f"{target} was selected by {course.requester}, not by {person}"
            )
        if course.waits_for != "execute":
            return Refusal(AddCause.OBJECT_NOT_SELECTED, f"{target} waits for {course.waits_for or 'nothing'}")
        return None

    # -- writing down

    def _journal(self, kind: str, body: Mapping[str, Any]) -> None:
        now = self._parts.clock()
        self._parts.journal.append(kind, body, now)
        self._last_time = max(self._last_time, now)

    def _alarm(self, kind: EventKind, subject: str, sentence: str) -> None:
        event = EventRecord(self._parts.clock(), kind, subject, sentence)
        self.events.append(event)
        log.warning("Alarm: %s: %s", kind, sentence)
        try:
            self._journal("alarm", {"event": str(kind), "subject": subject, "sentence": sentence})
        except ChainError as error:
            log.error("The alarm is not in the journal: %s", error)

    def _forget(self) -> None:
        ended = [each for each in self.courses.values() if each.outcome is not None]
        for each in ended[: max(0, len(self.courses) - KEPT_COURSES)]:
            del self.courses[each.id]


def _refused_report(refusal: Refusal) -> dict[str, Any]:
    return {"state": "refused", "outcome": "refused", "refusals": [refusal_report(refusal)]}


def _named(document: bytes) -> dict[str, Any]:
    """What an unproven document says of itself: for whoever searches the journal, worth nothing else."""
    try:
        message = read_message(read(document).payload)
    except (NotSigned, NotAMessage):
        return {}
    return {"says": {"id": message.id, "originator": message.originator, "target": message.target}}
