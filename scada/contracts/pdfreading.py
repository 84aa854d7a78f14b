"""Opens a PDF that somebody sent, carefully, and tells what it holds. Does not judge signatures."""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyhanko.pdf_utils import generic
from pyhanko.pdf_utils.misc import PdfError
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign.diff_analysis import DiffResult, SuspiciousModification
from pyhanko.sign.validation.pdf_embedded import EmbeddedPdfSignature
from pyhanko.sign.validation.status import SignatureCoverageLevel

from scada.contracts.reasons import Finding, Reason, told_by

HIDING_KEYS = {
    "/OCProperties": "optional content (layers)",
    "/OpenAction": "an action on opening",
    "/AA": "additional actions",
    "/AF": "associated files",
    "/Collection": "a portfolio",
    "/Perms/UR3": "usage rights",
}
"""Keys of the catalogue that our documents never have, and that can make a page look other than it was signed."""

NAME_TREES = {"/JavaScript": "scripts", "/EmbeddedFiles": "attachments", "/AlternatePresentations": "alternates"}


DAMAGE = (
    PdfError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    RecursionError,
    ArithmeticError,
    OSError,
    NotImplementedError,
)
"""Through these pyHanko and its parsers report damage of every kind; a hostile file must never be our exception."""


class Unreadable(ValueError):
    """The bytes are not a PDF we can read; ``finding`` says why."""

    def __init__(self, finding: Finding) -> None:
        self.finding = finding
        super().__init__(str(finding))


def read_bounded(path: Path, limit: int) -> bytes:
    """The file's bytes, no more than one past ``limit``: enough to say that it is too large. Raises OSError."""
    with path.open("rb") as file:
        return file.read(limit + 1)


def opened(content: bytes, limit: int) -> PdfFileReader:
    """A reader over ``content``. Raises Unreadable for what is too large, no PDF, damaged or encrypted."""
    if len(content) > limit:
        raise Unreadable(Finding(Reason.TOO_LARGE, f"> {limit / 2**20:.1f} MiB"))
    if not content[:1024].lstrip().startswith(b"%PDF-"):
        raise Unreadable(Finding(Reason.NOT_PDF))
    try:
        reader = PdfFileReader(io.BytesIO(content))
        if reader.encrypted:
            raise Unreadable(Finding(Reason.ENCRYPTED))
        list(reader.embedded_signatures)
        assert reader.root["/Pages"]
    except Unreadable:
        raise
    except DAMAGE as error:
        raise Unreadable(Finding(Reason.NOT_PDF, told_by(error))) from error
    except AssertionError as error:
        raise Unreadable(Finding(Reason.NOT_PDF, "damaged")) from error
    return reader


def entry(dictionary: generic.DictionaryObject, key: str) -> Any:
    """The value at ``key`` with references followed, or None; ``get`` would return the reference itself."""
    try:
        return dictionary[key]
    except KeyError:
        return None


def hidden_content(reader: PdfFileReader) -> list[Finding]:
    """Everything in the catalogue that can show or do something that is not on the pages."""
    root = reader.root
    found = [text for key, text in HIDING_KEYS.items() if key in root]
    names = entry(root, "/Names")
    if isinstance(names, generic.DictionaryObject):
        found += [text for key, text in NAME_TREES.items() if key in names]
    return [Finding(Reason.HIDDEN_CONTENT, ", ".join(found))] if found else []


def signatures(reader: PdfFileReader) -> list[EmbeddedPdfSignature]:
    """Signatures of persons, in order; not the time-stamps."""
    return list(reader.embedded_regular_signatures)


def timestamps(reader: PdfFileReader) -> list[EmbeddedPdfSignature]:
    """Archive time-stamps, in order."""
    return list(reader.embedded_timestamp_signatures)


@dataclass(frozen=True, slots=True)
class Reach:
    """How much of the file a signature covers, and what changed after it (None: nothing came after)."""

    coverage: SignatureCoverageLevel
    changed: DiffResult | SuspiciousModification | None


def reach(embedded: EmbeddedPdfSignature) -> Reach:
    """What a signature covers and what came after it, by pyHanko's difference analysis."""
    covered: Any = embedded.coverage
    if covered is None:  # judging a signature may have done it already; it compares every object of two revisions
        embedded.compute_integrity_info()
        covered = embedded.coverage
    changed: Any = embedded.diff_result
    return Reach(covered, None if covered is SignatureCoverageLevel.ENTIRE_FILE else changed)


def evidence(reader: PdfFileReader) -> Iterator[tuple[str, bytes]]:
    """Every certificate, revocation answer, list and signature container embedded, as (kind, DER)."""
    store = entry(reader.root, "/DSS")
    if isinstance(store, generic.DictionaryObject):
        for key, kind in (("/Certs", "cer"), ("/OCSPs", "ocsp"), ("/CRLs", "crl")):
            for item in entry(store, key) or ():
                yield kind, item.get_object().data
    for embedded in reader.embedded_signatures:
        kind = "tst" if embedded.sig_object_type == "/DocTimeStamp" else "p7s"
        yield kind, embedded.pkcs7_content.rstrip(b"\x00")


def revocation(reader: PdfFileReader) -> tuple[list[bytes], list[bytes], list[bytes]]:
    """The evidence store: certificates, OCSP responses, revocation lists (DER)."""
    found: dict[str, list[bytes]] = {"cer": [], "ocsp": [], "crl": []}
    for kind, content in evidence(reader):
        if kind in found:
            found[kind].append(content)
    return found["cer"], found["ocsp"], found["crl"]
