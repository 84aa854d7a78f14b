"""Messages in, rows out: everything that comes is stored, or rejected with its reason, or both in the right parts."""

import json
from collections.abc import Sequence
from datetime import datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meters.ingest import Intake, take
from meters.message import Message
from meters.opened import PAYLOAD_KEPT, QUARANTINED_PER_INTAKE
from meters.packed import RECORD, BatchHeader, encode_batch, pack_records
from meters.payload import ProfileValues, StateMessage, encode_message, point_check
from meters.registry import Registry, build_registry
from meters.rejection import Reason
from meters.topic import Subject, batch_topic, meter_topic, state_topic
from meters.validate import Limits
from scada.model.ports import Quarantined
from scada.model.reading import METER_EVENT, READING, REGISTER, RegisterKind
from tests.fakes_meters import (
    INTERVAL,
    NOW,
    VIET_NAM,
    batch_message,
    batch_payload,
    event_message,
    meters,
    point_of,
    profile,
    profile_message,
    register_message,
    serial_of,
)

REGISTRY = build_registry(meters(100))


def took(messages: Sequence[Message], registry: Registry = REGISTRY, *, payload_limit: int = 2**20) -> Intake:
    return take(messages, registry, Limits(NOW), payload_limit)


def mixed_batch(*, energies: Sequence[int]) -> bytes:
    """A batch of meters 1.. with the given registers, not checked for form."""
    records = pack_records(
        serial=np.array([serial_of(n) for n in range(1, len(energies) + 1)]),
        time=NOW,
        point_check=np.array([point_check(point_of(n)) for n in range(1, len(energies) + 1)]),
        import_wh=np.array(energies),
        export_wh=0,
        import_varh=0,
        power_w=0,
        voltage_dv=2300,
    )
    return encode_batch(BatchHeader(1800, 1), records)


def test_nothing_in_nothing_out() -> None:
    intake = took([])
    assert [part.rows.dtype for part in (intake.readings, intake.registers, intake.events)] == [
        READING,
        REGISTER,
        METER_EVENT,
    ]
    assert (len(intake.readings.rows), len(intake.events.rows), intake.accounts.readings.received) == (0, 0, 0)


def test_a_single_reading_becomes_one_row() -> None:
    intake = took([profile_message(7, status=32)])
    assert intake.readings.rows.tolist() == [(7, NOW, 1007, 10, 100, 512, 2301, 32, ord("A"), 0)]
    assert REGISTRY.serial[intake.readings.position].tolist() == [serial_of(7)]
    assert intake.accounts.readings.received == 0


def test_a_batch_becomes_as_many_rows() -> None:
    intake = took([batch_message([5, 6])])
    assert intake.readings.rows.tolist() == [
        (5, NOW, 1005, 10, 100, 512, 2301, 0, ord("A"), 0),
        (6, NOW, 1006, 10, 100, 512, 2301, 0, ord("A"), 0),
    ]


def test_rows_keep_the_order_of_arrival_so_a_revision_comes_second() -> None:
    corrected = profile_message(5, values=ProfileValues(9999, 0, 0, 0.0, 230.0))
    intake = took([batch_message([4, 5]), corrected, batch_message([6])])
    assert intake.readings.rows["meter"].tolist() == [4, 5, 5, 6]
    assert intake.readings.rows["import_wh"].tolist() == [1004, 1005, 9999, 1006]
    assert intake.readings.source.tolist() == [0, 0, 1, 2]


def test_one_bad_reading_of_a_batch_costs_that_reading_and_is_kept_as_sent() -> None:
    payload = mixed_batch(energies=[10, -5, 30])
    intake = took([Message(batch_topic("PC01", "DCU0001"), payload, NOW)])
    assert intake.readings.rows["meter"].tolist() == [1, 3]
    assert intake.accounts.readings.rejected == {Reason.NEGATIVE: 1}
    bad_record = payload[28 + 48 : 28 + 96]
    assert intake.quarantined == (
        Quarantined(NOW, "ami/v1/PC01/DCU0001/batch/profile", "negative", 1, len(payload), bad_record),
    )


