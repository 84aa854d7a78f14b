"""Claims about notifications read as columns: what they say is what the field library reads, or they are left to it."""

import struct
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import struct_from_binary, struct_to_binary
from hypothesis import given
from hypothesis import strategies as st

from substations.changeblock import ChangeBlock
from substations.opcua_changes import of_values
from substations.opcua_session import response_of
from substations.publication import read_publication

TYPES: dict[ua.VariantType, st.SearchStrategy[Any]] = {
    ua.VariantType.Boolean: st.booleans(),
    ua.VariantType.SByte: st.integers(-(2**7), 2**7 - 1),
    ua.VariantType.Byte: st.integers(0, 2**8 - 1),
    ua.VariantType.Int16: st.integers(-(2**15), 2**15 - 1),
    ua.VariantType.UInt16: st.integers(0, 2**16 - 1),
    ua.VariantType.Int32: st.integers(-(2**31), 2**31 - 1),
    ua.VariantType.UInt32: st.integers(0, 2**32 - 1),
    ua.VariantType.Int64: st.integers(-(2**63), 2**63 - 1),
    ua.VariantType.UInt64: st.integers(0, 2**64 - 1),
    ua.VariantType.Float: st.floats(width=32),
    ua.VariantType.Double: st.floats(),
}
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LAST_TIME = 253_402_300_799_000_000
"""The end of the year 9999, where the library stays for whatever is later, µs since 1970."""
TIMES = st.none() | st.integers(-(10**16), 2 * 10**17).map(lambda us: EPOCH + timedelta(microseconds=us))
"""From 1653 to the year 8307."""
PICO = st.none() | st.integers(0, 9999)


@st.composite
def data_values(draw: st.DrawFn) -> ua.DataValue:
    """Any value a monitored item may bear, with any of its parts left out."""
    kind = draw(st.sampled_from(list(TYPES)))
    variant = ua.Variant(draw(TYPES[kind]), kind) if draw(st.integers(0, 9)) else ua.Variant()
    status = ua.StatusCode(ua.UInt32(draw(st.sampled_from([0, 0x480, 0x40900000, 0x808C0000]))))
    source, server = draw(TIMES), draw(TIMES)
    return ua.DataValue(
        variant,
        status,
        source,
        server,
        draw(PICO) if source else None,
        draw(PICO) if server else None,
    )


LIKE_ONE_ANOTHER = st.lists(data_values(), min_size=1, max_size=4).flatmap(
    lambda kinds: st.lists(st.sampled_from(kinds), min_size=1, max_size=80)
)
"""Few different ones, so that runs of one layout come about."""


def response(values: list[ua.DataValue], **parts: Any) -> ua.PublishResponse:
    items = [ua.MonitoredItemNotification(ua.IntegerId(row), value) for row, value in enumerate(values)]
    message = ua.NotificationMessage(
        SequenceNumber=ua.Counter(4_000_000_000),
        NotificationData=parts.pop("data", [ua.DataChangeNotification(MonitoredItems=items)]),
    )
    result = ua.PublishResult(
        SubscriptionId=ua.IntegerId(77),
        AvailableSequenceNumbers=parts.pop("available", []),
        NotificationMessage=message,
        Results=parts.pop("results", []),
    )
    header = ua.ResponseHeader(**parts)
    return ua.PublishResponse(ResponseHeader=header, Parameters=result)


def bytes_of(made: ua.PublishResponse) -> bytes:
    return bytes(struct_to_binary(made))


def as_the_library_reads(body: bytes) -> ChangeBlock:
    decoded = struct_from_binary(ua.PublishResponse, Buffer(body))
    items = [each for part in decoded.Parameters.NotificationMessage.NotificationData for each in part.MonitoredItems]
    return of_values([each.ClientHandle for each in items], [each.Value for each in items])


def same(ours: ChangeBlock, theirs: ChangeBlock) -> None:
    """Equal in everything; of times that no clock gives, only that they are none: the library knows no year 10000."""
    assert ours.rows.tolist() == theirs.rows.tolist()
    assert np.array_equal(ours.values, theirs.values, equal_nan=True)
    assert ours.statuses.tolist() == theirs.statuses.tolist()
    assert np.clip(ours.times, 0, LAST_TIME).tolist() == np.clip(theirs.times, 0, LAST_TIME).tolist()


@given(LIKE_ONE_ANOTHER)
def test_what_is_read_is_what_the_library_reads(values: list[ua.DataValue]) -> None:
    body = bytes_of(response(values, available=[1, 2, 3], results=[ua.StatusCode(), ua.StatusCode()]))
    found = read_publication(body)
    assert found is not None
    assert (found.subscription, found.sequence) == (77, 4_000_000_000)
    same(found.changes, as_the_library_reads(body))


