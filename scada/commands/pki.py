"""`scada pki`: a certificate authority of one's own, for demonstrations and tests."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from cryptography import x509
from rich.console import Console
from rich.table import Table

from scada.clock import now_us
from scada.pki import folder as pki_folder
from scada.pki import servers
from scada.pki.application import make_application
from scada.pki.authority import instant
from scada.pki.folder import LocalPki, PkiError
from scada.pki.profiles import Subject

app = typer.Typer(help="A small certificate authority for demonstrations and tests.", no_args_is_help=True)
console = Console()
T = TypeVar("T")

DEFAULT_FOLDER = Path("var/pki")
Folder = Annotated[Path, typer.Option("--folder", help="Where the authority is kept.")]


@app.command()
def init(
    folder: Folder = DEFAULT_FOLDER,
    port: Annotated[int, typer.Option(help="Loopback port that its certificates name.")] = 8765,
) -> None:
    """Make a new authority: a root, one subordinate for people, one for time-stamps."""
    if (folder / "index.json").exists():
        raise _refused(f"{folder} holds an authority already; a second one would orphan its certificates")
    _save(pki_folder.create(f"http://127.0.0.1:{port}", now_us()), folder)
    console.print(f"Authority made in {folder}; verifiers trust {folder / 'root.cer'}.")


@app.command()
def issue(
    name: Annotated[str, typer.Argument(help="Whom the certificate names.")],
    out: Annotated[Path, typer.Option(help="PKCS#12 file to write.")],
    passphrase: Annotated[
        str, typer.Option(prompt=True, hide_input=True, envvar="SCADA_PASSPHRASE", help="Protects the key file.")
    ],
    identity: Annotated[str, typer.Option(help="CCCD:… of a person, MST:… of a company.")] = "",
    organization: Annotated[str, typer.Option(help="Organization in the certificate's subject.")] = "",
    profile: Annotated[str, typer.Option(help="signer, dispatcher or service.")] = "signer",
    folder: Folder = DEFAULT_FOLDER,
) -> None:
    """Issue a certificate with a new key, as a PKCS#12 file."""
    pki = _opened(folder)
    subject = Subject(name, identity, organization)
    issued = _answered(lambda: pki.issue(subject, pki_folder.profile_named(profile), now_us()))
    out.touch(mode=0o600)
    out.write_bytes(issued.pkcs12(passphrase, name))
    _save(pki, folder)
    console.print(f"Issued {issued.certificate.serial_number:x} for {name}, in {out}.")


@app.command()
def opcua(
    stations: Annotated[list[str], typer.Argument(help="Codes of the stations, e.g. TN13.")],
    folder: Annotated[Path, typer.Option(help="As `opcua_certificates` in config.toml.")] = DEFAULT_FOLDER / "opcua",
) -> None:
    """Make OPC UA certificates for a trial: ours, and for each station one that we trust, with its key for the field.

    What is there already is kept. In operation the stations make their own; copy them to FOLDER/trusted/STATION.der.
    """
    now = now_us()
    if not (folder / "control_centre.der").exists():
        make_application(folder, "control_centre", "urn:gridscada:control-centre", now)
    trusted = folder / "trusted"
    trusted.mkdir(parents=True, exist_ok=True)
    for station in stations:
        if not (trusted / f"{station}.der").exists():
            made = make_application(folder / "field", station, f"urn:gridscada:simulator:{station}", now)
            (trusted / f"{station}.der").write_bytes(made.read_bytes())
    console.print(f"Certificates in {folder}; stations' own keys in {folder / 'field'}.")


@app.command()
def revoke(
    serial: Annotated[str, typer.Argument(help="Serial number as `scada pki list` shows it.")],
    folder: Folder = DEFAULT_FOLDER,
) -> None:
    """Revoke a certificate from now on."""
    pki = _opened(folder)
    try:
        number = int(serial, 16)
    except ValueError:
        raise _refused(f"{serial!r} is not a serial number") from None
    _answered(lambda: pki.revoke(number, now_us(), x509.ReasonFlags.key_compromise))
    _save(pki, folder)
    console.print(f"Revoked {serial} ({pki.issued[number][1]}).")


@app.command()
def lists(folder: Folder = DEFAULT_FOLDER) -> None:
    """Write the revocation lists anew; they hold for 30 days."""
    pki_folder.write_lists(_opened(folder), folder, now_us())
    console.print(f"Written to {folder / 'crl'}.")


@app.command("list")
def list_issued(folder: Folder = DEFAULT_FOLDER) -> None:
    """What was issued, and what of it is revoked."""
    pki = _opened(folder)
    table = Table("serial", "profile", "subject", "revoked")
    for serial, (profile, subject) in pki.issued.items():
        entry = pki.people.revoked.get(serial)
        table.add_row(f"{serial:x}", profile, subject, instant(entry.at).isoformat() if entry else "")
    console.print(table)


@app.command()
def serve(
    folder: Folder = DEFAULT_FOLDER,
    seconds: Annotated[float | None, typer.Option(help="Stop after so long; else until Ctrl-C.")] = None,
) -> None:
    """Serve revocation lists, OCSP and time-stamps on loopback."""
    pki = _opened(folder)
    listener = servers.listening_socket(int(pki.base_url.rsplit(":", 1)[1]))
    reread = _Reread(folder, pki)
    app_ = servers.application(pki, servers.doors(pki), reread.now)
    with servers.served(app_, listener):
        console.print(f"Serving {pki.base_url}: /crl, /ocsp, /ca, /tsa")
        end = None if seconds is None else time.monotonic() + seconds
        try:
            while end is None or time.monotonic() < end:
                time.sleep(0.2)
        except KeyboardInterrupt:
            console.print("Stopped.")


class _Reread:
    """The clock of the doors; asked before every answer, so revocations made meanwhile are seen in it."""

    def __init__(self, folder: Path, pki: LocalPki) -> None:
        self._folder, self._pki = folder, pki
        self._stamp = (folder / "index.json").stat().st_mtime_ns

    def now(self) -> int:
        stamp = (self._folder / "index.json").stat().st_mtime_ns
        if stamp != self._stamp:
            fresh = pki_folder.load(self._folder)
            for name, authority in self._pki.authorities.items():
                authority.revoked = fresh.authorities[name].revoked
            self._stamp = stamp
        return now_us()


def _save(pki: LocalPki, folder: Path) -> None:
    pki_folder.save(pki, folder)
    pki_folder.write_lists(pki, folder, now_us())


def _opened(folder: Path) -> LocalPki:
    return _answered(lambda: pki_folder.load(folder))


def _answered(ask: Callable[[], T]) -> T:
    try:
        return ask()
    except PkiError as error:
        raise _refused(str(error)) from None


def _refused(sentence: str) -> typer.Exit:
    Console(stderr=True).print(f"[red]Refused:[/red] {sentence}", highlight=False)
    return typer.Exit(1)
