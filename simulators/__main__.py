"""``python -m simulators``: the field without the field, for test benches, field teams and the demo.

Knows the command line, signals and exit codes: 0 stopped as asked, 1 could not be done, 2 files or words are wrong.
"""

import asyncio
import json
import os
import signal
from collections.abc import Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from scada.clock import now_us
from scada.config import SOURCE_ROOT
from scada.logs import set_up
from scada.model.errors import ConfigurationError, Fault, GridScadaError
from scada.model.station import Protocol, Station
from scada.stationfile import load_province, readdressed
from scada.tables import refuse_faults
from simulators.field import Field, FieldPlan, chosen_stations, load_maps
from simulators.fleet_mqtt import FleetPublisher
from simulators.fleet_run import FleetPlan, fleet_of, make_publisher, serve_fleet
from simulators.fleet_scenario import load_scenario
from simulators.grid_solver import GridSolver
from simulators.impairments import FaultSyntax, LinkFault, parse_fault
from simulators.opcua_security import missing_certificates
from simulators.own_connections import parts, serve_own_connections
from simulators.own_modems import ModemPlan
from simulators.plant import Plant
from simulators.registry_file import write_registry
from simulators.station_scenario import StationFault, check_against, link_faults

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="The simulated field: substations over Modbus TCP and OPC UA, meters over MQTT.",
)

FolderOption = Annotated[Path, typer.Option("--stations", help="Folder of stations, bay types and maps.")]
HostOption = Annotated[str, typer.Option("--host", help="Address to listen on.")]
SeedOption = Annotated[int, typer.Option("--seed", help="The same seed gives the same province.")]
PeriodOption = Annotated[float, typer.Option("--period", min=0.05, help="Seconds between two publications.")]
FaultOption = Annotated[
    list[str] | None,
    typer.Option("--fault", help="STATION=refuse|silent|cut[@START[:LENGTH]] in seconds, e.g. TN03=silent@30s:20s."),
]
ReadyOption = Annotated[Path | None, typer.Option("--ready-file", help="Written (JSON) once everything listens.")]
StateOption = Annotated[Path | None, typer.Option("--state-file", help="What was shown and told, every 5 s and last.")]
MetersOption = Annotated[int, typer.Option("--meters", min=0, help="Meters of the fleet; 0 = none.")]
MqttHostOption = Annotated[str, typer.Option("--mqtt-host", help="Broker of the meters.")]
MqttPortOption = Annotated[int, typer.Option("--mqtt-port", help="Port of the broker.")]
MqttUserOption = Annotated[str, typer.Option("--mqtt-user", help="Name at the broker.")]
PasswordFileOption = Annotated[
    Path | None, typer.Option("--password-file", help="File with the broker's password; else $SCADA_FIELD_PASSWORD.")
]
CaptureOption = Annotated[int, typer.Option("--capture-period", min=1, help="Seconds between two readings of a meter.")]
TruthOption = Annotated[
    Path | None, typer.Option("--truth-file", help="Written at the end (JSON, CSV beside it): what must be stored.")
]
ScenarioOption = Annotated[
    str, typer.Option("--scenario", help="What goes wrong: lossy, rough, backlog, fieldwork, or a TOML file.")
]
ExchangeOption = Annotated[
    Path | None, typer.Option("--exchange-file", help="Written (CSV) when a scenario exchanges meters.")
]

OwnOption = Annotated[
    bool, typer.Option("--own-connections", help="Every meter has its own modem and MQTT connection.")
]
StimuliOption = Annotated[
    Path | None, typer.Option("--stimuli", help="File (JSON) with values to show, for a point-to-point test.")
]

SecurityOption = Annotated[
    Path | None,
    typer.Option("--opcua-security", help="Folder of `scada pki opcua`: OPC UA with Basic256Sha256 and nothing else."),
]

DEFAULT_FOLDER = SOURCE_ROOT / "substations"
PASSWORD_VARIABLE = "SCADA_FIELD_PASSWORD"


