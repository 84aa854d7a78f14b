"""``scada meters kpi``, ``outages``, ``snapshot``, ``customers``: the figures people computed by hand.

Knows how they are shown and where they are asked for.
"""

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo

import msgspec
import typer
from rich.table import Table

from historian.compression import Edition, readings_of
from historian.figures import Grouping, MeterFigures
from historian.history import History
from historian.outages import OutageStore
from meters.obis import BY_NUMBER
from scada.clock import now_us
from scada.commands.context import config_of, told_failures
from scada.commands.duration import seconds_of
from scada.commands.moments import midnight_of, shown
from scada.hmi.language import say
from scada.hmi.screen import paper
from scada.meterjobs import NEAREST_S, group_outages, midnights
from scada.services import supervisor

Json = Annotated[bool, typer.Option("--json", help="As one JSON object.")]
Since = Annotated[str, typer.Option("--since", help="How far back: 1h, 7d.")]


def kpi(
    context: typer.Context,
    by: Annotated[Grouping, typer.Option("--by", help="unit, class or concentrator.")] = Grouping.UNIT,
    since: Since = "1d",
    *,
    as_json: Json = False,
) -> None:
    """Tỷ lệ khai thác, tỷ lệ thu thập: configured of listed, delivering of configured, readings stored of expected."""
    with told_failures():
        config = config_of(context)
        period_s = config.head_end.capture_period_s
        until = now_us() // (period_s * 1_000_000) * period_s * 1_000_000
        with MeterFigures(supervisor.endpoints(config).postgres_reader_dsn) as figures:
            found = figures.collection(by, until - int(seconds_of(since) * 1e6), until, period_s=period_s)
    if as_json:
        rows = [
            {**asdict(e), "exploitation": e.exploitation, "collection": e.collection, "completeness": e.completeness}
            for e in found
        ]
        typer.echo(msgspec.json.encode(rows).decode())
        return
    language = config.language
    columns = (
        by.value,
        "points",
        "customers",
        "exploitation",
        "delivering",
        "collection",
        "readings",
        "expected readings",
        "complete",
    )
    table = _table(language, *columns)
    for each in found:
        table.add_row(
            each.part,
            f"{each.points:,}",
            "—" if each.customers is None else f"{each.customers:,}",
            _percent(each.exploitation),
            f"{each.delivering:,}",
            _percent(each.collection),
            f"{each.stored:,}",
            f"{each.owed:,}",
            _percent(each.completeness),
        )
    out = paper()
    out.print(table)
    points, delivering = sum(e.points for e in found), sum(e.delivering for e in found)
    stored, owed = sum(e.stored for e in found), sum(e.owed for e in found)
    counts = (f"{count:,}" for count in (delivering, points, stored, owed))
    out.print(say("{} of {} points delivered; {} of {} readings are stored.", language, *counts))


def outages(context: typer.Context, since: Since = "7d", *, as_json: Json = False) -> None:
    """Outages as the meters tell them: how many customers, since when, restored when."""
    with told_failures():
        config = config_of(context)
        endpoints = supervisor.endpoints(config)
        group_outages(endpoints.postgres_dsn, now_us)
        now = now_us()
        with OutageStore(endpoints.postgres_reader_dsn) as store:
            found = store.outages(now - int(seconds_of(since) * 1e6), now)
    if as_json:
        typer.echo(msgspec.json.encode([asdict(each) for each in found]).decode())
        return
    zone = ZoneInfo(config.time_zone)
    language = config.language
    table = _table(language, "feeder", "transformer", "began", "restored", "customers", "still out")
    for each in found:
        table.add_row(
            each.feeder,
            each.transformer or say("whole feeder", language),
            shown(each.began, zone),
            say("not yet", language) if each.restored is None else shown(each.restored, zone),
            f"{each.meters:,}",
            f"{each.still_out:,}",
        )
    out = paper()
    if found:
        out.print(table)
    still_out = f"{sum(each.still_out for each in found):,}"
    out.print(say("{} outages, {} customers without supply now.", language, len(found), still_out))


