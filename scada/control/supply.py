"""Disconnecting and reconnecting the supply of a meter: the desk's door for orders that go by the head-end.

The same steps as for a breaker: who signed, may he there, is it fresh; written down on the disk; then sent, once. What
comes back is one of three: completed, when the meter says the state that was wanted; refused; or unknown.

Knows these steps. Does not know how a meter is reached, nor whether somebody has paid.
"""

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, TypeVar

from scada.control.alarms import DeskAlarms
from scada.control.authority import Right
from scada.control.checks import Checks
from scada.control.course import fact_report, refusal_report
from scada.control.gate import Admitted, freshness
from scada.control.journal import JournalWriter
from scada.control.lifecycle import FAULT, STOPPED, Outcome
from scada.control.message import US, Message
from scada.control.tasks import tell_fault
from scada.hashchain import ChainError
from scada.model.addcause import AddCause
from scada.model.errors import StoreError
from scada.model.event import EventKind
from scada.model.meterlink import SupplyAction, SupplyControl, SupplyOutcome, SupplyPlace
from scada.model.switching import Fact, Refusal

WANTED: Final[Mapping[SupplyAction, frozenset[str]]] = {
    SupplyAction.DISCONNECT: frozenset({"DISCONNECTED"}),
    SupplyAction.RECONNECT: frozenset({"CONNECTED", "READY_FOR_RECONNECTION"}),
}
"""Which state of the disconnect control says that it was done; a person may have to press its button at last."""

NO_AREA: Final = "a meter without a feeder"

Answer = TypeVar("Answer")

log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class _Order:
    """One order on its way; ``sent`` from the moment it may have been carried out."""

    admitted: Admitted
    serial: int
    sent: bool = False
    end: "_End | None" = None

    @property
    def message(self) -> Message:
        """What was signed."""
        return self.admitted.message

    @property
    def person(self) -> str:
        """Who signed it."""
        return self.admitted.person.name


