"""Preparing and signing: the steps of a request that make a new revision of its document.

Whatever cannot be had now (token, time-stamp, revocation status) puts the request into a visible waiting state and
nothing is signed; ``retry_waiting`` tries again. Refusals are told to the person at once. A file is archived before
anybody hears that it is signed.
"""

import asyncio
import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass

from pyhanko.sign.signers.pdf_cms import Signer

from scada.contracts import document, intake, layout, pdfreading, signing, upload
from scada.contracts.archive import ArchiveError
from scada.contracts.desk import ContractDesk
from scada.contracts.reasons import NotAccepted
from scada.contracts.request import ActionRefused, SupplyRequest, allowed
from scada.contracts.signing import Level, Signing
from scada.contracts.verdict import Outcome, Verdict, as_json, finding_json
from scada.contracts.verify import verify
from scada.model.contract import Action, ContractEvent, State
from scada.model.errors import GridScadaError

log = logging.getLogger(__name__)


class SelfCheckFailed(GridScadaError):
    """Our own signature did not verify: nothing was stored, and somebody has to find out why."""

    def __init__(self, number: str, verdict: Verdict) -> None:
        reasons = "; ".join(str(finding) for finding in verdict.all_findings())
        super().__init__(f"{number}: the signed document does not verify: {reasons or verdict.outcome.words}")


_THIS_ONE_ONLY = (ActionRefused, SelfCheckFailed, ArchiveError)
"""What stops one request of many and is no reason to leave the others."""


@dataclass(frozen=True, slots=True)
class BatchOutcome:
    """What became of a batch: asked = signed + waiting + refused, each with its reason."""

    signed: tuple[str, ...]
    waiting: tuple[tuple[str, str], ...]
    refused: tuple[tuple[str, str], ...]


