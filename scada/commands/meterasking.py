"""``scada meters read``, ``clock``, ``events``, ``disconnect``, ``reconnect``: asking meters and waiting for answers.

Knows words and how answers are shown. Exit code 1 unless every request was done.
"""

import getpass
from collections.abc import Mapping, Sequence
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer

from historian.requests import MeterRequests, RequestEnding
from meters.request import RequestKind
from meters.requestqueue import Ending, Priority
from scada.asking import MeterAsking
from scada.clock import now_us
from scada.commands.context import FAILED, config_of, told_failures
from scada.commands.deskclient import Client, message, signed, signer
from scada.commands.duration import seconds_of
from scada.commands.moments import shown
from scada.commands.operating import UNKNOWN, Key, Reason
from scada.control.lifecycle import Outcome
from scada.control.message import Wish
from scada.hmi.deskwords import told
from scada.hmi.language import say
from scada.hmi.screen import paper
from scada.model.errors import GridScadaError
from scada.model.meterlink import SupplyAction
from scada.services import supervisor

Serials = Annotated[list[int] | None, typer.Argument(help="Serial numbers.")]
Place = Annotated[str, typer.Option("--at", help="All meters of a concentrator (DCU00017) or feeder (TN07/473).")]
Within = Annotated[str, typer.Option("--within", help="How long an answer is awaited.")]
SHOWN = 50
LONGEST_S = 75.0
"""The desk answers when the order has ended, and nobody waits longer for its answer."""


class NobodyAsked(GridScadaError):
    """No meter was named."""


def read(context: typer.Context, serial: Serials = None, at: Place = "", within: Within = "30s") -> None:
    """Registers and state of the disconnect control, now."""
    _ask(context, RequestKind.READ, serial, at, within, Priority.ON_DEMAND)


def clock(context: typer.Context, serial: Serials = None, at: Place = "", within: Within = "30s") -> None:
    """Set the clocks and tell how far they were off."""
    _ask(context, RequestKind.CLOCK, serial, at, within, Priority.ROUTINE)


def events(
    context: typer.Context,
    serial: Serials = None,
    at: Place = "",
    within: Within = "30s",
    since: Annotated[str, typer.Option("--since", help="How far back: 1h, 7d.")] = "1d",
) -> None:
    """Entries of the event logs."""
    now = now_us()
    span = {"first": now - round(seconds_of(since) * 1e6), "last": now}
    _ask(context, RequestKind.EVENTS, serial, at, within, Priority.ON_DEMAND, span)


def disconnect(
    context: typer.Context,
    serial: Annotated[int, typer.Argument(min=1, help="Serial number of the meter.")],
    key: Key,
    reason: Reason = "",
    within: Within = "60s",
) -> None:
    """Cut the supply of one meter: signed here, judged and written down by the control desk."""
    _switch(context, serial, SupplyAction.DISCONNECT, key, reason, within)


def reconnect(
    context: typer.Context,
    serial: Annotated[int, typer.Argument(min=1, help="Serial number of the meter.")],
    key: Key,
    reason: Reason = "",
    within: Within = "60s",
) -> None:
    """Give one meter its supply back: signed here, judged and written down by the control desk."""
    _switch(context, serial, SupplyAction.RECONNECT, key, reason, within)


def _switch(context: typer.Context, serial: int, action: SupplyAction, key: str, reason: str, within: str) -> None:
    with told_failures(context):
        config = config_of(context)
        by = signer(key, config)
        fields = {"target": str(serial), "supply": action, "reason": reason}
        content = message(by, Wish.SUPPLY, holds_s=min(seconds_of(within), LONGEST_S), **fields)
        report = Client(config.var).send(signed(by, content))
    language = config.language
    words = report.get("sentence") or "; ".join(each["sentence"] for each in report.get("refusals", []))
    done = f"{serial} {told(action.value, language)} {told(report['outcome'], language)}"
    paper().print(f"{done}: {told(words, language)}", markup=False)
    if report["outcome"] != Outcome.COMPLETED:
        raise typer.Exit(UNKNOWN if report["outcome"] == Outcome.UNKNOWN else FAILED)


def _ask(
    context: typer.Context,
    kind: RequestKind,
    serials: Sequence[int] | None,
    at: str,
    within: str,
    priority: Priority,
    parameters: Mapping[str, Any] | None = None,
) -> None:
    with told_failures():
        config = config_of(context)
        with MeterRequests(supervisor.endpoints(config).postgres_dsn) as store:
            asked = [*(serials or ()), *(store.serials_at(at) if at else ())]
            if not asked:
                raise NobodyAsked(f"no installed meter at {at!r}" if at else "name a serial, or a place with --at")
            endings = MeterAsking(store, now_us).ask(
                kind,
                asked,
                priority=priority,
                requested_by=getpass.getuser(),
                within_s=seconds_of(within),
                parameters=parameters,
            )
    out, zone, language = paper(), ZoneInfo(config.time_zone), config.language
    for each in endings[:SHOWN]:
        out.print(sentence(each, zone, language), markup=False)
    if len(endings) > SHOWN:
        out.print(say("… and {} more", language, len(endings) - SHOWN))
    counts = {ending: sum(each.ending == ending for each in endings) for ending in Ending}
    out.print(", ".join(f"{count} {say(ending, language)}" for ending, count in counts.items()))
    if counts[Ending.DONE] < len(endings):
        raise typer.Exit(FAILED)


def sentence(ended: RequestEnding, zone: ZoneInfo, language: str) -> str:
    """One answer, for a person."""
    answer = ended.answer or {}
    if ended.ending != Ending.DONE:
        return f"{ended.serial} {say(ended.ending, language)}: {say(ended.why, language)}"
    parts = [f"{code} = {value:,}" for code, value in sorted(dict(answer.get("registers", {})).items())]
    if "state" in answer:
        parts.append(str(answer["state"]))
    if ended.kind == RequestKind.CLOCK:
        parts.append(say("clock was {} s off, set", language, f"{answer.get('clock_off_s', 0.0):+.0f}"))
    if ended.kind == RequestKind.EVENTS:
        log = [say("{} code {}", language, shown(time, zone), code) for time, code in answer.get("events", [])]
        parts.append("; ".join(log) or say("no events", language))
    return f"{ended.serial} {', '.join(parts)}"
