"""Quarantine as a waiting room: what an unknown meter said is accepted once the registry knows the meter."""

from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from historian.readmission import WaitingRoom
from historian.registry import import_meters
from historian.store import HistorianStore
from meters.ingest import take
from meters.message import Message
from meters.opened import RECORDS_KEPT
from meters.registry import build_registry
from meters.settlement import Settlement
from meters.validate import Limits
from scada.config import HeadEndConfig
from scada.readmission import Readmission
from tests.fakes_meters import (
    INTERVAL,
    NOW,
    batch_message,
    event_message,
    point_of,
    profile_message,
    register_message,
    serial_of,
)

pytestmark = pytest.mark.integration

LIMITS = Limits(NOW)
HEADER = "serial,metering_point,unit,concentrator,feeder,class,multiplier,digits,installed_at\n"
MANY = RECORDS_KEPT + 10


def register(dsn: str, folder: Path, numbers: range) -> None:
    rows = (f"{serial_of(n)},{point_of(n)},PC01,,,residential,1,6,2025-01-01T00:00:00+07:00\n" for n in numbers)
    (folder / "meters.csv").write_text(HEADER + "".join(rows), encoding="utf-8")
    assert import_meters(dsn, folder / "meters.csv").faults == ()


def receive(store: HistorianStore, messages: list[Message]) -> None:
    """What the head-end does with messages."""
    intake = take(messages, build_registry(store.registered_meters()), LIMITS, 1 << 20)
    Settlement(messages, intake, 0, store).advance()


def rows(dsn: str, table: str) -> int:
    with psycopg.connect(dsn) as connection:
        row = connection.execute(f"SELECT count(*) FROM {table}").fetchone()  # type: ignore[arg-type]  # names of ours
    assert row is not None
    return int(row[0])


def test_what_unknown_meters_said_is_stored_when_they_are_registered_and_not_before(
    database: str, tmp_path: Path
) -> None:
    with HistorianStore(database, worker="test", clock=lambda: NOW) as store, WaitingRoom(database) as room:
        readmission = Readmission(room, store, HeadEndConfig(), lambda: NOW)
        register(database, tmp_path, range(900, 901))
        said = [
            profile_message(1),
            batch_message(range(2, MANY + 2)),
            event_message(1),
            register_message(1, {"1-0:1.8.0": 5, "1-0:1.8.1": 3}),
            received_later(batch_message([900, 2]), INTERVAL),
        ]
        receive(store, said)
        assert (rows(database, "reading"), readmission.look(), readmission.look()) == (1, 0, 0)
        register(database, tmp_path, range(1, MANY))
        assert readmission.look() == 1 + (MANY - 2) + 1 + 2 + 1
        assert (rows(database, "reading"), rows(database, "meter_event")) == (1 + 1 + (MANY - 2), 1)
        assert rows(database, "register") == 2
        register(database, tmp_path, range(MANY, MANY + 2))
        readmission.look()
        assert (rows(database, "reading"), rows(database, "quarantine")) == (1 + 1 + MANY, 0)


def received_later(message: Message, by: int) -> Message:
    """The same message as received later: another entry of the quarantine."""
    return message._replace(received_at=message.received_at + by)


def test_a_reading_that_grew_too_old_in_quarantine_stays_there(database: str, tmp_path: Path) -> None:
    later = NOW + 90 * 86_400_000_000
    with HistorianStore(database, worker="test", clock=lambda: NOW) as store, WaitingRoom(database) as room:
        receive(store, [profile_message(1)])
        register(database, tmp_path, range(1, 2))
        readmission = Readmission(room, store, replace(HeadEndConfig(), future_s=1.0), lambda: later)
        assert (readmission.look(), rows(database, "quarantine"), rows(database, "reading")) == (0, 1, 0)


def test_what_a_head_end_refused_with_an_older_registry_is_looked_at_once_more(database: str, tmp_path: Path) -> None:
    moments = iter([NOW, NOW + 1_000_000, NOW + 41_000_000, NOW + 42_000_000])
    with HistorianStore(database, worker="test", clock=lambda: NOW) as store, WaitingRoom(database) as room:
        older = build_registry(store.registered_meters())
        register(database, tmp_path, range(1, 4))
        readmission = Readmission(room, store, HeadEndConfig(registry_reload_s=30.0), lambda: next(moments))
        assert readmission.look() == 0
        for number in (1, 2, 3):
            message = [profile_message(number)]
            Settlement(message, take(message, older, LIMITS, 1 << 20), 0, store).advance()
            assert rows(database, "quarantine") == 1
            # The third comes when no head-end has the older registry any more: it waits for the next meter.
            assert readmission.look() == (0 if number == 3 else 1)
            assert rows(database, "reading") == min(number, 2)
