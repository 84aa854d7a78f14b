"""One command on its way: what was asked, how far it came, what is known, and what others are told of it.

Knows the life cycle and how to word it. Does not know devices, the wire, or the journal.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from scada.control.lifecycle import OUTCOMES, Event, Outcome, State, following
from scada.control.message import Message
from scada.control.readiness import Controllable
from scada.model.addcause import AddCause
from scada.model.switching import Consequences, Fact, Operation, Refusal


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the life: when (µs UTC), into which state, in words."""

    time: int
    state: State
    sentence: str


@dataclass(slots=True, eq=False)
class Course:
    """A command under way or ended. ``expires_at``, ``ends_at``: monotonic seconds."""

    message: Message
    document: bytes
    payload: bytes
    each: Controllable
    operation: Operation
    requester: str
    expires_at: float
    state: State = State.REQUESTED
    steps: list[Step] = field(default_factory=list)
    refusals: tuple[Refusal, ...] = ()
    facts: tuple[Fact, ...] = ()
    remarks: tuple[str, ...] = ()
    consequences: Consequences | None = None
    approver: str = ""
    needs_approval: bool = False
    waits_for: str = ""
    go: bool = False
    cancelled_by: str = ""
    device_selected: bool = False
    before: float = 0.0
    ended_at: float | None = None
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def id(self) -> str:
        """The command's number."""
        return self.message.id

    @property
    def outcome(self) -> Outcome | None:
        """What may be claimed, once it has ended."""
        return OUTCOMES.get(self.state)

    @property
    def persons(self) -> tuple[str, ...]:
        """Everybody who stands for it."""
        return (self.requester, self.approver) if self.approver else (self.requester,)

    @property
    def cancellation(self) -> Refusal | None:
        """Why it goes no further, once somebody has cancelled it."""
        if not self.cancelled_by:
            return None
        return Refusal(AddCause.ABORTED_BY_CANCEL, f"cancelled by {self.cancelled_by}; nothing was sent")

    def advance(self, event: Event, sentence: str, now: int) -> None:
        """Take a step. Raises ImpossibleTransition."""
        self.state = following(self.state, event)
        self.steps.append(Step(now, self.state, sentence))
        self.tell()

    def tell(self) -> None:
        """Wake everybody who watches."""
        self.changed.set()
        self.changed = asyncio.Event()

    async def until(self, ready: Callable[[], bool], deadline: float, monotonic: Callable[[], float]) -> bool:
        """Wait until ``ready`` or cancelled; False when the deadline (monotonic seconds) came first."""
        while not ready() and not self.cancelled_by:
            remaining = deadline - monotonic()
            if remaining <= 0:
                return False
            self.wake.clear()
            try:
                async with asyncio.timeout(remaining):
                    await self.wake.wait()
            except TimeoutError:
                continue
        return True

    def report(self) -> dict[str, Any]:
        """Everything others may know, as plain JSON values."""
        return {
            "id": self.id,
            "target": self.operation.target,
            **wish_report(self.operation),
            "state": str(self.state),
            "outcome": None if self.outcome is None else str(self.outcome),
            "waits_for": self.waits_for,
            "requester": self.requester,
            "approver": self.approver,
            "reason": self.message.reason,
            "order": self.message.order,
            "step": self.message.step,
            "test": self.message.test,
            "emergency": self.message.emergency,
            "expires": self.message.expires,
            "refusals": [refusal_report(each) for each in self.refusals],
            "facts": [str(each) for each in self.facts],
            "remarks": list(self.remarks),
            "consequences": consequences_report(self.consequences),
            "steps": [{"time": each.time, "state": str(each.state), "sentence": each.sentence} for each in self.steps],
            "document": self.document.decode(),
        }


def wish_report(operation: Operation) -> dict[str, Any]:
    """What is wanted, as plain JSON values: the action, and the value of a set-point with its unit."""
    wish: dict[str, Any] = {"action": str(operation.action)}
    return wish if operation.value is None else {**wish, "set_point": operation.value, "unit": operation.unit}


def refusal_report(refusal: Refusal) -> dict[str, Any]:
    """A refusal as plain JSON values."""
    return {
        "cause": int(refusal.cause),
        "label": refusal.cause.label,
        "sentence": refusal.sentence,
        "facts": [fact_report(each) for each in refusal.facts],
    }


def fact_report(fact: Fact) -> dict[str, Any]:
    """A fact as plain JSON values."""
    return {"subject": fact.subject, "state": fact.state, "quality": int(fact.quality), "time": fact.time}


def consequences_report(found: Consequences | None) -> dict[str, Any] | None:
    """What the operation would bring about, as plain JSON values."""
    if found is None:
        return None
    return {
        "known": found.known,
        "reason": found.reason,
        "overloads": [each.sentence for each in found.overloads],
        "voltages": [each.sentence for each in found.voltages],
        "lost_loads": list(found.lost_loads),
        "lost_mw": round(found.lost_mw, 3),
        "lost_customers": found.lost_customers,
        "regained_mw": round(found.regained_mw, 3),
        "remarks": list(found.remarks),
    }
