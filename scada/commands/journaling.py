"""``scada journal``: read and prove what was ordered, without any process running."""

import json
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from scada.clock import local, now_us
from scada.commands.context import FAILED, config_of, told_failures
from scada.commands.deskclient import signer
from scada.commands.operating import Key
from scada.control.aside import Decision, NotSetAside, decided, pieces, rest
from scada.control.credentials import CredentialFiles
from scada.control.gate import Gate
from scada.control.journal import body_of, entry_in, public_key, whole_entries
from scada.control.jws import sign
from scada.control.proof import Segment, verify_journal
from scada.control.recovery import RELEASED, Carried, JournalBroken, begin, carried_over
from scada.control.signers import common_name
from scada.control.tenure import Watch, last_token, segments, take
from scada.controlling import folder_of, trust_of
from scada.hashchain import ChainError
from scada.hmi.deskwords import told
from scada.hmi.journalwords import entry_words
from scada.hmi.language import say

SHOWN, SHOWN_BYTES = 20, 300
TAGS_FIRST = "{} tags are in force: compare them with the hand-over list before operating. A desk may be started now."

app = typer.Typer(no_args_is_help=True, help="The control desk's journal.")
Folder = Annotated[Path | None, typer.Option("--folder", help="Another place than VAR/control, e.g. a copy.")]


@app.command()
def verify(
    context: typer.Context,
    folder: Folder = None,
    key: Annotated[Path | None, typer.Option("--key", help="Public key of the desk; else FOLDER/journal.pub.")] = None,
) -> None:
    """Find any entry that was changed, removed, inserted or moved; exit code 1 when there is one."""
    out = Console(soft_wrap=True, highlight=False)
    with told_failures(context):
        config = config_of(context)
        language, place = config.language, folder or folder_of(config)
        verdict = verify_journal(place, public_key(key or place / "journal.pub"))
    numbers = (verdict.entries, verdict.segments, verdict.checkpoints)
    counted = say("{} entries in {} segments, {} signed checkpoints", language, *numbers)
    for late in verdict.late:
        out.print(say("written without control: {}", language, told(late, language)), style="yellow", markup=False)
    for aside in verdict.set_aside:
        out.print(say("set aside: {}", language, told(aside, language)), style="yellow", markup=False)
    if verdict.broken:
        words = say("broken: {} (good before it: {})", language, told(verdict.broken, language), counted)
        out.print(words, style="red", markup=False)
        try:
            carried_over(place, last_token(place) + 1)
        except JournalBroken as fault:
            out.print(told(str(fault), language), markup=False)
        raise typer.Exit(FAILED)
    out.print(say("intact: {}", language, counted), style="green", markup=False)
    out.print(say("head {}", language, verdict.head), markup=False)


@app.command("set-aside")
def set_aside(
    context: typer.Context,
    key: Key,
    reason: Annotated[str, typer.Option("--reason", help="What happened, as far as it is known; in the journal.")],
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask: it was read before.")] = False,
) -> None:
    """Leave out the end of the journal that no desk continues: kept beside it, signed, and told to the next desk."""
    out = Console(soft_wrap=True, highlight=False)
    with told_failures(context):
        config = config_of(context)
        folder = folder_of(config)
        left = _broken_end(folder)
        for each in left:
            _show_broken(out, config.language, each, rest(each))
        by = signer(key, config)
        if not yes and not typer.confirm(say("Set it aside?", config.language)):
            raise typer.Exit(FAILED)
        document = sign(Decision("set aside", pieces(left), common_name(by), reason, now_us()).payload, by)
        credentials = CredentialFiles(folder / "authority.toml", trust_of(config), config.time_zone)
        decision = decided(document, left, Gate(*credentials(now_us()), {}), now_us())
        carried = _left_out(folder, decision, document)
    for alarm in carried.alarms.values():
        out.print(told(alarm.sentence, config.language), markup=False)
    out.print(say(TAGS_FIRST, config.language, len(carried.tags)), markup=False)


def _broken_end(folder: Path) -> list[Segment]:
    if (holder := Watch(folder, time.monotonic).holder()) is not None:
        raise NotSetAside(f"process {holder.pid} on {holder.host} is in control: its journal is not broken, or end it")
    _, left = carried_over(folder, last_token(folder) + 1, forgiving=True)
    if not any(each.broken for each in left):
        raise NotSetAside("the end of the journal is in order: a desk may be started; see `scada journal verify`")
    return left


def _left_out(folder: Path, decision: Decision, document: bytes) -> Carried:
    """In control for as long as it takes, so that no desk begins meanwhile."""
    tenure = take(folder, time.monotonic)
    if tenure is None:
        raise NotSetAside("another process has just taken control")
    try:
        journal, carried = begin(folder, tenure, now_us(), decision, document)
        journal.append(RELEASED, {"token": tenure.token}, now_us())
        journal.close(now_us())
    finally:
        tenure.release()
    return carried


def _show_broken(out: Console, language: str, found: Segment, content: bytes) -> None:
    lines = content.split(b"\n")
    fault = f"{found.path}, line {found.length + 1}: {found.broken or 'not whole'}"
    out.print(told(fault, language), style="red", markup=False)
    counts = (len(content), sum(map(bool, lines)))
    out.print(say("left out would be {} bytes in {} lines, which read:", language, *counts), markup=False)
    for number, line in enumerate(filter(None, lines[:SHOWN]), start=found.length + 1):
        try:
            entry = entry_in(line, number)
            words = f"{entry.kind}  {told(entry_words(entry.kind, body_of(entry)), language)}"
        except (ChainError, KeyError, TypeError):
            words = line[:SHOWN_BYTES].decode(errors="backslashreplace")
        out.print(f"  {number}  {words}", markup=False)


@app.command()
def show(
    context: typer.Context,
    folder: Folder = None,
    last: Annotated[int, typer.Option("--last", min=1, help="How many entries.")] = 50,
    about: Annotated[str, typer.Option("--about", help="Only entries that contain this, e.g. TN01/471.")] = "",
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Whole entries, one a line.")] = False,
) -> None:
    """The latest entries, oldest first."""
    with told_failures(context):
        config = config_of(context)
        place = folder or folder_of(config)
        found = [
            (path.stem, entry)
            for path in segments(place)
            for entry in whole_entries(path)
            if about in json.dumps(entry.body, ensure_ascii=False)
        ]
    out = Console(soft_wrap=True, highlight=False)
    for stem, entry in found[-last:]:
        body = body_of(entry)
        if as_json:
            typer.echo(
                json.dumps(
                    {
                        "segment": stem,
                        "sequence": entry.sequence,
                        "time": entry.time,
                        "kind": entry.kind,
                        "body": body,
                        "hash": entry.hash,
                    },
                    ensure_ascii=False,
                )
            )
            continue
        when = f"{local(entry.time, config.time_zone):%Y-%m-%d %H:%M:%S.%f}"[:-3]
        words = told(entry_words(entry.kind, body), config.language)
        out.print(f"{stem}:{entry.sequence:<5} {when}  {entry.kind:10}  {words}", markup=False)
