"""The files trust rests on: the anchor, the revocation lists, the authority table; read again when they change.

Knows where they lie and how to read them. Does not know what they decide. A file that became unreadable or wrong takes
effect as if it said nobody may do anything: an authority table with a fault is no authority table.
"""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from cryptography import x509

from scada.control.authority import NOBODY, AuthorityTable, load_authority
from scada.control.trust import Trust
from scada.model.errors import Fault

log = logging.getLogger(__name__)

LOOK_AGAIN_US: Final = 200_000
"""The files are looked at no oftener than this: a revocation takes effect within it."""


class CredentialFiles:
    """``authority``: the table, whose days are those of ``zone``. ``trust``: a folder with ``root.cer``, others
    ``*.cer`` and ``crl/*.crl``."""

    def __init__(self, authority: Path, trust: Path, zone: str) -> None:
        self._zone = zone
        self._authority = authority
        self._folder = trust
        self._stamps: tuple[tuple[str, int, int], ...] | None = None
        self._looked = 0
        self._table: AuthorityTable = NOBODY
        self._trust: Trust | None = None

    def __call__(self, now: int) -> tuple[Trust | None, AuthorityTable]:
        """Whom to trust and who may do what, as the files say at ``now`` (µs since 1970 UTC)."""
        if self._stamps is None or not 0 <= now - self._looked < LOOK_AGAIN_US:
            self._looked = now
            stamps = tuple(self._marks())
            if stamps != self._stamps:
                self._stamps = stamps
                self._table = self._read_table()
                self._trust = self._read_trust()
        return self._trust, self._table

    def _marks(self) -> Iterator[tuple[str, int, int]]:
        for path in (self._authority, *self._certificates(), *self._lists()):
            try:
                found = path.stat()
            except OSError:
                continue
            yield str(path), found.st_mtime_ns, found.st_size

    def _certificates(self) -> list[Path]:
        return sorted(self._folder.glob("*.cer"))

    def _lists(self) -> list[Path]:
        return sorted((self._folder / "crl").glob("*.crl"))

    def _read_table(self) -> AuthorityTable:
        if not self._authority.exists():
            log.warning("Nobody may operate: there is no authority table %s", self._authority)
            return NOBODY
        found: list[Fault] = []
        table = load_authority(self._authority, found, self._zone)
        for fault in found:
            log.error("Nobody may operate: %s", fault)
        if table is None:
            return NOBODY
        log.info("Authority table version %d: %d persons", table.version, len(table.persons))
        return table

    def _read_trust(self) -> Trust | None:
        root = self._folder / "root.cer"
        try:
            anchor = x509.load_pem_x509_certificate(root.read_bytes())
            others = [
                x509.load_pem_x509_certificate(each.read_bytes()) for each in self._certificates() if each != root
            ]
            lists = [_read_list(each.read_bytes()) for each in self._lists()]
        except (OSError, ValueError) as error:
            log.error("Nobody may operate: no certificate can be trusted from %s: %s", self._folder, error)
            return None
        return Trust(anchor, tuple(others), tuple(lists))


def _read_list(content: bytes) -> x509.CertificateRevocationList:
    if content.startswith(b"-----"):
        return x509.load_pem_x509_crl(content)
    return x509.load_der_x509_crl(content)
