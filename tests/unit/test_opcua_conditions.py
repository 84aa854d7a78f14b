"""Claims about conditions: every change of state is told once, by its event or by an interrogation."""

import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from asyncua import ua

from scada.model.errors import LinkError
from scada.model.point import PointKind
from substations.changeblock import block
from substations.nodes import BoundCondition
from substations.opcua_conditions import Conditions, event_filter
from tests.fakes_substations import make_point

SPACE = 2
URIS = ("http://opcfoundation.org/UA/", "urn:other", "urn:gridscada:substation")
START = datetime(2026, 3, 1, 8, 0, 0, 123_000, tzinfo=UTC)
AT = int(START.timestamp() * 1e6)
F87L, F86 = (
    BoundCondition(
        make_point(number, name=f"TN07/171/{name}", kind=PointKind.SINGLE_POINT),
        URIS[SPACE],
        "s=TN07/171",
        name,
        0.1,
        9,
    )
    for number, name in ((1, "f87l"), (2, "f86"))
)
NAMES = ["/".join(name.Name for name in clause.BrowsePath) for clause in event_filter().SelectClauses]


def conditions() -> Conditions:
    made = Conditions("TN07", (F87L, F86), {F87L.point.id: 0, F86.point.id: 1})
    made.locate(URIS)
    return made


def event(name: str = "f87l", *, active: bool | None = True, after_ms: int = 0, **fields: Any) -> ua.EventFieldList:
    """An event as a server sends it; its id is made of what it says."""
    values: dict[str, Any] = {
        "EventId": f"{name} {active} {after_ms}".encode(),
        "EventType": ua.NodeId(ua.Int32(ua.ObjectIds.TripAlarmType)),
        "SourceNode": ua.NodeId(ua.String("TN07/171"), SPACE),
        "SourceName": "TN07/171",
        "Time": START + timedelta(milliseconds=after_ms),
        "ConditionName": name,
        "ActiveState/Id": active,
        "Severity": 800,
        "Message": ua.LocalizedText("Differential protection"),
    } | fields
    return ua.EventFieldList(ua.IntegerId(2), [ua.Variant(values.get(each)) for each in NAMES])


def standard(event_type: int) -> ua.EventFieldList:
    """An event of no condition."""
    return event("", active=None, EventType=ua.NodeId(ua.Int32(event_type)))


