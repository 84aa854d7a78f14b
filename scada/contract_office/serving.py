"""``scada contract serve``: the contract office as a process, open until asked to end.

    REST      the routes of ``hmi.contracts_api`` on loopback, by access token; ``/api/v1/state`` tells how it goes
    minute    what waits for token, time-stamp or revocation status is tried again
    day       reminders, expiry, renewal of archive time-stamps; at the start and after each midnight in Vietnam

The rounds are one task, so never two at once; beside the REST door the desk's lock on each request keeps them apart.
Knows who may ask and when what is due. Every step is the desk's.
"""

import asyncio
import json
import logging
import os
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from scada.clock import now_us
from scada.config import Config, HttpConfig
from scada.contract_office.office import DOOR, Office, OfficeError, opened
from scada.contracts.workdays import local_day
from scada.hmi.contracts_api import PREFIX, ActorOf, NotAllowed, bearer, contract_routes
from scada.hmi.door import DoorTaken, StateDoor, write_last_state
from scada.model.contract import State
from scada.model.errors import GridScadaError, StoreUnavailable
from scada.model.ports import Clock
from scada.services.installation import write_whole

log = logging.getLogger(__name__)

CLERK, BILLING = "clerk", "billing"
NIGHT = "night"
"""The actor of what the rounds do, as in ``scada contract night``."""

ROUND_EVERY_S = 60.0
END_WITHIN_S = 20
"""A signature with time-stamp and evidence takes 1 to 2 s; services that do not answer are given up within 5 s each."""

SHORTEST_TOKEN = 24


def tokens_path(config: Config) -> Path:
    """Where the access tokens lie."""
    return config.var / "contracts" / "tokens.json"


def access_tokens(path: Path) -> dict[str, str]:
    """Token by name; drawn and written, for its owner's eyes only, when there is no file yet. Raises OfficeError."""
    try:
        if not path.exists():
            drawn = {name: secrets.token_urlsafe(32) for name in (CLERK, BILLING)}
            write_whole(path, json.dumps(drawn, indent=2) + "\n", mode=0o600)
            log.info("Contracts: access tokens for %s and %s drawn into %s", CLERK, BILLING, path)
        if path.stat().st_mode & 0o077:
            raise OfficeError(
                f"others may read {path}; take that from them (chmod 600), or remove it to draw new tokens"
            )
        found = msgspec.json.decode(path.read_bytes(), type=dict[str, str])
    except (OSError, ValueError) as error:
        raise OfficeError(f"the access tokens in {path} cannot be had: {error}") from error
    if unknown := sorted(found.keys() - {CLERK, BILLING}):
        raise OfficeError(f"{path}: {', '.join(unknown)}: only {CLERK} and {BILLING} have tokens")
    if len(set(found.values())) < len(found) or any(len(token) < SHORTEST_TOKEN for token in found.values()):
        raise OfficeError(f"{path}: tokens must differ and have at least {SHORTEST_TOKEN} characters")
    return found


def actors(tokens: Mapping[str, str]) -> ActorOf:
    """Who asks, by token: clerks for everything, billing for which contract holds and nothing else."""
    named = bearer({token: name for name, token in tokens.items()})

    def actor_of(request: Request) -> str:
        name, path = named(request), request.url.path
        asked_by_billing = path.startswith(f"{PREFIX}/valid/") or path == f"{PREFIX}/unbound"
        if name == BILLING and not (request.method == "GET" and asked_by_billing):
            raise NotAllowed(f"{BILLING} may ask which contract holds, and nothing else")
        return name

    return actor_of


@dataclass(frozen=True, slots=True)
class Round:
    """When a round ended last (µs UTC, 0 = never), why it failed or '', and how many requests met which fate."""

    ended: int = 0
    failed: str = ""
    done: Mapping[str, int] = field(default_factory=dict)