def snapshot(
    context: typer.Context,
    date: Annotated[str, typer.Option("--date", help="Local day whose 00:00 is meant, 2026-11-01; else today.")] = "",
    *,
    as_json: Json = False,
) -> None:
    """Registers at local midnight: how many are exact, nearest, missing."""
    with told_failures():
        config = config_of(context)
        zone = ZoneInfo(config.time_zone)
        at = midnight_of(date, zone) if date else midnights(now_us(), zone, 1)[0]
        endpoints = supervisor.endpoints(config)
        with MeterFigures(endpoints.postgres_dsn) as figures:
            figures.take_snapshot(at, NEAREST_S)
            found = figures.snapshot(at)
    if as_json:
        typer.echo(msgspec.json.encode({"at": at, "units": [asdict(each) for each in found]}).decode())
        return
    language = config.language
    table = _table(language, "unit", "meters", "exact", "nearest", "missing", "farthest")
    for each in found:
        cells = (each.meters, each.exact, each.nearest, each.missing)
        table.add_row(each.unit, *(f"{cell:,}" for cell in cells), f"{each.farthest_s} s")
    out = paper()
    out.print(table)
    exact, nearest, missing = (sum(getattr(e, name) for e in found) for name in ("exact", "nearest", "missing"))
    counts = (f"{count:,}" for count in (exact, nearest, missing))
    out.print(say("Registers at {}: {} exact, {} nearest, {} missing.", language, shown(at, zone), *counts))


def customers(
    context: typer.Context, file: Annotated[Path, typer.Argument(help="CSV: metering_point,unit,class.")]
) -> None:
    """Replace the customer system's list of metering points, what tỷ lệ khai thác is measured against."""
    with told_failures():
        config = config_of(context)
        with MeterFigures(supervisor.endpoints(config).postgres_dsn) as figures:
            count = figures.list_customers(file)
    paper().print(say("{} metering points in the customer system's list", config.language, f"{count:,}"))


def storage(context: typer.Context, *, as_json: Json = False) -> None:
    """What readings cost on disk: rows, chunks, bytes for each row with its indexes."""
    with told_failures():
        config = config_of(context)
        dsn = supervisor.endpoints(config).postgres_reader_dsn
        with History(dsn) as history:
            found = history.storage()
        with readings_of(dsn) as readings:
            says, (days, compressed) = readings.license(), readings.compressed()
    if as_json:
        typer.echo(msgspec.json.encode([{**asdict(e), "bytes_per_row": e.bytes_per_row} for e in found]).decode())
        return
    table = _table(config.language, "table", "rows", "chunks", "rows MB", "indexes MB", "bytes each")
    for each in found:
        megabytes = (f"{size / 1e6:,.1f}" for size in (each.table_bytes, each.index_bytes))
        table.add_row(each.table, f"{each.rows:,}", f"{each.chunks:,}", *megabytes, f"{each.bytes_per_row:.1f}")
    paper().print(table)
    paper().print(compression_sentence(says, compressed, days, config.language), markup=False)


def compression_sentence(says: str, compressed: int, days: int, language: str) -> str:
    """What is compressed, for a person; ``says``: the edition of TimescaleDB."""
    if says != Edition.COMMUNITY:
        return say("Compression: none; this edition of TimescaleDB ({}) has none.", language, says)
    return say("Compression: {} of {} days of readings are compressed.", language, compressed, days)


def export(
    context: typer.Context,
    month: Annotated[str, typer.Argument(help="Closed local month, e.g. 2026-10.")],
    to: Annotated[Path | None, typer.Option("--to", help="Folder; else var/export.")] = None,
) -> None:
    """Write a closed month of readings and registers as Parquet, with a manifest: rows, bytes, SHA-256 of each file."""
    from historian.export import export_month  # noqa: PLC0415  # only exports load Arrow's 60 MB

    try:
        first = datetime.strptime(month, "%Y-%m").replace(tzinfo=UTC).date()
    except ValueError:
        raise typer.BadParameter(f"{month!r} is no month like 2026-10") from None
    with told_failures():
        config = config_of(context)
        folder = to or config.var / "export"
        dsn = supervisor.endpoints(config).postgres_reader_dsn
        try:
            codes = {number: each.code for number, each in BY_NUMBER.items()}
            done = export_month(dsn, first, ZoneInfo(config.time_zone), folder, codes=codes, now=now_us())
        except ValueError as error:
            raise typer.BadParameter(str(error)) from None
    out, language = paper(), config.language
    for each in done.files:
        size = say("{} bytes", language, f"{each.bytes:,}")
        if each.rows:
            size = say("{} bytes, {} for each row", language, f"{each.bytes:,}", f"{each.bytes / each.rows:.1f}")
        told = (folder / each.name, f"{each.rows:,}", size, each.sha256[:16])
        out.print(say("{}: {} rows, {}, sha256 {}…", language, *told), markup=False)


def _table(language: str, *names: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for number, name in enumerate(names):
        table.add_column(say(name, language), justify="left" if number == 0 else "right")
    return table


def _percent(share: float | None) -> str:
    return "—" if share is None else f"{share:.2%}"
