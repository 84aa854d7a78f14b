"""Messages of unknown meters taken out of quarantine once the registry knows the meters.

Knows the order: stored first, released then. A crash between the two stores them again as duplicates, never twice. The
account of the head-end counts them once as rejected, when they came, and once more when they are accepted.
"""

import logging

from historian.readmission import Waiting, WaitingRoom
from historian.store import HistorianStore
from meters.ingest import Intake, take
from meters.message import Message
from meters.registry import build_registry
from meters.rejection import Reason
from meters.validate import Limits
from scada.config import HeadEndConfig
from scada.model.ports import Clock

IN_HAND_S = 10.0
"""How long a head-end may have a message in hand before its refusal is in the quarantine."""

_log = logging.getLogger(__name__)


class Readmission:
    """Looks again when the registry has learned of a meter, and until no head-end works with an older one: what it
    refuses meanwhile comes after the first look. Raises StoreUnavailable."""

    def __init__(self, room: WaitingRoom, store: HistorianStore, config: HeadEndConfig, clock: Clock) -> None:
        self._room = room
        self._store = store
        self._config = config
        self._clock = clock
        self._looked_at = 0
        self._newest = 0
        self._settled_from = 0
        """From when on no head-end refuses what ``_newest`` has, µs."""

    def look(self) -> int:
        """Take in what has become acceptable; how many readings, registers and events that were."""
        newest, now = self._room.newest_registration(), self._clock()
        if newest <= self._looked_at:
            return 0
        if newest > self._newest:
            self._newest = newest
            self._settled_from = now + round((self._config.registry_reload_s + IN_HAND_S) * 1e6)
        taken = self._take_in(now)
        if now > self._settled_from:
            self._looked_at = newest
        return taken

    def _take_in(self, now: int) -> int:
        taken, after = 0, 0
        registry = None
        while waiting := self._room.messages(Reason.UNKNOWN_METER.word, after=after):
            registry = registry or build_registry(self._store.registered_meters())
            config = self._config
            limits = Limits(now, config.future_s, config.memory_days, config.capture_period_s)
            messages = [Message(each.topic, each.payload, each.received_at) for each in waiting]
            intake = take(messages, registry, limits, self._config.payload_limit_kib * 1024)
            taken += self._accept(waiting, intake)
            after = waiting[-1].id
        if taken:
            _log.info("Quarantine: %d readings, registers and events accepted, their meters are registered now", taken)
        return taken

    def _accept(self, waiting: tuple[Waiting, ...], intake: Intake) -> int:
        accepted = (intake.readings, intake.registers, intake.events)
        writes = (self._store.write_readings, self._store.write_registers, self._store.write_meter_events)
        for part, write in zip(accepted, writes, strict=True):
            if len(part.rows):
                write(part.rows)
        numbers = {number for part in accepted for number in part.source.tolist()}
        refused = {(each.topic, each.received_at) for each in intake.quarantined}
        self._room.release(
            [w.id for number, w in enumerate(waiting) if number in numbers and (w.topic, w.received_at) not in refused]
        )
        return sum(len(part.rows) for part in accepted)
