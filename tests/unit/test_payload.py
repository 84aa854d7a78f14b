"""JSON messages of one meter: what is written is read, and everything else has its reason."""

import json
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meters.jsonform import MAX_SERIAL
from meters.payload import (
    INCOMING,
    EventMessage,
    IncomingEvent,
    ProfileReading,
    ProfileValues,
    StateMessage,
    decode_event,
    decode_profile,
    decode_state,
    encode_message,
    point_check,
)
from meters.rejection import Reason, Rejected

GOOD = {
    "v": 1,
    "serial": "240000000017",
    "point": "PC01000000017",
    "time": "2025-06-01T10:30:00+07:00",
    "interval_s": 1800,
    "seq": 4711,
    "historical": False,
    "status": 32,
    "values": {
        "1-0:1.8.0": 123456,
        "1-0:2.8.0": 7,
        "1-0:3.8.0": 890,
        "1-0:1.7.0": 512.4,
        "1-0:2.7.0": 12,
        "1-0:32.7.0": 230.14,
    },
}
EVENT = {
    "v": 1,
    "serial": "240000000017",
    "point": "PC01000000017",
    "time": "2025-06-01T10:30:00+07:00",
    "seq": 1,
    "code": 99,
}
ZONES = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
FIRST, LAST = datetime.fromisoformat("1970-01-01"), datetime.fromisoformat("2105-01-01")
INT64 = st.integers(-(2**63), 2**63 - 1)


def changed(base: dict[str, object], **changes: object) -> bytes:
    return json.dumps({**base, **changes}).encode()


def without(base: dict[str, object], *names: str) -> bytes:
    return json.dumps({name: value for name, value in base.items() if name not in names}).encode()


def values(**changes: object) -> dict[str, object]:
    known = GOOD["values"]
    assert isinstance(known, dict)
    return {**known, **changes}


def reason_of(outcome: object) -> Reason:
    assert isinstance(outcome, Rejected), outcome
    return outcome.reason


def test_a_reading_written_by_another_encoder_is_read() -> None:
    """10:30 in Viet Nam is 03:30 UTC; 512.4 − 12 W rounds to 500; 230.14 V are 2301 tenths."""
    row = decode_profile(json.dumps(GOOD).encode())
    when = int(datetime(2025, 6, 1, 3, 30, tzinfo=UTC).timestamp()) * 1_000_000
    assert row == (240000000017, 0xE23C80B3, when, 123456, 7, 890, 500, 2301, 32, 1800, 4711, False)


def test_the_check_of_a_metering_point_is_the_crc_everyone_knows() -> None:
    assert point_check("123456789") == 0xCBF43926  # check value of CRC-32/ISO-HDLC


def test_a_row_has_the_fields_of_incoming_in_order() -> None:
    row = decode_profile(json.dumps(GOOD).encode())
    array = np.array([row], dtype=INCOMING)
    assert (array["serial"][0], array["import_wh"][0], array["seq"][0]) == (240000000017, 123456, 4711)


@given(
    serial=st.integers(0, MAX_SERIAL),
    time=st.datetimes(FIRST, LAST, timezones=ZONES),
    energy=st.tuples(INT64, INT64, INT64),
    power_w=st.integers(-(2**31), 2**31 - 1),
    voltage_dv=st.integers(0, 32767),
    status=st.integers(0, 255),
    seq=st.integers(0, 2**63 - 1),
    historical=st.booleans(),
)
def test_what_is_written_is_read(
    *,
    serial: int,
    time: datetime,
    energy: tuple[int, int, int],
    power_w: int,
    voltage_dv: int,
    status: int,
    seq: int,
    historical: bool,
) -> None:
    reading = ProfileReading(
        serial=str(serial),
        point="PC01",
        time=time,
        interval_s=60,
        seq=seq,
        historical=historical,
        status=status,
        values=ProfileValues(*energy, max(power_w, 0), voltage_dv / 10, max(-power_w, 0)),
    )
    when = (time - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    expected = (serial, point_check("PC01"), when, *energy, power_w, voltage_dv, status, 60, seq, historical)
    assert decode_profile(encode_message(reading)) == expected


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", Reason.NOT_JSON),
        (b"{", Reason.NOT_JSON),
        (b"\xff\xfe", Reason.NOT_JSON),
        (b"AMIB\x01", Reason.NOT_JSON),
        (b"[1, 2]", Reason.WRONG_TYPE),
        (without(GOOD, "v"), Reason.MISSING_FIELD),
        (changed(GOOD, v=2), Reason.UNKNOWN_VERSION),
        (changed(GOOD, v="1"), Reason.WRONG_TYPE),
        (without(GOOD, "serial"), Reason.MISSING_FIELD),
        (without(GOOD, "point"), Reason.MISSING_FIELD),
        (without(GOOD, "time"), Reason.MISSING_FIELD),
        (changed(GOOD, values={}), Reason.MISSING_FIELD),
        (changed(GOOD, serial=240000000017), Reason.WRONG_TYPE),
        (changed(GOOD, serial="2400000000178"), Reason.WRONG_TYPE),
        (changed(GOOD, serial="-1"), Reason.WRONG_TYPE),
        (changed(GOOD, serial="1_0"), Reason.WRONG_TYPE),
        (changed(GOOD, serial="١٢"), Reason.WRONG_TYPE),
        (changed(GOOD, serial=""), Reason.WRONG_TYPE),
        (changed(GOOD, time="2025-06-01T10:30:00"), Reason.NO_ZONE),
        (changed(GOOD, time="2025-06-01"), Reason.WRONG_TYPE),
        (changed(GOOD, time=1748748600), Reason.WRONG_TYPE),
        (changed(GOOD, values=values(**{"1-0:1.8.0": "12"})), Reason.WRONG_TYPE),
        (changed(GOOD, values=values(**{"1-0:1.8.0": 1.5})), Reason.WRONG_TYPE),
        (changed(GOOD, values=values(**{"1-0:1.8.0": None})), Reason.WRONG_TYPE),
        (changed(GOOD, values=values(**{"1-0:1.8.0": 2**63})), Reason.OUT_OF_RANGE),
        (changed(GOOD, values=values(**{"1-0:1.8.0": -(2**63) - 1})), Reason.OUT_OF_RANGE),
        (changed(GOOD, seq=2**70), Reason.OUT_OF_RANGE),
        (changed(GOOD, values=values(**{"1-0:1.7.0": 1e300})), Reason.OUT_OF_RANGE),
        (changed(GOOD, values=values(**{"1-0:32.7.0": float("nan")})), Reason.NOT_A_NUMBER),
        (changed(GOOD, values=values(**{"1-0:1.7.0": float("inf")})), Reason.NOT_A_NUMBER),
        (changed(GOOD, values=values(**{"1-0:1.8.0": float("-inf")})), Reason.NOT_A_NUMBER),
        (b'{"v": 1, "x": nan}', Reason.NOT_A_NUMBER),
        (json.dumps(GOOD).encode().replace(b"230.14", b"1e999"), Reason.OUT_OF_RANGE),
        (changed(GOOD, note="x" * 5000), Reason.OVERSIZE),
    ],
)
def test_what_is_not_a_reading_has_its_reason(payload: bytes, reason: Reason) -> None:
    assert reason_of(decode_profile(payload)) is reason


