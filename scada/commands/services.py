"""``scada services``: the private database and broker."""

import typer
from rich.console import Console
from rich.table import Table

from historian.migrate import migrate
from scada.commands.context import FAILED, config_of, told_failures
from scada.hmi.language import say
from scada.hmi.screen import paper
from scada.services import supervisor
from scada.services.endpoints import State

app = typer.Typer(no_args_is_help=True, help="Private PostgreSQL + TimescaleDB and Mosquitto in the data folder.")


@app.command()
def up(context: typer.Context) -> None:
    """Start what does not run yet and bring the database to the present schema."""
    with told_failures():
        config = config_of(context)
        endpoints = supervisor.up(config)
        migrate(endpoints.postgres_dsn)
    _print_status(context)


@app.command()
def down(context: typer.Context) -> None:
    """Stop the private servers cleanly; external ones are left alone."""
    with told_failures():
        stopped = supervisor.down(config_of(context))
    Console(highlight=False).print(f"stopped: {', '.join(stopped)}" if stopped else "nothing was running")


@app.command()
def status(context: typer.Context) -> None:
    """Say whether both answer; exit code 1 when one does not."""
    _print_status(context)


def _print_status(context: typer.Context) -> None:
    with told_failures():
        config = config_of(context)
        services = supervisor.status(config)
    table = Table(*(say(each, config.language) for each in ("service", "state", "address", "pid", "")), box=None)
    for each in services:
        colour = "green" if each.state is State.ANSWERING else "red"
        table.add_row(
            each.name,
            f"[{colour}]{say(each.state.value, config.language)}[/]",
            each.address,
            "" if each.pid is None else str(each.pid),
            each.detail,
        )
    paper().print(table)
    if any(each.state is not State.ANSWERING for each in services):
        raise typer.Exit(FAILED)
