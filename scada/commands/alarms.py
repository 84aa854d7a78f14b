"""``scada alarms``: what must be acknowledged, and acknowledging it."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer
from rich.console import Console

from scada.commands.context import FAILED, config_of, told_failures
from scada.commands.deskclient import Client, message, signed, signer
from scada.commands.operating import Key
from scada.control.message import Wish
from scada.hmi.alarmlist import SHORT, alarm_table
from scada.hmi.deskwords import refusal_words, told
from scada.hmi.language import say
from scada.hmi.screen import paper
from scada.model.errors import GridScadaError

app = typer.Typer(invoke_without_command=True, help="Alarms nobody has acknowledged yet; acknowledge them.")

ALL = "all"


class NoSuchAlarm(GridScadaError):
    """No alarm is meant by what was typed."""


@app.callback()
def alarms(context: typer.Context) -> None:
    """Alarms nobody has acknowledged yet, the oldest first."""
    if context.invoked_subcommand is not None:
        return
    with told_failures(context):
        config = config_of(context)
        found = Client(config.var).get("/alarms")["alarms"]
    out = paper()
    language = config.language
    out.print(alarm_table(found, language, config.time_zone) if found else say("no alarms", language))


@app.command()
def acknowledge(
    context: typer.Context,
    which: Annotated[
        str, typer.Argument(metavar="ALARM", help="Number as listed, or what it is about (TN01/471), or all.")
    ],
    key: Key,
    reason: Annotated[str, typer.Option("--reason", help="What was found or done; in the journal.")] = "",
) -> None:
    """Sign that you have seen an alarm; it then leaves the list and stays in the journal."""
    out = Console(soft_wrap=True, highlight=False)
    refused = False
    with told_failures(context):
        config = config_of(context)
        client = Client(config.var)
        meant = _meant(client.get("/alarms")["alarms"], which)
        by, language = signer(key, config), config.language
        for alarm in meant:
            content = message(by, Wish.ACKNOWLEDGE, holds_s=30.0, subject=alarm["id"], reason=reason)
            report = client.send(signed(by, content))
            for each in report.get("refusals", ()):
                refused = True
                out.print(say("refused: {}", language, refusal_words(each, language)), markup=False, style="red")
            if "acknowledged" in report:
                words = f"{say(alarm['kind'], language)}: {told(alarm['sentence'], language)}"
                out.print(say("acknowledged: {}", language, words), markup=False)
    if refused:
        raise typer.Exit(FAILED)


def _meant(found: Sequence[Mapping[str, Any]], which: str) -> list[Mapping[str, Any]]:
    meant = [
        each
        for each in found
        if which in (ALL, each["subject"]) or (len(which) >= SHORT and each["id"].endswith(which))
    ]
    if not meant:
        raise NoSuchAlarm(f"no alarm {which!r} waits to be acknowledged; `scada alarms` lists them")
    return meant
