"""``scada tag``: inform, block, or keep control to oneself; enforced by the desk, not here."""

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from scada.commands.context import FAILED, config_of, told_failures
from scada.commands.deskclient import Client, message, signed, signer
from scada.commands.operating import Key
from scada.control.message import TagKind, Wish
from scada.hmi.deskwords import refusal_words, told
from scada.hmi.language import say
from scada.hmi.words import time_words

app = typer.Typer(no_args_is_help=True, help="Tags on devices, bays and stations.")
TagId = Annotated[str, typer.Argument(metavar="TAG", help="Number of the tag, as `scada tag list` shows it.")]


@app.command("set")
def set_tag(
    context: typer.Context,
    target: Annotated[str, typer.Argument(metavar="TARGET", help="TN01/471, or TN01 for the whole station.")],
    kind: Annotated[TagKind, typer.Argument(metavar="KIND", help=", ".join(TagKind))],
    key: Key,
    text: Annotated[str, typer.Option("--reason", "--text", help="Why; shown to whoever meets the tag.")] = "",
) -> None:
    """Set a tag."""
    _send(context, key, Wish.TAG, {"target": target, "tag": kind, "reason": text})


@app.command()
def remove(
    context: typer.Context,
    tag: TagId,
    key: Key,
    reason: Annotated[str, typer.Option("--reason", help="Why; in the journal.")] = "",
) -> None:
    """Remove a tag: one's own, or with the role for it that of another."""
    _send(context, key, Wish.UNTAG, {"subject": tag, "reason": reason})


@app.command("hand-over")
def hand_over(
    context: typer.Context,
    tag: TagId,
    to: Annotated[str, typer.Option("--to", help="Who takes it over, as the authority table has it.")],
    key: Key,
) -> None:
    """Give a tag to the next shift."""
    _send(context, key, Wish.HAND_OVER, {"subject": tag, "to": to})


@app.command("list")
def list_tags(context: typer.Context) -> None:
    """All tags that are set, the oldest first: the hand-over list."""
    with told_failures(context):
        config = config_of(context)
        tags = Client(config.var).get("/tags")["tags"]
    language = config.language
    headings = ("tag number", "on", "kind", "owner", "since", "text")
    table = Table(*(say(each, language) for each in headings), box=None)
    for tag in tags:
        row = [tag["id"], tag["target"], told(tag["kind"], language), tag["owner"]]
        table.add_row(*row, time_words(tag["since"], config.time_zone), tag["text"])
    Console(soft_wrap=True, highlight=False).print(table if tags else say("no tags", language))


def _send(context: typer.Context, key: str, do: Wish, fields: dict[str, object]) -> None:
    out = Console(soft_wrap=True, highlight=False)
    with told_failures(context):
        config = config_of(context)
        by, language = signer(key, config), config.language
        report = Client(config.var).send(signed(by, message(by, do, holds_s=30.0, **fields)))
    if report.get("outcome") == "refused":
        for refusal in report["refusals"]:
            out.print(say("refused: {}", language, refusal_words(refusal, language)), markup=False, style="red")
        raise typer.Exit(FAILED)
    tag = report.get("tag") or report["removed"]
    named = (told(tag["kind"], language), tag["target"], tag["owner"], tag["id"])
    if "removed" in report:
        out.print(say("removed: {} on {}, owner {}, number {}", language, *named), markup=False)
    else:
        out.print(say("set: {} on {}, owner {}, number {}", language, *named), markup=False)
