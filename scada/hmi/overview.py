"""One look at everything that runs: the demo's live view and its one-line form for a pipe.

Knows the fields of the processes' state. Does not fetch it.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from scada.hmi.language import say
from scada.hmi.processes import Process

State = Mapping[str, Any]


def overview(
    name: str, processes: Sequence[Process], elapsed_s: float, notices: Sequence[str], language: str
) -> RenderableType:
    """Everything on about half a screen; ``notices`` are the newest sentences, last one newest."""
    states = {each.name: each.state for each in processes}
    head = Text.assemble((name, "bold"), f"  {_clock(elapsed_s)}")
    table = Table(box=None, show_header=False, padding=(0, 2))
    for label, value in figures(states, language):
        table.add_row(label, value)
    silent = [each.why for each in processes if each.state is None]
    rows: list[RenderableType] = [head, table]
    stations = station_line(states.get("run"))
    if stations is not None:
        rows.append(stations)
    rows += [Text(why, style="yellow") for why in silent]
    rows += [Text(notice, style="dim") for notice in notices]
    return Group(*rows)


def overview_line(processes: Sequence[Process], elapsed_s: float, language: str) -> str:
    """The same figures in one line."""
    states = {each.name: each.state for each in processes}
    return f"{_clock(elapsed_s)}  " + " · ".join(f"{label} {value}" for label, value in figures(states, language))


def figures(states: Mapping[str, State | None], language: str) -> Iterable[tuple[str, str]]:
    """Label and value of every figure that is known now."""
    run, collect, jobs = states.get("run"), states.get("collect"), states.get("jobs")
    if run is not None:
        stations, samples = run["stations"], run["samples"]
        up = sum(each["state"] == "up" for each in stations)
        yield say("stations up", language), f"{up}/{len(stations)}"
        per_s = sum(each["points_per_s"] for each in stations)
        yield say("points/s", language), f"{per_s:,.0f} {say('of {} points', language, format(run['points'], ','))}"
        yield say("samples stored", language), f"{samples['stored']:,}{_held(samples, language)}"
    if collect is not None:
        readings = collect["readings"]
        yield say("meters heard", language), f"{readings['meters_heard']:,}/{readings['meters_registered']:,}"
        rejected = sum(readings["rejected"].values())
        counts = (f"{each:,}" for each in (readings["stored"], readings["duplicate"], rejected))
        yield say("readings", language), say("{} stored, {} duplicate, {} rejected", language, *counts)
        lags = (f"{readings[each]:.1f}" for each in ("lag_s", "max_lag_s"))
        yield say("lag", language), say("{} s (longest {} s)", language, *lags)
        if why := collect.get("requests", {}).get("last_error"):
            yield say("gap chase", language), say("resting: {}", language, why)
    control = (run.get("control") or {}) if run is not None else {}
    if run is not None and control:
        ready = len(run["stations"]) - len(control["not_ready"])
        yield say("can be operated", language), f"{ready}/{len(run['stations'])}"
    if alarms := control.get("alarms"):
        yield say("alarm", language), say("{} not acknowledged (scada alarms)", language, len(alarms))
    if jobs is not None:
        yield say("jobs", language), say("active" if jobs["active"] else "standby", language)


def station_line(run: State | None) -> Text | None:
    """Every station's code, green while up, yellow while connecting, red while lost."""
    if run is None:
        return None
    colours = {"up": "green", "connecting": "yellow"}
    line = Text()
    for each in run["stations"]:
        line.append(f"{each['code']} ", style=colours.get(each["state"], "bold red"))
    return line


def _held(samples: State, language: str) -> str:
    held = [
        f"{samples[name]:,} {say(name, language)}"
        for name in ("spooled", "waiting", "rejected", "dropped")
        if samples[name]
    ]
    trouble = [samples["last_error"]] if samples["last_error"] else []
    return "".join(f", {each}" for each in held + trouble)


def _clock(seconds: float) -> str:
    return str(timedelta(seconds=int(seconds)))
