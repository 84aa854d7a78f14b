"""Lists of meters: usable rows, and what is wrong with the others."""

from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from historian.registry import ListedMeter, read_meters
from scada.model.errors import ConfigurationError

HEADER = "serial,metering_point,unit,concentrator,feeder,class,installed_at,multiplier,digits"
GOOD = "240000000001,PN04000000001,PN04,DCU00017,TN07/473,residential,2025-01-01T00:00:00+07:00,1,6"


def written(folder: Path, *lines: str) -> Path:
    path = folder / "meters.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_a_good_row_is_read_whole(tmp_path: Path) -> None:
    meters, faults = read_meters(written(tmp_path, HEADER, GOOD))
    installed = datetime(2025, 1, 1, tzinfo=timezone(timedelta(hours=7)))
    assert faults == []
    assert meters == [
        ListedMeter(2, 240000000001, "PN04000000001", "PN04", "DCU00017", "TN07/473", "residential", 1, 6, installed)
    ]


def test_columns_may_come_in_any_order_with_others_between(tmp_path: Path) -> None:
    shuffled = "note,digits,multiplier,installed_at,class,feeder,concentrator,unit,metering_point,serial"
    row = "x,6,40,2025-01-01T00:00:00Z,pv,,,PN04,PN04000000001,7"
    (meter,), faults = read_meters(written(tmp_path, shuffled, row))
    assert (meter.serial, meter.concentrator, meter.multiplier, faults) == (7, "", 40, [])


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (GOOD.replace("240000000001", "", 1), "serial is empty"),
        (GOOD.replace("240000000001", "24A", 1), "serial '24A' is no whole number from 1 to 9223372036854775807"),
        (GOOD.replace("240000000001", "0", 1), "serial '0' is no whole number from 1 to 9223372036854775807"),
        (GOOD.replace("PN04000000001", ""), "metering_point is empty"),
        (GOOD.replace("residential", "home"), "class 'home' is none of business, production, pv, residential"),
        (GOOD.replace("+07:00", ""), "installed_at '2025-01-01T00:00:00' has no zone"),
        (GOOD.replace("2025-01-01T", "1.1.2025 "), "installed_at '1.1.2025 00:00:00+07:00' is no ISO 8601 time"),
        (GOOD.replace(",1,6", ",0,6"), "multiplier '0' is no whole number from 1 to 2147483647"),
        (GOOD.replace(",1,6", ",1,16"), "digits '16' is no whole number from 1 to 15"),
        ("240000000001,PN04000000001", "unit is empty"),
    ],
)
def test_a_row_that_cannot_be_used_is_named_with_its_line(tmp_path: Path, row: str, message: str) -> None:
    path = written(tmp_path, HEADER, row)
    meters, faults = read_meters(path)
    assert meters == []
    assert [str(fault) for fault in faults] == [f"{path}: line 2: {message}"]


RATIOS = f"{HEADER},ct,vt,schedule,schedule_since"


def test_ratios_and_schedule_are_read_where_they_are_known(tmp_path: Path) -> None:
    row = GOOD.replace(",1,6", ",40,6,20,2,BT-CD-TD,2026-01-01T00:00:00+07:00")
    (meter,), faults = read_meters(written(tmp_path, RATIOS, row))
    since = datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=7)))
    assert (meter.multiplier, meter.ct, meter.vt, meter.schedule, meter.schedule_since) == (
        40,
        20,
        2,
        "BT-CD-TD",
        since,
    )
    assert faults == []


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (",20,6,20,2,,", "multiplier 20 is not ct 20 × vt 2"),
        (",20,6,20,,,", "ct and vt belong together: one of them is empty"),
        (",20,6,0,20,,", "ct '0' is no whole number from 1 to 2147483647"),
        (",1,6,,,,2026-01-01T00:00:00Z", "schedule_since is there without a schedule"),
        (",1,6,,,BT,2026-01-01T00:00:00", "schedule_since '2026-01-01T00:00:00' has no zone"),
    ],
)
def test_ratios_and_schedules_that_contradict_themselves_are_told(tmp_path: Path, more: str, message: str) -> None:
    meters, faults = read_meters(written(tmp_path, RATIOS, GOOD.replace(",1,6", more)))
    assert (meters, [each.message for each in faults]) == ([], [message])


def test_a_repeated_serial_or_metering_point_costs_the_later_row(tmp_path: Path) -> None:
    same_serial = GOOD.replace("PN04000000001", "PN04000000002")
    same_point = GOOD.replace("240000000001", "240000000002")
    meters, faults = read_meters(written(tmp_path, HEADER, GOOD, same_serial, same_point))
    assert [meter.line for meter in meters] == [2]
    assert [fault.message for fault in faults] == [
        "serial 240000000001 stands in line 2 already",
        "metering point PN04000000001 stands in line 2 already",
    ]


def test_all_missing_columns_are_named_at_once(tmp_path: Path) -> None:
    path = written(tmp_path, HEADER.replace("serial,", "").replace(",digits", ""), GOOD)
    with pytest.raises(ConfigurationError) as refusal:
        read_meters(path)
    assert str(refusal.value).splitlines() == [
        f"{path}: digits: the column is missing",
        f"{path}: serial: the column is missing",
    ]


@pytest.mark.parametrize("content", [b"\xff\xfe", b"", None], ids=["not UTF-8", "empty", "no file"])
def test_a_file_that_is_no_list_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "meters.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigurationError):
        read_meters(path)
