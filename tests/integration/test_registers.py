"""Billing registers in the real database: what is in force, what was known on a day, and the table a person reads."""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path

import numpy as np
import psycopg
import pytest
from rich.console import Console
from typer.testing import CliRunner

from historian.models import import_models
from historian.registers import KnownRegister, RegisterHistory, Whose
from historian.store import HistorianStore
from meters.obis import BY_CODE
from scada.cli import app
from scada.hmi.registerlist import register_table
from scada.model.reading import REGISTER, QualityFlag, RegisterKind
from scada.services import supervisor
from scada.services.endpoints import Endpoints

pytestmark = pytest.mark.integration

MIDNIGHT = round(datetime(2026, 5, 31, 17, tzinfo=UTC).timestamp()) * 1_000_000
"""1 June 2026, 00:00 in Viet Nam."""
DAY = 86_400_000_000
HOUR = 3_600_000_000
TOTAL, NORMAL, PEAK = (BY_CODE[code].number for code in ("1-0:1.8.0", "1-0:1.8.1", "1-0:1.8.2"))


@pytest.fixture
def registers(database: str, tmp_path: Path) -> str:
    """Three meters; the first has two rates and a multiplier, and what it said of 1 June was corrected a day later."""
    models = tmp_path / "models.csv"
    models.write_text(
        "code,digits,wrap_kwh,capture_period_s,rates\nM2,6,,1800,1-0:1.8.1=BT 1-0:1.8.2=CD\n", encoding="utf-8"
    )
    import_models(database, models)
    with psycopg.connect(database) as connection:
        connection.execute(
            "INSERT INTO meter (serial, metering_point, unit, concentrator, feeder, class, multiplier, digits, "
            "installed_at, model) SELECT 2600000000 + n, 'P' || n, CASE n WHEN 3 THEN 'PN02' ELSE 'PN01' END, '', "
            "'TN01/471', 'business', CASE n WHEN 1 THEN 40 ELSE 1 END, 6, '2025-01-01Z', "
            "CASE n WHEN 1 THEN 'M2' ELSE '' END FROM generate_series(1, 3) n"
        )
    month, day = RegisterKind.MONTH_END, RegisterKind.DAILY
    say(database, (1, TOTAL, MIDNIGHT, 900, month), (1, NORMAL, MIDNIGHT, 600, month), (1, PEAK, MIDNIGHT, 300, month))
    say(database, (1, TOTAL, MIDNIGHT - DAY, 800, day), (2, TOTAL, MIDNIGHT, 70, day), (3, TOTAL, MIDNIGHT, 5, day))
    say(database, (1, PEAK, MIDNIGHT, 299, month, HOUR))
    with psycopg.connect(database) as connection:
        for table, known_at in (("register", MIDNIGHT + HOUR), ("register_revision", MIDNIGHT + DAY)):
            connection.execute(f"UPDATE {table} SET known_at = to_timestamp(%s)", (known_at / 1e6,))  # type: ignore[arg-type]  # one of two names
    return database


def say(dsn: str, *rows: tuple[int, ...]) -> None:
    """Registers of (meter, obis, time, value, kind), and how much later than the boundary they were counted."""
    batch = np.zeros(len(rows), dtype=REGISTER)
    for row, (meter, obis, time, value, kind, *late) in zip(batch, rows, strict=True):
        for name, content in (("meter", meter), ("obis", obis), ("time", time), ("value", value), ("kind", kind)):
            row[name] = content
        row["taken_at"], row["flag"] = time + sum(late), QualityFlag.ACTUAL
    with HistorianStore(dsn, worker="test", clock=lambda: MIDNIGHT + DAY) as store:
        store.write_registers(batch)


def values(found: tuple[KnownRegister, ...]) -> list[tuple[int, int, int, bool]]:
    return [(each.serial - 2_600_000_000, each.obis, each.value, each.in_force) for each in found]


def test_the_newest_boundary_of_a_meter_is_told_with_the_values_in_force(registers: str) -> None:
    with RegisterHistory(registers) as history:
        found = history.registers(Whose(serial=2_600_000_001))
        all_values = history.registers(Whose(metering_point="P1"), revisions=True)
    assert values(found) == [(1, TOTAL, 900, True), (1, NORMAL, 600, True), (1, PEAK, 299, True)]
    assert values(all_values)[2:] == [(1, PEAK, 300, False), (1, PEAK, 299, True)]
    last = all_values[-1]
    assert (last.time, last.taken_at, last.known_at) == (MIDNIGHT, MIDNIGHT + HOUR, MIDNIGHT + DAY)
    assert (last.kind, last.multiplier, last.source) == (RegisterKind.MONTH_END, 40, "test")
    assert last.rates == {"1-0:1.8.1": "BT", "1-0:1.8.2": "CD"}


