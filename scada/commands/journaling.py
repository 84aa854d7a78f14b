"""``scada journal``: read and prove what was ordered, without any process running."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from scada.clock import local
from scada.commands.context import FAILED, config_of, told_failures
from scada.control.journal import body_of, public_key, verify_journal, whole_entries
from scada.control.tenure import segments
from scada.controlling import folder_of
from scada.hmi.journalwords import entry_words

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
    with told_failures():
        place = folder or folder_of(config_of(context))
        verdict = verify_journal(place, public_key(key or place / "journal.pub"))
    counted = f"{verdict.entries} entries in {verdict.segments} segments, {verdict.checkpoints} signed checkpoints"
    for late in verdict.late:
        out.print(f"written without control: {late}", style="yellow", markup=False)
    if verdict.broken:
        out.print(f"broken: {verdict.broken} (good before it: {counted})", style="red", markup=False)
        raise typer.Exit(FAILED)
    out.print(f"intact: {counted}", style="green", markup=False)
    out.print(f"head {verdict.head}", markup=False)


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
    with told_failures():
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
        out.print(f"{stem}:{entry.sequence:<5} {when}  {entry.kind:10}  {entry_words(entry.kind, body)}", markup=False)