def told(one: Conditions, *events: ua.EventFieldList) -> list[tuple[int, float, int, int]]:
    """Row, value, ms after the start, and status of every change."""
    found = one.take(events)
    return [
        (int(row), float(value), int(time - AT) // 1000, int(status))
        for row, value, time, status in zip(found.rows, found.values, found.times, found.statuses, strict=True)
    ]


def settled(one: Conditions, value: float, after_ms: int, *, is_complete: bool) -> tuple[float, int]:
    """What is believed of f87l when an interrogation reads this."""
    found = one.settle(block([0], [value], [0], [AT + after_ms * 1000]), is_complete=is_complete)
    return float(found.values[0]), int(found.times[0] - AT) // 1000


def test_every_change_of_state_is_told_in_order_with_the_time_of_its_source() -> None:
    events = [event(active=True), event(active=False, after_ms=3), event("f86", after_ms=3), event(after_ms=4)]
    assert told(conditions(), *events) == [(0, 1.0, 0, 0), (0, 0.0, 3, 0), (1, 1.0, 3, 0), (0, 1.0, 4, 0)]


def test_a_refresh_tells_nothing_again_and_something_missed() -> None:
    one = conditions()
    told(one, event())
    refresh = (standard(ua.ObjectIds.RefreshStartEventType), event(), event("f86", after_ms=9))
    assert told(one, *refresh, standard(ua.ObjectIds.RefreshEndEventType)) == [(1, 1.0, 9, 0)]
    assert one.refreshes == 1


def test_a_server_that_gives_new_ids_in_a_refresh_tells_nothing_twice_either() -> None:
    one = conditions()
    told(one, event())
    assert told(one, event(EventId=b"another")) == []


def test_an_acknowledgement_is_logged_and_is_no_change_of_the_point(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    one = conditions()
    told(one, event(**{"AckedState/Id": False}))
    assert told(one, event(after_ms=5, **{"AckedState/Id": True})) == []
    assert caplog.messages == ["TN07: f87l of TN07/171 acknowledged at the station"]


def test_an_earlier_state_that_waits_for_its_acknowledgement_is_not_the_present_one() -> None:
    one = conditions()
    told(one, event(active=False))
    assert told(one, event(after_ms=1, BranchId=ua.NodeId(ua.Int32(7), SPACE))) == []


def test_a_disabled_condition_and_a_doubtful_one_are_told_with_their_status() -> None:
    one = conditions()
    disabled = event(**{"EnabledState/Id": False})
    doubtful = event("f86", Quality=ua.StatusCode(ua.UInt32(ua.StatusCodes.UncertainLastUsableValue)))
    assert [each[3] for each in told(one, disabled, doubtful)] == [
        ua.StatusCodes.BadOutOfService,
        ua.StatusCodes.UncertainLastUsableValue,
    ]
    assert told(one, event(after_ms=1)) == [(0, 1.0, 1, 0)], "good again is news, though the value is the same"


@pytest.mark.parametrize("time", [None, datetime(1970, 1, 1, tzinfo=UTC), datetime(1601, 1, 1, tzinfo=UTC)])
def test_without_a_source_clock_the_server_s_time_of_receipt_counts(time: datetime | None) -> None:
    assert told(conditions(), event(Time=time, ReceiveTime=START + timedelta(milliseconds=7))) == [(0, 1.0, 7, 0)]
    assert conditions().take([event(Time=time)]).times.tolist() == [0], "nobody knows: our own clock dates it"


def test_a_condition_in_no_map_is_counted_and_named_once(caplog: pytest.LogCaptureFixture) -> None:
    one = conditions()
    elsewhere = ua.NodeId(ua.String("TN07/172"), SPACE)
    assert told(one, event("f21"), event("f21", after_ms=1), event(SourceNode=elsewhere), event(active=None)) == []
    assert one.unknown == 4
    assert caplog.messages[0] == (
        "TN07 tells of a condition that is in no map: f21 of TN07/171, severity 800: Differential protection"
    )
    assert len(caplog.messages) == 2


def test_what_is_no_condition_is_neither_told_nor_counted() -> None:
    one = conditions()
    assert told(one, standard(ua.ObjectIds.AuditSessionEventType)) == []
    assert (one.heard, one.unknown, one.asks_refresh) == (0, 0, False)


@pytest.mark.parametrize("kind", [ua.ObjectIds.EventQueueOverflowEventType, ua.ObjectIds.RefreshRequiredEventType])
def test_a_server_that_lost_events_is_to_be_refreshed(kind: int) -> None:
    one = conditions()
    told(one, standard(kind))
    assert one.asks_refresh
    assert one.overflows == (kind == ua.ObjectIds.EventQueueOverflowEventType)


def test_sources_are_found_again_under_another_namespace_index() -> None:
    one = conditions()
    told(one, event())
    one.locate((URIS[0], URIS[2]))
    assert told(one, event(active=False, after_ms=1, SourceNode=ua.NodeId(ua.String("TN07/171"), 1))) == [
        (0, 0.0, 1, 0)
    ]
    with pytest.raises(LinkError, match="the server has no namespace urn:gridscada:substation"):
        one.locate(URIS[:2])


def test_an_interrogation_confirms_the_events_and_bears_their_time() -> None:
    one = conditions()
    told(one, event())
    assert settled(one, 1.0, 50, is_complete=True) == (1.0, 0)


def test_an_interrogation_older_than_the_last_event_does_not_undo_it() -> None:
    one = conditions()
    told(one, event(), event(active=False, after_ms=5))
    assert settled(one, 1.0, 0, is_complete=True) == (0.0, 5)


def test_a_change_whose_event_never_came_is_told_by_the_interrogation() -> None:
    one = conditions()
    told(one, event())
    assert settled(one, 0.0, 8, is_complete=True) == (0.0, 8)
    assert told(one, event(active=False, after_ms=8)) == [], "its event comes late: told once"


def test_while_events_may_be_on_their_way_a_difference_must_be_seen_twice() -> None:
    one = conditions()
    told(one, event())
    assert settled(one, 0.0, 8, is_complete=False) == (1.0, 0)
    assert settled(one, 0.0, 8, is_complete=False) == (0.0, 8)


def test_a_doubtful_reading_and_points_without_condition_pass_unchanged() -> None:
    one = conditions()
    told(one, event())
    bad = int(ua.StatusCodes.BadSensorFailure)
    found = one.settle(block([0, 7], [0.0, 3.0], [bad, 0], [AT, AT]), is_complete=True)
    assert (found.values.tolist(), found.statuses.tolist()) == ([0.0, 3.0], [bad, 0])
    assert np.array_equal(found.times, [AT, AT])
