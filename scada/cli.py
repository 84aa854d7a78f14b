"""``scada``: the one command. Mounts the subjects; knows nothing of them."""

from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from scada import pki_cli
from scada.commands import (
    checking,
    control,
    events,
    history,
    journaling,
    looking,
    mapping,
    meters,
    operating,
    orders,
    overriding,
    p2p,
    reports,
    services,
    serving,
    tagging,
)
from scada.commands.demo import demo

LATER = {"contract": "scada.contracts_cli"}
"""Subjects that are loaded when named: the libraries for PDF and signing take a second, and nobody else should wait."""


class Subjects(TyperGroup):
    """The commands mounted below, and those of ``LATER``."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Names of all commands."""
        return [*super().list_commands(ctx), *LATER]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of this name, loaded if need be."""
        if cmd_name not in LATER:
            return super().get_command(ctx, cmd_name)
        return typer.main.get_command(import_module(LATER[cmd_name]).app)


app = typer.Typer(
    cls=Subjects,
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Control centre of a provincial power company: substations, meters, history.",
)
app.add_typer(services.app, name="services")
app.add_typer(meters.app, name="meters")
app.add_typer(mapping.app, name="map")
app.add_typer(control.app, name="control")
app.add_typer(tagging.app, name="tag")
app.add_typer(journaling.app, name="journal")
app.add_typer(orders.app, name="order")
app.add_typer(reports.app, name="report")
app.add_typer(pki_cli.app, name="pki")
app.command()(checking.check)
for command in (
    looking.status,
    looking.points,
    looking.watch,
    history.history,
    events.events,
    p2p.p2p,
    overriding.substitute,
    overriding.block,
    overriding.release,
    overriding.overrides,
    operating.operate,
    operating.select,
    operating.execute,
    operating.cancel,
    operating.approve,
    serving.run,
    serving.collect,
    serving.jobs,
    demo,
):
    app.command()(command)


@app.callback()
def root(
    config: Annotated[
        Path | None, typer.Option("--config", help="Configuration file; else $SCADA_CONFIG, else ./config.toml.")
    ] = None,
) -> None:
    """Control centre of a provincial power company: substations, meters, history."""


@app.command("version")
def show_version() -> None:
    """Print the version."""
    typer.echo(version("gridscada"))


if __name__ == "__main__":
    app()
