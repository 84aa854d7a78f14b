"""The one place that speaks to the meters: chases gaps and carries out what was requested, in a thread of its own.

Knows the rhythm: what ended is noted before anything new is asked. Several head-ends share the readings, but only the
one that holds the lease speaks; the others stand by. While the database is away nothing is asked, because nothing could
be noted.
"""

import logging
import threading
from dataclasses import asdict, dataclass
from typing import Any

from historian.gaps import OPEN
from historian.lease import Lease
from historian.readmission import WaitingRoom
from historian.requests import MeterRequests, TakenRequest
from historian.store import HistorianStore
from meters.connection import Broker
from meters.request import Answered, Asked, RequestKind
from meters.requester import Requester, RequesterStats
from meters.requestqueue import MeterRequest, Priority, Result
from scada.chasing import ChaseTotals
from scada.config import HeadEndConfig
from scada.gapledgers import GapLedgers
from scada.model.errors import StoreError
from scada.model.gap import GapState
from scada.model.ports import Clock
from scada.readmission import Readmission

LEASE = "scada meter talk"
TICK_S = 0.3
"""Between two glances at answers and new requests: each is a transaction, so not ten times a second."""

STORE_PAUSE_S = 2.0
FAULT_PAUSE_S = 30.0
FIND_MAX_S = 60.0
"""Gaps are looked for once in every capture period, or this often when it is long."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class MeterTalkStats:
    """``active``: this process speaks to the meters; else another does. ``gaps_found``: since the start."""

    active: bool
    requester: RequesterStats
    gaps_found: int
    gaps: ChaseTotals
    last_error: str


class MeterTalk:
    """Speaks to meters between ``start`` and ``stop``."""

    def __init__(self, config: HeadEndConfig, broker: Broker, dsn: str, clock: Clock) -> None:
        self._config = config
        self._clock = clock
        self._lease = Lease(dsn, LEASE)
        self._stop = threading.Event()
        self._ledgers = GapLedgers(dsn, config, self._stop.is_set)
        self._requests = MeterRequests(dsn)
        self._room = WaitingRoom(dsn)
        self._store = HistorianStore(dsn, worker=f"{config.client_id}-readmission", clock=clock)
        self._readmission = Readmission(self._room, self._store, config, clock)
        self._requester = Requester(broker, f"{config.client_id}-requests", clock)
        self._thread = threading.Thread(target=self._run, name="meter talk")
        self._active = False
        self._last_error = ""
        self._ended: list[Result] = []
        self._look_at = self._find_at = self._found = 0
        self._asked: set[str] = set()

    def start(self) -> None:
        """Begin; connecting and the lease are tried until they succeed."""
        self._requester.start()
        self._thread.start()

    def stop(self) -> None:
        """Leave as soon as what is under way is stored: a block of gaps at most, however many there are."""
        self._stop.set()
        self._thread.join()
        self._requester.stop()
        for each in (self._ledgers, self._requests, self._room, self._store):
            each.close()

    def stats(self) -> MeterTalkStats:
        """The state of this moment. Any thread."""
        asked, gaps = self._requester.stats(), self._ledgers.totals
        return MeterTalkStats(self._active, asked, self._found, gaps, self._last_error)

    def _run(self) -> None:
        with self._lease:
            while not self._stop.is_set():
                self._stop.wait(self._round())

    def _round(self) -> float:
        """One tick; the pause after it, s."""
        try:
            if self._hold():
                self._tick(self._clock())
        except StoreError as error:
            self._rests(str(error))
            return STORE_PAUSE_S
        except Exception as error:
            # A bug here must not end the reading of meters, nor be silent; what was under way is in the database.
            self._rests(f"a fault of ours: {type(error).__name__}: {error}", error)
            return FAULT_PAUSE_S
        self._last_error = ""
        return TICK_S if self._active else STORE_PAUSE_S

    def _rests(self, why: str, bug: Exception | None = None) -> None:
        if why != self._last_error:
            _log.error("Requests and gaps rest: %s", why, exc_info=bug)
        self._last_error = why

    def _hold(self) -> bool:
        held = self._lease.hold()
        if held != self._active:
            _log.info("Requests and gaps: %s", "active" if held else "standing by")
            self._active = held
        return held

    def _tick(self, now: int) -> None:
        self._ended += self._requester.tick()
        self._note_ended(now)
        for request in (taken := self._requests.take(now)):
            self._requester.ask([_as_request(request)])
        if taken:
            self._ended += self._requester.tick()
        if now >= self._look_at:
            self._look_at = now + round(self._config.gap_look_s * 1e6)
            self._look(now)

    def _look(self, now: int) -> None:
        self._requests.end_forgotten(now)
        if now >= self._find_at:
            self._find_at = now + round(min(self._config.capture_period_s, FIND_MAX_S) * 1e6)
            self._readmission.look()
            self._found += self._ledgers.find(now)
            self._ledgers.close_arrived((GapState.NO_DATA, GapState.PERMANENT), now)
        self._ledgers.close_arrived(OPEN, now)
        self._ledgers.expire(now)
        requests = self._ledgers.requests(now, sorted(self._asked))
        self._asked.update(each.place for each in requests)
        self._requester.ask(requests)

    def _note_ended(self, now: int) -> None:
        if not self._ended:
            return
        others = [each for each in self._ended if each.request.priority is not Priority.GAP]
        if others:
            self._requests.end(
                [(int(each.request.reference), each.ending.value, each.why, _plain(each.answer)) for each in others]
            )
        gaps = [each for each in self._ended if each.request.priority is Priority.GAP]
        self._asked.difference_update(each.request.place for each in gaps)
        self._ledgers.note(gaps, now)
        self._ended = []


def _as_request(taken: TakenRequest) -> MeterRequest:
    asked = Asked(
        taken.serial,
        taken.metering_point,
        int(taken.parameters.get("first", 0)),
        int(taken.parameters.get("last", 0)),
    )
    return MeterRequest(
        str(taken.id),
        RequestKind(taken.kind),
        Priority(taken.priority),
        taken.unit,
        taken.concentrator,
        asked,
        taken.expires_at,
    )


def _plain(answer: Answered | None) -> dict[str, Any] | None:
    """What of an answer is worth keeping, as plain JSON values."""
    if answer is None:
        return None
    kept = {name: value for name, value in asdict(answer).items() if value}
    if answer.registers:
        kept["registers"] = dict(answer.registers)
    return kept