def test_a_rejection_reads_as_a_sentence() -> None:
    outcome = decode_profile(changed(GOOD, time="2025-06-01T10:30:00"))
    assert str(outcome) == "the time has no zone: time 2025-06-01T10:30:00"
    assert str(Rejected(Reason.OVERSIZE)) == "the message is longer than it says or than allowed"


def test_other_obis_codes_and_fields_do_no_harm() -> None:
    payload = changed(GOOD, values=values(**{"1-0:31.7.0": 2.5}), firmware="1.2")
    assert decode_profile(payload) == decode_profile(json.dumps(GOOD).encode())


@given(st.binary(max_size=300))
def test_no_bytes_raise(payload: bytes) -> None:
    assert isinstance(decode_profile(payload), Rejected)
    assert isinstance(decode_event(payload), Rejected)
    assert isinstance(decode_state(payload), Rejected)


@given(st.integers(0, 255), st.data())
def test_no_damaged_reading_raises(byte: int, data: st.DataObject) -> None:
    payload = bytearray(json.dumps(GOOD).encode())
    payload[data.draw(st.integers(0, len(payload) - 1))] = byte
    outcome = decode_profile(bytes(payload))
    assert isinstance(outcome, Rejected | tuple)


def test_an_event_is_read() -> None:
    event = decode_event(json.dumps(EVENT).encode())
    when = int(datetime(2025, 6, 1, 3, 30, tzinfo=UTC).timestamp()) * 1_000_000
    assert event == IncomingEvent(240000000017, 0xE23C80B3, when, 99, 1)


def test_an_event_written_is_read() -> None:
    time = datetime(2025, 6, 1, 3, 30, tzinfo=UTC)
    message = EventMessage(serial="17", point="PC01", time=time, seq=3, code=2)
    when = int(time.timestamp()) * 1_000_000
    assert decode_event(encode_message(message)) == IncomingEvent(17, point_check("PC01"), when, 2, 3)


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (changed(EVENT, time="2025-06-01T10:30:00"), Reason.NO_ZONE),
        (changed(EVENT, serial="x"), Reason.WRONG_TYPE),
        (changed(EVENT, v=7), Reason.UNKNOWN_VERSION),
        (without(EVENT, "code"), Reason.MISSING_FIELD),
        (b"gasp", Reason.NOT_JSON),
    ],
)
def test_what_is_not_an_event_has_its_reason(payload: bytes, reason: Reason) -> None:
    assert reason_of(decode_event(payload)) is reason


def test_a_state_is_one_of_two_words() -> None:
    assert decode_state(encode_message(StateMessage(state="online"))) == "online"
    assert decode_state(b'{"v": 1, "state": "offline"}') == "offline"
    assert reason_of(decode_state(b'{"v": 1, "state": "tired"}')) is Reason.WRONG_TYPE
    assert reason_of(decode_state(b'{"v": 2, "state": "online"}')) is Reason.UNKNOWN_VERSION
    assert reason_of(decode_state(b"online")) is Reason.NOT_JSON
