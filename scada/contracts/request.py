"""The life of a supply request, as a table: what may follow what, and what a request looks like after its events.

Knows states, actions and the facts each action must bring. Does not sign, store, render or read a clock.

    fold(events)             → SupplyRequest
    allowed(request, action) → '' or the sentence that refuses it
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from scada.model.contract import (
    Action,
    ContractEvent,
    ContractRecord,
    Customer,
    MeterInstallation,
    RequestKind,
    State,
    Supply,
)
from scada.model.errors import GridScadaError

_NEW = {
    (State.APPLICATION, Action.SURVEY): State.SURVEYED,
    (State.SURVEYED, Action.OFFER): State.OFFERED,
    (State.OFFERED, Action.PREPARE): State.PREPARED,
    (State.PREPARED, Action.SIGN_BUYER): State.BUYER_SIGNED,
    (State.BUYER_SIGNED, Action.SIGN_SELLER): State.SELLER_SIGNED,
    (State.SELLER_SIGNED, Action.INSTALL_METER): State.METER_INSTALLED,
    (State.METER_INSTALLED, Action.ENERGISE): State.ENERGISED,
    (State.ENERGISED, Action.ACTIVATE): State.ACTIVE,
    (State.ACTIVE, Action.AMEND): State.AMENDED,
    (State.ACTIVE, Action.TERMINATE): State.TERMINATED,
}
_CHANGE = {
    (State.APPLICATION, Action.PREPARE): State.PREPARED,
    (State.PREPARED, Action.SIGN_BUYER): State.BUYER_SIGNED,
    (State.BUYER_SIGNED, Action.SIGN_SELLER): State.SELLER_SIGNED,
    (State.SELLER_SIGNED, Action.ACTIVATE): State.ACTIVE,
    (State.ACTIVE, Action.AMEND): State.AMENDED,
    (State.ACTIVE, Action.TERMINATE): State.TERMINATED,
}
_TERMINATION = {
    **{key: state for key, state in _CHANGE.items() if key[0] is not State.ACTIVE and key[1] is not Action.ACTIVATE},
    (State.SELLER_SIGNED, Action.TERMINATE): State.TERMINATED,
}

BEFORE_BOTH_SIGNED = (
    State.APPLICATION,
    State.SURVEYED,
    State.OFFERED,
    State.PREPARED,
    State.BUYER_SIGNED,
)
"""A request may be rejected or expire until both have signed; after that only a signed termination ends it."""

TRANSITIONS: Mapping[RequestKind, Mapping[tuple[State, Action], State]] = {
    kind: {
        **table,
        **{(state, Action.REJECT): State.REJECTED for state in BEFORE_BOTH_SIGNED},
        **{(state, Action.EXPIRE): State.EXPIRED for state in BEFORE_BOTH_SIGNED},
    }
    for kind, table in (
        (RequestKind.NEW, _NEW),
        (RequestKind.AMENDMENT, _CHANGE),
        (RequestKind.TERMINATION, _TERMINATION),
    )
}

WITHOUT_STATE = (Action.WAIT, Action.REMIND, Action.REFUSE_UPLOAD, Action.RENEW, Action.VIEW)

NEEDS_DOCUMENT = (Action.PREPARE, Action.SIGN_BUYER, Action.SIGN_SELLER, Action.RENEW)
NEEDS: Mapping[Action, tuple[str, ...]] = {
    Action.APPLY: ("kind", "customer", "supply"),
    Action.OFFER: ("offer",),
    Action.INSTALL_METER: ("meter",),
    Action.ACTIVATE: ("valid_from",),
    Action.AMEND: ("valid_to", "successor"),
    Action.TERMINATE: ("valid_to", "successor"),
    Action.REJECT: ("reason",),
    Action.EXPIRE: ("reason",),
    Action.WAIT: ("reason",),
    Action.REMIND: ("reason",),
    Action.REFUSE_UPLOAD: ("reasons",),
}
"""Details an action must bring."""


class ActionRefused(GridScadaError):
    """The request is not where the action needs it, or a fact is missing."""


@dataclass(frozen=True, slots=True)
class SupplyRequest:
    """A request after all its events. ``sequence`` is the number of the last one."""

    number: str
    kind: RequestKind
    state: State
    customer: Customer
    supply: Supply
    applied_at: int
    sequence: int
    since: int
    offer: Mapping[str, Any] = field(default_factory=dict)
    predecessor: str = ""
    prepared_sha256: str = ""
    document_sha256: str = ""
    meter: MeterInstallation | None = None
    valid_from: int | None = None
    valid_to: int | None = None
    effective_from: int | None = None
    evidence_until: int | None = None
    waiting: str = ""
    waiting_since: int | None = None
    reminded_at: int | None = None

    def record(self) -> ContractRecord:
        """The row that lists and billing read."""
        return ContractRecord(
            request=self.number,
            kind=self.kind,
            state=self.state,
            customer=self.customer.name,
            identity=self.customer.identity,
            metering_point=self.supply.metering_point,
            tariff_class=self.supply.tariff_class,
            meter_serial=None if self.meter is None else self.meter.serial,
            start_registers={} if self.meter is None else self.meter.start_registers,
            valid_from=self.valid_from,
            valid_to=self.valid_to,
            predecessor=self.predecessor,
            waiting=self.waiting,
            applied_at=self.applied_at,
        )


def allowed(request: SupplyRequest, action: Action) -> str:
    """'' when the action may happen now, else why not."""
    if action in WITHOUT_STATE or (request.state, action) in TRANSITIONS[request.kind]:
        return ""
    return f"{request.number} is in state {request.state}: {action} is not possible"


def fold(events: Sequence[ContractEvent]) -> SupplyRequest:
    """The request after ``events``, the first of which applied. Raises ActionRefused when they cannot follow."""
    if not events or events[0].action is not Action.APPLY:
        raise ActionRefused("a request begins with an application")
    request = _applied(events[0])
    for event in events[1:]:
        request = after(request, event)
    return request


def after(request: SupplyRequest, event: ContractEvent) -> SupplyRequest:
    """The request after one more event. Raises ActionRefused."""
    if refusal := allowed(request, event.action) or _missing(event):
        raise ActionRefused(refusal)
    if event.sequence != request.sequence + 1 or event.request != request.number:
        raise ActionRefused(
            f"event {event.request}/{event.sequence} does not follow {request.number}/{request.sequence}"
        )
    moved = _moved(request, event)
    return replace(moved, **_facts(request, event))


def _moved(request: SupplyRequest, event: ContractEvent) -> SupplyRequest:
    if event.action is Action.WAIT:
        since = event.time if not request.waiting else request.waiting_since
        return replace(request, sequence=event.sequence, waiting=event.details["reason"], waiting_since=since)
    if event.action is Action.REFUSE_UPLOAD and event.details.get("ends_wait"):
        return replace(request, sequence=event.sequence, waiting="", waiting_since=None)
    if event.action in WITHOUT_STATE:
        return replace(request, sequence=event.sequence)
    state = TRANSITIONS[request.kind][request.state, event.action]
    return replace(request, state=state, sequence=event.sequence, since=event.time, waiting="", waiting_since=None)


def _facts(request: SupplyRequest, event: ContractEvent) -> dict[str, Any]:
    details = event.details
    facts: dict[str, Any] = {}
    if event.action in NEEDS_DOCUMENT:
        facts["document_sha256"] = event.document_sha256
        facts["evidence_until"] = details.get("evidence_until")
    match event.action:
        case Action.OFFER:
            facts["offer"] = dict(details["offer"])
        case Action.PREPARE:
            facts |= {"prepared_sha256": event.document_sha256, "effective_from": details.get("effective_from")}
        case Action.INSTALL_METER:
            facts["meter"] = MeterInstallation(**details["meter"])
        case Action.ACTIVATE:
            facts["valid_from"] = details["valid_from"]
            if "meter" in details:
                facts["meter"] = MeterInstallation(**details["meter"])
        case Action.AMEND | Action.TERMINATE:
            facts["valid_to"] = details["valid_to"]
        case Action.REMIND:
            facts["reminded_at"] = event.time
    return facts


def _applied(event: ContractEvent) -> SupplyRequest:
    if refusal := _missing(event):
        raise ActionRefused(refusal)
    return SupplyRequest(
        number=event.request,
        kind=RequestKind(event.details["kind"]),
        state=State.APPLICATION,
        customer=Customer(**event.details["customer"]),
        supply=Supply(**event.details["supply"]),
        applied_at=event.time,
        sequence=event.sequence,
        since=event.time,
        predecessor=event.details.get("predecessor", ""),
    )


def _missing(event: ContractEvent) -> str:
    absent = [name for name in NEEDS.get(event.action, ()) if name not in event.details]
    if event.action in NEEDS_DOCUMENT and not event.document_sha256:
        absent.append("document")
    return f"{event.action} lacks {', '.join(absent)}" if absent else ""
