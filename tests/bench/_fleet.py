"""The meters of the head-end's benches: who they are, what they say, and the same readings as rows.

Knows numbers only: meter n of N always says the same about an interval, so whatever offers it and whatever stores it
can be compared to the row. Does not know sockets or a database.
"""

import csv
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from historian.registry import COLUMNS
from meters.packed import BatchHeader, RecordArray, encode_batch, pack_records
from meters.payload import ProfileReading, ProfileValues, encode_message, point_check
from meters.topic import DIRECT, Subject, batch_topic, meter_topic
from scada.model.reading import READING, Method, QualityFlag, ReadingArray

METERS = 200_000
PER_CONCENTRATOR = 200
INTERVAL_US = 1_800_000_000
VIET_NAM = timezone(timedelta(hours=7))
DAY_US = 86_400_000_000
UNIT = "PC01"

Numbers = NDArray[np.int64]


def midnight(now: int, days_ago: int) -> int:
    """Local midnight so many days before the one of ``now``, µs UTC."""
    offset = 7 * 3_600_000_000
    return (now + offset) // DAY_US * DAY_US - offset - days_ago * DAY_US


def interval_ends(start: int, first: int, count: int) -> list[int]:
    """``count`` interval ends after ``start``, the first being number ``first`` (from 1)."""
    return [start + (first + each) * INTERVAL_US for each in range(count)]


def serials(numbers: Numbers) -> Numbers:
    """Serial numbers of meters 1..N."""
    return 240_000_000_000 + numbers


def metering_point(number: int) -> str:
    """Metering-point code of a meter."""
    return f"PC01{number:09d}"


def energy_wh(numbers: Numbers, time: int) -> Numbers:
    """The import register at an interval's end: it only grows."""
    return 1_000_000 + numbers * 7 + time // INTERVAL_US % 100_000 * 50


def write_registry(path: Path, meters: int) -> None:
    """The list of installed meters as ``historian.registry`` reads it."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for number in range(1, meters + 1):
            concentrator = f"DCU{(number - 1) // PER_CONCENTRATOR:04d}"
            writer.writerow(
                (
                    240_000_000_000 + number, metering_point(number), UNIT, concentrator, "TN01/471", "residential",
                    1, 6, "2024-01-01T00:00:00+07:00",
                )
            )  # fmt: skip


class PackedReadings:
    """Concentrators' batches of the fleet."""

    def __init__(self, meters: int) -> None:
        self._numbers: Numbers = np.arange(1, meters + 1, dtype=np.int64)
        self._checks = np.array([point_check(metering_point(number)) for number in range(1, meters + 1)])
        self._topics = [batch_topic(UNIT, f"DCU{each:04d}") for each in range(-(-meters // PER_CONCENTRATOR))]

    def live(self, time: int) -> Iterator[tuple[str, bytes]]:
        """One interval, a message per concentrator: topic and payload."""
        records = self._records(slice(None), [time])
        for each, topic in enumerate(self._topics):
            part = records[each * PER_CONCENTRATOR : (each + 1) * PER_CONCENTRATOR]
            yield topic, encode_batch(BatchHeader(interval_s=1800, seq=1), part)

    def backlog(self, times: Sequence[int], per_message: int) -> Iterator[tuple[str, bytes]]:
        """Many intervals, concentrator after concentrator, ``per_message`` intervals in a message."""
        header = BatchHeader(interval_s=1800, seq=1, historical=True)
        for each, topic in enumerate(self._topics):
            mine = slice(each * PER_CONCENTRATOR, (each + 1) * PER_CONCENTRATOR)
            for first in range(0, len(times), per_message):
                yield topic, encode_batch(header, self._records(mine, times[first : first + per_message]))

    def _records(self, meters: slice, times: Sequence[int]) -> RecordArray:
        numbers, checks = self._numbers[meters], self._checks[meters]
        return np.concatenate(
            [
                pack_records(
                    serial=serials(numbers),
                    time=time,
                    point_check=checks,
                    import_wh=energy_wh(numbers, time),
                    export_wh=10,
                    import_varh=numbers * 3,
                    power_w=512,
                    voltage_dv=2301,
                )
                for time in times
            ]
        )


def single(number: int, time: int) -> tuple[str, bytes]:
    """One interval of one meter with its own modem: topic and JSON."""
    serial = 240_000_000_000 + number
    reading = ProfileReading(
        serial=str(serial),
        point=metering_point(number),
        time=datetime.fromtimestamp(time / 1e6, VIET_NAM),
        interval_s=1800,
        seq=1,
        values=ProfileValues(int(energy_wh(np.array([number]), time)[0]), 10, number * 3, 512.0, 230.1),
    )
    return meter_topic(UNIT, DIRECT, serial, Subject.PROFILE), encode_message(reading)


def as_rows(ids: Numbers, times: Sequence[int]) -> ReadingArray:
    """The same readings as they are stored, sorted by time and meter; ``ids`` are those of meters 1..N."""
    numbers: Numbers = np.arange(1, len(ids) + 1, dtype=np.int64)
    rows = np.zeros(len(ids) * len(times), dtype=READING)
    for place, time in enumerate(sorted(times)):
        part = rows[place * len(ids) : (place + 1) * len(ids)]
        part["meter"] = ids
        part["time"] = time
        part["import_wh"] = energy_wh(numbers, time)
        part["export_wh"] = 10
        part["import_varh"] = numbers * 3
        part["power_w"] = 512
        part["voltage_dv"] = 2301
    rows["flag"] = QualityFlag.ACTUAL
    rows["method"] = Method.NONE
    return rows
