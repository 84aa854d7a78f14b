"""The contract desk: the one door through which requests move. Console, CLI, REST and nightly jobs all come here.

Each step is announced in the archive's journal, then told to the store, in this order; ``recover`` tells the store
what it missed when a crash or an outage came between, and withdraws what the store refuses. Of two who act on the
same request at once, one is refused.

Knows store, archive, settings and the clock. Signing is in ``execution``, nightly work in ``upkeep``.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any
from weakref import WeakValueDictionary

from scada.contracts import intake, workdays
from scada.contracts.archive import Announcement, Archive
from scada.contracts.layout import BUYER_FIELD, SELLER_FIELD
from scada.contracts.request import ActionRefused, SupplyRequest, after, allowed, fold
from scada.contracts.settings import ContractSettings
from scada.contracts.trust import Trust
from scada.contracts.workdays import Deadline
from scada.model.contract import (
    Action,
    ContractEvent,
    ContractRecord,
    ContractStore,
    Customer,
    MeterInstallation,
    RequestKind,
    State,
    Supply,
)
from scada.model.errors import StoreRejected, StoreUnavailable
from scada.model.ports import Clock

log = logging.getLogger(__name__)


class ContractDesk:
    """Moves requests. Everything that changes a request goes through ``step``. Raises ConfigurationError for a table
    of holidays that cannot be read."""

    def __init__(
        self, store: ContractStore, archive: Archive, trust: Trust, settings: ContractSettings, clock: Clock
    ) -> None:
        self.store = store
        self.archive = archive
        self.trust = trust
        self.settings = settings
        self.clock = clock
        holidays = settings.rules.holidays
        self.calendar = workdays.load_calendar(holidays) if holidays else workdays.vietnam()
        self.behind = False
        """True when the store may have missed what the journal announced: ``recover`` when it answers again."""
        self._telling = asyncio.Lock()
        """Held from the journal's entry to the store's answer: ``recover`` must not take what is under way for lost."""
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @property
    def seller(self) -> Customer:
        """The seller as contracts name it."""
        seller = self.settings.seller
        return Customer(seller.name, seller.identity, seller.address, seller.phone, seller.email)

    def lock(self, number: str) -> asyncio.Lock:
        """Held by whoever works on a request in this process; the store decides between processes."""
        return self._locks.setdefault(number, asyncio.Lock())

    async def request(self, number: str) -> SupplyRequest:
        """A request as it stands. Raises ActionRefused when there is none."""
        return fold(await self.history(number))

    async def history(self, number: str) -> Sequence[ContractEvent]:
        """All events of a request. Raises ActionRefused when there is none."""
        if self.behind:
            await self.recover()
        events = await asyncio.to_thread(self.store.events, number)
        if not events:
            raise ActionRefused(f"there is no request {number}")
        return events

    async def holders(self, request: SupplyRequest) -> Mapping[str, str]:
        """Whose identity number each field's certificate must carry: once both have signed, whose it carried then,
        for a company may have another tax code today."""
        for event in reversed(await self.history(request.number)):
            if event.action is Action.SIGN_SELLER:
                return {each["field"]: each["identity"] for each in event.details["report"]["signatures"]}
        return {BUYER_FIELD: request.customer.identity, SELLER_FIELD: self.seller.identity}

    def document(self, request: SupplyRequest) -> bytes:
        """The latest revision of the document. Raises ActionRefused before it is prepared, or ArchiveError."""
        if not request.document_sha256:
            raise ActionRefused(f"{request.number} has no document yet")
        return self.archive.get(request.document_sha256, "pdf")

    def deadline(self, request: SupplyRequest) -> Deadline:
        """The day by which supply should be energised."""
        return workdays.deadline(self.calendar, request.applied_at, self.settings.rules.working_days)

    def days_left(self, end: Deadline) -> int:
        """Working days from tomorrow to the end; negative when it has passed."""
        return workdays.working_days_left(self.calendar, self.clock(), end.day)

    async def apply(self, customer: Customer, supply: Supply, actor: str) -> SupplyRequest:
        """A new request. Raises ActionRefused with every fault."""
        _refuse(intake.application_faults(customer, supply))
        return await self._applied(RequestKind.NEW, customer, supply, actor, "")

    async def change(
        self, number: str, kind: RequestKind, actor: str, *, tariff_class: str = "", customer_name: str = ""
    ) -> SupplyRequest:
        """A request to amend or terminate the contract of ``number``; it is signed like a new one.

        Raises ActionRefused unless that contract is active, or for a name or tariff class that cannot be meant.
        """
        _refuse(intake.change_faults(customer_name, tariff_class))
        request = await self.request(number)
        if request.state is not State.ACTIVE:
            raise ActionRefused(f"{number} is in state {request.state}: only an active contract is {_PAST[kind]}")
        customer = replace(request.customer, name=customer_name or request.customer.name)
        supply = replace(request.supply, tariff_class=tariff_class or request.supply.tariff_class)
        return await self._applied(kind, customer, supply, actor, number)

    async def act(
        self, number: str, action: Action, actor: str, details: Mapping[str, Any] | None = None
    ) -> SupplyRequest:
        """A step without a document: survey, offer, energise, reject, … Raises ActionRefused."""
        if action is Action.OFFER and not isinstance((details or {}).get("offer"), Mapping):
            raise ActionRefused("an offer lacks its terms, by name")
        async with self.lock(number):
            return await self.step(await self.request(number), action, actor, details or {})

    async def install_meter(self, number: str, meter: MeterInstallation, actor: str) -> SupplyRequest:
        """The field team's report: serial, start registers, photo.

        Raises ActionRefused, also when the meter registry has this meter at another metering point: one of the two
        would be billed for the other. A meter the registry does not know yet is taken, and reported until it does.
        """
        _refuse(intake.meter_faults(meter, self.clock()))
        point = (await self.request(number)).supply.metering_point
        registered = await asyncio.to_thread(self.store.metering_point_of, meter.serial, meter.installed_at)
        if registered not in (None, point):
            raise ActionRefused(
                f"meter {meter.serial} is installed at {registered} by the meter registry, not at {point}: "
                "read its serial number again, or correct the registry (scada meters import)"
            )
        return await self.act(number, Action.INSTALL_METER, actor, {"meter": asdict(meter)})

    async def activate(self, number: str, actor: str) -> SupplyRequest:
        """Let the contract hold: a new one from now, an amendment in place of its predecessor, a termination ends it.

        Raises ActionRefused, or StoreRejected when another contract holds for the metering point.
        """
        async with self.lock(number):
            request = await self.request(number)
            now = self.clock()
            start = max(now, request.effective_from or now)
            if request.kind is RequestKind.NEW:
                return await self.step(request, Action.ACTIVATE, actor, {"valid_from": start})
            before = await self.request(request.predecessor)
            ending = {"valid_to": start, "successor": number}
            if request.kind is RequestKind.TERMINATION:
                own = self._next(request, Action.TERMINATE, actor, ending)
                return await self._settle(request, own, [(before, self._next(before, Action.TERMINATE, actor, ending))])
            details: dict[str, Any] = {"valid_from": start}
            if before.meter is not None:
                details["meter"] = asdict(before.meter)
            own = self._next(request, Action.ACTIVATE, actor, details)
            return await self._settle(request, own, [(before, self._next(before, Action.AMEND, actor, ending))])

    async def step(
        self,
        request: SupplyRequest,
        action: Action,
        actor: str,
        details: Mapping[str, Any],
        document_sha256: str = "",
        evidence: Mapping[str, str] | None = None,
    ) -> SupplyRequest:
        """Announce and store one event. Raises ActionRefused when it may not follow or somebody was first."""
        event = self._next(request, action, actor, details, document_sha256)
        return await self._settle(request, event, [], evidence or {})

    async def recover(self) -> int:
        """Tell the store what the journal announced and the store never heard. Returns how many announcements."""
        async with self._telling:
            told, length = 0, self.archive.length
            for announcement in self.archive.announced(after=self.archive.settled):
                if await self._told_again(announcement):
                    told += 1
            self.archive.settle(length)
            self.behind = False
        if told:
            log.warning(
                "Contracts: %d announcements of the journal were missing in the store and have been added", told
            )
        return told

    async def _told_again(self, announcement: Announcement) -> bool:
        steps = []
        for event in announcement.events:
            events = await asyncio.to_thread(self.store.events, event.request)
            if event.sequence != len(events) + 1:
                return False
            steps.append((event, fold([*events, event]).record()))
        try:
            return await asyncio.to_thread(self.store.append, steps)
        except StoreRejected as error:
            first = announcement.events[0]
            log.error("%s: %s by %s is withdrawn: %s", first.request, first.action, first.actor, error)
            self.archive.withdraw(announcement.hash, self.clock())
            return False

    async def _told(self, steps: Sequence[tuple[ContractEvent, ContractRecord]], evidence: Mapping[str, str]) -> bool:
        """Announce and store; False when another writer was first. Raises StoreRejected or StoreUnavailable."""
        async with self._telling:
            announcement = self.archive.announce([event for event, _ in steps], evidence)
            try:
                stored = await asyncio.to_thread(self.store.append, steps)
            except StoreUnavailable:
                self.behind = True
                raise
            except StoreRejected:
                self.archive.withdraw(announcement, self.clock())
                raise
            if not stored:
                self.archive.withdraw(announcement, self.clock())
            return stored

    async def valid_contract(self, metering_point: str, at: int) -> ContractRecord | None:
        """What billing asks before it bills a metering point."""
        return await asyncio.to_thread(self.store.valid_contract, metering_point, at)

    async def _applied(
        self, kind: RequestKind, customer: Customer, supply: Supply, actor: str, predecessor: str
    ) -> SupplyRequest:
        now = self.clock()
        ordinal = await asyncio.to_thread(self.store.next_number)
        number = f"{_PREFIX[kind]}-{workdays.local_day(now).year}-{ordinal:06d}"
        details = {
            "kind": kind.value,
            "customer": asdict(customer),
            "supply": asdict(supply),
            "predecessor": predecessor,
        }
        event = ContractEvent(number, 1, now, actor, Action.APPLY, "", details)
        request = fold([event])
        await self._told([(event, request.record())], {})
        log.info("%s: %s applied for %s", number, kind, supply.metering_point)
        return request

    def _next(
        self,
        request: SupplyRequest,
        action: Action,
        actor: str,
        details: Mapping[str, Any],
        document_sha256: str = "",
    ) -> ContractEvent:
        if refusal := allowed(request, action):
            raise ActionRefused(refusal)
        return ContractEvent(
            request.number, request.sequence + 1, self.clock(), actor, action, document_sha256, dict(details)
        )

    async def _settle(
        self,
        request: SupplyRequest,
        event: ContractEvent,
        others: Sequence[tuple[SupplyRequest, ContractEvent]],
        evidence: Mapping[str, str] | None = None,
    ) -> SupplyRequest:
        steps = [(request, event), *others]
        moved = [after(before, each) for before, each in steps]
        told = [(each, new.record()) for (_, each), new in zip(steps, moved, strict=True)]
        if not await self._told(told, evidence or {}):
            raise ActionRefused(f"{request.number}: somebody else was first; look at it again")
        log.info("%s: %s by %s, now %s", request.number, event.action, event.actor, moved[0].state)
        return moved[0]


def _refuse(faults: Sequence[str]) -> None:
    if faults:
        raise ActionRefused("; ".join(faults))


_PREFIX = {RequestKind.NEW: "HD", RequestKind.AMENDMENT: "PL", RequestKind.TERMINATION: "CD"}
_PAST = {RequestKind.NEW: "made", RequestKind.AMENDMENT: "amended", RequestKind.TERMINATION: "terminated"}
