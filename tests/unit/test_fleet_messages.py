"""What the fleet says decodes, by the head-end's codec, to what its meters counted."""

from datetime import datetime

import msgspec
import numpy as np
import pytest

from meters.packed import Batch, decode_batch
from meters.payload import IncomingEvent, decode_event, decode_profile, decode_state, point_check
from meters.topic import Subject, Topic, read_topic
from scada.model.reading import EventCode
from scada.model.station import CustomerShares
from simulators.fleet_energy import FleetEnergy
from simulators.fleet_messages import FleetMessages
from simulators.fleet_reporting import Notice, NoticeKind, Report, Reporting, ReportingPlan
from simulators.meter_fleet import FeederShare, make_fleet

SECOND = 1_000_000
PERIOD = 1800 * SECOND
END = int(datetime.fromisoformat("2026-03-11T12:00:00+07:00").timestamp()) * SECOND
MIXED = CustomerShares(residential=0.8, production=0.1, business=0.1, pv=0.3)
FLEET = make_fleet((FeederShare("TN07/473", "PN03", 5.0, MIXED),), meters=400)
NAMES = ("import_wh", "export_wh", "import_varh", "power_w", "voltage_dv", "status")


@pytest.fixture
def messages() -> FleetMessages:
    reporting = Reporting(FLEET, ReportingPlan(PERIOD, 0, PERIOD), links=1, start=END)
    return FleetMessages(FLEET, FleetEnergy(FLEET), reporting)


def counted(rows: list[int], end: int) -> list[tuple[int, ...]]:
    readings = FleetEnergy(FLEET).readings(np.array(rows), end, PERIOD)
    return [tuple(int(reading[name]) for name in NAMES) for reading in readings]


def test_a_packed_batch_decodes_to_what_its_meters_counted(messages: FleetMessages) -> None:
    (message,) = messages.reports([Report(1, END, END + PERIOD, historical=True)])
    assert read_topic(message.topic) == Topic("PN03", "DCU00002", None, is_batch=True, subject=Subject.PROFILE)
    assert not message.retain
    batch = decode_batch(message.payload)
    assert isinstance(batch, Batch)
    rows = list(range(180, 360))
    expected = [*counted(rows, END), *counted(rows, END + PERIOD)]
    assert [tuple(int(row[name]) for name in NAMES) for row in batch.rows] == expected
    assert batch.rows["serial"].tolist() == FLEET.serial[rows].tolist() * 2
    assert batch.rows["time"].tolist() == [END] * 180 + [END + PERIOD] * 180
    assert batch.rows["point_check"].tolist() == [point_check(FLEET.metering_point(row)) for row in rows] * 2
    assert set(batch.rows["seq"].tolist()) == {(END + PERIOD) // SECOND}
    assert set(batch.rows["interval_s"].tolist()) == {1800}
    assert batch.rows["historical"].all()


def test_a_single_reading_decodes_to_what_its_meter_counted(messages: FleetMessages) -> None:
    reports = [Report(sender, END, END, historical=False) for sender in range(2, 42)]
    for row, message in zip(range(360, 400), messages.reports(reports), strict=True):
        serial = int(FLEET.serial[row])
        topic = Topic("PN03", "direct", serial, is_batch=False, subject=Subject.PROFILE)
        assert read_topic(message.topic) == topic
        check = point_check(FLEET.metering_point(row))
        (values,) = counted([row], END)
        assert decode_profile(message.payload) == (serial, check, END, *values, 1800, END // SECOND, False)


def test_a_rooftop_meter_says_export_as_a_power_of_its_own(messages: FleetMessages) -> None:
    reports = [Report(sender, END, END, historical=False) for sender in range(2, 42)]
    powers = [
        (body["values"]["1-0:1.7.0"], body["values"]["1-0:2.7.0"])
        for body in (msgspec.json.decode(message.payload) for message in messages.reports(reports))
    ]
    assert any(exported > 0 for _, exported in powers), "at noon some rooftop exports"
    assert all(imported == 0 or exported == 0 for imported, exported in powers)
    assert all(imported >= 0 and exported >= 0 for imported, exported in powers)


def test_reports_of_several_senders_and_intervals_keep_their_order(messages: FleetMessages) -> None:
    reports = [
        Report(5, END, END, historical=False),
        Report(0, END - PERIOD, END, historical=True),
        Report(3, END - PERIOD, END - PERIOD, historical=True),
    ]
    together = list(messages.reports(reports))
    alone = [message for report in reports for message in messages.reports([report])]
    assert together == alone
    assert [message.content for message in together] == reports


def test_a_repetition_differs_in_the_historical_mark_only(messages: FleetMessages) -> None:
    (first,) = messages.reports([Report(0, END, END, historical=False)])
    (again,) = messages.reports([Report(0, END, END, historical=True)])
    one, two = decode_batch(first.payload), decode_batch(again.payload)
    assert isinstance(one, Batch)
    assert isinstance(two, Batch)
    names = [name for name in one.rows.dtype.names or () if name != "historical"]
    assert one.rows[names].tolist() == two.rows[names].tolist()


@pytest.mark.parametrize(("row", "concentrator"), [(17, "DCU00001"), (399, "direct")])
def test_a_last_gasp_is_an_event_of_its_meter(messages: FleetMessages, row: int, concentrator: str) -> None:
    time = END + 1_234_567
    message = messages.notice(Notice(NoticeKind.EVENT, row, time, EventCode.LAST_GASP))
    serial = int(FLEET.serial[row])
    assert read_topic(message.topic) == Topic("PN03", concentrator, serial, is_batch=False, subject=Subject.EVENT)
    check = point_check(FLEET.metering_point(row))
    assert decode_event(message.payload) == IncomingEvent(serial, check, time, 99, time // SECOND)
    assert not message.retain


@pytest.mark.parametrize("kind", [NoticeKind.ONLINE, NoticeKind.OFFLINE])
def test_the_state_of_a_concentrator_is_retained(messages: FleetMessages, kind: NoticeKind) -> None:
    message = messages.notice(Notice(kind, 1, END))
    assert read_topic(message.topic) == Topic("PN03", "DCU00002", None, is_batch=False, subject=Subject.STATE)
    assert decode_state(message.payload) == kind.value
    assert message.retain