def test_what_was_known_on_a_day_is_told_as_it_was(registers: str) -> None:
    with RegisterHistory(registers) as history:
        before = history.registers(Whose(serial=2_600_000_001), as_of=MIDNIGHT + DAY - 1, revisions=True)
        nothing_yet = history.registers(Whose(serial=2_600_000_001), as_of=MIDNIGHT)
    assert values(before) == [(1, TOTAL, 900, True), (1, NORMAL, 600, True), (1, PEAK, 300, True)]
    assert nothing_yet == ()


def test_a_unit_is_told_at_the_boundaries_of_a_span(registers: str) -> None:
    with RegisterHistory(registers) as history:
        yesterday = history.registers(Whose(unit="PN01"), between=(MIDNIGHT - DAY, MIDNIGHT))
        today = history.registers(Whose(unit="PN01"), between=(MIDNIGHT, MIDNIGHT + DAY))
        newest = history.registers(Whose(unit="PN02"))
        cut = history.registers(Whose(unit="PN01"), between=(MIDNIGHT, MIDNIGHT + DAY), limit=2)
    assert values(yesterday) == [(1, TOTAL, 800, True)]
    assert [(meter, value) for meter, _, value, _ in values(today)] == [(1, 900), (1, 600), (1, 299), (2, 70)]
    assert values(newest) == [(3, TOTAL, 5, True)]
    assert cut == today[:2]


def test_a_person_reads_which_rate_it_is_since_when_it_is_known_and_what_it_replaced(registers: str) -> None:
    with RegisterHistory(registers) as history:
        found = history.registers(Whose(serial=2_600_000_001), revisions=True)
    english, vietnamese = (table_lines(found, language) for language in ("en", "vi"))
    assert len(english) == 5
    assert english[3].endswith("300 Wh × 40 exact A 01.06.2026 01:00:00 replaced")
    assert english[4] == (
        "P1 2600000001 01.06.2026 00:00:00 month end 1-0:1.8.2 Active energy import, peak hours 299 Wh × 40 "
        "+3,600 s A 02.06.2026 00:00:00 revision from test"
    )
    assert vietnamese[4] == (
        "P1 2600000001 01.06.2026 00:00:00 chốt tháng 1-0:1.8.2 Điện năng hữu công giao, giờ cao điểm 299 Wh × 40 "
        "+3,600 s A 02.06.2026 00:00:00 bản sửa từ test"
    )


def table_lines(found: Sequence[KnownRegister], language: str) -> list[str]:
    console = Console(record=True, width=250, file=StringIO())
    console.print(register_table(found, language, "Asia/Ho_Chi_Minh"))
    return [" ".join(each.split()) for each in console.export_text().splitlines()]


def test_the_command_tells_registers_of_whom_it_is_asked_for(
    registers: str, endpoints: Endpoints, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    own = replace(endpoints, postgres_reader_dsn=registers)
    monkeypatch.setattr(supervisor, "endpoints", lambda _: own)
    config = tmp_path / "config.toml"
    config.write_text('var = "var"\nlanguage = "vi"\n', encoding="utf-8")

    def told(*words: str, code: int = 0) -> str:
        done = CliRunner().invoke(app, ["--config", str(config), "meters", "registers", *words])
        assert done.exit_code == code, done.output
        return done.output.strip()

    assert told("2600000001", "--revisions").endswith("3 chỉ số của 1 công tơ, 1 giá trị đã thay.")
    found = json.loads(told("--point", "P1", "--json", "--known-at", "2026-06-01T12:00"))
    assert [(each["code"], each["rate"], each["value"], each["unit"]) for each in found] == [
        ("1-0:1.8.0", "", 900, "Wh"),
        ("1-0:1.8.1", "BT", 600, "Wh"),
        ("1-0:1.8.2", "CD", 300, "Wh"),
    ]
    assert [each["value"] for each in json.loads(told("--unit", "PN01", "--date", "2026-05-31", "--json"))] == [800]
    assert "xem --limit (hiện là 2)" in told("--unit", "PN01", "--limit", "2")
    assert told("--point", "P9", code=1) == "Chưa có chỉ số chốt nào."
    assert "name one of these" in told("--point", "P1", "--unit", "PN01", code=2)
    assert "is no day like" in told("--unit", "PN01", "--date", "31.5.", code=2)
