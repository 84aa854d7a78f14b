"""Disconnecting and reconnecting the supply of a meter: the desk's door for orders that go by the head-end.

The same steps as for a breaker: who signed, may he there, is it fresh; written down on the disk; then sent, once. What
comes back is one of three: completed, when the meter says the state that was wanted; refused; or unknown.

Knows these steps. Does not know how a meter is reached, nor whether somebody has paid.
"""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from scada.control.alarms import DeskAlarms
from scada.control.authority import Right
from scada.control.checks import Checks
from scada.control.course import fact_report, refusal_report
from scada.control.gate import Admitted, freshness
from scada.control.journal import JournalWriter
from scada.control.lifecycle import Outcome
from scada.control.message import US, Message
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

log = logging.getLogger(__name__)


@dataclass(slots=True)
class SupplyDesk:
    """Carries signed supply orders out, one at a time for each meter."""

    checks: Checks
    journal: JournalWriter
    alarms: DeskAlarms
    control: SupplyControl | None
    _busy: set[int] = field(default_factory=set)

    async def take(self, admitted: Admitted) -> dict[str, Any]:
        """From an admitted message to its outcome, as plain JSON values."""
        message = admitted.message
        serial = int(message.target)
        if serial in self._busy:
            sentence = f"meter {serial} is being switched"
            return self._ended(admitted, _refused(AddCause.COMMAND_ALREADY_IN_EXECUTION, sentence))
        self._busy.add(serial)
        try:
            return self._ended(admitted, await self._carry_out(admitted, serial))
        finally:
            self._busy.discard(serial)

    async def _carry_out(self, admitted: Admitted, serial: int) -> "_End":
        message, control = admitted.message, self.control
        if control is None:
            return _refused(AddCause.NOT_SUPPORTED, "no meter is reached from this desk")
        try:
            place = await asyncio.to_thread(control.place, serial)
        except StoreError as error:
            return _refused(AddCause.BLOCKED_BY_HEALTH, f"the registry of meters does not answer: {error}")
        if place is None:
            return _refused(AddCause.NOT_SUPPORTED, f"no installed meter has the serial {serial}")
        now = self.checks.parts.clock()
        refusal = freshness(message, now) or self._may_not(admitted, place, now)
        if refusal is not None:
            return _End(Outcome.REFUSED, refusal.sentence, (refusal,))
        if message.test:
            return _refused(AddCause.ABORTED_BY_CANCEL, "nothing stands against it; the test flag: nothing was sent")
        return await self._send(admitted, control, place, (message.expires - now) / US)

    def _may_not(self, admitted: Admitted, place: SupplyPlace, now: int) -> Refusal | None:
        """The signature once more, as a certificate may have been revoked, and the right where the meter hangs."""
        gate, document = self.checks.gate(now), admitted.document
        person = gate.signer(document, document.signatures[0], now)
        if isinstance(person, Refusal):
            return person
        return gate.may(person, Right.SUPPLY, place.feeder.split("/", 1)[0] or NO_AREA, now)

    async def _send(self, admitted: Admitted, control: SupplyControl, place: SupplyPlace, within_s: float) -> "_End":
        """Journal, token, request; nothing may be put between the last two."""
        message, person = admitted.message, admitted.person.name
        assert message.supply is not None
        body = {
            "id": message.id,
            "command": message.target,
            "action": str(message.supply),
            "persons": [person],
            "token": self.checks.parts.tenure.token,
            "facts": [fact_report(Fact(f"meter {place.serial}", f"at {place.metering_point}, feeder {place.feeder}"))],
        }
        self.journal("execute", body)
        if why := self.checks.parts.tenure.why_not():
            return _refused(AddCause.BLOCKED_BY_HEALTH, f"nothing was sent: {why}")
        try:
            done = await asyncio.to_thread(
                control.operate, place.serial, message.supply, requested_by=person, within_s=within_s
            )
        except StoreError as error:
            return _unknown(f"whether the order was entered is not known: {error}")
        except asyncio.CancelledError:
            self._ended(admitted, _unknown("the desk was stopped after the order was sent"))
            raise
        return _judged(message.supply, done)

    def _ended(self, admitted: Admitted, end: "_End") -> dict[str, Any]:
        """Write the outcome down and tell it; an outcome nobody knows is an alarm."""
        message = admitted.message
        report = _report(message, admitted.person.name, end)
        if end.outcome is Outcome.UNKNOWN:
            told = f"meter {message.target} {message.supply}: {end.sentence}; not tried again"
            self.alarms.sound(EventKind.OUTCOME_UNKNOWN, message.target, told, followed=True)
        self.journal("outcome", report)
        log.info(
            "Meter %s %s by %s: %s (%s)",
            message.target,
            message.supply,
            admitted.person.name,
            end.outcome,
            end.sentence,
        )
        return {**report, "meter_state": end.meter_state}


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


def _report(message: Message, person: str, end: _End) -> dict[str, Any]:
    return {
        "id": message.id,
        "target": message.target,
        "action": str(message.supply),
        "state": "verified" if end.outcome is Outcome.COMPLETED else str(end.outcome),
        "outcome": str(end.outcome),
        "sentence": end.sentence,
        "persons": [person],
        "refusals": [refusal_report(each) for each in end.refusals],
    }
