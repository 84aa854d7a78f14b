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
    would = "would be " if dry_run else ""
    with _taken_in(context, import_meters, file, dry_run=dry_run) as outcome:
        _out().print(f"{outcome.added} {would}added, {outcome.changed} {would}changed, {outcome.unchanged} unchanged")


@app.command("exchange")
def exchange(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="CSV; columns in historian/exchange.py.")],
    *,
    dry_run: DryRun = False,
) -> None:
    """Carry out a list of meter exchanges, with end and start registers; rows with faults are left out and told."""
    with _taken_in(context, import_exchanges, file, dry_run=dry_run) as outcome:
        _out().print(f"{outcome.done} meters {'would be ' if dry_run else ''}exchanged")


@app.command("models")
def models(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="CSV: code,digits,wrap_kwh,capture_period_s,rates; see docs/meters.md.")],
    *,
    dry_run: DryRun = False,
) -> None:
    """Bring a list of meter models into the registry; rows with faults are left out and told."""
    with _taken_in(context, import_models, file, dry_run=dry_run) as outcome:
        _out().print(f"{outcome.done} models {'would be ' if dry_run else ''}listed")


@app.command("installations")
def history(
    context: typer.Context, metering_point: Annotated[str, typer.Argument(help="Code of the metering point.")]
) -> None:
    """Every meter that stood at a metering point: from when to when, ratios, schedules, registers at both ends."""
    with told_failures():
        config = config_of(context)
        found = installations(supervisor.endpoints(config).postgres_reader_dsn, metering_point)
    if not found:
        _out().print(f"No meter ever stood at {metering_point}", markup=False)
        raise typer.Exit(FAILED)
    zone = ZoneInfo(config.time_zone)
    table = Table(box=None, pad_edge=False)
    for name in ("meter", "model", "from", "to", "multiplier", "schedule", "at the start", "at the end"):
        table.add_column(name)
    for each in found:
        table.add_row(*installation_row(each, zone))
    _out().print(table)


def installation_row(each: Installation, zone: ZoneInfo) -> tuple[str, ...]:
    """One meter at a metering point, for a person."""
    ratios = f"{each.multiplier}" + (f" = {each.ct} × {each.vt}" if each.ct and each.vt else "")
    schedules = "; ".join(f"{name} since {shown(since, zone, TO_THE_MINUTE)}" for name, since in each.programmes)
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
) -> Iterator[_Outcome]:
    """What became of a list, after its faults; exit code 1 when it has some."""
    with told_failures():
        outcome = take_in(supervisor.endpoints(config_of(context)).postgres_dsn, file, dry_run=dry_run)
    for fault in outcome.faults[:FAULTS_SHOWN]:
        _out().print(str(fault), markup=False)
    if len(outcome.faults) > FAULTS_SHOWN:
        _out().print(f"… and {len(outcome.faults) - FAULTS_SHOWN} more faults")
    yield outcome
    if outcome.faults:
        raise typer.Exit(FAILED)
