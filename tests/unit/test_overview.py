"""The overview shows each figure of the processes' state, and says of a silent process why."""

import io
from typing import Any

from rich.console import Console

from scada.hmi.overview import figures, overview, overview_line, station_line
from scada.hmi.processes import Process


def station(code: str, state: str, points_per_s: float) -> dict[str, Any]:
    return {"code": code, "state": state, "points_per_s": points_per_s}


def samples(**changes: Any) -> dict[str, Any]:
    return {"stored": 12_345, "spooled": 0, "waiting": 0, "rejected": 0, "dropped": 0, "last_error": "", **changes}


RUN = {
    "stations": [station("TN01", "up", 400.0), station("TN02", "connecting", 0.0), station("TN03", "lost", 0.4)],
    "points": 1_900,
    "samples": samples(),
}
COLLECT = {
    "readings": {
        "meters_heard": 4_999,
        "meters_registered": 5_000,
        "stored": 20_000,
        "duplicate": 3,
        "rejected": {"no_zone": 2, "negative": 5},
        "lag_s": 0.26,
        "max_lag_s": 1.04,
    }
}
JOBS = {"active": True}
FIGURES = [
    ("stations up", "1/3"),
    ("points/s", "400 of 1,900 points"),
    ("samples stored", "12,345"),
    ("meters heard", "4,999/5,000"),
    ("readings", "20,000 stored, 3 duplicate, 7 rejected"),
    ("lag", "0.3 s (longest 1.0 s)"),
    ("jobs", "active"),
]


def process(name: str, state: dict[str, Any] | None, why: str = "") -> Process:
    return Process(name, 1 if state else None, state, why)


ALL = [process("run", RUN), process("collect", COLLECT), process("jobs", JOBS)]


def as_text(view: Any) -> str:
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(view)
    return console.export_text()


def test_every_figure_of_all_processes_in_order() -> None:
    assert list(figures({"run": RUN, "collect": COLLECT, "jobs": JOBS}, "en")) == FIGURES


def test_a_process_that_is_silent_has_no_figures() -> None:
    assert list(figures({"run": None, "collect": COLLECT, "jobs": None}, "en")) == FIGURES[3:6]
    assert list(figures({}, "en")) == []


def test_jobs_that_wait_for_their_turn_are_on_standby() -> None:
    assert list(figures({"jobs": {"active": False}}, "en")) == [("jobs", "standby")]


def test_a_chase_of_gaps_that_rests_is_told_with_the_reason() -> None:
    resting = {**COLLECT, "requests": {"last_error": "the database is away"}}
    assert dict(figures({"collect": resting}, "en"))["gap chase"] == "resting: the database is away"
    assert "gap chase" not in dict(figures({"collect": {**COLLECT, "requests": {"last_error": ""}}}, "en"))


def test_samples_held_back_are_told_with_the_reason() -> None:
    held = {**RUN, "samples": samples(spooled=1_200, waiting=30, rejected=2, dropped=1, last_error="the disk is full")}
    assert dict(figures({"run": held}, "en"))["samples stored"] == (
        "12,345, 1,200 spooled, 30 waiting, 2 rejected, 1 dropped, the disk is full"
    )


def test_the_line_for_a_pipe_has_the_time_and_every_figure() -> None:
    assert overview_line(ALL, 3_725.9, "en") == "1:02:05  " + " · ".join(f"{label} {value}" for label, value in FIGURES)


def test_stations_are_coloured_by_their_state() -> None:
    line = station_line(RUN)
    assert line is not None
    assert line.plain == "TN01 TN02 TN03 "
    assert [str(span.style) for span in line.spans] == ["green", "yellow", "bold red"]
    assert station_line(None) is None


def test_the_view_shows_figures_stations_silence_and_notices() -> None:
    silent = process("jobs", None, "scada jobs is not running (no var/run/jobs.json)")
    text = as_text(
        overview("Điện lực Thái Nguyên", [*ALL[:2], silent], 61.0, ["postgres had died", "it is back"], "en")
    )
    lines = [line.strip() for line in text.splitlines()]
    assert lines[0] == "Điện lực Thái Nguyên  0:01:01"
    assert [line.split("  ")[0] for line in lines[1:7]] == [label for label, _ in FIGURES[:6]]
    assert lines[7:] == ["TN01 TN02 TN03", silent.why, "postgres had died", "it is back"]


def test_the_view_of_nothing_is_its_heading_and_the_reasons() -> None:
    lines = as_text(overview("test", [process("run", None, "not running")], 0.0, [], "en")).split()
    assert lines == ["test", "0:00:00", "not", "running"]
