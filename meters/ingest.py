"""Messages in, rows out: what the head-end does with a handful of MQTT messages, as one function of its arguments.

Knows how a message is opened by its topic, which of its readings and events may be stored, and what must be kept of the
others. Does not know broker, database or clock. One bad reading of a batch costs that reading only; whatever is not in
``readings`` or ``events`` is in ``rejected``, counted by reason.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from meters.account import Account
from meters.packed import HEADER, RECORD, Batch, decode_batch, encode_batch
from meters.payload import (
    INCOMING,
    IncomingArray,
    IncomingEvent,
    IncomingRow,
    decode_event,
    decode_profile,
    decode_state,
)
from meters.registry import UNKNOWN, Registry
from meters.rejection import BY_REASON_CODE, Reason, Rejected
from meters.topic import Subject, Topic, read_topic
from meters.validate import Candidates, Limits, judge, misaligned, not_for_billing, not_installed_at
from scada.model.ports import Quarantined
from scada.model.reading import METER_EVENT, READING, MeterEventArray, Method, QualityFlag, ReadingArray

PAYLOAD_KEPT = 4096
"""Bytes of a rejected message that are kept."""

RECORDS_KEPT = (PAYLOAD_KEPT - HEADER.size - 4) // RECORD.itemsize
"""Records of unknown meters that fit a kept payload as a whole batch."""

QUARANTINED_PER_INTAKE = 1000
"""Rejected messages kept of one intake; when a whole fleet is refused, samples are enough. What is beyond is kept as
one entry per reason without payload, so that the counts of the quarantine stay exact."""


class Message(NamedTuple):
    """One message as received; ``received_at`` in µs since 1970 UTC."""

    topic: str
    payload: bytes
    received_at: int


@dataclass(frozen=True, slots=True)
class Intake:
    """What became of some messages.

    ``readings`` (dtype READING) and ``events`` (dtype METER_EVENT) in the order of arrival; ``*_position`` are their
    places in the registry and ``*_source`` the index of their message, each of the same shape. ``reading_account`` and
    ``event_account`` hold what is settled already: rejections and doubts. ``states``: a concentrator or a meter with
    its own modem, and its word.
    """

    readings: ReadingArray
    reading_position: NDArray[np.intp]
    reading_source: NDArray[np.intp]
    events: MeterEventArray
    event_position: NDArray[np.intp]
    event_source: NDArray[np.intp]
    reading_account: Account
    event_account: Account
    quarantined: tuple[Quarantined, ...]
    states: tuple[tuple[str, str], ...]

    @property
    def has_unknown_meters(self) -> bool:
        """True when a serial was not registered: the registry may be out of date."""
        return Reason.UNKNOWN_METER in self.reading_account.rejected or (
            Reason.UNKNOWN_METER in self.event_account.rejected
        )


def take(messages: Sequence[Message], registry: Registry, limits: Limits, payload_limit: int) -> Intake:
    """Open, judge and sort messages. ``payload_limit`` in bytes; a longer payload is refused unread. Never raises."""
    opened = _Opened(messages)
    for index, message in enumerate(messages):
        _open(index, message, payload_limit, opened)
    readings, positions, sources = _accept_readings(opened, registry, limits)
    events, event_positions, event_sources = _accept_events(opened, registry, limits)
    return Intake(
        readings,
        positions,
        sources,
        events,
        event_positions,
        event_sources,
        Account(rejected=opened.rejected, doubtful=opened.doubtful),
        Account(rejected=opened.rejected_events),
        (*opened.quarantined, *opened.beyond.values()),
        tuple(opened.states),
    )


@dataclass(slots=True)
class _Opened:
    """What was found in the messages so far; ``source`` lists run parallel to what they name."""

    messages: Sequence[Message]
    rows: list[IncomingRow] = field(default_factory=list)
    row_source: list[int] = field(default_factory=list)
    batches: list[tuple[int, Batch]] = field(default_factory=list)
    events: list[IncomingEvent] = field(default_factory=list)
    event_source: list[int] = field(default_factory=list)
    states: list[tuple[str, str]] = field(default_factory=list)
    rejected: Counter[Reason] = field(default_factory=Counter)
    rejected_events: Counter[Reason] = field(default_factory=Counter)
    doubtful: Counter[str] = field(default_factory=Counter)
    quarantined: list[Quarantined] = field(default_factory=list)
    beyond: dict[str, Quarantined] = field(default_factory=dict)

    def refuse(self, index: int, why: Rejected, *, subject: Subject = Subject.PROFILE) -> None:
        """A whole message is refused: one reading (or event) as far as the account is concerned."""
        account = self.rejected_events if subject is Subject.EVENT else self.rejected
        account[why.reason] += 1
        self.keep(index, why.reason.word, 1, self.messages[index].payload)

    def keep(self, index: int, reason: str, count: int, payload: bytes) -> None:
        """Put ``payload``, or what fits of it, into quarantine."""
        topic, whole, received_at = self.messages[index]
        if len(self.quarantined) < QUARANTINED_PER_INTAKE:
            kept = payload[:PAYLOAD_KEPT]
            self.quarantined.append(Quarantined(received_at, topic, reason, count, len(whole), kept))
            return
        beyond = self.beyond.setdefault(reason, Quarantined(received_at, topic, reason, 0, 0, b""))
        self.beyond[reason] = replace(beyond, rejected=beyond.rejected + count)


def _open(index: int, message: Message, payload_limit: int, opened: _Opened) -> None:
    topic = read_topic(message.topic)
    if topic is None or topic.subject is Subject.REGISTER:
        opened.refuse(index, Rejected(Reason.UNKNOWN_TOPIC))
    elif topic.subject in (Subject.REQUEST, Subject.RESPONSE):
        return
    elif len(message.payload) > payload_limit:
        opened.refuse(index, Rejected(Reason.OVERSIZE), subject=topic.subject)
    elif topic.is_batch:
        _open_batch(index, message, opened)
    elif topic.subject is Subject.PROFILE:
        _open_profile(index, message, topic, opened)
    elif topic.subject is Subject.EVENT:
        _open_event(index, message, topic, opened)
    else:
        _open_state(index, message, topic, opened)


def _open_batch(index: int, message: Message, opened: _Opened) -> None:
    batch = decode_batch(message.payload)
    if isinstance(batch, Rejected):
        opened.refuse(index, batch)
    else:
        opened.batches.append((index, batch))


def _open_profile(index: int, message: Message, topic: Topic, opened: _Opened) -> None:
    row = decode_profile(message.payload)
    if isinstance(row, Rejected):
        opened.refuse(index, row)
    elif row[0] != topic.serial:
        opened.refuse(index, Rejected(Reason.TOPIC_MISMATCH))
    else:
        opened.rows.append(row)
        opened.row_source.append(index)


def _open_event(index: int, message: Message, topic: Topic, opened: _Opened) -> None:
    event = decode_event(message.payload)
    if isinstance(event, Rejected):
        opened.refuse(index, event, subject=Subject.EVENT)
    elif event.serial != topic.serial:
        opened.refuse(index, Rejected(Reason.TOPIC_MISMATCH), subject=Subject.EVENT)
    else:
        opened.events.append(event)
        opened.event_source.append(index)


def _open_state(index: int, message: Message, topic: Topic, opened: _Opened) -> None:
    state = decode_state(message.payload)
    if isinstance(state, Rejected):
        opened.refuse(index, state, subject=Subject.EVENT)
    else:
        opened.states.append((topic.concentrator if topic.serial is None else str(topic.serial), state))


def _accept_readings(
    opened: _Opened, registry: Registry, limits: Limits
) -> tuple[ReadingArray, NDArray[np.intp], NDArray[np.intp]]:
    rows, source, place = _in_order_of_arrival(opened)
    position = registry.locate(rows["serial"], rows["time"])
    codes = judge(Candidates(rows, position, registry, limits))
    _refuse_rows(opened, codes, source, place)
    accepted = codes == 0
    rows, position, source = rows[accepted], position[accepted], source[accepted]
    opened.doubtful["misaligned"] += int(np.count_nonzero(misaligned(rows, limits)))
    opened.doubtful["not_for_billing"] += int(np.count_nonzero(not_for_billing(rows)))
    readings = np.zeros(len(rows), dtype=READING)
    readings["meter"] = registry.id[position]
    for name in ("time", "import_wh", "export_wh", "import_varh", "power_w", "voltage_dv", "status"):
        readings[name] = rows[name]
    readings["flag"] = QualityFlag.ACTUAL
    readings["method"] = Method.NONE
    return readings, position, source


def _in_order_of_arrival(opened: _Opened) -> tuple[IncomingArray, NDArray[np.intp], NDArray[np.intp]]:
    """All rows, the index of the message each came in, and its place in that message; a revision must come after."""
    single_source = np.array(opened.row_source, dtype=np.intp)
    parts = [np.array(opened.rows, dtype=INCOMING), *(batch.rows for _, batch in opened.batches)]
    sources = [single_source, *(np.full(len(batch.rows), index, dtype=np.intp) for index, batch in opened.batches)]
    places = [np.zeros(len(single_source), dtype=np.intp), *(np.arange(len(b.rows)) for _, b in opened.batches)]
    rows, source, place = np.concatenate(parts), np.concatenate(sources), np.concatenate(places)
    if opened.rows and opened.batches:
        order = np.argsort(source, kind="stable")
        return rows[order], source[order], place[order]
    return rows, source, place


def _refuse_rows(opened: _Opened, codes: NDArray[np.uint8], source: NDArray[np.intp], place: NDArray[np.intp]) -> None:
    """Count refused rows; keep the records of each message that has some, one entry per reason.

    Records of unknown meters are kept as batches that can be opened again, once the registry knows the meters.
    """
    refused = np.flatnonzero(codes)
    if not len(refused):
        return
    batches = dict(opened.batches)
    for code, count in zip(*np.unique(codes[refused], return_counts=True), strict=True):
        opened.rejected[BY_REASON_CODE[int(code)]] += int(count)
    keys = source[refused] * 256 + codes[refused]
    refused = refused[np.argsort(keys, kind="stable")]
    starts = np.flatnonzero(np.diff(np.sort(keys), prepend=-1))
    for group in np.split(refused, starts[1:]):
        index, word = int(source[group[0]]), BY_REASON_CODE[int(codes[group[0]])].word
        batch = batches.get(index)
        if batch is None:
            opened.keep(index, word, len(group), opened.messages[index].payload)
        elif word == Reason.UNKNOWN_METER.word:
            for start in range(0, len(group), RECORDS_KEPT):
                part = batch.records[place[group[start : start + RECORDS_KEPT]]]
                opened.keep(index, word, len(part), encode_batch(batch.header, part))
        else:
            opened.keep(index, word, len(group), batch.records[place[group]].tobytes())


def _accept_events(
    opened: _Opened, registry: Registry, limits: Limits
) -> tuple[MeterEventArray, NDArray[np.intp], NDArray[np.intp]]:
    serials = np.array([event.serial for event in opened.events], dtype=np.int64)
    times = np.array([event.time for event in opened.events], dtype=np.int64)
    positions = registry.locate(serials, times)
    accepted: list[int] = []
    for number, (event, position) in enumerate(zip(opened.events, positions.tolist(), strict=True)):
        reason = _judge_event(event, position, registry, limits)
        if reason is None:
            accepted.append(number)
        else:
            opened.refuse(opened.event_source[number], Rejected(reason), subject=Subject.EVENT)
    events = np.empty(len(accepted), dtype=METER_EVENT)
    events["meter"] = registry.id[positions[accepted]]
    events["time"] = [opened.events[number].time for number in accepted]
    events["code"] = [opened.events[number].code for number in accepted]
    sources = np.array([opened.event_source[number] for number in accepted], dtype=np.intp)
    return events, positions[accepted], sources


def _judge_event(event: IncomingEvent, position: int, registry: Registry, limits: Limits) -> Reason | None:
    if position == UNKNOWN:
        return Reason.UNKNOWN_METER
    if int(registry.point_check[position]) != event.point_check:
        return Reason.WRONG_METERING_POINT
    if event.time > limits.latest:
        return Reason.IN_FUTURE
    if event.time < limits.oldest:
        return Reason.TOO_OLD
    if not_installed_at(np.array([event.time]), np.array([position]), registry)[0]:
        return Reason.NOT_INSTALLED
    return None if 1 <= event.code <= 255 and event.seq >= 0 else Reason.OUT_OF_RANGE