class Rounds:
    """What is done without anybody asking. A day that failed is tried again with the next minute."""

    def __init__(self, office: Office, clock: Clock) -> None:
        self._office, self._clock = office, clock
        self._day: date | None = None
        self.retry = Round()
        self.upkeep = Round()

    async def keep(self, stop: asyncio.Event, every_s: float) -> None:
        """Until ``stop`` is set; the round under way then is finished."""
        while not stop.is_set():
            await self.once()
            try:
                async with asyncio.timeout(every_s):
                    await stop.wait()
            except TimeoutError:
                continue

    async def once(self) -> None:
        """One minute's work, and the day's when a new day has begun."""
        self.retry = await self._told("try again what waits", self._retry, self.retry)
        today = local_day(self._clock())
        if today != self._day:
            self.upkeep = await self._told("upkeep", self._upkeep, self.upkeep)
            if not self.upkeep.failed:
                self._day = today
                log.info("Contracts: upkeep of %s: %s", today, _counted(self.upkeep.done))

    async def _told(self, name: str, work: Any, before: Round) -> Round:
        try:
            done = await work()
        except GridScadaError as error:
            if str(error) != before.failed:
                log.warning("Contracts: %s failed, next try within a minute: %s", name, error)
            return Round(self._clock(), str(error))
        if before.failed:
            log.info("Contracts: %s works again", name)
        return Round(self._clock(), "", done)

    async def _retry(self) -> dict[str, int]:
        if self._office.desk.behind:
            await self._office.desk.recover()
        outcome = await self._office.execution.retry_waiting(NIGHT)
        if outcome.signed or outcome.refused:
            log.info("Contracts: of what waited %d signed, %d refused", len(outcome.signed), len(outcome.refused))
        return {each: len(getattr(outcome, each)) for each in ("signed", "waiting", "refused")}

    async def _upkeep(self) -> dict[str, int]:
        day = await self._office.upkeep.day(NIGHT)
        renewal = await self._office.upkeep.renew_due(NIGHT)
        return {
            "reminded": len(day.reminded),
            "expired": len(day.expired),
            "renewed": len(renewal.renewed),
            "not_renewed": len(renewal.not_renewed),
        }


async def serve(config: Config, stop: asyncio.Event, *, port: int = 0, every_s: float = ROUND_EVERY_S) -> None:
    """Keep the office open until ``stop`` is set; requests and the round under way are then finished.

    ``port`` 0 is a free one, written to ``var/run/contracts.json``. Raises OfficeError, ServicesDown or
    StoreUnavailable when the office cannot be opened.
    """
    since = now_us()
    async with opened(config) as office:
        routes = contract_routes(office.desk, office.execution, actors(access_tokens(tokens_path(config))))
        rounds = Rounds(office, now_us)

        async def state() -> dict[str, Any]:
            own = {"process": DOOR, "pid": os.getpid(), "since": since, "now": now_us()}
            return own | await _requests(office) | {"retry": asdict(rounds.retry), "upkeep": asdict(rounds.upkeep)}

        async def answer(_: Request) -> Response:
            return Response(msgspec.json.encode(await state()), media_type="application/json")

        door = _door(config, port, [Route("/api/v1/state", answer), *routes])
        async with door:
            log.info("Contracts: open at %s%s", door.url, PREFIX)
            await _rounds_until(stop, rounds, every_s)
        write_last_state(config.var, DOOR, await state())
    log.info("Contracts: closed")


def _door(config: Config, port: int, routes: list[Any]) -> StateDoor:
    host = config.http.host
    try:
        return StateDoor(DOOR, {}, HttpConfig(host, port), config.var, routes, end_within_s=END_WITHIN_S)
    except DoorTaken:
        raise OfficeError(f"port {port} of {host} is taken; choose another with --port, 0 for a free one") from None


async def _rounds_until(stop: asyncio.Event, rounds: Rounds, every_s: float) -> None:
    """What is cut off after END_WITHIN_S is in the journal or did not happen: the next start completes it."""
    working = asyncio.create_task(rounds.keep(stop, every_s), name="contract rounds")
    stopped = asyncio.create_task(stop.wait(), name="stop")
    try:
        await asyncio.wait([working, stopped], return_when=asyncio.FIRST_COMPLETED)
        await asyncio.wait([working], timeout=END_WITHIN_S)
        if not working.done():
            log.warning("Contracts: the round under way is cut off after %d s", END_WITHIN_S)
    finally:
        for task in (working, stopped):
            task.cancel()
        await asyncio.wait([working, stopped])
    if not working.cancelled():
        working.result()  # a bug in a round ends the process, with its trace


async def _requests(office: Office) -> dict[str, Any]:
    """How many in which state, and which wait for what; no customer is named."""
    store = office.desk.store
    try:
        counts = await asyncio.to_thread(store.counts)
        rows = await asyncio.to_thread(store.records, (State.PREPARED, State.BUYER_SIGNED))
    except StoreUnavailable as error:
        return {"database": str(error), "requests": {}, "waiting": []}
    # The detail in brackets may carry the subject of a certificate: that is for clerks.
    waiting = [
        {"request": row.request, "state": row.state, "reason": row.waiting.partition(" (")[0]}
        for row in rows
        if row.waiting
    ]
    return {"database": "", "requests": dict(counts), "waiting": waiting}


def _counted(done: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in done.items())
