"""``scada``: the one command. Mounts the subjects; knows nothing of them."""

from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from scada.commands import (
    alarms,
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

WATCHING, SWITCHING, METERING, FIELD, RUNNING = (
    "See what goes on",
    "Operate",
    "Meters and contracts",
    "Files and field",
    "Run the system",
)
LATER = {"contract": ("scada.commands.contracts", METERING), "pki": ("scada.commands.pki", FIELD)}
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
        module, panel = LATER[cmd_name]
        command = typer.main.get_command(import_module(module).app)
        command.name = cmd_name
        command.rich_help_panel = panel  # type: ignore[attr-defined]  # as typer keeps it for its own
        return command


app = typer.Typer(
    cls=Subjects,
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help="Control centre of a provincial power company: substations, meters, history.",
)
COMMANDS = {
    WATCHING: (looking.status, looking.watch, looking.points, events.events, history.history),
    SWITCHING: (
        operating.operate,
        operating.select,
        operating.execute,
        operating.approve,
        operating.cancel,
        overriding.substitute,
        overriding.block,
        overriding.release,
        overriding.overrides,
    ),
    FIELD: (checking.check, p2p.p2p),
    RUNNING: (demo, serving.run, serving.collect, serving.jobs),
}
SUBJECTS = {
    SWITCHING: {
        "alarms": alarms.app,
        "control": control.app,
        "tag": tagging.app,
        "order": orders.app,
        "journal": journaling.app,
        "report": reports.app,
    },
    METERING: {"meters": meters.app},
    FIELD: {"map": mapping.app},
    RUNNING: {"services": services.app},
}
for panel, commands in COMMANDS.items():
    for command in commands:
        app.command(rich_help_panel=panel)(command)
for panel, subjects in SUBJECTS.items():
    for name, subject in subjects.items():
        app.add_typer(subject, name=name, rich_help_panel=panel)


@app.callback()
def root(
    config: Annotated[
        Path | None, typer.Option("--config", help="Configuration file; else $SCADA_CONFIG, else ./config.toml.")
    ] = None,
) -> None:
    """Control centre of a provincial power company: substations, meters, history."""


@app.command("version", rich_help_panel=RUNNING)
def show_version() -> None:
    """Print the version."""
    typer.echo(version("gridscada"))


if __name__ == "__main__":
    app()
