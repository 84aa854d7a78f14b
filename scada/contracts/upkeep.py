"""What is done for contracts by night: reminders, expiry, retries of what waits, renewal of archive time-stamps.

judge_day(request, …)  pure: what is due for one request today
Upkeep                 does it for all
"""

import asyncio
import logging
from dataclasses import dataclass
from enum import StrEnum

from scada.contracts import signing, workdays
from scada.contracts.archive import ArchiveError
from scada.contracts.desk import ContractDesk
from scada.contracts.execution import store_evidence
from scada.contracts.reasons import NotAccepted
from scada.contracts.request import BEFORE_BOTH_SIGNED, ActionRefused, SupplyRequest
from scada.contracts.settings import RuleSettings
from scada.contracts.verdict import Outcome, as_json
from scada.contracts.verify import verify
from scada.contracts.workdays import Calendar
from scada.model.contract import Action, State

log = logging.getLogger(__name__)

DAY_US = 86_400_000_000
OPEN_STATES = (*BEFORE_BOTH_SIGNED, State.SELLER_SIGNED, State.METER_INSTALLED, State.ENERGISED)
SIGNED_STATES = (
    State.SELLER_SIGNED,
    State.METER_INSTALLED,
    State.ENERGISED,
    State.ACTIVE,
    State.AMENDED,
    State.TERMINATED,
)
"""Every signed document is kept alive, also after its contract ended."""


class Due(StrEnum):
    """What a day can ask for one request."""

    NOTHING = "nothing"
    REMIND = "remind"
    EXPIRE = "expire"


@dataclass(frozen=True, slots=True)
class UpkeepOutcome:
    """Numbers of requests, by what was done."""

    reminded: tuple[str, ...] = ()
    expired: tuple[str, ...] = ()
    renewed: tuple[str, ...] = ()
    not_renewed: tuple[tuple[str, str], ...] = ()


def judge_day(request: SupplyRequest, calendar: Calendar, rules: RuleSettings, now: int) -> tuple[Due, str]:
    """What is due today, and why. A reminder is given at most once a day."""
    if request.state in (State.PREPARED, State.OFFERED) and now - request.since > rules.sign_within_days * DAY_US:
        return Due.EXPIRE, f"not signed within {rules.sign_within_days} days"
    if request.state not in OPEN_STATES:
        return Due.NOTHING, ""
    end = workdays.deadline(calendar, request.applied_at, rules.working_days)
    left = workdays.working_days_left(calendar, now, end.day)
    today = workdays.local_day(now)
    reminded_today = request.reminded_at is not None and workdays.local_day(request.reminded_at) == today
    if left > rules.remind_days_before or reminded_today:
        return Due.NOTHING, ""
    text = f"due {end}, {abs(left)} working days {'left' if left >= 0 else 'late'}"
    return Due.REMIND, f"{text}; state {request.state}"


class Upkeep:
    """The nightly work of a desk."""

    def __init__(self, desk: ContractDesk) -> None:
        self._desk = desk

    async def day(self, actor: str) -> UpkeepOutcome:
        """Reminders and expiry for all open requests."""
        desk = self._desk
        done: dict[Due, list[str]] = {Due.REMIND: [], Due.EXPIRE: []}
        for record in await asyncio.to_thread(desk.store.records, OPEN_STATES):
            async with desk.lock(record.request):
                request = await desk.request(record.request)
                due, reason = judge_day(request, desk.calendar, desk.settings.rules, desk.clock())
                if due is not Due.NOTHING:
                    action = Action.EXPIRE if due is Due.EXPIRE else Action.REMIND
                    await desk.step(request, action, actor, {"reason": reason})
                    done[due].append(record.request)
        return UpkeepOutcome(tuple(done[Due.REMIND]), tuple(done[Due.EXPIRE]))

    async def renew_due(self, actor: str) -> UpkeepOutcome:
        """A further archive time-stamp for every document whose last one's certificate ends soon.

        One that cannot be renewed does not stop the others.
        """
        desk = self._desk
        renewed, failed = [], []
        horizon = desk.clock() + desk.settings.rules.renew_before_days * DAY_US
        for record in await asyncio.to_thread(desk.store.records, SIGNED_STATES):
            async with desk.lock(record.request):
                request = await desk.request(record.request)
                if request.evidence_until is None or request.evidence_until > horizon:
                    continue
                try:
                    problem = await self._renew(request, actor)
                except (ArchiveError, ActionRefused) as error:
                    problem = str(error)
                if problem:
                    failed.append((record.request, problem))
                else:
                    renewed.append(record.request)
        if failed:
            log.error("Contracts: %d archive time-stamps could not be renewed, first %s: %s", len(failed), *failed[0])
        return UpkeepOutcome(renewed=tuple(renewed), not_renewed=tuple(failed))

    async def _renew(self, request: SupplyRequest, actor: str) -> str:
        """'' or why it could not be renewed. Validates before and after: renewing itself validates nothing."""
        desk = self._desk
        content = desk.document(request)
        holders = await desk.holders(request)
        before = await verify(content, desk.trust, desk.clock(), holders=holders)
        if before.outcome is not Outcome.VALID:
            return "; ".join(str(finding) for finding in before.all_findings())
        try:
            renewed = await signing.renew(content, desk.trust, desk.clock)
        except NotAccepted as refusal:
            return str(refusal)
        verdict = await verify(renewed, desk.trust, desk.clock(), holders=holders)
        if verdict.outcome is not Outcome.VALID:
            return "; ".join(str(finding) for finding in verdict.all_findings())
        digest = desk.archive.put(renewed, "pdf")
        details = {"report": as_json(verdict), "evidence_until": verdict.evidence_until}
        await desk.step(request, Action.RENEW, actor, details, digest, store_evidence(desk, renewed))
        return ""
