"""Compression where the edition can: closed days only, one at a time; elsewhere nothing, and it is said."""

from dataclasses import dataclass, field

import psycopg
import pytest

from historian.compression import Compressed, compress_closed_days, compress_days, readings_of
from historian.queries import query
from scada.commands.meterfigures import compression_sentence

DAYS = ("day.reading_1", "day.reading_2")


@dataclass
class FakeReadings:
    """A hypertable that keeps what is done to it."""

    says: str
    days: tuple[str, ...] = DAYS
    done: list[str] = field(default_factory=list)

    def license(self) -> str:
        return self.says

    def open_days(self, before: int) -> tuple[str, ...]:
        self.done.append(f"days before {before}")
        return self.days

    def declare(self) -> None:
        self.done.append("declared")

    def compress(self, chunk: str) -> None:
        self.done.append(chunk)


def test_closed_days_are_compressed_one_at_a_time_after_it_was_declared_how() -> None:
    readings = FakeReadings("timescale")
    assert compress_closed_days(readings, 7) == Compressed(allowed=True, days=DAYS)
    assert readings.done == ["days before 7", "declared", *DAYS]


def test_where_no_day_is_closed_nothing_is_declared() -> None:
    readings = FakeReadings("timescale", ())
    assert compress_closed_days(readings, 7) == Compressed(allowed=True)
    assert readings.done == ["days before 7"]


@pytest.mark.parametrize("says", ["apache", "", "something new"])
def test_another_edition_is_left_alone(says: str) -> None:
    readings = FakeReadings(says)
    assert compress_closed_days(readings, 7) == Compressed(allowed=False)
    assert readings.done == []


@pytest.mark.parametrize(
    ("says", "compressed", "sentence"),
    [
        ("apache", 0, "Compression: none; this edition of TimescaleDB (apache) has none."),
        ("timescale", 3, "Compression: 3 of 10 days of readings are compressed."),
    ],
)
def test_the_storage_command_says_what_is_compressed(says: str, compressed: int, sentence: str) -> None:
    assert compression_sentence(says, compressed, 10, "en") == sentence


@pytest.mark.integration
def test_the_real_server_of_this_edition_is_asked_and_left_alone(database: str) -> None:
    with psycopg.connect(database) as connection:
        connection.execute(
            "INSERT INTO reading (time, import_wh, export_wh, import_varh, meter, power_w, voltage_dv, status, flag, "
            "method) VALUES ('2026-01-01Z', 1, 0, 0, 1, 1, 2300, 0, 65, 0)"
        )
    assert compress_days(database, 1_900_000_000_000_000) == Compressed(allowed=False)
    with readings_of(database) as readings:
        (day,) = readings.open_days(1_900_000_000_000_000)
        assert readings.open_days(1_000_000_000_000_000) == ()
        for step in (readings.declare, lambda: readings.compress(day)):
            with pytest.raises(psycopg.errors.FeatureNotSupported, match="apache"):
                step()


def test_how_readings_are_compressed_is_told_by_meter_and_time() -> None:
    text = query("declare_compression").decode()
    assert "timescaledb.compress_segmentby = 'meter'" in text
    assert "timescaledb.compress_orderby = 'time'" in text
