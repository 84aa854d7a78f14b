"""``scada meters``: the registry of installed meters."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from historian.registry import import_meters
from scada.commands import meterasking, meterfigures
from scada.commands.context import FAILED, config_of, told_failures
from scada.commands.metergaps import gaps
from scada.services import supervisor

app = typer.Typer(no_args_is_help=True, help="Registry of installed meters.")

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
):
    app.command()(command)

FAULTS_SHOWN = 50


@app.command("import")
def import_list(context: typer.Context, file: Annotated[Path, typer.Argument(help="CSV; see docs/setup.md.")]) -> None:
    """Bring a list of installed meters into the registry; rows with faults are left out and told."""
    with told_failures():
        outcome = import_meters(supervisor.endpoints(config_of(context)).postgres_dsn, file)
    out = Console(soft_wrap=True, highlight=False)
    for fault in outcome.faults[:FAULTS_SHOWN]:
        out.print(str(fault), markup=False)
    if len(outcome.faults) > FAULTS_SHOWN:
        out.print(f"… and {len(outcome.faults) - FAULTS_SHOWN} more faults")
    out.print(f"{outcome.added} added, {outcome.changed} changed, {outcome.unchanged} unchanged")
    if outcome.faults:
        raise typer.Exit(FAILED)
