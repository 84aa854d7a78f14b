"""Billing registers as JSON: what is written is read, by hand and by ourselves, and everything else has its reason."""

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meters.jsonform import microseconds
from meters.obis import BY_CODE, OBIS, ObisKind
from meters.registers import (
    KIND_WORDS,
    IncomingRegisters,
    RegisterMessage,
    RegisterValue,
    TimedValue,
    decode_registers,
    encode_registers,
)
from meters.rejection import Reason, Rejected
from scada.model.reading import RegisterKind

GOOD: dict[str, object] = {
    "v": 1,
    "serial": "240000000017",
    "point": "PC01000000017",
    "kind": "daily",
    "time": "2025-06-01T00:00:00+07:00",
    "seq": 4713,
    "values": {
        "1-0:1.8.0": 123456,
        "1-0:1.8.1": 100000,
        "1-0:3.8.0": 890,
        "1-0:1.6.0": {"value": 5120, "time": "2025-05-31T18:30:00+07:00"},
    },
}
MIDNIGHT = int(datetime(2025, 5, 31, 17, tzinfo=UTC).timestamp()) * 1_000_000
EVENING = int(datetime(2025, 5, 31, 11, 30, tzinfo=UTC).timestamp()) * 1_000_000


def changed(**changes: object) -> bytes:
    return json.dumps({**GOOD, **changes}).encode()


def without(name: str) -> bytes:
    return json.dumps({key: value for key, value in GOOD.items() if key != name}).encode()


def reason_of(outcome: object) -> Reason:
    assert isinstance(outcome, Rejected)
    return outcome.reason


def test_the_documents_example_is_read() -> None:
    assert decode_registers(json.dumps(GOOD).encode()) == IncomingRegisters(
        240000000017,
        0xE23C80B3,
        MIDNIGHT,
        RegisterKind.DAILY,
        4713,
        historical=False,
        status=0,
        values=(
            RegisterValue(1, 123456, MIDNIGHT),
            RegisterValue(2, 100000, MIDNIGHT),
            RegisterValue(11, 890, MIDNIGHT),
            RegisterValue(13, 5120, EVENING),
        ),
    )


def test_what_was_counted_after_the_boundary_says_when() -> None:
    outcome = decode_registers(changed(taken="2025-06-01T00:37:00+07:00", values={"1-0:1.8.0": 5}, historical=True))
    assert isinstance(outcome, IncomingRegisters)
    assert outcome.values == (RegisterValue(1, 5, MIDNIGHT + 37 * 60_000_000),)
    assert (outcome.time, outcome.historical) == (MIDNIGHT, True)


def test_codes_that_are_no_registers_are_named() -> None:
    outcome = decode_registers(changed(values={"1-0:1.8.0": 5, "1-0:32.7.0": 230, "7-0:3.1.0": 1}))
    assert isinstance(outcome, IncomingRegisters)
    assert outcome.unknown == ("1-0:32.7.0", "7-0:3.1.0")
    assert [value.obis for value in outcome.values] == [1]


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", Reason.NOT_JSON),
        (without("v"), Reason.MISSING_FIELD),
        (without("kind"), Reason.MISSING_FIELD),
        (without("values"), Reason.MISSING_FIELD),
        (changed(v=2), Reason.UNKNOWN_VERSION),
        (changed(values={}), Reason.MISSING_FIELD),
        (changed(kind="yearly"), Reason.WRONG_TYPE),
        (changed(kind="snapshot"), Reason.WRONG_TYPE),
        (changed(serial="-17"), Reason.WRONG_TYPE),
        (changed(time="2025-06-01T00:00:00"), Reason.NO_ZONE),
        (changed(taken="2025-06-01T00:00:00"), Reason.NO_ZONE),
        (changed(values={"1-0:1.6.0": {"value": 1, "time": "2025-06-01T00:00:00"}}), Reason.NO_ZONE),
        (changed(values={"1-0:1.8.0": 1.5}), Reason.WRONG_TYPE),
        (changed(values={"1-0:1.8.0": 2**63}), Reason.OUT_OF_RANGE),
        (changed(values={"1-0:1.8.0": float("nan")}), Reason.NOT_A_NUMBER),
        (changed(note="x" * 5000), Reason.OVERSIZE),
    ],
)
def test_what_is_no_register_message_has_its_reason(payload: bytes, reason: Reason) -> None:
    assert reason_of(decode_registers(payload)) is reason


_CODES = st.sampled_from([entry.code for entry in OBIS if entry.kind is ObisKind.REGISTER])
_TIMES = st.datetimes(
    datetime.fromisoformat("1970-01-02"),
    datetime.fromisoformat("2105-01-01"),
    timezones=st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes))),
)
_INT64 = st.integers(-(2**63), 2**63 - 1)
_MESSAGES = st.builds(
    RegisterMessage,
    serial=st.integers(0, 10**12 - 1).map(str),
    point=st.text(max_size=20),
    kind=st.sampled_from(sorted(KIND_WORDS)),
    time=_TIMES,
    taken=st.none() | _TIMES,
    seq=_INT64,
    historical=st.booleans(),
    status=_INT64,
    values=st.dictionaries(_CODES, _INT64 | st.builds(TimedValue, value=_INT64, time=_TIMES), min_size=1),
)


@given(_MESSAGES)
def test_registers_written_are_read(message: RegisterMessage) -> None:
    outcome = decode_registers(encode_registers(message))
    assert isinstance(outcome, IncomingRegisters)
    assert (outcome.serial, outcome.time) == (int(message.serial), microseconds(message.time))
    assert outcome.kind is KIND_WORDS[message.kind]
    taken_at = microseconds(message.taken or message.time)
    assert {value.obis: (value.value, value.taken_at) for value in outcome.values} == {
        BY_CODE[code].number: (value.value, microseconds(value.time))
        if isinstance(value, TimedValue)
        else (value, taken_at)
        for code, value in message.values.items()
    }


@given(st.binary(max_size=300))
def test_no_bytes_raise(payload: bytes) -> None:
    assert isinstance(decode_registers(payload), Rejected)