@dataclass(slots=True)
class SupplyDesk:
    """Carries signed supply orders out, one at a time for each meter. Whatever happens, each comes to an end."""

    checks: Checks
    journal: JournalWriter
    alarms: DeskAlarms
    control: SupplyControl | None
    _busy: set[int] = field(default_factory=set)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def take(self, admitted: Admitted) -> dict[str, Any]:
        """From an admitted message to its outcome, as plain JSON values. It goes on when nobody waits for it."""
        order = _Order(admitted, int(admitted.message.target))
        task = asyncio.create_task(self._lead_to_its_end(order), name=f"meter {order.serial} {order.message.supply}")
        self._tasks.add(task)
        task.add_done_callback(partial(self._done, order))
        await asyncio.wait([task])
        assert order.end is not None
        return {**_report(order, order.end), "meter_state": order.end.meter_state}

    async def stop(self) -> None:
        """End every order under way: before it was sent refused, after it unknown."""
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _done(self, order: _Order, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if order.end is None:
            # Stopped before its first step.
            self._give_up(order, STOPPED)
        tell_fault(task)

    async def _lead_to_its_end(self, order: _Order) -> None:
        why = FAULT
        if order.serial in self._busy:
            sentence = f"meter {order.serial} is being switched"
            self._ended(order, _refused(AddCause.COMMAND_ALREADY_IN_EXECUTION, sentence))
            return
        self._busy.add(order.serial)
        try:
            self._ended(order, await self._carry_out(order))
        except ChainError as error:
            why = f"the journal cannot be written: {error}"
        except asyncio.CancelledError:
            why = STOPPED
            raise
        finally:
            self._busy.discard(order.serial)
            if order.end is None:
                self._give_up(order, why)

    def _give_up(self, order: _Order, why: str) -> None:
        """End what cannot go on: refused before it was sent, after it unknown."""
        end = _unknown(f"{why} after the order was sent") if order.sent else _refused(AddCause.BLOCKED_BY_HEALTH, why)
        self._ended(order, end)

    async def _carry_out(self, order: _Order) -> "_End":
        message, control = order.message, self.control
        if control is None:
            return _refused(AddCause.NOT_SUPPORTED, "no meter is reached from this desk")
        try:
            place = await on_thread(lambda: control.place(order.serial))
        except StoreError as error:
            return _refused(AddCause.BLOCKED_BY_HEALTH, f"the registry of meters does not answer: {error}")
        if place is None:
            return _refused(AddCause.NOT_SUPPORTED, f"no installed meter has the serial {order.serial}")
        now = self.checks.parts.clock()
        refusal = freshness(message, now) or self._may_not(order.admitted, place, now)
        if refusal is not None:
            return _End(Outcome.REFUSED, refusal.sentence, (refusal,))
        if message.test:
            return _refused(AddCause.ABORTED_BY_CANCEL, "nothing stands against it; the test flag: nothing was sent")
        return await self._send(order, control, place, (message.expires - now) / US)

    def _may_not(self, admitted: Admitted, place: SupplyPlace, now: int) -> Refusal | None:
        """The signature once more, as a certificate may have been revoked, and the right where the meter hangs."""
        gate, document = self.checks.gate(now), admitted.document
        person = gate.signer(document, document.signatures[0], now)
        if isinstance(person, Refusal):
            return person
        return gate.may(person, Right.SUPPLY, place.feeder.split("/", 1)[0] or NO_AREA, now)

    async def _send(self, order: _Order, control: SupplyControl, place: SupplyPlace, within_s: float) -> "_End":
        """Journal, token, request; nothing may be put between the last two."""
        action = order.message.supply
        assert action is not None
        body = {
            "id": order.message.id,
            "command": order.message.target,
            "action": str(action),
            "persons": [order.person],
            "token": self.checks.parts.tenure.token,
            "facts": [fact_report(Fact(f"meter {place.serial}", f"at {place.metering_point}, feeder {place.feeder}"))],
        }
        self.journal("execute", body)
        if why := self.checks.parts.tenure.why_not():
            return _refused(AddCause.BLOCKED_BY_HEALTH, f"nothing was sent: {why}")
        order.sent = True
        try:
            done = await on_thread(
                lambda: control.operate(place.serial, action, requested_by=order.person, within_s=within_s)
            )
        except StoreError as error:
            return _unknown(f"whether the order was entered is not known: {error}")
        return _judged(action, done)

    def _ended(self, order: _Order, end: "_End") -> None:
        """Write the outcome down and tell it; an outcome nobody knows is an alarm, journaled or not."""
        order.end, message = end, order.message
        if end.outcome is Outcome.UNKNOWN:
            told = f"meter {message.target} {message.supply}: {end.sentence}; not tried again"
            self.alarms.sound(EventKind.OUTCOME_UNKNOWN, message.target, told, followed=True)
        try:
            self.journal("outcome", _report(order, end))
        except ChainError as error:
            log.error("Meter %s: its outcome is not in the journal: %s", message.target, error)
        log.info("Meter %s %s by %s: %s (%s)", message.target, message.supply, order.person, end.outcome, end.sentence)


@dataclass(frozen=True, slots=True)
class _End:
    outcome: Outcome
    sentence: str
    refusals: tuple[Refusal, ...] = ()
    meter_state: str = ""


def _judged(action: SupplyAction, done: SupplyOutcome) -> _End:
    """What may be claimed of what the head-end says: only the wanted state, told by the meter, is completion."""
    if done.ending == "refused":
        return _refused(AddCause.ABORTED_BY_COMMUNICATION_LOSS, done.why)
    if done.ending != "done":
        return _unknown(done.why)
    if done.state not in WANTED[action]:
        said = done.state or "no state"
        sentence = f"the meter answered, but says {said}"
        return _End(Outcome.UNKNOWN, sentence, (Refusal(AddCause.INVALID_POSITION, sentence),), done.state)
    return _End(Outcome.COMPLETED, f"the meter says {done.state}", (), done.state)


def _refused(cause: AddCause, sentence: str) -> _End:
    return _End(Outcome.REFUSED, sentence, (Refusal(cause, sentence),))


def _unknown(sentence: str) -> _End:
    return _End(Outcome.UNKNOWN, sentence, (Refusal(AddCause.ABORTED_BY_COMMUNICATION_LOSS, sentence),))


def _report(order: _Order, end: _End) -> dict[str, Any]:
    return {
        "id": order.message.id,
        "target": order.message.target,
        "action": str(order.message.supply),
        "state": "verified" if end.outcome is Outcome.COMPLETED else str(end.outcome),
        "outcome": str(end.outcome),
        "sentence": end.sentence,
        "persons": [order.person],
        "refusals": [refusal_report(each) for each in end.refusals],
    }


async def on_thread(call: Callable[[], Answer]) -> Answer:
    """What ``call`` gives, from a thread that keeps nobody from stopping: an order may wait minutes for its meter."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[Answer] = loop.create_future()

    def told(settle: Callable[[Any], None], what: object) -> None:
        # Whoever waited may have been stopped, and the loop with him.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(lambda: None if answer.done() else settle(what))

    def work() -> None:
        try:
            found = call()
        except BaseException as error:  # not ended here: raised where it is awaited
            told(answer.set_exception, error)
        else:
            told(answer.set_result, found)

    threading.Thread(target=work, name="supply", daemon=True).start()
    return await answer
