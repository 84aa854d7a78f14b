"""Everything the desk judges before it acts: who signed, what stands against a command now, and second signatures.

Knows the questions and their order. Does not act, wait or send; what it finds is a refusal or a decision.
"""

from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any

from scada.control.authority import Right
from scada.control.course import Course
from scada.control.gate import Gate, freshness
from scada.control.jws import NotSigned, read
from scada.control.message import NotAMessage, read_message
from scada.control.parts import DeskParts
from scada.control.readiness import own_refusals
from scada.control.setpoint import nearness, value_refusal
from scada.control.tags import Tags
from scada.model.addcause import AddCause
from scada.model.switching import Allowed, Blocked, ControlModel, Decision, Refusal


@dataclass(slots=True)
class Checks:
    """``seen``: ids of messages that were received; ``authority``: digest of the table the journal last named."""

    parts: DeskParts
    tags: Tags
    seen: MutableMapping[str, int]
    authority: str
    journal: Callable[[str, Mapping[str, Any]], None]

    def gate(self, now: int) -> Gate:
        trust, table = self.parts.credentials(now)
        if table.digest != self.authority:
            self.journal("authority", {"version": table.version, "digest": table.digest})
            self.authority = table.digest
        return Gate(trust, table, self.seen)

    def check(self, course: Course) -> Decision:
        """Everything that may stand against it now: authority, freshness, tags, the device itself, the network."""
        now = self.parts.clock()
        refusals = self._authority_refusals(course, now)
        if refusals:
            return Blocked(refusals)
        link = self.parts.links.of(course.each.station.code)
        if (refusal := value_refusal(course.each, course.operation, link)) is not None:
            return Blocked((refusal,))
        near = nearness(course.each, course.operation, link)
        own, facts = own_refusals(course.each, course.operation, self.parts.view, near)
        tagged = self.tags.refusals(course.operation, course.persons)
        decision = self.parts.interlocking.check(course.operation, self.parts.view, now)
        if isinstance(decision, Blocked):
            # Both look at the position and the mode; the same cause need not be told twice.
            told = {each.cause for each in own}
            more = tuple(each for each in decision.refusals if each.cause not in told)
            return Blocked((*own, *tagged, *more), (*facts, *decision.facts))
        if own or tagged:
            return Blocked((*own, *tagged), (*facts, *decision.facts))
        return Allowed((*facts, *decision.facts), (*self.tags.remarks(course.operation), *decision.remarks))

    def _authority_refusals(self, course: Course, now: int) -> tuple[Refusal, ...]:
        message, gate = course.message, self.gate(now)
        document = read(course.document)
        found: list[Refusal | None] = [freshness(message, now)]
        if self.parts.monotonic() >= course.expires_at and found[0] is None:
            found.append(Refusal(AddCause.TIME_LIMIT_OVER, "the command expired while it was under way"))
        rights = [Right.OPERATE, Right.APPROVE]
        for signature, right in zip(document.signatures, rights, strict=False):
            person = gate.signer(document, signature, now)
            found.append(
                person if isinstance(person, Refusal) else gate.may(person, right, course.each.station.code, now)
            )
            if message.emergency and not isinstance(person, Refusal):
                found.append(gate.may(person, Right.EMERGENCY, course.each.station.code, now))
        if message.emergency and not message.reason:
            found.append(Refusal(AddCause.INCONSISTENT_PARAMETERS, "an emergency override needs a reason"))
        link = self.parts.links.of(course.each.station.code)
        if message.model is ControlModel.DIRECT and link.select_timeout_s(course.each.link_name) is not None:
            found.append(
                Refusal(AddCause.INCONSISTENT_PARAMETERS, f"{course.operation.target} wants to be selected first")
            )
        return tuple(each for each in found if each is not None)

    def approval(self, document: bytes, courses: Mapping[str, Course], now: int) -> tuple[Course, str] | Refusal:
        try:
            signed = read(document)
            message = read_message(signed.payload)
        except NotSigned as error:
            return Refusal(AddCause.NO_ACCESS_AUTHORITY, f"the document is not signed as it must be: {error}")
        except NotAMessage as error:
            return Refusal(AddCause.INCONSISTENT_PARAMETERS, f"the signed content is no command: {error}")
        course = courses.get(message.id)
        if course is None or course.outcome is not None:
            return Refusal(AddCause.OBJECT_NOT_SELECTED, f"no command {message.id} waits for approval")
        if signed.payload != course.payload:
            return Refusal(AddCause.INCONSISTENT_PARAMETERS, "what was approved is not what was requested")
        if course.waits_for != "approval" or len(signed.signatures) != 2:
            return Refusal(
                AddCause.INCONSISTENT_PARAMETERS, f"{course.operation.target} does not wait for this approval"
            )
        gate = self.gate(now)
        persons = [gate.signer(signed, each, now) for each in signed.signatures]
        for each in persons:
            if isinstance(each, Refusal):
                return each
        requester, approver = (each for each in persons if not isinstance(each, Refusal))
        if requester.name != course.requester:
            return Refusal(AddCause.INCONSISTENT_PARAMETERS, f"the first signature is not {course.requester}'s")
        if approver.name == course.requester:
            return Refusal(AddCause.NO_ACCESS_AUTHORITY, f"{approver.name} requested it and cannot approve it as well")
        refusal = freshness(message, now) or gate.may(approver, Right.APPROVE, course.each.station.code, now)
        return refusal or (course, approver.name)
