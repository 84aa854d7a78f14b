"""The words of electronic supply contracts: who applies, for which point, what happened, which contract holds when.

Times are µs since 1970 UTC, registers integers in base units, documents are named by their SHA-256. What may follow
what is decided in ``scada.contracts``; how it is stored, in the historian.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol


class RequestKind(StrEnum):
    """What both sides will sign."""

    NEW = "new"
    AMENDMENT = "amendment"
    TERMINATION = "termination"


class State(StrEnum):
    """Where a supply request stands."""

    APPLICATION = "application"
    SURVEYED = "surveyed"
    OFFERED = "offered"
    PREPARED = "prepared"
    BUYER_SIGNED = "buyer-signed"
    SELLER_SIGNED = "seller-signed"
    METER_INSTALLED = "meter-installed"
    ENERGISED = "energised"
    ACTIVE = "active"
    AMENDED = "amended"
    TERMINATED = "terminated"
    REJECTED = "rejected"
    EXPIRED = "expired"


class Action(StrEnum):
    """What an actor did. The last five change no state: they are kept because they were said or seen."""

    APPLY = "apply"
    SURVEY = "survey"
    OFFER = "offer"
    PREPARE = "prepare"
    SIGN_BUYER = "sign-buyer"
    SIGN_SELLER = "sign-seller"
    INSTALL_METER = "install-meter"
    ENERGISE = "energise"
    ACTIVATE = "activate"
    AMEND = "amend"
    TERMINATE = "terminate"
    REJECT = "reject"
    EXPIRE = "expire"
    WAIT = "wait"
    REMIND = "remind"
    REFUSE_UPLOAD = "refuse-upload"
    RENEW = "renew"
    VIEW = "view"


@dataclass(frozen=True, slots=True)
class Customer:
    """The buyer. ``identity`` is ``CCCD:`` and 12 digits, or ``MST:`` and a tax code; the certificate must carry it."""

    name: str
    identity: str
    address: str
    phone: str = ""
    email: str = ""


@dataclass(frozen=True, slots=True)
class Supply:
    """What is to be supplied, and where. ``tariff_class`` is a key of the tariff tables."""

    metering_point: str
    address: str
    tariff_class: str
    phases: int = 1
    contracted_kw: int = 3
    households: int = 1


@dataclass(frozen=True, slots=True)
class MeterInstallation:
    """The meter as the field team left it. ``start_registers`` are Wh or varh by OBIS code."""

    serial: int
    start_registers: Mapping[str, int]
    photo_sha256: str
    installed_at: int


@dataclass(frozen=True, slots=True)
class ContractEvent:
    """One thing that happened to one request, in order. ``details`` holds plain JSON values only."""

    request: str
    sequence: int
    time: int
    actor: str
    action: Action
    document_sha256: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ContractRecord:
    """A request as of its last event, the way lists and billing read it.

    The contract holds in [``valid_from``, ``valid_to``); None means not yet, or without end.
    """

    request: str
    kind: RequestKind
    state: State
    customer: str
    identity: str
    metering_point: str
    tariff_class: str
    meter_serial: int | None = None
    start_registers: Mapping[str, int] = field(default_factory=dict)
    valid_from: int | None = None
    valid_to: int | None = None
    predecessor: str = ""
    waiting: str = ""
    applied_at: int = 0


class ContractStore(Protocol):
    """Where contracts are kept. Calls block; use from a thread of one's own. All raise StoreUnavailable."""

    def next_number(self) -> int:
        """A number never given before."""
        ...

    def append(self, steps: Sequence[tuple[ContractEvent, ContractRecord]]) -> bool:
        """Add events and replace their records, all or nothing.

        False when another writer was first: an event of the same request and sequence is stored already. Raises
        StoreRejected when two contracts would hold for one metering point at the same time.
        """
        ...

    def events(self, request: str) -> Sequence[ContractEvent]:
        """What happened to a request, oldest first; empty when it does not exist."""
        ...

    def records(self, states: Sequence[State] = ()) -> Sequence[ContractRecord]:
        """All requests, or those in one of ``states``, oldest first."""
        ...

    def counts(self) -> Mapping[State, int]:
        """How many requests are in each state; states without any are left out."""
        ...

    def valid_contract(self, metering_point: str, at: int) -> ContractRecord | None:
        """The contract that holds for a metering point at a time: what billing asks before it bills."""
        ...

    def points_without_contract(self, at: int) -> Sequence[str]:
        """Metering points with an installed meter at a time for which no contract holds."""
        ...

    def metering_point_of(self, serial: int, at: int) -> str | None:
        """Where the meter registry has a meter at a time; None when it has it nowhere."""
        ...

    def contracts_without_meter(self, at: int) -> Sequence[ContractRecord]:
        """Contracts that hold at a time whose meter the registry has never had at their metering point."""
        ...