@app.command()
def station(
    code: Annotated[str, typer.Argument(help="Code of the substation, e.g. TN07.")],
    modbus_port: Annotated[int | None, typer.Option("--modbus-port", help="Port; 0 = a free one.")] = None,
    opcua_port: Annotated[int | None, typer.Option("--opcua-port", help="Port; 0 = a free one.")] = None,
    folder: FolderOption = DEFAULT_FOLDER,
    host: HostOption = "127.0.0.1",
    seed: SeedOption = 1,
    period: PeriodOption = 1.0,
    fault: FaultOption = None,
    ready_file: ReadyOption = None,
    state_file: StateOption = None,
    scenario: ScenarioOption = "",
    stimuli: StimuliOption = None,
    opcua_security: SecurityOption = None,
) -> None:
    """One substation alone, with the whole province behind it."""

    async def serve() -> None:
        stop = _stop_on_signals()
        province = load_province(folder)
        (chosen,) = chosen_stations(province, (code,))
        port = _port_of(chosen, modbus_port, opcua_port)
        placed = replace(chosen, endpoint=replace(chosen.endpoint, host=host, port=port))
        disturbed = _scenario(scenario, (placed,))
        plan = FieldPlan(
            stations=(placed,),
            maps=load_maps(folder, (placed,)),
            period_s=period,
            faults=(*_faults(fault, (placed,)), *link_faults(disturbed)),
            ready_file=ready_file,
            state_file=state_file,
            scenario=disturbed,
            stimuli=stimuli,
            opcua_security=_certificates(opcua_security, (placed,)),
        )
        await _serve(plan, Plant(province, GridSolver(province), seed=seed, now=now_us()), None, stop)

    _run(serve())


@app.command()
def field(
    folder: FolderOption = DEFAULT_FOLDER,
    host: Annotated[str, typer.Option("--host", help="Address to listen on, with --base-port.")] = "127.0.0.1",
    base_port: Annotated[int, typer.Option("--base-port", help="Station n on this + n; 0 = as in its file.")] = 0,
    only: Annotated[str, typer.Option("--only", help="Stations, by comma: TN01,TN02.")] = "",
    seed: SeedOption = 1,
    period: PeriodOption = 1.0,
    fault: FaultOption = None,
    ready_file: ReadyOption = None,
    state_file: StateOption = None,
    meters: MetersOption = 0,
    mqtt_host: MqttHostOption = "127.0.0.1",
    mqtt_port: MqttPortOption = 1883,
    mqtt_user: MqttUserOption = "field",
    password_file: PasswordFileOption = None,
    capture_period: CaptureOption = 60,
    truth_file: TruthOption = None,
    scenario: ScenarioOption = "",
    opcua_security: SecurityOption = None,
) -> None:
    """All substations, and with --meters the fleet behind their feeders: an opened feeder's meters fall silent."""

    async def serve() -> None:
        stop = _stop_on_signals()
        province = load_province(folder)
        if base_port:
            province = readdressed(province, host=host, base_port=base_port)
        stations = chosen_stations(province, tuple(each.strip() for each in only.split(",") if each.strip()))
        disturbed = _scenario(scenario, stations)
        plan = FieldPlan(
            stations=stations,
            maps=load_maps(folder, stations),
            period_s=period,
            faults=(*_faults(fault, stations), *link_faults(disturbed)),
            ready_file=ready_file,
            state_file=state_file,
            truth_file=truth_file,
            scenario=disturbed,
            opcua_security=_certificates(opcua_security, stations),
        )
        publisher = None
        if meters:
            fleet = FleetPlan(meters, seed, mqtt_host, mqtt_port, mqtt_user, capture_period, truth_file, scenario)
            publisher = make_publisher(fleet, province, _password(password_file))
        await _serve(plan, Plant(province, GridSolver(province), seed=seed, now=now_us()), publisher, stop)

    _run(serve())


@app.command()
def fleet(
    meters: Annotated[int, typer.Option("--meters", min=1, help="How many meters.")] = 5000,
    host: Annotated[str, typer.Option("--host", help="Broker.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", help="Port of the broker.")] = 1883,
    user: Annotated[str, typer.Option("--user", help="Name at the broker.")] = "field",
    password_file: PasswordFileOption = None,
    capture_period: CaptureOption = 60,
    seed: SeedOption = 1,
    folder: FolderOption = DEFAULT_FOLDER,
    ready_file: ReadyOption = None,
    state_file: StateOption = None,
    truth_file: TruthOption = None,
    scenario: ScenarioOption = "",
    exchange_file: ExchangeOption = None,
    *,
    own_connections: OwnOption = False,
    processes: Annotated[int, typer.Option("--processes", min=1, help="With --own-connections.")] = 2,
) -> None:
    """The meters alone."""

    async def serve_modems() -> None:
        fleet_of(load_province(folder), meters=meters, seed=seed, own_connections=True)
        if scenario:
            load_scenario(scenario)
        plan = ModemPlan(
            meters, seed, 0, meters, host, port, user, "", capture_period, "modem", str(folder.resolve()), now_us(),
            _absolute(Path(scenario)) if scenario.endswith(".toml") else scenario,
            _absolute(truth_file), _absolute(exchange_file),
        )  # fmt: skip
        stop = _stop_on_signals()
        cut = parts(plan, processes)
        await serve_own_connections(cut, _password(password_file), stop, ready_file, state_file, truth_file)

    async def serve() -> None:
        plan = FleetPlan(
            meters, seed, host, port, user, capture_period, truth_file, scenario, exchange_file=exchange_file
        )
        publisher = make_publisher(plan, load_province(folder), _password(password_file))
        await serve_fleet(plan, publisher, _stop_on_signals(), ready_file, state_file)

    _run(serve_modems() if own_connections else serve())


