"""``scada report``: what the company has to report, from the journal, without any process running."""

import csv
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from scada.clock import local, now_us
from scada.commands.context import config_path, told_failures
from scada.config import Config
from scada.control.journal import whole_entries
from scada.control.report_bm20c import ATTENDED, Bm20c, Figures, attendances, bm20c, overrides, remote_operations
from scada.control.tenure import segments
from scada.controlling import folder_of
from scada.files import load_installation
from scada.hashchain import Entry, HashChain
from scada.model.errors import GridScadaError
from scada.tables import nearest

app = typer.Typer(no_args_is_help=True, help="Reports: remote operation (BM20c).")


class WrongReport(GridScadaError):
    """What was asked for is no month, or no station."""


@app.command("bm20c")
def report_bm20c(
    context: typer.Context,
    month: Annotated[str, typer.Option("--month", help="As 2026-11, in local time.")],
    *,
    as_json: Annotated[bool, typer.Option("--json", help="As one JSON object.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="By station, as CSV.")] = False,
) -> None:
    """Remote operations of a month and since commissioning: number, successes, rate, causes, times staff had to go."""
    with told_failures():
        installation = load_installation(config_path(context))
        config = installation.config
        stations = [station.code for station in installation.province.stations]
        try:
            gone = attendances(whole_entries(_attendance(config))) if _attendance(config).exists() else []
            journal = list(_journal(config))
            operations, alone = remote_operations(journal), overrides(journal)
            found = bm20c(operations, gone, alone, month, stations, config.time_zone)
        except ValueError:
            raise WrongReport(f"{month!r} is no month; write 2026-11") from None
    if as_json:
        typer.echo(json.dumps(_content(found), ensure_ascii=False))
    elif as_csv:
        _print_csv(found)
    else:
        _print(found, config.name, config.time_zone)


@app.command()
def attended(
    context: typer.Context,
    target: Annotated[str, typer.Argument(metavar="TARGET", help="Station or device: TN01 or TN01/471.")],
    reason: Annotated[str, typer.Option("--reason", help="Why it could not be operated from the centre.")],
) -> None:
    """Note that staff had to go to a station; counted by the report."""
    with told_failures():
        installation = load_installation(config_path(context))
        stations = [station.code for station in installation.province.stations]
        code = target.split("/", 1)[0]
        if code not in stations:
            raise WrongReport(f"no station {code!r}{nearest(code, stations)}")
        with HashChain(_attendance(installation.config)) as chain:
            entry = chain.append(ATTENDED, {"target": target, "reason": reason}, now_us())
    Console(soft_wrap=True, highlight=False).print(
        f"noted as number {entry.sequence}: {target}, {reason}", markup=False
    )


def _journal(config: Config) -> Iterator[Entry]:
    for path in segments(folder_of(config)):
        yield from whole_entries(path)


def _attendance(config: Config) -> Path:
    return folder_of(config) / "attendance.jsonl"


def _content(found: Bm20c) -> dict[str, object]:
    return {
        "month": found.month,
        "in_month": found.in_month.report(),
        "since_commissioning": found.since_commissioning.report(),
        "by_station": {code: figures.report() for code, figures in found.by_station.items()},
        "attendances": [{"time": a.time, "target": a.target, "reason": a.reason} for a in found.attendances],
        "overrides": [{"time": o.time, "target": o.target, "sentence": o.sentence} for o in found.overrides],
    }


def _print_csv(found: Bm20c) -> None:
    out = csv.writer(sys.stdout, lineterminator="\n")
    out.writerow(["station", "operations", "successes", "rate_percent", "attended", "failures", "refused_before"])
    for code, figures in [*found.by_station.items(), ("total", found.in_month)]:
        rate = "" if figures.rate_percent is None else f"{figures.rate_percent:.2f}"
        causes, before = _causes(figures.failures), _causes(figures.refused_before)
        out.writerow([code, figures.operations, figures.successes, rate, figures.attended, causes, before])


def _print(found: Bm20c, company: str, zone: str) -> None:
    out = Console(soft_wrap=True, highlight=False)
    out.print(f"{company}: báo cáo thao tác xa (BM20c), tháng {found.month}", markup=False)
    table = Table("", "thao tác", "thành công", "tỷ lệ %", "cử người", "nguyên nhân không thành công", box=None)
    for code, figures in found.by_station.items():
        if figures.operations or figures.attended:
            table.add_row(code, *_row(figures))
    table.add_row("trong tháng", *_row(found.in_month), style="bold")
    table.add_row("từ khi vận hành", *_row(found.since_commissioning))
    out.print(table)
    if found.in_month.refused_before:
        out.print(f"từ chối trước khi gửi lệnh: {_causes(found.in_month.refused_before)}", markup=False)
    for alone in found.overrides:
        out.print(f"khẩn cấp, một người {local(alone.time, zone):%d/%m/%Y %H:%M}: {alone.sentence}", markup=False)
    for each in found.attendances:
        out.print(f"cử người {local(each.time, zone):%d/%m/%Y %H:%M} {each.target}: {each.reason}", markup=False)


def _row(figures: Figures) -> list[str]:
    rate = "–" if figures.rate_percent is None else f"{figures.rate_percent:.2f}"
    return [str(figures.operations), str(figures.successes), rate, str(figures.attended), _causes(figures.failures)]


def _causes(causes: Mapping[str, int]) -> str:
    return ", ".join(f"{cause} ({count})" for cause, count in causes.items())
