"""``scada map``: register maps from vendors' point lists."""

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from scada.baytype import read_bay_types
from scada.commands.context import config_of, told_failures
from scada.commands.looking import NotKnown
from scada.model.errors import Fault
from scada.tables import nearest, refuse_faults
from substations.mapcheck import load_register_map
from substations.mapimport import map_text, read_list

app = typer.Typer(no_args_is_help=True, help="Register maps of the substations' devices.")


@app.command("import")
def import_list(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="Point list (CSV): point, address, table, type, order, scale, …")],
    bay_type: Annotated[str, typer.Option("--bay-type", help="Whose points these are, e.g. feeder_22.")],
    out: Annotated[Path | None, typer.Option("--out", help="Map to write; else it is printed.")] = None,
    base: Annotated[int, typer.Option("--base", help="Address the map's offsets are counted from.")] = 0,
) -> None:
    """Build a map from a vendor's point list; prints every fault with its line, and writes nothing then."""
    with told_failures():
        folder = config_of(context).stations.folder
        found: list[Fault] = []
        types, known = read_bay_types(folder / "baytypes", found)
        refuse_faults(found)
        if bay_type not in types:
            raise NotKnown(f"no bay type {bay_type!r}{nearest(bay_type, sorted(known))}")
        try:
            text = file.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise NotKnown(f"{file} cannot be read: {error}") from None
        points = read_list(text, [each.name for each in types[bay_type].points], file.name, found)
        refuse_faults(found)
        below = [each for each in points if each.address < base]
        refuse_faults([Fault(file.name, f"line {p.line}", f"address {p.address} is below {base}") for p in below])
        content = map_text(points, bay_type, base, file.name)
        _check(content, bay_type, found)
        refuse_faults(found)
        if out is None:
            typer.echo(content, nl=False)
            return
        if out.exists():
            raise NotKnown(f"{out} exists; move it away first")
        try:
            out.write_text(content, encoding="utf-8")
        except OSError as error:
            raise NotKnown(f"{out} cannot be written: {error.strerror}") from None
    typer.echo(f"{len(points)} points in {out}; check the orders and scales with scada p2p")


def _check(content: str, bay_type: str, found: list[Fault]) -> None:
    """What the loader of maps says of it: overlaps, types that do not fit their table, scales of contacts."""
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / f"{bay_type}.modbus.toml"
        path.write_text(content, encoding="utf-8")
        load_register_map(path, found)