@app.command()
def registry(
    out: Annotated[Path, typer.Option("--out", help="File to write (CSV).")],
    meters: Annotated[int, typer.Option("--meters", min=1, help="How many meters.")] = 5000,
    seed: SeedOption = 1,
    folder: FolderOption = DEFAULT_FOLDER,
    *,
    own_connections: OwnOption = False,
) -> None:
    """The fleet's registry, as the historian imports it; no meter is started."""

    async def write() -> None:
        made = fleet_of(load_province(folder), meters=meters, seed=seed, own_connections=own_connections)
        out.parent.mkdir(parents=True, exist_ok=True)
        typer.echo(f"{write_registry(made, out)} meters in {out}")

    _run(write())


async def _serve(plan: FieldPlan, plant: Plant, publisher: FleetPublisher | None, stop: asyncio.Event) -> None:
    async with Field(plan, plant, publisher) as running:
        for each in plan.stations:
            end = each.endpoint
            unit = f", unit {end.unit_id}" if end.protocol is Protocol.MODBUS else f"/{end.path.strip('/')}"
            scheme = "modbus.tcp" if end.protocol is Protocol.MODBUS else "opc.tcp"
            port = running.ports[each.code]
            typer.echo(f"{each.code} {scheme}://{end.host}:{port}{unit} ({len(each.points)} points)")
        typer.echo("ready " + json.dumps({"stations": len(plan.stations), "points": running.account.points}))
        await running.until(stop)


def _stop_on_signals() -> asyncio.Event:
    """Set by SIGINT or SIGTERM, from now on: also one that comes while everything is still being built."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    return stop


def _faults(written: list[str] | None, stations: tuple[Station, ...]) -> tuple[LinkFault, ...]:
    """The faults asked for. Raises FaultSyntax, or ConfigurationError for a station that is not simulated."""
    faults = tuple(parse_fault(text) for text in written or ())
    simulated = {each.code for each in stations}
    refuse_faults(
        [Fault("--fault", each.station, "is not simulated") for each in faults if each.station not in simulated]
    )
    return faults


def _certificates(folder: Path | None, stations: tuple[Station, ...]) -> Path | None:
    """The folder, when it holds what every OPC UA station needs. Raises ConfigurationError naming each missing file."""
    if folder is not None:
        secured = [each.code for each in stations if each.endpoint.protocol is Protocol.OPCUA]
        refuse_faults([fault for code in secured for fault in missing_certificates(code, folder)])
    return folder


def _scenario(name: str, stations: tuple[Station, ...]) -> tuple[StationFault, ...]:
    """What a scenario does to the stations. Raises ConfigurationError for names that none of them has."""
    if not name:
        return ()
    found: list[Fault] = []
    disturbed = load_scenario(name).station
    check_against(disturbed, stations, name, found)
    refuse_faults(found)
    return disturbed


def _port_of(chosen: Station, modbus_port: int | None, opcua_port: int | None) -> int:
    """The port asked for. Raises typer.BadParameter when it is one of the other protocol."""
    ports = {Protocol.MODBUS: modbus_port, Protocol.OPCUA: opcua_port}
    mine = ports.pop(chosen.endpoint.protocol)
    if any(each is not None for each in ports.values()):
        raise typer.BadParameter(f"{chosen.code} speaks {chosen.endpoint.protocol.value}")
    return chosen.endpoint.port if mine is None else mine


def _absolute(file: Path | None) -> str:
    """For processes that run in another folder; '' for none."""
    return str(file.resolve()) if file is not None else ""


def _password(password_file: Path | None) -> str:
    if password_file is not None:
        return password_file.read_text(encoding="utf-8").strip()
    return os.environ.get(PASSWORD_VARIABLE, "")


def _run(serving: Coroutine[None, None, None]) -> None:
    set_up()
    try:
        asyncio.run(serving)
    except ConfigurationError as error:
        for fault in error.faults:
            typer.echo(str(fault), err=True)
        raise typer.Exit(2) from None
    except FaultSyntax as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None
    except (GridScadaError, OSError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None


if __name__ == "__main__":
    app()
