"""``scada meters``: the registry of installed meters, and everything that is asked and told about them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, TypeVar
from zoneinfo import ZoneInfo

import typer
from rich.console import Console
from rich.table import Table

from historian.exchange import ExchangeImport, Installation, import_exchanges, installations
from historian.models import ModelImport, import_models
from historian.registry import RegistryImport, import_meters
from scada.commands import meterasking, meterfigures
from scada.commands.context import FAILED, config_of, told_failures
from scada.commands.metergaps import gaps
from scada.commands.meterregisters import registers
from scada.commands.moments import TO_THE_MINUTE, shown
from scada.hmi.language import say
from scada.services import supervisor

app = typer.Typer(no_args_is_help=True, help="Meters: registry, gaps, requests, outages, figures.")

for command in (
    gaps,
    meterasking.read,
    meterasking.clock,
    meterasking.events,
    meterasking.disconnect,
    meterasking.reconnect,
    meterfigures.kpi,
    meterfigures.outages,
    meterfigures.snapshot,
    registers,
    meterfigures.customers,
    meterfigures.export,
    meterfigures.storage,
):
    app.command()(command)

FAULTS_SHOWN = 50

_Outcome = TypeVar("_Outcome", RegistryImport, ExchangeImport, ModelImport)
DryRun = Annotated[bool, typer.Option("--dry-run", help="Tell what would happen and change nothing.")]


@app.command("import")
def import_list(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="CSV; see docs/setup.md.")],
    *,
    dry_run: DryRun = False,
) -> None:
    """Bring a list of installed meters into the registry; rows with faults are left out and told."""
    with _taken_in(context, import_meters, file, dry_run=dry_run) as (outcome, language):
        counts = (outcome.added, outcome.changed, outcome.unchanged)
        would = "{} would be added, {} would be changed, {} unchanged"
        _out().print(say(would if dry_run else "{} added, {} changed, {} unchanged", language, *counts))


@app.command("exchange")
def exchange(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="CSV; columns in historian/exchange.py.")],
    *,
    dry_run: DryRun = False,
) -> None:
    """Carry out a list of meter exchanges, with end and start registers; rows with faults are left out and told."""
    with _taken_in(context, import_exchanges, file, dry_run=dry_run) as (outcome, language):
        done = "{} meters would be exchanged" if dry_run else "{} meters exchanged"
        _out().print(say(done, language, outcome.done))


@app.command("models")
def models(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="CSV: code,digits,wrap_kwh,capture_period_s,rates; see docs/meters.md.")],
    *,
    dry_run: DryRun = False,
) -> None:
    """Bring a list of meter models into the registry; rows with faults are left out and told."""
    with _taken_in(context, import_models, file, dry_run=dry_run) as (outcome, language):
        done = "{} models would be listed" if dry_run else "{} models listed"
        _out().print(say(done, language, outcome.done))


@app.command("installations")
def history(
    context: typer.Context, metering_point: Annotated[str, typer.Argument(help="Code of the metering point.")]
) -> None:
    """Every meter that stood at a metering point: from when to when, ratios, schedules, registers at both ends."""
    with told_failures():
        config = config_of(context)
        found = installations(supervisor.endpoints(config).postgres_reader_dsn, metering_point)
    if not found:
        _out().print(say("No meter ever stood at {}", config.language, metering_point), markup=False)
        raise typer.Exit(FAILED)
    zone = ZoneInfo(config.time_zone)
    table = Table(box=None, pad_edge=False)
    for name in ("meter", "model", "from", "to", "multiplier", "schedule", "at the start", "at the end"):
        table.add_column(say(name, config.language))
    for each in found:
        table.add_row(*installation_row(each, zone, config.language))
    _out().print(table)


def installation_row(each: Installation, zone: ZoneInfo, language: str) -> tuple[str, ...]:
    """One meter at a metering point, for a person."""
    ratios = f"{each.multiplier}" + (f" = {each.ct} × {each.vt}" if each.ct and each.vt else "")
    programmes = ((name, shown(since, zone, TO_THE_MINUTE)) for name, since in each.programmes)
    schedules = "; ".join(say("{} since {}", language, *each) for each in programmes)
    registers = ("; ".join(f"{code} {value:,}" for code, value in sorted(part.items()))
                 for part in (each.start_registers, each.end_registers))  # fmt: skip
    until = "" if each.removed_at is None else shown(each.removed_at, zone, TO_THE_MINUTE)
    return (
        str(each.serial),
        each.model,
        shown(each.installed_at, zone, TO_THE_MINUTE),
        until,
        ratios,
        schedules,
        *registers,
    )


def _out() -> Console:
    return Console(soft_wrap=True, highlight=False)


@contextmanager
def _taken_in(
    context: typer.Context, take_in: Callable[..., _Outcome], file: Path, *, dry_run: bool
) -> Iterator[tuple[_Outcome, str]]:
    """What became of a list, after its faults, and the language to say it in; exit code 1 when it has some."""
    with told_failures():
        config = config_of(context)
        outcome = take_in(supervisor.endpoints(config).postgres_dsn, file, dry_run=dry_run)
    for fault in outcome.faults[:FAULTS_SHOWN]:
        _out().print(str(fault), markup=False)
    if len(outcome.faults) > FAULTS_SHOWN:
        _out().print(say("… and {} more faults", config.language, len(outcome.faults) - FAULTS_SHOWN))
    yield outcome, config.language
    if outcome.faults:
        raise typer.Exit(FAILED)
