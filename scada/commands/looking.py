"""``scada status``, ``points``, ``watch``: looking, never touching."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Annotated

import msgspec
import typer
from rich.console import Group
from rich.live import Live

from scada.commands.context import FAILED, config_of, config_path, told_failures
from scada.commands.verify import verify
from scada.config import Config
from scada.files import Installation, load_installation
from scada.hmi.alarmlist import alarm_lines
from scada.hmi.deskwords import told
from scada.hmi.language import say
from scada.hmi.overview import figures, station_line
from scada.hmi.processes import Process, ask, processes
from scada.hmi.screen import paper
from scada.hmi.stationview import point_list, present_values
from scada.model.errors import GridScadaError
from scada.model.point import Point
from scada.model.station import Station
from scada.services import supervisor
from scada.services.endpoints import ServiceStatus, State
from scada.tables import nearest

Json = Annotated[bool, typer.Option("--json", help="As one JSON object.")]
StationCode = Annotated[str, typer.Argument(metavar="STATION", help="Code of the substation, e.g. TN07.")]


class NotKnown(GridScadaError):
    """No station or point of this name."""


def status(context: typer.Context, *, as_json: Json = False) -> None:
    """What runs and how it goes; exit code 1 when a service or process is missing."""
    with told_failures():
        config = config_of(context)
        services = supervisor.status(config)
    running = processes(config.var)
    missing = any(each.state is not State.ANSWERING for each in services) or any(each.state is None for each in running)
    if as_json:
        body = {
            "services": {each.name: asdict(each) for each in services},
            "processes": {each.name: each.state or {"missing": each.why} for each in running},
        }
        typer.echo(msgspec.json.encode(body).decode())
    else:
        _print_status(config, services, running)
    if missing:
        raise typer.Exit(FAILED)


def points(
    context: typer.Context,
    station: StationCode,
    *,
    compare: Annotated[
        bool, typer.Option("--verify", help="Compare the maps with the station itself; reads only.")
    ] = False,
    as_json: Json = False,
) -> None:
    """The points of a station as its files describe them; with --verify, whether its maps fit it."""
    with told_failures():
        installation = load_installation(config_path(context))
        found = _station(installation, station)
        if compare:
            verify(installation, found, as_json=as_json)
            return
    if as_json:
        typer.echo(msgspec.json.encode([asdict(point) for point in found.shown_points]).decode())
        return
    out = paper()
    out.print(point_list(found, installation.config.language))
    language = installation.config.language
    counts = say(
        "{} points, {}; {} computed", language, len(found.points), found.endpoint.protocol.value, len(found.derived)
    )
    out.print(f"{found.code} {found.title_vi if language == 'vi' else found.title_en}: {counts}")


def watch(
    context: typer.Context,
    station: StationCode,
    bay: Annotated[str, typer.Option("--bay", help="Only this bay, e.g. 171.")] = "",
    *,
    once: Annotated[bool, typer.Option("--once", help="Print once and end.")] = False,
) -> None:
    """The present values of a station, from the running `scada run`, every second until Ctrl-C."""
    with told_failures():
        installation = load_installation(config_path(context))
        found = _station(installation, station)
        known = {point.name: point for point in found.shown_points if bay in ("", point.bay)}
        if not known:
            bays = [each.name for each in found.bays]
            raise NotKnown(f"{found.code} has no bay {bay!r}{nearest(bay, bays)}")
        if once:
            paper().print(_present(installation, found, known, {}))
            return
        _watch_until_stopped(installation, found, known)


def nearest_point(name: str, known: Mapping[str, Point]) -> str:
    """Only within the named bay or station: a thousand names are no help."""
    for depth in (2, 1):
        prefix = "/".join(name.split("/")[:depth])
        near = [each for each in known if each.startswith(f"{prefix}/")]
        if near:
            return nearest(name, near) if len(near) < 100 else f"; see scada points {prefix}"
    return "; names look like TN07/171/current_l1"


def _station(installation: Installation, code: str) -> Station:
    # Those this installation works with answer where its configuration says.
    stations = {each.code: each for each in (*installation.province.stations, *installation.stations)}
    if code not in stations:
        raise NotKnown(f"no station {code!r}{nearest(code, list(stations))}")
    return stations[code]


def _present(
    installation: Installation, station: Station, known: Mapping[str, Point], before: dict[str, float]
) -> Group:
    try:
        answer = ask(installation.config.var, "run", f"/api/v1/stations/{station.code}/points")
    except KeyError as error:
        raise NotKnown(str(error.args[0])) from None
    rows = [row for row in answer["points"] if row["name"] in known]
    changed = {row["name"] for row in rows if before.get(row["name"], row["value"]) != row["value"]}
    before.update({row["name"]: row["value"] for row in rows})
    language, zone = installation.config.language, installation.config.time_zone
    table = present_values(known, rows, language=language, zone=zone, changed=changed)
    return Group(alarm_lines(answer["alarms"], language, zone), table)


def _watch_until_stopped(installation: Installation, station: Station, known: Mapping[str, Point]) -> None:
    before: dict[str, float] = {}
    with Live(auto_refresh=False, screen=True) as live:
        while True:
            try:
                live.update(_present(installation, station, known, before), refresh=True)
                time.sleep(1.0)
            except KeyboardInterrupt:
                return


def _print_status(config: Config, services: Sequence[ServiceStatus], running: Sequence[Process]) -> None:
    out, language = paper(), config.language
    out.print(config.name, style="bold")
    states = {each.name: each.state for each in running}
    control = (states.get("run") or {}).get("control") or {}
    out.print(alarm_lines(control.get("alarms", ()), language, config.time_zone), end="")
    if why := (states.get("run") or {}).get("no_desk"):
        words = say("stations are watched, nothing can be operated: {}", language, told(why, language))
        out.print(words, style="bold red", markup=False)
    for service in services:
        colour = "green" if service.state is State.ANSWERING else "red"
        out.print(
            f"  {service.name:9} [{colour}]{say(service.state.value, language)}[/] {service.address} {service.detail}"
        )
    for each in running:
        out.print(
            f"  {each.name:9} " + (f"[green]{say('running', language)}[/]" if each.state else f"[red]{each.why}[/]")
        )
    for label, value in figures(states, language):
        out.print(f"  {label:18} {value}", markup=False)
    if (line := station_line(states.get("run"))) is not None:
        out.print(line)
