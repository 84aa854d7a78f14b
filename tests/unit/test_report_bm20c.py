"""The report on remote operation: what counts, what is a success, in which month, why not."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from scada.control.report_bm20c import (
    ATTENDED,
    Attendance,
    Figures,
    Override,
    RemoteOperation,
    attendances,
    bm20c,
    month_bounds,
    overrides,
    remote_operations,
)
from scada.hashchain import HashChain, entries

ZONE = "Asia/Ho_Chi_Minh"
NOVEMBER = 1_793_466_000_000_000
"""2026-11-01 00:00 in Vietnam, 2026-10-31 17:00 UTC."""
DAY = 86_400_000_000


def chain_of(path: Path, *written: tuple[str, Mapping[str, Any], int]) -> Path:
    with HashChain(path) as chain:
        for kind, body, time in written:
            chain.append(kind, body, time)
    return path


def command(
    name: str, time: int, *, target: str = "TN01/471", sent: bool = True, outcome: str = "completed", cause: str = ""
) -> list[tuple[str, Mapping[str, Any], int]]:
    refusals = [{"label": cause}] if cause else []
    told: list[tuple[str, Mapping[str, Any], int]] = [
        ("received", {"id": name, "target": target, "action": "open"}, time)
    ]
    told += [("execute", {"id": name}, time + 1)] if sent else []
    return [*told, ("outcome", {"id": name, "outcome": outcome, "refusals": refusals}, time + 2)] if outcome else told


def test_the_month_begins_at_local_midnight() -> None:
    assert month_bounds("2026-11", ZONE) == (NOVEMBER, NOVEMBER + 30 * DAY)
    assert month_bounds("2026-12", ZONE) == (NOVEMBER + 30 * DAY, NOVEMBER + 61 * DAY)
    with pytest.raises(ValueError, match="unconverted data remains: 3"):
        month_bounds("2026-13", ZONE)


def test_the_journal_is_read_as_commands(tmp_path: Path) -> None:
    path = chain_of(
        tmp_path / "000001.jsonl",
        ("tenure", {"token": 1}, 1),
        *command("a", 10),
        *command("b", 20, sent=False, outcome="refused", cause="blocked by interlocking"),
        ("received", {"id": "t", "target": "", "action": ""}, 30),
        ("received", {"id": "m", "do": "supply", "target": "2600001", "action": "disconnect"}, 35),
        *command("c", 40, outcome=""),
    )

    assert remote_operations(entries(path)) == [
        RemoteOperation("a", "TN01/471", "open", 10, 11, "completed"),
        RemoteOperation("b", "TN01/471", "open", 20, 0, "refused", "blocked by interlocking"),
        RemoteOperation("c", "TN01/471", "open", 40, 41),
    ]


def test_only_what_left_for_the_device_counts_and_only_the_proven_is_a_success(tmp_path: Path) -> None:
    path = chain_of(
        tmp_path / "000001.jsonl",
        *command("october", NOVEMBER - 10),
        *command("good", NOVEMBER),
        *command("no", NOVEMBER + 10, outcome="refused", cause="blocked by health"),
        *command("lost", NOVEMBER + 20, outcome="unknown", cause="aborted by communication loss"),
        *command("kept", NOVEMBER + 30, sent=False, outcome="refused", cause="blocked by interlocking"),
        *command("other", NOVEMBER + 40, target="TN02/171"),
        *command("open", NOVEMBER + 50, outcome=""),
        *command("december", NOVEMBER + 30 * DAY),
    )
    gone = [Attendance(NOVEMBER + 5, "TN01/471", "drive does not answer"), Attendance(NOVEMBER - 5, "TN02", "x")]
    found = bm20c(remote_operations(entries(path)), gone, [], "2026-11", ["TN01", "TN02", "TN03"], ZONE)

    failures = {"blocked by health": 1, "aborted by communication loss": 1, "outcome not known yet": 1}
    kept = {"blocked by interlocking": 1}
    assert found.in_month == Figures(5, 2, failures, kept, 1)
    assert found.since_commissioning == Figures(6, 3, failures, kept, 2)
    assert found.by_station == {
        "TN01": Figures(4, 1, failures, kept, 1),
        "TN02": Figures(1, 1, {}, {}, 0),
        "TN03": Figures(0, 0, {}, {}, 0),
    }
    assert found.attendances == (gone[0],)
    assert found.in_month.rate_percent == 40.0
    assert found.by_station["TN03"].rate_percent is None
    assert found.in_month.report() == {
        "operations": 5,
        "successes": 2,
        "rate_percent": 40.0,
        "failures": failures,
        "refused_before": kept,
        "attended": 1,
    }


def test_attendances_are_read_from_their_chain(tmp_path: Path) -> None:
    path = chain_of(tmp_path / "attendance.jsonl", (ATTENDED, {"target": "TN01", "reason": "door"}, 7), ("x", {}, 8))

    assert attendances(entries(path)) == [Attendance(7, "TN01", "door")]


def test_the_month_tells_who_operated_alone(tmp_path: Path) -> None:
    def alarm(time: int, event: str) -> tuple[str, Mapping[str, Any], int]:
        return "alarm", {"event": event, "subject": "TN01/471", "sentence": f"{event} at {time}"}, time

    alone = "emergency override"
    path = chain_of(
        tmp_path / "000001.jsonl",
        *(alarm(NOVEMBER - 1, alone), alarm(NOVEMBER + 1, alone), alarm(NOVEMBER + 2, "fail to operate")),
    )
    found = bm20c([], [], overrides(entries(path)), "2026-11", ["TN01"], ZONE)

    assert found.overrides == (Override(NOVEMBER + 1, "TN01/471", f"{alone} at {NOVEMBER + 1}"),)
