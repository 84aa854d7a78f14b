"""Leading one command through its life: check, reserve, foresee, wait for persons, execute, and always an end.

Knows the order of the steps, the leases on devices and how long a person may take. Does not know signatures, the wire,
or how anything is judged.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Final, TypeVar

from scada.control.alarms import DeskAlarms
from scada.control.checks import Checks
from scada.control.course import Course, consequences_report, fact_report
from scada.control.execution import Execution, Surroundings, outcome_report
from scada.control.journal import JournalWriter
from scada.control.lifecycle import FAULT, STOPPED, Event, Outcome
from scada.control.message import Wish
from scada.control.movement import MovementWatch
from scada.control.parts import DeskParts, Foresight
from scada.control.readiness import wanted_value
from scada.control.tasks import tell_fault
from scada.hashchain import ChainError
from scada.model.addcause import AddCause
from scada.model.event import EventKind
from scada.model.switching import Allowed, Blocked, Consequences, Refusal

FORESEEN_WITHIN_S: Final = 10.0
"""How long an order waits for what it would bring about; 20 ms are usual, a second the first time."""

Answer = TypeVar("Answer")

log = logging.getLogger(__name__)


class Conduct:
    """All commands under way at one desk."""

    def __init__(
        self,
        parts: DeskParts,
        checks: Checks,
        journal: JournalWriter,
        alarms: DeskAlarms,
        movements: MovementWatch,
    ) -> None:
        self._parts = parts
        self._checks = checks
        self._journal = journal
        self._alarms = alarms
        self._movements = movements
        self._leases: dict[str, Course] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._foresights: dict[str, Foresight] = {}
        self.execution = Execution(
            Surroundings(
                links=parts.links,
                view=parts.view,
                take=parts.take,
                check=checks.check,
                journal=journal,
                begun=self._begun,
                alarm=alarms.sound,
                tenure=parts.tenure,
                policy=parts.policy,
                near=parts.near,
                clock=parts.clock,
                monotonic=parts.monotonic,
            )
        )

    def begin(self, course: Course) -> None:
        """Lead ``course`` to its end, on a task of its own."""
        task = self._run(self._lead_to_its_end(course), f"{course.operation} {course.id}")
        task.add_done_callback(lambda _: self._end(course, STOPPED) if course.ended_at is None else None)

    async def settled(self, course: Course) -> None:
        """Until it waits for a person or has ended."""
        while course.ended_at is None and not course.waits_for:
            await course.changed.wait()

    async def stop(self) -> None:
        """End every command under way: before its frame refused, after it unknown."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _run(self, work: Coroutine[Any, Any, Answer], name: str) -> "asyncio.Task[Answer]":
        self._tasks.add(task := asyncio.create_task(work, name=name))
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(tell_fault)
        return task

    async def _lead_to_its_end(self, course: Course) -> None:
        why = FAULT
        try:
            if self._checked(course):
                await self._lead(course)
        except ChainError as error:
            why = f"the journal cannot be written: {error}"
            log.error("%s: %s", course.operation, why)
            await self.execution.withdraw(course)
        except asyncio.CancelledError:
            why = STOPPED
            raise
        finally:
            self._end(course, why)

    def _checked(self, course: Course) -> bool:
        """Whether it stands against nothing and the device is now reserved for it."""
        decision = self._checks.check(course)
        if isinstance(decision, Allowed) and (refusal := self._reserve(course)) is not None:
            decision = Blocked((refusal,), decision.facts)
        if isinstance(decision, Blocked):
            self._refuse(course, decision)
            return False
        now = self._parts.clock()
        course.facts, course.remarks = decision.facts, decision.remarks
        course.advance(Event.CHECK, "nothing stands against it", now)
        course.advance(Event.RESERVE, f"{course.operation.target} is reserved for {course.requester}", now)
        return True

    def _reserve(self, course: Course) -> Refusal | None:
        target = course.operation.target
        holder = self._leases.get(target)
        if holder is None:
            self._leases[target] = course
            return None
        own = holder.requester == course.requester
        cause = AddCause.OBJECT_ALREADY_SELECTED if own else AddCause.LOCKED_BY_OTHER_CLIENT
        return Refusal(cause, f"{target} is reserved for {holder.requester} ({holder.operation.wish})")

    async def _lead(self, course: Course) -> None:
        foresee = self._parts.what_if(course.operation)
        is_read_before = course.needs_approval or course.message.do is Wish.SELECT
        if is_read_before:
            course.consequences = await self._foreseen(course, foresee)
        else:
            # Nobody reads it before the frame, so the frame does not wait for it, nor share the processor with it.
            self._foresights[course.id] = foresee
        body: dict[str, Any] = {"id": course.id, "facts": [fact_report(each) for each in course.facts]}
        body |= {"remarks": list(course.remarks), "consequences": consequences_report(course.consequences)}
        self._journal.ahead("selected", body)
        if course.message.emergency:
            sentence = f"{course.requester} operates {course.operation} alone: {course.message.reason}"
            self._alarms.sound(EventKind.EMERGENCY_OVERRIDE, course.operation.target, sentence, followed=True)
        course.advance(Event.SELECT, f"{course.operation.target} is selected", self._parts.clock())
        if course.needs_approval and not await self._wait(course, "approval", lambda: bool(course.approver)):
            return
        if course.message.do is Wish.SELECT:
            if (refusal := await self.execution.select(course)) is not None:
                self._refuse(course, Blocked((refusal,)))
                return
            if not await self._wait(course, "execute", lambda: course.go):
                return
        if course.message.test:
            course.cancelled_by = "the test flag"
        if course.cancelled_by:
            await self._cancel(course)
            return
        await self.execution.execute(course)

    def _begun(self, course: Course) -> None:
        """The frame leaves now."""
        self._movements.begun(course.operation.target, wanted_value(course.operation, course.before))
        if (foresee := self._foresights.pop(course.id, None)) is not None:
            # A task begins when the frame has been handed over.
            self._run(self._note(course, foresee), f"what-if {course.id}")

    async def _foreseen(self, course: Course, foresee: Foresight) -> Consequences:
        """What it would bring about. It informs and decides nothing: no order fails or waits for ever because of it."""

        async def ask() -> Consequences:
            return await foresee()

        asking = self._run(ask(), f"what-if {course.id}")
        await asyncio.wait([asking], timeout=FORESEEN_WITHIN_S)
        if not asking.done():
            reason = f"the load flow gave no answer within {FORESEEN_WITHIN_S:g} s"
            return Consequences(known=False, reason=reason)
        return asking.result() if asking.exception() is None else Consequences(known=False, reason=FAULT)

    async def _note(self, course: Course, foresee: Foresight) -> None:
        course.consequences = await foresee()
        with suppress(ChainError):
            self._journal("consequences", {"id": course.id, "consequences": consequences_report(course.consequences)})

    async def _wait(self, course: Course, what: str, ready: Callable[[], bool]) -> bool:
        """Wait for a person; False when the course has ended instead."""
        policy = self._parts.policy
        limit_s = policy.approval_s if what == "approval" else self._select_limit_s(course)
        deadline = min(course.expires_at, self._parts.monotonic() + limit_s)
        self._journal.flush()
        course.waits_for = what
        course.tell()
        in_time = await course.until(ready, deadline, self._parts.monotonic)
        course.waits_for = ""
        if course.cancelled_by:
            await self._cancel(course)
            return False
        if not in_time:
            await self.execution.withdraw(course)
            sentence = f"no {what} in time"
            course.refusals = (Refusal(AddCause.TIME_LIMIT_OVER, sentence),)
            course.advance(Event.TIME_OUT, sentence, self._parts.clock())
            self._journal("outcome", outcome_report(course, sentence))
        return in_time

    def _select_limit_s(self, course: Course) -> float:
        link = self._parts.links.of(course.each.station.code)
        own_s = self._parts.policy.select_s
        return min(own_s, link.select_timeout_s(course.each.link_name) or own_s)

    async def _cancel(self, course: Course) -> None:
        await self.execution.withdraw(course)
        assert course.cancellation is not None
        course.refusals, sentence = (course.cancellation,), course.cancellation.sentence
        course.advance(Event.CANCEL, sentence, self._parts.clock())
        self._journal("outcome", outcome_report(course, sentence))

    def _refuse(self, course: Course, blocked: Blocked) -> None:
        course.refusals, course.facts = blocked.refusals, blocked.facts
        course.advance(Event.REFUSE, blocked.refusals[0].sentence, self._parts.clock())
        self._journal("outcome", outcome_report(course, blocked.refusals[0].sentence))
        log.warning("%s refused: %s", course.operation, blocked.refusals[0])

    def _end(self, course: Course, why: str) -> None:
        """Whatever happened: an outcome that may be claimed, the device free, everybody told."""
        target = course.operation.target
        if course.outcome is None:
            self._give_up(course, why)
        if self._leases.get(target) is course:
            del self._leases[target]
            if course.outcome is Outcome.UNKNOWN:
                self._movements.in_doubt(target, self._parts.monotonic())
            else:
                self._movements.arrived(target)
        self._foresights.pop(course.id, None)
        course.ended_at = self._parts.monotonic()
        course.waits_for = ""
        course.tell()
        log.info(
            "%s by %s: %s (%s)",
            course.operation,
            " and ".join(course.persons),
            course.outcome,
            course.steps[-1].sentence,
        )

    def _give_up(self, course: Course, why: str) -> None:
        """End what cannot go on: refused before the frame, after it unknown, and that is an alarm."""
        course.refusals = (Refusal(AddCause.BLOCKED_BY_HEALTH, why),)
        course.advance(Event.LOSE, why, self._parts.clock())
        if course.outcome is Outcome.UNKNOWN:
            sentence = f"{course.operation}: {why} after the order was sent; not tried again"
            self._alarms.sound(EventKind.OUTCOME_UNKNOWN, course.operation.target, sentence)
        try:
            self._journal("outcome", outcome_report(course, why))
        except ChainError as error:
            log.error("%s: its outcome (%s) is not in the journal: %s", course.operation, course.outcome, error)
