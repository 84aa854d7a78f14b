"""Fetches what a demo has to prove itself by: the database's counts, the processes' last states, the field's truth.

Knows where each number is found. Whether they add up is judged by ``scada.summary``.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from historian.history import History
from scada.hmi.processes import Process
from scada.summary import Stored, Summary, TelemetryTotals, faults_of_endings, faults_of_readings, faults_of_telemetry

TELLING = ("run", "collect")
"""The processes whose last state is part of the account."""


@dataclass(frozen=True, slots=True)
class Course:
    """How the demo went, as its conductor saw it.

    seen: the processes when the stations were last all watched; empty when it was stopped before anything ran ·
    restarts: of every process that was started · unclean: how those ended that did not end as they should.
    """

    seconds: float
    stations: int
    meters: int
    seen: Sequence[Process]
    restarts: Mapping[str, int]
    stopped_early: bool
    unclean: Mapping[str, str]


def stored(history: History) -> Stored:
    """What the database holds now."""
    samples, batch_rows = history.telemetry()
    counts, account = history.counts(), history.account()
    return Stored(
        samples=samples,
        batch_rows=batch_rows,
        readings=counts.readings,
        revisions=counts.revisions,
        account_received=account.received,
        account_stored=account.stored,
        account_revised=account.revised,
        account_duplicate=account.duplicate,
        account_rejected=sum(account.rejected.values()),
    )


def summarise(course: Course, before: Stored, history: History, var: Path, truth_file: Path) -> Summary:
    """The summary of a demo whose processes have ended."""
    growth = stored(history).since(before)
    truth = _read(truth_file)
    published = int(truth.get("readings", 0))
    present = history.readings_between(int(truth.get("first_end", 0)), int(truth.get("last_end", 0)))
    state_of = {each.name: each.state or {} for each in course.seen}
    last = {name: _last(var, name) for name in TELLING}
    samples = last["run"].get("samples", {})
    readings = (last["collect"] or state_of.get("collect", {})).get("readings", {})
    totals = TelemetryTotals(**{each.name: int(samples.get(each.name, 0)) for each in fields(TelemetryTotals)})
    run = state_of.get("run", {})
    stations_up = sum(each["state"] == "up" for each in run.get("stations", []))
    # Not what the head-end says: started again after a crash, it has forgotten whom it heard before.
    heard = history.counts(heard_since=int(truth["first_end"])).meters_heard if truth else 0
    return Summary(
        seconds=round(course.seconds, 1),
        stations=course.stations,
        stations_up=stations_up,
        points=int(run.get("points", 0)),
        samples_offered=totals.offered,
        samples_stored=totals.stored,
        samples_in_database=growth.samples,
        meters=course.meters,
        meters_heard=heard,
        readings_published=published,
        readings_received=growth.account_received,
        readings_stored=growth.account_stored + growth.account_revised,
        readings_revised=growth.account_revised,
        readings_duplicate=growth.account_duplicate,
        readings_rejected=growth.account_rejected,
        readings_in_database=growth.readings,
        max_lag_s=round(float(readings.get("max_lag_s", 0.0)), 3),
        restarts=dict(course.restarts),
        complete=stations_up == course.stations and heard == course.meters,
        stopped_early=course.stopped_early,
        faults=(
            *faults_of_telemetry(totals, growth, course.restarts.get("run", 0)),
            *faults_of_readings(growth, published, present),
            *faults_of_endings(course.unclean, [name for name in TELLING if state_of.get(name) and not last[name]]),
        ),
    )


def _last(var: Path, name: str) -> dict[str, Any]:
    return _read(var / "run" / f"{name}.last.json")


def _read(path: Path) -> dict[str, Any]:
    """A small JSON file; empty when it is not there, which is told as a fault where something is owed."""
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content
