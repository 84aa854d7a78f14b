"""What was found in some messages so far: rows, events, states, and what had to be refused and why.

Knows how refusals are counted and what is kept of them. Does not open anything and judges nothing: ``meters.ingest``
opens, ``meters.accepting`` judges.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from meters.message import Message
from meters.packed import HEADER, RECORD, Batch
from meters.payload import IncomingEvent, IncomingRow
from meters.registers import IncomingRegisters
from meters.rejection import Reason, Rejected
from meters.topic import Subject
from scada.model.ports import METER_EVENTS, READINGS, REGISTERS, Quarantined

PAYLOAD_KEPT = 4096
"""Bytes of a rejected message that are kept."""

RECORDS_KEPT = (PAYLOAD_KEPT - HEADER.size - 4) // RECORD.itemsize
"""Records of unknown meters that fit a kept payload as a whole batch."""

QUARANTINED_PER_INTAKE = 1000
"""Rejected messages kept of one intake; when a whole fleet is refused, samples are enough. What is beyond is kept as
one entry per reason without payload, so that the counts of the quarantine stay exact."""


@dataclass(slots=True)
class Opened:
    """``source`` lists are indices into ``messages`` and run parallel to what they name."""

    messages: Sequence[Message]
    rows: list[IncomingRow] = field(default_factory=list)
    row_source: list[int] = field(default_factory=list)
    batches: list[Batch] = field(default_factory=list)
    batch_source: list[int] = field(default_factory=list)
    registers: list[IncomingRegisters] = field(default_factory=list)
    register_source: list[int] = field(default_factory=list)
    events: list[IncomingEvent] = field(default_factory=list)
    event_source: list[int] = field(default_factory=list)
    states: list[tuple[str, str]] = field(default_factory=list)
    rejected: Counter[Reason] = field(default_factory=Counter)
    rejected_registers: Counter[Reason] = field(default_factory=Counter)
    rejected_events: Counter[Reason] = field(default_factory=Counter)
    doubtful: Counter[str] = field(default_factory=Counter)
    doubtful_registers: Counter[str] = field(default_factory=Counter)
    quarantined: list[Quarantined] = field(default_factory=list)
    beyond: dict[tuple[str, str], Quarantined] = field(default_factory=dict)

    def refuse(self, index: int, why: Rejected, *, subject: Subject = Subject.PROFILE) -> None:
        """A whole message is refused: one reading, register or event as far as the account is concerned."""
        self.count(why.reason, 1, subject)
        self.keep(index, why.reason.word, 1, self.messages[index].payload, subject=subject)

    def count(self, reason: Reason, rows: int, subject: Subject) -> None:
        """Put ``rows`` into the account of what the message was about."""
        accounts = {REGISTERS: self.rejected_registers, METER_EVENTS: self.rejected_events}
        accounts.get(kind_of(subject), self.rejected)[reason] += rows

    def keep(self, index: int, reason: str, count: int, payload: bytes, *, subject: Subject = Subject.PROFILE) -> None:
        """Put ``payload``, or what fits of it, into quarantine."""
        message, kind = self.messages[index], kind_of(subject)
        if len(self.quarantined) < QUARANTINED_PER_INTAKE:
            kept = payload[:PAYLOAD_KEPT]
            self.quarantined.append(
                Quarantined(message.received_at, message.topic, reason, count, len(message.payload), kept, kind)
            )
            return
        first = Quarantined(message.received_at, message.topic, reason, 0, 0, b"", kind)
        beyond = self.beyond.setdefault((kind, reason), first)
        self.beyond[kind, reason] = replace(beyond, rejected=beyond.rejected + count)


def kind_of(subject: Subject) -> str:
    """Whose account a message on this subject concerns; what cannot be told is taken for a reading."""
    if subject is Subject.REGISTER:
        return REGISTERS
    return METER_EVENTS if subject in (Subject.EVENT, Subject.STATE) else READINGS