@given(LIKE_ONE_ANOTHER, st.data())
def test_no_damage_to_the_bytes_makes_it_say_what_the_library_would_not(
    values: list[ua.DataValue], data: st.DataObject
) -> None:
    body = bytearray(bytes_of(response(values)))
    for _ in range(data.draw(st.integers(1, 3))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    damaged = bytes(body[: data.draw(st.integers(0, len(body)))] if data.draw(st.booleans()) else body)
    found = read_publication(damaged)
    if found is not None:
        same(found.changes, as_the_library_reads(damaged))


def test_long_runs_and_their_ends_are_read_whole() -> None:
    double, flag = ua.Variant(1.5, ua.VariantType.Double), ua.Variant(True, ua.VariantType.Boolean)  # noqa: FBT003
    values = [ua.DataValue(double, SourceTimestamp=EPOCH)] * 1000 + [ua.DataValue(flag)] + [ua.DataValue(double)] * 3
    body = bytes_of(response(values))
    found = read_publication(body)
    assert found is not None and len(found.changes) == 1004
    same(found.changes, as_the_library_reads(body))


def test_the_standard_s_order_of_the_parts_is_read_byte_by_byte() -> None:
    moment = datetime(2026, 3, 1, 8, 0, 0, 123_456, tzinfo=UTC)
    filetime = (moment - datetime(1601, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 10 + 7
    item = struct.pack("<IBBhIqHqH", 3, 0x3F, 4, -300, 0x40900000, filetime, 9000, filetime + 50_000_000, 1)
    changes = struct.pack("<i", 1) + item + struct.pack("<i", -1)
    body = (
        bytes((1, 0)) + struct.pack("<HqIIBi", 829, 0, 5, 0, 0, -1) + b"\x00\x00\x00"
        + struct.pack("<IiBIqi", 9, -1, 1, 12, filetime, 1)
        + bytes((1, 0)) + struct.pack("<HBi", 811, 1, len(changes)) + changes
        + struct.pack("<ii", -1, -1)
    )  # fmt: skip
    found = read_publication(body)
    assert found is not None
    assert (found.subscription, found.sequence, found.more) == (9, 12, True)
    changed = found.changes
    columns = (changed.rows, changed.values, changed.statuses, changed.times)
    assert [column.tolist() for column in columns] == [
        [3],
        [-300.0],
        [0x40900000],
        [(moment - EPOCH) // timedelta(microseconds=1)],
    ]


NUMBER = ua.DataValue(ua.Variant(1.5, ua.VariantType.Double))


@pytest.mark.parametrize(
    "other",
    [
        response([ua.DataValue(ua.Variant("text", ua.VariantType.String))]),
        response([NUMBER, ua.DataValue(ua.Variant([1.0, 2.0], ua.VariantType.Double))]),
        response([], data=[]),
        response([], data=[ua.StatusChangeNotification()]),
        response([], data=[ua.EventNotificationList(Events=[ua.EventFieldList()])]),
        response([NUMBER], ServiceResult=ua.StatusCode(ua.UInt32(ua.StatusCodes.BadTimeout))),
        response([NUMBER], StringTable=["why"]),
        response([NUMBER], ServiceDiagnostics=ua.DiagnosticInfo(SymbolicId=ua.Int32(1))),
    ],
    ids=["text", "array", "keep-alive", "status change", "events", "fault", "string table", "diagnostics"],
)
def test_everything_else_is_left_to_the_library(other: ua.PublishResponse) -> None:
    body = bytes_of(other)
    assert read_publication(body) is None
    decoded = response_of(Buffer(body))
    assert decoded.Parameters.NotificationMessage.SequenceNumber == 4_000_000_000
    assert len(decoded.Parameters.NotificationMessage.NotificationData or ()) == len(
        other.Parameters.NotificationMessage.NotificationData
    )


def test_the_session_s_loop_gets_a_block_in_place_of_the_notification() -> None:
    decoded = response_of(Buffer(bytes_of(response([NUMBER, NUMBER]))))
    (changes,) = decoded.Parameters.NotificationMessage.NotificationData
    assert isinstance(changes, ChangeBlock)
    assert changes.values.tolist() == [1.5, 1.5]
    assert (decoded.Parameters.SubscriptionId, decoded.Parameters.NotificationMessage.SequenceNumber) == (
        77,
        4_000_000_000,
    )