class Execution:
    """Prepares and signs documents for a desk. ``seller`` signs with the seller's token."""

    def __init__(self, desk: ContractDesk, seller: Signer | None) -> None:
        self._desk = desk
        self._seller = seller

    async def prepare(self, number: str, actor: str, effective_from: int | None = None) -> SupplyRequest:
        """Render the final document. Raises ActionRefused."""
        desk = self._desk
        async with desk.lock(number):
            request = await desk.request(number)
            _refuse_unless(request, Action.PREPARE)
            if effective_from is not None and (faults := intake.effective_faults(effective_from, desk.clock())):
                raise ActionRefused("; ".join(faults))
            made = document.render(request, desk.seller, desk.settings.verify_url, desk.clock(), effective_from)
            digest = desk.archive.put(made.pdf, "pdf")
            details = {"data_sha256": made.data_sha256, "effective_from": effective_from}
            return await desk.step(request, Action.PREPARE, actor, details, digest)

    async def sign_as_buyer(self, number: str, signer: Signer, actor: str) -> SupplyRequest:
        """The buyer signs with a key at the counter or a remote one, to B-LT. Raises NotAccepted or ActionRefused."""
        desk = self._desk
        async with desk.lock(number):
            request = await desk.request(number)
            _refuse_unless(request, Action.SIGN_BUYER)
            wanted = Signing(layout.BUYER, request.customer, Level.B_LT)
            try:
                signed = await signing.sign(desk.document(request), signer, wanted, desk.trust, desk.clock)
            except NotAccepted as refusal:
                if refusal.waits:
                    await self._wait(request, actor, "buyer", refusal)
                raise
            return await self._store(request, Action.SIGN_BUYER, actor, signed, layout.BUYER_FIELD)

    async def upload(self, number: str, content: bytes, actor: str) -> SupplyRequest:
        """The buyer brings the document signed elsewhere. Raises NotAccepted with every finding, or ActionRefused."""
        desk = self._desk
        async with desk.lock(number):
            request = await desk.request(number)
            _refuse_unless(request, Action.SIGN_BUYER)
            prepared = desk.archive.get(request.prepared_sha256, "pdf")
            limit = desk.settings.rules.upload_limit_kib * 1024
            found = await upload.upload_findings(content, prepared, request.customer, desk.trust, desk.clock(), limit)
            refusal = NotAccepted(*found)
            if found and not refusal.waits:
                details = {
                    "reasons": [finding_json(each) for each in found],
                    "ends_wait": await self._waited_for(request, content),
                }
                await desk.step(request, Action.REFUSE_UPLOAD, actor, details)
                raise refusal
            try:
                if found:
                    raise refusal
                signed = await signing.preserve(content, desk.trust, desk.clock)
            except NotAccepted as later:
                kept = desk.archive.put(content, "pdf")
                await self._wait(request, actor, "upload", later, kept)
                raise
            return await self._store(request, Action.SIGN_BUYER, actor, signed, layout.BUYER_FIELD)

    async def sign_as_seller(self, number: str, actor: str) -> SupplyRequest:
        """The seller signs with the token, to B-LTA, and the result is verified. Raises as for the buyer."""
        if self._seller is None:
            raise ActionRefused("the seller's token is not configured")
        desk = self._desk
        async with desk.lock(number):
            request = await desk.request(number)
            _refuse_unless(request, Action.SIGN_SELLER)
            wanted = Signing(layout.SELLER, desk.seller, Level.B_LTA)
            try:
                signed = await signing.sign(desk.document(request), self._seller, wanted, desk.trust, desk.clock)
            except NotAccepted as refusal:
                if refusal.waits:
                    await self._wait(request, actor, "seller", refusal)
                raise
            return await self._store(
                request, Action.SIGN_SELLER, actor, signed, layout.BUYER_FIELD, layout.SELLER_FIELD
            )

    async def sign_batch(self, numbers: Sequence[str], actor: str) -> BatchOutcome:
        """The seller signs many. One that cannot be signed does not stop the others."""
        signed: list[str] = []
        waiting: list[tuple[str, str]] = []
        refused: list[tuple[str, str]] = []
        for number in numbers:
            try:
                await self.sign_as_seller(number, actor)
                signed.append(number)
            except NotAccepted as error:
                (waiting if error.waits else refused).append((number, str(error)))
            except _THIS_ONE_ONLY as error:
                refused.append((number, str(error)))
        log.info(
            "Batch of %d: %d signed, %d waiting, %d refused", len(numbers), len(signed), len(waiting), len(refused)
        )
        return BatchOutcome(tuple(signed), tuple(waiting), tuple(refused))

    async def retry_waiting(self, actor: str) -> BatchOutcome:
        """Try again what waits for the token, a time-stamp or a revocation status. The buyer's own key is not ours:
        a buyer who was at the counter has to sign again."""
        signed: list[str] = []
        waiting: list[tuple[str, str]] = []
        refused: list[tuple[str, str]] = []
        for record in await asyncio.to_thread(self._desk.store.records, (State.PREPARED, State.BUYER_SIGNED)):
            if not record.waiting:
                continue
            events = await self._desk.history(record.request)
            last = next(event for event in reversed(events) if event.action is Action.WAIT)
            try:
                if last.details["for"] == "seller":
                    await self.sign_as_seller(record.request, actor)
                elif last.details["for"] == "upload":
                    await self.upload(record.request, self._desk.archive.get(last.document_sha256, "pdf"), actor)
                else:
                    waiting.append((record.request, record.waiting))
                    continue
                signed.append(record.request)
            except NotAccepted as error:
                (waiting if error.waits else refused).append((record.request, str(error)))
            except _THIS_ONE_ONLY as error:
                refused.append((record.request, str(error)))
        return BatchOutcome(tuple(signed), tuple(waiting), tuple(refused))

    async def _waited_for(self, request: SupplyRequest, content: bytes) -> bool:
        """True when the request waits for this very file: refusing it for good ends the wait."""
        last = await self._last_wait(request)
        return last is not None and last.document_sha256 == hashlib.sha256(content).hexdigest()

    async def _last_wait(self, request: SupplyRequest) -> ContractEvent | None:
        """What the request waits for; None when it does not wait."""
        if not request.waiting:
            return None
        events = await self._desk.history(request.number)
        return next(event for event in reversed(events) if event.action is Action.WAIT)

    async def _wait(
        self, request: SupplyRequest, actor: str, waits_for: str, refusal: NotAccepted, kept: str = ""
    ) -> None:
        """Told once, however often it is tried and whatever figures the reasons carry."""
        reasons = [finding.reason.name for finding in refusal.findings]
        last = await self._last_wait(request)
        if last is not None:
            before = (last.details["for"], last.document_sha256, last.details.get("reasons"))
            if before == (waits_for, kept, reasons):
                return
            if before[0] == "upload" and waits_for == "buyer":
                return  # the file will be tried again, which the buyer's own key cannot be
        log.warning("%s waits: %s", request.number, refusal)
        details = {"reason": str(refusal), "reasons": reasons, "for": waits_for}
        await self._desk.step(request, Action.WAIT, actor, details, kept)

    async def _store(
        self, request: SupplyRequest, action: Action, actor: str, signed: bytes, *fields: str
    ) -> SupplyRequest:
        """Verify what was signed, archive it with its evidence, tell the store."""
        desk = self._desk
        identities = {layout.BUYER_FIELD: request.customer.identity, layout.SELLER_FIELD: desk.seller.identity}
        holders = {name: identities[name] for name in fields}
        verdict = await verify(signed, desk.trust, desk.clock(), holders=holders)
        if verdict.outcome is not Outcome.VALID:
            raise SelfCheckFailed(request.number, verdict)
        digest = desk.archive.put(signed, "pdf")
        evidence = store_evidence(desk, signed)
        details = {"report": as_json(verdict), "evidence_until": verdict.evidence_until}
        return await desk.step(request, action, actor, details, digest, evidence)


def store_evidence(desk: ContractDesk, signed: bytes) -> dict[str, str]:
    """Every certificate, answer, list and token of a file as an object of its own; suffix by SHA-256."""
    reader = pdfreading.opened(signed, len(signed))
    return {desk.archive.put(content, kind): kind for kind, content in pdfreading.evidence(reader)}


def _refuse_unless(request: SupplyRequest, action: Action) -> None:
    if refusal := allowed(request, action):
        raise ActionRefused(refusal)
