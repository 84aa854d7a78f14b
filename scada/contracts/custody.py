"""The chain of custody of a signed file: which revisions belong to which signature, and who vouches for them since.

A PDF grows by appending, so every earlier state is a prefix. A *link* is a signature with the evidence and the first
archive time-stamp that follow it, or a later archive time-stamp with its evidence. Each link is judged as of its own
time, from what the file held then; the next link vouches for it from there on. That is what archive time-stamps are
for (ETSI EN 319 142-1 5.4.3): evidence ages, the stamp over it does not.

    links(reader, content) → links in order
"""

from collections.abc import Sequence
from dataclasses import dataclass

from asn1crypto import cms, x509
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign.validation.generic_cms import extract_tst_data_iter
from pyhanko.sign.validation.pdf_embedded import EmbeddedPdfSignature

from scada.contracts import pdfreading

SECOND_US = 1_000_000


@dataclass(frozen=True, slots=True)
class Link:
    """``end`` is the length of the file when the link was complete. ``time`` is proven by ``stamp`` (µs UTC); both
    are None for a signature without any time-stamp. ``holds_until`` is the end of the stamp's certificate."""

    signature: str
    end: int
    time: int | None
    stamp: x509.Certificate | None

    @property
    def holds_until(self) -> int | None:
        """When the stamp's certificate ends, µs UTC."""
        return None if self.stamp is None else int(self.stamp.not_valid_after.timestamp()) * SECOND_US


def links(reader: PdfFileReader, content: bytes) -> list[Link]:
    """The links of a file, oldest first. ``signature`` is the signed field, or '' for a renewal."""
    groups: list[list[EmbeddedPdfSignature]] = []
    for embedded in reader.embedded_signatures:
        starts = _is_signature(embedded) or not groups or len(groups[-1]) > 1 or not _is_signature(groups[-1][0])
        if starts:
            groups.append([embedded])
        else:
            groups[-1].append(embedded)
    if not groups:
        return []
    ends = [_end_before(reader, content, following[0]) for following in groups[1:]] + [len(content)]
    return [_link(group, end) for group, end in zip(groups, ends, strict=True)]


def _link(group: Sequence[EmbeddedPdfSignature], end: int) -> Link:
    first, last = group[0], group[-1]
    if not _is_signature(last):
        return Link(
            str(first.field_name) if _is_signature(first) else "", end, _time(last.signed_data), last.signer_cert
        )
    for token in extract_tst_data_iter(first.signer_info, signed=False):
        return Link(str(first.field_name), end, _time(token), _signer(token))
    return Link(str(first.field_name), end, None, None)


def _is_signature(embedded: EmbeddedPdfSignature) -> bool:
    return bool(embedded.sig_object_type == "/Sig")


def _end_before(reader: PdfFileReader, content: bytes, embedded: EmbeddedPdfSignature) -> int:
    """Length of the file just before the revision that ``embedded`` came with."""
    start = reader.xrefs.get_startxref_for_revision(embedded.signed_revision - 1)
    end = content.index(b"%%EOF", start) + len(b"%%EOF")
    return end + len(content[end : end + 2]) - len(content[end : end + 2].lstrip(b"\r\n"))


def _time(token: cms.SignedData) -> int:
    stamped = token["encap_content_info"]["content"].parsed["gen_time"].native
    return int(stamped.timestamp() * SECOND_US)


def _signer(token: cms.SignedData) -> x509.Certificate | None:
    signer = token["signer_infos"][0]["sid"].chosen
    for each in token["certificates"]:
        certificate = each.chosen
        if isinstance(certificate, x509.Certificate) and certificate.serial_number == signer["serial_number"].native:
            return certificate
    return None


def first_break(chain: Sequence[Link], now: int) -> Link | None:
    """The first link whose stamp ended before the next link took over, or before ``now`` for the last; else None."""
    until = [*(following.time for following in chain[1:]), now]
    for link, taken_over in zip(chain, until, strict=False):
        if link.holds_until is not None and taken_over is not None and link.holds_until < taken_over:
            return link
    return None


def cut(content: bytes, link: Link, limit: int) -> PdfFileReader:
    """A reader over the file as it was when the link was complete."""
    return pdfreading.opened(content[: link.end], limit)
