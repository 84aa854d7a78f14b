"""``scada control``: prepare a control desk, and look at what it does."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from scada.clock import local, now_us
from scada.commands.context import FAILED, config_of, told_failures
from scada.commands.deskclient import Client
from scada.control.trust import fingerprint
from scada.controlling import folder_of, trust_of
from scada.hmi.deskwords import told
from scada.hmi.journalwords import wish_words
from scada.hmi.language import say
from scada.pki import folder as pki_folder
from scada.pki.folder import LocalPki
from scada.pki.profiles import DISPATCHER, Subject

app = typer.Typer(no_args_is_help=True, help="The control desk: first set-up, commands, events.")

PERSONS = {
    "dispatcher-1": "OPERATOR",
    "dispatcher-2": "OPERATOR",
    "engineer-1": "ENGINEER",
    "viewer-1": "VIEWER",
}
"""Functions, not people: who they are is the company's business."""


@app.command()
def init(
    context: typer.Context,
    passphrase: Annotated[
        str, typer.Option(prompt=True, hide_input=True, envvar="SCADA_PASSPHRASE", help="Protects every key file made.")
    ],
) -> None:
    """Make an authority, four keys and the authority table, for demonstrations and tests."""
    out = Console(soft_wrap=True, highlight=False)
    with told_failures(context):
        config = config_of(context)
        folder, trust = folder_of(config), trust_of(config)
        table = folder / "authority.toml"
        if table.exists():
            out.print(f"{table} exists already; nothing was changed", style="red")
            raise typer.Exit(FAILED)
        pki = _authority(trust)
        keys = folder / "keys"
        keys.mkdir(parents=True, exist_ok=True)
        keys.chmod(0o700)
        text = ["# Who may do what; count the version up with every change.", "version = 1"]
        for name, role in PERSONS.items():
            text += ["", *_person(pki, keys / f"{name}.p12", name, role, passphrase)]
        pki_folder.save(pki, trust)
        pki_folder.write_lists(pki, trust, now_us())
        table.write_text("\n".join(text) + "\n", encoding="utf-8")
    out.print(f"Keys of {', '.join(PERSONS)} in {keys}; authority table {table}; trusted root {trust / 'root.cer'}")


@app.command("list")
def list_commands(context: typer.Context) -> None:
    """Commands under way and the latest ended ones."""
    with told_failures(context):
        config = config_of(context)
        found = Client(config.var).get("/commands")["commands"]
    language = config.language
    headings = ("number", "target", "action", "state", "outcome", "requester", "approver", "waits for")
    table = Table(*(say(each, language) for each in headings), box=None)
    for each in found:
        row = [each["id"], each["target"], told(wish_words(each), language), told(each["state"], language)]
        row += [told(each["outcome"] or "", language), each["requester"], each["approver"]]
        table.add_row(*row, told(each["waits_for"], language))
    Console(soft_wrap=True, highlight=False).print(table if found else say("no commands", language))


@app.command()
def events(context: typer.Context) -> None:
    """The latest alarms of the desk, acknowledged or not; `scada alarms` lists those that wait."""
    with told_failures(context):
        config = config_of(context)
        found = Client(config.var).get("/events")["events"]
    out = Console(soft_wrap=True, highlight=False)
    for each in found:
        when = f"{local(each['time'], config.time_zone):%H:%M:%S.%f}"[:-3]
        words = f"{say(each['kind'], config.language)}: {told(each['sentence'], config.language)}"
        out.print(f"{when}  {words}", markup=False)


def _authority(trust: Path) -> LocalPki:
    if (trust / "index.json").exists():
        return pki_folder.load(trust)
    return pki_folder.create("http://127.0.0.1:8765", now_us())


def _person(pki: LocalPki, path: Path, name: str, role: str, passphrase: str) -> list[str]:
    issued = pki.issue(Subject(name, organization="gridscada"), DISPATCHER, now_us())
    path.touch(mode=0o600)
    path.write_bytes(issued.pkcs12(passphrase, name))
    grant = f'{{ role = "{role}", areas = ["*"] }}'
    return [
        "[[person]]",
        f'name = "{name}"',
        f'certificate = "{fingerprint(issued.certificate)}"',
        f"grant = [{grant}]",
    ]
