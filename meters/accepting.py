"""Which of the opened readings, registers and events may be stored, as rows of the historian's types.

Knows the way from decoded to stored: locate the meter, judge, refuse or accept. The rules themselves are
``meters.validate``'s. Does not know broker, database or clock.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from meters.opened import RECORDS_KEPT, Opened
from meters.packed import encode_batch, incoming_rows
from meters.payload import INCOMING, IncomingArray, IncomingEvent, rows_of
from meters.registers import register_rows
from meters.registry import UNKNOWN, Registry
from meters.rejection import BY_REASON_CODE, Reason, Rejected
from meters.topic import Subject
from meters.validate import (
    REGISTER_RULES,
    Candidates,
    Limits,
    judge,
    misaligned,
    not_for_billing,
    not_installed_at,
)
from scada.model.reading import METER_EVENT, READING, REGISTER, Method, QualityFlag

Indices = NDArray[np.intp]


class Accepted(NamedTuple):
    """Rows to be stored, their places in the registry, and the index of the message each came in."""

    rows: NDArray[np.void]
    position: Indices
    source: Indices


def accept_readings(opened: Opened, registry: Registry, limits: Limits) -> Accepted:
    """Rows of dtype READING, in the order of arrival."""
    rows, source, place = _in_order_of_arrival(opened)
    position = registry.locate(rows["serial"], rows["time"])
    codes = judge(Candidates(rows, position, registry, limits))
    if codes.any():
        _refuse_rows(opened, codes, source, place)
        accepted = codes == 0
        rows, position, source = rows[accepted], position[accepted], source[accepted]
    opened.doubtful["misaligned"] += int(np.count_nonzero(misaligned(Candidates(rows, position, registry, limits))))
    opened.doubtful["not_for_billing"] += int(np.count_nonzero(not_for_billing(rows)))
    readings = np.empty(len(rows), dtype=READING)
    readings["meter"] = registry.id[position]
    for name in ("time", "import_wh", "export_wh", "import_varh", "power_w", "voltage_dv", "status"):
        readings[name] = rows[name]
    readings["flag"] = QualityFlag.ACTUAL
    readings["method"] = Method.NONE
    return Accepted(readings, position, source)


def _in_order_of_arrival(opened: Opened) -> tuple[IncomingArray, Indices, Indices]:
    """All rows, the index of the message each came in, and its place in that message; a revision must come after."""
    if not opened.batches:
        source = np.array(opened.row_source, dtype=np.intp)
        return rows_of(opened.rows), source, np.zeros(len(source), dtype=np.intp)
    counts = [len(batch.records) for batch in opened.batches]
    rows = incoming_rows(opened.batches)
    source = np.repeat(np.array(opened.batch_source, dtype=np.intp), counts)
    place = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    if not opened.rows:
        return rows, source, place
    both = np.empty(len(opened.rows) + len(rows), dtype=INCOMING)
    both[: len(opened.rows)], both[len(opened.rows) :] = rows_of(opened.rows), rows
    source = np.concatenate([np.array(opened.row_source, dtype=np.intp), source])
    place = np.concatenate([np.zeros(len(opened.rows), dtype=np.intp), place])
    order = np.argsort(source, kind="stable")
    return both[order], source[order], place[order]


def _refuse_rows(opened: Opened, codes: NDArray[np.uint8], source: Indices, place: Indices) -> None:
    """Count refused rows; keep the records of each message that has some, one entry per reason.

    Records of unknown meters are kept as batches that can be opened again, once the registry knows the meters.
    """
    batches = dict(zip(opened.batch_source, opened.batches, strict=True))
    for index, reason, group in _refusals(opened, codes, source, Subject.PROFILE):
        batch = batches.get(index)
        if batch is None:
            opened.keep(index, reason.word, len(group), opened.messages[index].payload)
        elif reason is Reason.UNKNOWN_METER:
            for start in range(0, len(group), RECORDS_KEPT):
                part = batch.records[place[group[start : start + RECORDS_KEPT]]]
                opened.keep(index, reason.word, len(part), encode_batch(batch.header, part))
        else:
            opened.keep(index, reason.word, len(group), batch.records[place[group]].tobytes())


def _refusals(
    opened: Opened, codes: NDArray[np.uint8], source: Indices, subject: Subject
) -> list[tuple[int, Reason, Indices]]:
    """Refused rows counted, and grouped by message and reason: index of the message, reason, rows."""
    refused = np.flatnonzero(codes)
    for code, count in zip(*np.unique(codes[refused], return_counts=True), strict=True):
        opened.count(BY_REASON_CODE[int(code)], int(count), subject)
    refused = refused[np.argsort(source[refused] * 256 + codes[refused], kind="stable")]
    keys = source[refused] * 256 + codes[refused]
    groups = np.split(refused, np.flatnonzero(np.diff(keys)) + 1) if len(refused) else []
    return [(int(source[group[0]]), BY_REASON_CODE[int(codes[group[0]])], group) for group in groups]


def accept_registers(opened: Opened, registry: Registry, limits: Limits) -> Accepted:
    """Rows of dtype REGISTER, in the order of arrival."""
    for index, message in zip(opened.register_source, opened.registers, strict=True):
        if message.unknown:
            opened.count(Reason.UNKNOWN_REGISTER, len(message.unknown), Subject.REGISTER)
            payload = opened.messages[index].payload
            word = Reason.UNKNOWN_REGISTER.word
            opened.keep(index, word, len(message.unknown), payload, subject=Subject.REGISTER)
    rows, number = register_rows(opened.registers)
    source = np.array(opened.register_source, dtype=np.intp)[number]
    position = registry.locate(rows["serial"], rows["time"])
    codes = judge(Candidates(rows, position, registry, limits), REGISTER_RULES)
    if codes.any():
        for index, reason, group in _refusals(opened, codes, source, Subject.REGISTER):
            payload = opened.messages[index].payload
            opened.keep(index, reason.word, len(group), payload, subject=Subject.REGISTER)
        accepted = codes == 0
        rows, position, source = rows[accepted], position[accepted], source[accepted]
    opened.doubtful_registers["misaligned"] += int(np.count_nonzero(~rows["aligned"]))
    opened.doubtful_registers["not_for_billing"] += int(np.count_nonzero(not_for_billing(rows)))
    registers = np.empty(len(rows), dtype=REGISTER)
    registers["meter"] = registry.id[position]
    for name in ("obis", "time", "taken_at", "value", "kind", "status"):
        registers[name] = rows[name]
    registers["flag"] = QualityFlag.ACTUAL
    registers["method"] = Method.NONE
    return Accepted(registers, position, source)


def accept_events(opened: Opened, registry: Registry, limits: Limits) -> Accepted:
    """Rows of dtype METER_EVENT, in the order of arrival."""
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
    return Accepted(events, positions[accepted], sources)


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
