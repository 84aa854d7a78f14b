"""``scada operate``, ``select``, ``execute``, ``cancel``, ``approve``: orders, signed here and judged by the desk.

Knows what people type and what they must see. Does not judge: what it shows is what the desk said.
"""

from collections.abc import Iterable
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from scada.commands.context import FAILED, config_of, told_failures
from scada.commands.deskclient import Client, as_shown, message, signed, signer
from scada.commands.duration import seconds_of
from scada.config import Config
from scada.control.jws import countersign
from scada.control.message import Wish
from scada.control.readiness import controllables
from scada.hmi.commandview import outcome_lines, request_lines, step_line, waiting_line
from scada.hmi.language import say
from scada.model.switching import Action, ControlModel
from scada.stationfile import load_province

UNKNOWN = 3
"""Exit code of an outcome nobody knows: neither done nor refused."""

Key = Annotated[str, typer.Option("--key", help="PKCS#12 file, a name in VAR/control/keys, or pkcs11:LIBRARY:TOKEN.")]
Target = Annotated[
    str, typer.Argument(metavar="TARGET", help="What to operate: TN01/471, TN01/T1, TN01/131/f86.reset.")
]
Wanted = Annotated[Action, typer.Argument(metavar="ACTION", help="open, close, raise, lower, reset, on, off or set.")]
Value = Annotated[float | None, typer.Argument(metavar="[VALUE]", help="What to set, in the unit of the set-point.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; in the journal.")]
OrderNumber = Annotated[str, typer.Option("--order", help="Number of the switching order it belongs to.")]
StepNumber = Annotated[int, typer.Option("--step", min=0, help="Step of that order.")]
Holds = Annotated[str, typer.Option("--holds", help="How long the order may be carried out.")]
Emergency = Annotated[
    bool, typer.Option("--emergency", help="Without the second person; needs a reason, raises an alarm.")
]
Direct = Annotated[bool, typer.Option("--direct", help="Only for equipment that knows no select.")]
Test = Annotated[bool, typer.Option("--test", help="Judge everything, send nothing.")]
Name = Annotated[str, typer.Argument(metavar="COMMAND", help="Number of the command, or its target.")]


def operate(
    context: typer.Context,
    target: Target,
    action: Wanted,
    key: Key,
    value: Value = None,
    reason: Reason = "",
    order: OrderNumber = "",
    step: StepNumber = 0,
    holds: Holds = "120s",
    *,
    emergency: Emergency = False,
    direct: Direct = False,
    test: Test = False,
) -> None:
    """Operate a device: select, have it approved where two persons are wanted, execute, see the position come back."""
    fields = {"target": target, "action": action, "reason": reason, "order": order, "step": step}
    fields |= {"set_point": value, "emergency": emergency, "test": test}
    _order(context, Wish.OPERATE, key, holds, direct=direct, fields=fields)


def select(
    context: typer.Context,
    target: Target,
    action: Wanted,
    key: Key,
    value: Value = None,
    reason: Reason = "",
    order: OrderNumber = "",
    step: StepNumber = 0,
    holds: Holds = "120s",
) -> None:
    """Select a device and keep it for `scada execute`."""
    fields = {"target": target, "action": action, "reason": reason, "order": order, "step": step, "set_point": value}
    _order(context, Wish.SELECT, key, holds, direct=False, fields=fields)


def execute(context: typer.Context, name: Name, key: Key) -> None:
    """Carry out what was selected before."""
    _about(context, Wish.EXECUTE, name, key)


def cancel(context: typer.Context, name: Name, key: Key) -> None:
    """Withdraw a command that was not sent yet."""
    _about(context, Wish.CANCEL, name, key)


def approve(
    context: typer.Context,
    name: Name,
    key: Key,
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask: it was read before.")] = False,
) -> None:
    """Sign a waiting command as the second person, after reading what it is and what it would bring about."""
    out = Console(soft_wrap=True, highlight=False)
    with told_failures(context):
        config = config_of(context)
        client = Client(config.var)
        report = client.waiting(name)
        document = as_shown(report)
        _print(out, request_lines(report, config.language))
        by = signer(key, config)
        if not yes and not typer.confirm(say("Approve?", config.language)):
            raise typer.Exit(FAILED)
        report = client.send(countersign(document, by), "approvals")
        _watch(out, config, client, report)


def _order(context: typer.Context, do: Wish, key: str, holds: str, *, direct: bool, fields: dict[str, Any]) -> None:
    out = Console(soft_wrap=True, highlight=False)
    with told_failures(context):
        config = config_of(context)
        by = signer(key, config)
        model = ControlModel.DIRECT if direct else ControlModel.SELECT_BEFORE_OPERATE
        if fields["set_point"] is not None:
            fields["unit"] = _unit(config, fields["target"])
        content = message(by, do, holds_s=seconds_of(holds), model=model, **fields)
        client = Client(config.var)
        _watch(out, config, client, client.send(signed(by, content)))


def _unit(config: Config, target: str) -> str:
    """The unit that is signed with a value; '' for what takes none, which the desk refuses."""
    found = controllables(load_province(config.stations.folder).stations).get(target)
    return "" if found is None else found.unit


def _about(context: typer.Context, do: Wish, name: str, key: str) -> None:
    out = Console(soft_wrap=True, highlight=False)
    with told_failures(context):
        config = config_of(context)
        client = Client(config.var)
        report = client.waiting(name)
        by = signer(key, config)
        _watch(out, config, client, client.send(signed(by, message(by, do, holds_s=30.0, subject=report["id"]))))


def _watch(out: Console, config: Config, client: Client, report: dict[str, Any]) -> None:
    """Print every step as it comes, then the outcome; the exit code is the outcome."""
    language = config.language
    shown = _show_steps(out, config, report, 0)
    if report["outcome"] is None and report["waits_for"]:
        _print(out, (*request_lines(report, language), waiting_line(report, language)))
        if report["waits_for"] == "execute":
            return
    for news in client.follow(report):
        report = news
        shown = _show_steps(out, config, report, shown)
        if report["waits_for"] == "execute":
            _print(out, (waiting_line(report, language),))
            return
    _print(out, outcome_lines(report, language))
    if report["outcome"] != "completed":
        raise typer.Exit(UNKNOWN if report["outcome"] == "unknown" else FAILED)


def _show_steps(out: Console, config: Config, report: dict[str, Any], shown: int) -> int:
    steps = report.get("steps", [])
    _print(out, (step_line(step, config.language, config.time_zone) for step in steps[shown:]))
    return len(steps)


def _print(out: Console, lines: Iterable[Text]) -> None:
    for line in lines:
        out.print(line)
