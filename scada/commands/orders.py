"""``scada order``: switching orders from the file to the end: draft, check, approve, run, show, print.

Knows what people type and must see. The desk alone operates; the record alone says how far an order is.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from historian.store import HistorianStore
from scada.clock import local, now_us
from scada.commands.context import FAILED, config_path, told_failures
from scada.commands.deskclient import signer
from scada.commands.orderdoor import DeskDoor, present_view
from scada.config import Config
from scada.control.credentials import CredentialFiles
from scada.control.interlocking import TopologyInterlocking
from scada.control.jws import Signer, sign
from scada.control.orders import OrderEvent, OrderState, load_order
from scada.control.orders_record import (
    Credentials,
    OrderRecord,
    OrderStatus,
    Statement,
    Word,
    draft,
    open_record,
    read_record,
)
from scada.control.orders_run import OrderRun
from scada.control.signers import common_name
from scada.controlling import folder_of, trust_of
from scada.files import Installation, load_installation
from scada.grid.topology import Topology
from scada.hmi.deskwords import told
from scada.hmi.language import say
from scada.model.errors import ConfigurationError, Fault, GridScadaError, ServicesDown, StoreUnavailable
from scada.services import supervisor

app = typer.Typer(no_args_is_help=True, help="Switching orders: draft, check, approve, run, show, print.")

Number = Annotated[str, typer.Argument(metavar="NUMBER", help="The order's number.")]
Key = Annotated[str, typer.Option("--key", help="PKCS#12 file, a name in VAR/control/keys, or pkcs11:LIBRARY:TOKEN.")]


@app.command("draft")
def draft_order(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The order as TOML; docs/interlocking.md has one.")],
    key: Key,
) -> None:
    """Take a new order, signed by whoever prepared it."""
    out = _paper()
    with told_failures(context):
        installation = load_installation(config_path(context))
        by = signer(key, installation.config)
        found: list[Fault] = []
        loaded = load_order(file, installation.province, found)
        if loaded is None:
            raise ConfigurationError(found)
        now = now_us()
        said = Statement(Word.PREPARED, loaded.order.number, loaded.digest, "", common_name(by), now)
        folder = draft(
            _orders(installation.config),
            file,
            installation.province,
            sign(said.payload, by),
            _credentials(installation.config, now),
            now,
        )
    words = (loaded.order.number, common_name(by), len(loaded.order.step), folder)
    out.print(say("{} drafted by {}: {} steps, {}", installation.config.language, *words), markup=False)


@app.command()
def check(
    context: typer.Context,
    number: Number,
    *,
    normal: Annotated[
        bool, typer.Option("--normal", help="From the normal switching state, not from what `scada run` shows.")
    ] = False,
) -> None:
    """Try every step on a copy of the network; the first refused one ends it."""
    out = _paper()
    with told_failures(context):
        installation = load_installation(config_path(context))
        with _opened(installation, number) as record:
            # The load flow takes 0.6 s to import and is wanted here only.
            from scada.control.orders_check import OrderCheck  # noqa: PLC0415  # slow, rarely needed here
            from scada.control.whatif import LoadFlowWhatIf  # noqa: PLC0415  # slow, rarely needed here
            from scada.grid.loadflow import LoadFlow  # noqa: PLC0415  # slow, rarely needed here

            load_flow = LoadFlow(installation.province)
            what_if = LoadFlowWhatIf(load_flow, _customers(installation.config))
            checker = OrderCheck(load_flow, TopologyInterlocking(load_flow.topology), what_if)
            now = now_us()
            view = None if normal else present_view(installation.config.var)
            verdict = checker.simulate(record.order, view, now)
            record.note_check(verdict, 0 if normal else now, now_us())
    language = installation.config.language
    for step in verdict.steps:
        out.print(f"{step.number:3}  {told(step.step, language)}", markup=False)
        for remark in step.remarks:
            out.print(f"       {told(remark, language)}", markup=False, style="yellow")
        if step.refused:
            out.print(f"       {say('refused: {}', language, told(step.refused, language))}", markup=False, style="red")
    if not verdict.passed:
        raise typer.Exit(FAILED)
    out.print(say("{} checked: {} steps may be done", language, number, len(verdict.steps)), style="green")


@app.command()
def approve(context: typer.Context, number: Number, key: Key) -> None:
    """Sign a checked order as the second person."""
    with told_failures(context):
        installation = load_installation(config_path(context))
        with _opened(installation, number) as record:
            by = signer(key, installation.config)
            now = now_us()
            said = Statement(Word.APPROVED, number, record.file.digest, record.status.check, common_name(by), now)
            name = record.approve(sign(said.payload, by), _credentials(installation.config, now), now)
    _paper().print(say("{} approved by {}", installation.config.language, number, name), style="green")


@app.command()
def run(
    context: typer.Context,
    number: Number,
    key: Key,
    second: Annotated[
        str, typer.Option("--second", help="Key of the second person beside you; else he approves with scada approve.")
    ] = "",
) -> None:
    """Carry out an approved order, step by step through the control desk; the first step that fails stops it."""
    out = _paper()

    def tell(step: int, sentence: str) -> None:
        out.print(f"{step or '':3}  {told(sentence, language)}", markup=False)

    with told_failures(context):
        installation = load_installation(config_path(context))
        language = installation.config.language
        with _opened(installation, number) as record:
            by = signer(key, installation.config)
            other = signer(second, installation.config) if second else None
            state = asyncio.run(_carry_out(installation, record, by, other, tell))
    if state is not OrderState.COMPLETED:
        raise typer.Exit(FAILED)


@app.command()
def stop(
    context: typer.Context,
    number: Number,
    reason: Annotated[str, typer.Option("--reason", help="Why; kept with the order.")],
) -> None:
    """Withdraw an order that is not being carried out."""
    with told_failures(context):
        installation = load_installation(config_path(context))
        with _opened(installation, number) as record:
            record.add(OrderEvent.STOP, {"reason": reason}, now_us())
    _paper().print(say("{} stopped: {}", installation.config.language, number, reason), markup=False)


@app.command()
def show(context: typer.Context, number: Number) -> None:
    """How far an order is, and what became of its steps."""
    out = _paper()
    with told_failures(context):
        installation = load_installation(config_path(context))
        folder = _orders(installation.config) / number
        status = read_record(folder)
        found: list[Fault] = []
        file = load_order(folder / "order.toml", installation.province, found)
        if file is None:
            raise ConfigurationError(found)
    zone, language = installation.config.time_zone, installation.config.language
    out.print(f"{number}  {told(str(status.state), language)}  {file.order.purpose}", markup=False)
    for who, name, when in _persons(status):
        out.print(f"  {say(who, language):9} {told(name, language):16} {_when(when, zone)}", markup=False)
    done = {each.number: each for each in status.steps}
    for index, step in enumerate(file.order.step, start=1):
        record = done.get(index)
        became = told(f"{record.outcome or 'under way'}: {record.sentence}", language) if record else ""
        begun = _when(record.begun, zone) if record else ""
        out.print(f"{index:3}  {told(str(step), language):32} {begun:20} {became}", markup=False)
    if status.reason:
        out.print(f"{say('stopped', language)}: {told(status.reason, language)}", markup=False, style="red")


@app.command("list")
def list_orders(context: typer.Context) -> None:
    """All orders, the latest number last."""
    with told_failures(context):
        installation = load_installation(config_path(context))
        folders = sorted(path for path in _orders(installation.config).glob("*") if path.is_dir())
        found = [(folder.name, read_record(folder)) for folder in folders]
    language = installation.config.language
    headings = ("number", "state", "prepared by", "approved by", "steps done", "reason")
    table = Table(*(say(each, language) for each in headings), box=None)
    for name, status in found:
        done = sum(each.outcome == "completed" for each in status.steps)
        row = [name, told(str(status.state), language), status.prepared_by, status.approved_by, str(done)]
        table.add_row(*row, told(status.reason, language))
    _paper().print(table if found else say("no orders", language))


@app.command("print")
def print_order(
    context: typer.Context,
    number: Number,
    to: Annotated[Path | None, typer.Option("--to", help="PDF file; else NUMBER.pdf here.")] = None,
) -> None:
    """The order as PDF, in Vietnamese, with what became of it so far."""
    from scada.control.orders_pdf import order_pdf  # noqa: PLC0415  # loads typst, needed here only

    with told_failures(context):
        installation = load_installation(config_path(context))
        with _opened(installation, number) as record:
            zone = installation.config.time_zone
            pdf = order_pdf(record.file, record.status, installation.province, zone, lambda each: told(each, "vi"))
        path = to or Path(f"{number}.pdf")
        try:
            path.write_bytes(pdf)
        except OSError as error:
            raise CannotWrite(f"{path}: {error.strerror}") from None
    _paper().print(f"{path}: {len(pdf)} bytes")


class CannotWrite(GridScadaError):
    """The file cannot be written."""


async def _carry_out(
    installation: Installation, record: OrderRecord, by: Signer, second: Signer | None, tell: Callable[[int, str], None]
) -> OrderState:
    topology = Topology(installation.province)
    door = DeskDoor(installation.config.var, by, second, lambda sentence: tell(0, sentence))
    rules = TopologyInterlocking(topology)
    return await OrderRun(door, rules, topology, now_us, tell).carry_out(record, common_name(by))


def _customers(config: Config) -> dict[str, int]:
    """Meters behind each feeder; none are counted while the database is away."""
    try:
        dsn = supervisor.endpoints(config).postgres_dsn
        with HistorianStore(dsn, worker="scada order", clock=now_us) as store:
            return dict(Counter(meter.feeder for meter in store.registered_meters() if meter.feeder))
    except (StoreUnavailable, ServicesDown):
        return {}


def _persons(status: OrderStatus) -> list[tuple[str, str, int]]:
    return [
        ("prepared", status.prepared_by, status.prepared_at),
        ("checked", "passed" if status.check else ("refused" if status.checked_at else ""), status.checked_at),
        ("approved", status.approved_by, status.approved_at),
        ("executed", status.executed_by, status.ended_at),
    ]


def _when(time: int, zone: str) -> str:
    return f"{local(time, zone):%Y-%m-%d %H:%M:%S}" if time else ""


def _paper() -> Console:
    return Console(soft_wrap=True, highlight=False)


def _orders(config: Config) -> Path:
    return config.var / "orders"


def _opened(installation: Installation, number: str) -> OrderRecord:
    return open_record(_orders(installation.config) / number, installation.province)


def _credentials(config: Config, now: int) -> Credentials:
    return Credentials(*CredentialFiles(folder_of(config) / "authority.toml", trust_of(config), config.time_zone)(now))
