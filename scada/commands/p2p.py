"""``scada p2p``: the point-to-point commissioning test between a device and the control centre."""

import asyncio
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from scada.clock import local, now_us
from scada.commands.context import FAILED, config_path, told_failures
from scada.commands.looking import NotKnown
from scada.commissioning import Centre, simulated, tester_account, walk
from scada.files import Installation, load_installation
from scada.hmi.language import say
from scada.hmi.pointreport import Frame, report_csv, report_pdf
from scada.hmi.screen import paper
from scada.hmi.words import title
from scada.model.errors import LinkError
from scada.model.point import Point
from scada.model.station import Station
from scada.pointtest import PointVerdict, Seen, Verdict, matches
from scada.tables import nearest


def p2p(
    context: typer.Context,
    station: Annotated[str, typer.Argument(metavar="STATION", help="Code of the substation, e.g. TN03.")],
    bay: Annotated[str, typer.Option("--bay", help="Only this bay, e.g. 171.")] = "",
    tester: Annotated[str, typer.Option("--tester", help="Who tests; else the account that runs this.")] = "",
    out: Annotated[Path | None, typer.Option("--out", help="Folder of the reports; else var/p2p.")] = None,
    *,
    simulate: Annotated[
        bool, typer.Option("--simulate", help="Against a simulator, every point by itself; else a person is asked.")
    ] = False,
) -> None:
    """Test every point of a station from device to control centre; exit code 1 when one fails."""
    with told_failures():
        installation = load_installation(config_path(context))
        found = next((each for each in installation.province.stations if each.code == station), None)
        if found is None:
            raise NotKnown(
                f"no station {station!r}{nearest(station, [s.code for s in installation.province.stations])}"
            )
        found = next((each for each in installation.stations if each.code == station), found)
        points = [point for point in found.points if bay in ("", point.bay)]
        if not points:
            raise NotKnown(f"{station} has no bay {bay!r}{nearest(bay, [each.name for each in found.bays])}")
        begun = now_us()
        verdicts = _simulated(installation, found, points) if simulate else _asked(installation, found, points)
        frame = Frame(
            found,
            tester or tester_account(),
            "simulator" if simulate else "device",
            begun,
            now_us(),
            installation.config.time_zone,
        )
        places = _write(frame, verdicts, out or installation.config.var / "p2p")
    _tell(frame, verdicts, places, installation.config.language)
    if any(each.verdict is Verdict.FAIL for each in verdicts):
        raise typer.Exit(FAILED)


def _simulated(installation: Installation, station: Station, points: Sequence[Point]) -> tuple[PointVerdict, ...]:
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(f"{station.code}: {len(points)} points", total=None)

        def progress(done: int, of: int) -> None:
            bar.update(task, completed=done, total=of)

        with simulated(station, installation.config.stations.folder) as device:
            return asyncio.run(walk(device, installation.maps, points, progress))


def _asked(installation: Installation, station: Station, points: Sequence[Point]) -> tuple[PointVerdict, ...]:
    """A person at the device says what it shows; the centre looks at the same moment."""
    language = installation.config.language
    typer.echo(
        say("Say what the device shows: a value (positions: 1 open, 2 closed), Enter to skip, q to end.", language)
    )

    async def ask() -> tuple[PointVerdict, ...]:
        centre = Centre(station, installation.maps)
        await centre.open()
        verdicts: list[PointVerdict] = []
        ended = False
        try:
            for point in points:
                answer = "" if ended else _answer(point, language)
                ended = ended or answer == "q"
                expected = None if ended or not answer else float(answer)
                if expected is None:
                    verdicts.append(_skipped(point, "not tested"))
                    continue
                try:
                    seen = (await centre.look_until({point.name: expected}, {point.name: point}))[point.name]
                except LinkError as lost:
                    # What was tested before must come into the report, whatever becomes of the link.
                    verdicts.append(_skipped(point, str(lost)))
                else:
                    why = matches(point, expected, seen)
                    verdict = Verdict.FAIL if why else Verdict.PASS
                    verdicts.append(PointVerdict(point, verdict, 1, expected, seen, now_us(), why))
                _tell_verdict(verdicts[-1], language)
        finally:
            await centre.close()
        return tuple(verdicts)

    return asyncio.run(ask())


def _skipped(point: Point, why: str) -> PointVerdict:
    return PointVerdict(point, Verdict.SKIPPED, 0, 0.0, Seen(0.0, 0, 0), now_us(), why)


def _tell_verdict(judged: PointVerdict, language: str) -> None:
    typer.echo(f"  {say(judged.verdict.value, language)}{': ' + judged.why if judged.why else ''}")


def _answer(point: Point, language: str) -> str:
    while True:
        text: str = typer.prompt(
            f"{point.name} {title(point, language)} [{point.unit}]", default="", show_default=False
        )
        if text.strip() in ("", "q") or _is_number(text):
            return text.strip()
        typer.echo(say("{} is no number", language, repr(text)))


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _write(frame: Frame, verdicts: Sequence[PointVerdict], folder: Path) -> tuple[Path, Path]:
    stem = f"{frame.station.code}-{local(frame.begun, frame.zone):%Y%m%d-%H%M%S}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        table, document = folder / f"{stem}.csv", folder / f"{stem}.pdf"
        table.write_text(report_csv(frame, verdicts), encoding="utf-8")
        document.write_bytes(report_pdf(frame, verdicts))
    except OSError as error:
        raise NotKnown(f"the report cannot be written: {error}") from error
    return table, document


def _tell(frame: Frame, verdicts: Sequence[PointVerdict], places: Sequence[Path], language: str) -> None:
    out = paper()
    failed = [each for each in verdicts if each.verdict is Verdict.FAIL]
    if failed:
        table = Table(*(say(each, language) for each in ("point", "expected", "seen", "why")), box=None)
        for each in failed[:50]:
            table.add_row(each.point.name, f"{each.expected:g}", f"{each.seen.value:g}", each.why)
        out.print(table)
    count = Counter(each.verdict for each in verdicts)
    took = (frame.ended - frame.begun) / 1e6
    counted = say(
        "{} points passed, {} failed, {} skipped in {} s, by {}",
        language,
        *(count[each] for each in (Verdict.PASS, Verdict.FAIL, Verdict.SKIPPED)),
        f"{took:.0f}",
        frame.tester,
    )
    out.print(f"{frame.station.code}: {counted}")
    for place in places:
        out.print(f"  {place}", markup=False, soft_wrap=True)
