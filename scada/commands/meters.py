"""``scada meters``: the registry of installed meters, and everything that is asked and told about them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from historian.exchange import import_exchanges
from historian.registry import import_meters
from scada.commands import meterasking, meterfigures
from scada.commands.context import FAILED, config_of, told_failures
from scada.commands.metergaps import gaps
from scada.model.errors import Fault
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
    meterfigures.customers,
    meterfigures.export,
    meterfigures.storage,
):
    app.command()(command)

FAULTS_SHOWN = 50


DryRun = Annotated[bool, typer.Option("--dry-run", help="Tell what would happen and change nothing.")]


@app.command("import")
def import_list(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="CSV; see docs/setup.md.")],
    *,
    dry_run: DryRun = False,
) -> None:
    """Bring a list of installed meters into the registry; rows with faults are left out and told."""
    with told_failures():
        outcome = import_meters(supervisor.endpoints(config_of(context)).postgres_dsn, file, dry_run=dry_run)
    _tell(outcome.faults)
    would = "would be " if dry_run else ""
    _out().print(f"{outcome.added} {would}added, {outcome.changed} {would}changed, {outcome.unchanged} unchanged")
    if outcome.faults:
        raise typer.Exit(FAILED)


@app.command("exchange")
def exchange(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="CSV; columns in historian/exchange.py.")],
    *,
    dry_run: DryRun = False,
) -> None:
    """Carry out a list of meter exchanges, with end and start registers; rows with faults are left out and told."""
    with told_failures():
        outcome = import_exchanges(supervisor.endpoints(config_of(context)).postgres_dsn, file, dry_run=dry_run)
    _tell(outcome.faults)
    _out().print(f"{outcome.done} meters {'would be ' if dry_run else ''}exchanged")
    if outcome.faults:
        raise typer.Exit(FAILED)


def _out() -> Console:
    return Console(soft_wrap=True, highlight=False)


def _tell(faults: Sequence[Fault]) -> None:
    for fault in faults[:FAULTS_SHOWN]:
        _out().print(str(fault), markup=False)
    if len(faults) > FAULTS_SHOWN:
        _out().print(f"… and {len(faults) - FAULTS_SHOWN} more faults")