def test_several_reasons_in_one_batch_are_kept_apart() -> None:
    payload = mixed_batch(energies=[-1, 10**16, 30, -2])
    intake = took([Message(batch_topic("PC01", "DCU0001"), payload, NOW)])
    assert intake.accounts.readings.rejected == {Reason.NEGATIVE: 2, Reason.OUT_OF_RANGE: 1}
    assert {(entry.reason, entry.rejected, len(entry.payload) // RECORD.itemsize) for entry in intake.quarantined} == {
        ("negative", 2, 2),
        ("out_of_range", 1, 1),
    }


def test_a_message_that_cannot_be_opened_counts_as_one() -> None:
    damaged = bytearray(batch_payload([1, 2, 3]))
    damaged[50] ^= 1
    intake = took(
        [
            Message(batch_topic("PC01", "DCU0001"), bytes(damaged), NOW),
            Message(meter_topic("PC01", "direct", 1, Subject.PROFILE), b"{", NOW),
            Message("ami/v1/nonsense", b"x", NOW),
            Message(meter_topic("PC01", "direct", 1, Subject.REGISTER), b"{}", NOW),
        ]
    )
    assert intake.accounts.readings.rejected == {Reason.BAD_CHECKSUM: 1, Reason.NOT_JSON: 1, Reason.UNKNOWN_TOPIC: 1}
    assert intake.accounts.registers.rejected == {Reason.MISSING_FIELD: 1}
    assert [entry.reason for entry in intake.quarantined] == [
        "bad_checksum",
        "not_json",
        "unknown_topic",
        "missing_field",
    ]
    assert len(intake.readings.rows) == 0


def test_the_payload_must_name_the_meter_of_the_topic() -> None:
    topic = meter_topic("PC01", "direct", serial_of(8), Subject.PROFILE)
    intake = took([Message(topic, encode_message(profile(7)), NOW)])
    assert intake.accounts.readings.rejected == {Reason.TOPIC_MISMATCH: 1}


def test_a_message_beyond_the_limit_is_not_opened_and_kept_in_part() -> None:
    payload = batch_payload(range(1, 101))
    intake = took([Message(batch_topic("PC01", "DCU0001"), payload, NOW)], payload_limit=4800)
    assert intake.accounts.readings.rejected == {Reason.OVERSIZE: 1}
    assert intake.quarantined[0].size == len(payload)
    assert intake.quarantined[0].payload == payload[:PAYLOAD_KEPT]


def test_doubtful_readings_are_stored_and_counted() -> None:
    off_grid = NOW - 7 * 60_000_000
    intake = took([profile_message(1, time=NOW), profile_message(2, status=2), profile_message(3, time=off_grid)])
    assert intake.readings.rows["meter"].tolist() == [1, 2, 3]
    assert intake.accounts.readings.doubtful == {"misaligned": 1, "not_for_billing": 1}
    assert intake.accounts.readings.received == 0


def test_an_unknown_meter_is_told() -> None:
    intake = took([profile_message(101), profile_message(1)])
    assert intake.has_unknown_meters
    assert intake.accounts.readings.rejected == {Reason.UNKNOWN_METER: 1}
    assert not took([profile_message(1)]).has_unknown_meters
    assert took([event_message(101)]).has_unknown_meters


def test_all_counted_but_only_so_many_kept() -> None:
    """The store books what the quarantine says was rejected, so those beyond are kept as a count."""
    count = QUARANTINED_PER_INTAKE + 5
    intake = took([Message(f"nonsense/{n}", b"x", NOW) for n in range(count)])
    assert intake.accounts.readings.rejected == {Reason.UNKNOWN_TOPIC: count}
    assert len(intake.quarantined) == QUARANTINED_PER_INTAKE + 1
    first_beyond = f"nonsense/{QUARANTINED_PER_INTAKE}"
    assert intake.quarantined[-1] == Quarantined(NOW, first_beyond, "unknown_topic", 5, 0, b"")
    assert sum(entry.rejected for entry in intake.quarantined) == count


def test_events_become_rows_and_bad_ones_are_counted_apart() -> None:
    day = 86_400_000_000
    intake = took(
        [
            event_message(1),
            event_message(2, code=0),
            event_message(3, time=NOW + day),
            event_message(4, time=NOW - 100 * day),
            event_message(5, point="elsewhere"),
            event_message(6, serial=str(serial_of(7))),
            Message(meter_topic("PC01", "direct", 1, Subject.EVENT), b"gasp", NOW),
            event_message(101),
            event_message(8, code=2, time=NOW - INTERVAL),
        ]
    )
    assert intake.events.rows.tolist() == [(1, NOW, 99), (8, NOW - INTERVAL, 2)]
    assert intake.events.source.tolist() == [0, 8]
    assert REGISTRY.id[intake.events.position].tolist() == [1, 8]
    assert intake.accounts.events.rejected == {
        Reason.OUT_OF_RANGE: 1,
        Reason.IN_FUTURE: 1,
        Reason.TOO_OLD: 1,
        Reason.WRONG_METERING_POINT: 1,
        Reason.TOPIC_MISMATCH: 1,
        Reason.NOT_JSON: 1,
        Reason.UNKNOWN_METER: 1,
    }
    assert len(intake.quarantined) == 7
    assert intake.accounts.readings.received == 0


def test_registers_become_rows_and_bad_ones_are_counted_apart() -> None:
    midnight = datetime(2025, 6, 1, tzinfo=VIET_NAM)
    at = int(midnight.timestamp()) * 1_000_000
    said = {"1-0:1.8.0": 500, "1-0:3.8.0": 70}
    intake = took(
        [
            register_message(1, said, kind="daily", time=at),
            register_message(2, {"1-0:1.8.0": 5, "1-0:1.8.1": -1, "1-0:99.1.0": 1}),
            register_message(3, said, kind="month_end", time=at + 60_000_000),
            register_message(101, said),
            register_message(4, said, point="elsewhere"),
            register_message(5, said, taken=midnight + timedelta(days=3)),
            register_message(6, {"1-0:1.8.0": 10**15 + 1}),
            register_message(7, said, serial=str(serial_of(8))),
        ]
    )
    assert intake.registers.rows.dtype == REGISTER
    assert intake.registers.rows.tolist() == [
        (1, 1, at, at, 500, RegisterKind.DAILY, 0, ord("A"), 0),
        (1, 11, at, at, 70, RegisterKind.DAILY, 0, ord("A"), 0),
        (2, 1, NOW, NOW, 5, RegisterKind.ON_DEMAND, 0, ord("A"), 0),
        (3, 1, at + 60_000_000, at + 60_000_000, 500, RegisterKind.MONTH_END, 0, ord("A"), 0),
        (3, 11, at + 60_000_000, at + 60_000_000, 70, RegisterKind.MONTH_END, 0, ord("A"), 0),
    ]
    assert intake.accounts.registers.rejected == {
        Reason.NEGATIVE: 1,
        Reason.UNKNOWN_REGISTER: 1,
        Reason.UNKNOWN_METER: 2,
        Reason.WRONG_METERING_POINT: 2,
        Reason.IN_FUTURE: 2,
        Reason.OUT_OF_RANGE: 1,
        Reason.TOPIC_MISMATCH: 1,
    }
    assert intake.accounts.registers.doubtful == {"misaligned": 2, "not_for_billing": 0}
    assert intake.has_unknown_meters
    assert sum(entry.rejected for entry in intake.quarantined) == 10


def test_states_are_told_by_concentrator_or_meter() -> None:
    online, offline = encode_message(StateMessage(state="online")), encode_message(StateMessage(state="offline"))
    intake = took(
        [
            Message(state_topic("PC01", "DCU0001"), online, NOW),
            Message(meter_topic("PC01", "direct", 17, Subject.STATE), offline, NOW),
            Message(state_topic("PC01", "DCU0002"), b"?", NOW),
        ]
    )
    assert intake.states == (("DCU0001", "online"), ("17", "offline"))
    assert intake.accounts.events.rejected == {Reason.NOT_JSON: 1}


@pytest.mark.parametrize("subject", [Subject.REQUEST, Subject.RESPONSE])
def test_the_head_end_passes_over_what_is_asked_and_answered(subject: Subject) -> None:
    intake = took([Message(meter_topic("PC01", "DCU0001", 17, subject), b"{}", NOW)])
    assert (intake.accounts.readings.received, intake.accounts.events.received, intake.quarantined) == (0, 0, ())


PAYLOADS = st.one_of(
    st.binary(max_size=100),
    st.integers(1, 120).map(lambda n: encode_message(profile(n))),
    st.lists(st.integers(1, 120), min_size=1, max_size=5).map(batch_payload),
    st.integers(-5, 5).map(lambda n: json.dumps({"v": n}).encode()),
)
TOPICS = st.one_of(
    st.text(max_size=30),
    st.sampled_from(Subject).map(lambda subject: meter_topic("PC01", "direct", serial_of(1), subject)),
    st.just(batch_topic("PC01", "DCU0001")),
    st.just(state_topic("PC01", "DCU0001")),
)


@given(st.lists(st.builds(Message, TOPICS, PAYLOADS, st.just(NOW)), max_size=12))
def test_every_message_leaves_a_trace(messages: list[Message]) -> None:
    """Whatever comes: stored rows, rejections or a state; and quarantine holds exactly what was rejected."""
    intake = took(messages)
    accounts = (intake.accounts.readings, intake.accounts.registers, intake.accounts.events)
    rejected = sum(sum(account.rejected.values()) for account in accounts)
    requests = sum(message.topic.endswith(("/request", "/response")) for message in messages)
    taken = len(intake.readings.rows) + len(intake.events.rows) + len(intake.states)
    assert taken + rejected >= len(messages) - requests
    assert sum(entry.rejected for entry in intake.quarantined) == rejected
