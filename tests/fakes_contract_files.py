"""Files that must be refused, and a few that must not: how each was made, from one prepared document.

Every function takes a ``Bench`` and returns bytes. The signatures are made with the library directly, as a stranger's
program would make them, not with the product's own code."""

import io
from dataclasses import dataclass, field

from pyhanko.pdf_utils import generic
from pyhanko.pdf_utils.generic import pdf_name, pdf_string
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.pdf_utils.writer import copy_into_new_writer
from pyhanko.sign import PdfSignatureMetadata, PdfSigner
from pyhanko.sign.fields import SigSeedSubFilter
from pyhanko.sign.signers.pdf_cms import Signer

from scada.contracts.document import render
from scada.contracts.layout import BUYER as BUYER_BOX
from scada.contracts.layout import SELLER as SELLER_BOX
from scada.contracts.signing import Level, Signing, renew, sign
from scada.pki import folder
from scada.pki.authority import Identity, self_signed
from scada.pki.profiles import DAY_US, DISPATCHER, SIGNER, Subject
from tests.fakes_contracts import BUYER, NOW, SELLER, World, application, request_of, signer_of

URL = "http://127.0.0.1:8080/verify"
SUBJECT = Subject(BUYER.name, BUYER.identity)


@dataclass(slots=True)
class Bench:
    """A world, a prepared document and the two honest signers."""

    world: World
    prepared: bytes
    buyer: Signer
    seller: Signer
    kept: dict[str, bytes] = field(default_factory=dict)


def bench(world: World) -> Bench:
    """Everything needed to make files."""
    buyer, seller = signer_of(world.person()), signer_of(world.person(SELLER))
    return Bench(world, render(request_of(), SELLER, URL, NOW, None).pdf, buyer, seller)  # type: ignore[arg-type]  # kept opaque


async def plain(pdf: bytes, signer: Signer, name: str = "BenMua", *, pades: bool = True, **options: object) -> bytes:
    """A signature without time-stamp or evidence, by a program that is not ours."""
    subfilter = SigSeedSubFilter.PADES if pades else SigSeedSubFilter.ADOBE_PKCS7_DETACHED
    meta = PdfSignatureMetadata(field_name=name, md_algorithm="sha256", subfilter=subfilter, **options)  # type: ignore[arg-type]  # passed through
    out = await PdfSigner(meta, signer).async_sign_pdf(IncrementalPdfFileWriter(io.BytesIO(pdf)))
    return bytes(out.getvalue())


async def by(made: Bench, identity: Identity) -> bytes:
    """The prepared document signed with this certificate."""
    return await plain(made.prepared, signer_of(identity))  # type: ignore[arg-type]  # a pyHanko signer


async def honest(made: Bench) -> bytes:
    return await plain(made.prepared, made.buyer)


async def unsigned(made: Bench) -> bytes:
    return made.prepared


async def another_document(made: Bench) -> bytes:
    other = render(request_of(application("HD-2026-999999")), SELLER, URL, NOW, None).pdf  # type: ignore[arg-type]  # kept opaque
    return await plain(other, made.buyer)


async def edited_then_signed(made: Bench) -> bytes:
    return await plain(overwrite_page(made.prepared), made.buyer)


async def edited_in_the_signing_revision(made: Bench) -> bytes:
    """Page content is exchanged in the very revision that the signature covers."""
    writer = IncrementalPdfFileWriter(io.BytesIO(made.prepared))
    _exchange_page(writer)
    meta = PdfSignatureMetadata(field_name="BenMua", md_algorithm="sha256", subfilter=SigSeedSubFilter.PADES)
    out = await PdfSigner(meta, made.buyer).async_sign_pdf(writer)
    return bytes(out.getvalue())


async def rewritten(made: Bench) -> bytes:
    writer = copy_into_new_writer(PdfFileReader(io.BytesIO(made.prepared)))
    out = io.BytesIO()
    writer.write(out)
    return await plain(out.getvalue(), made.buyer)


async def sellers_field(made: Bench) -> bytes:
    return await plain(made.prepared, made.buyer, "BenBan")


async def signed_twice(made: Bench) -> bytes:
    return await plain(await honest(made), made.buyer, "BenBan")


async def encrypted(made: Bench) -> bytes:
    writer = copy_into_new_writer(PdfFileReader(io.BytesIO(made.prepared)))
    writer.encrypt("owner", "user")
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


async def huge(made: Bench) -> bytes:
    return made.prepared + bytes(200 * 2**20 - len(made.prepared))


async def no_pdf(made: Bench) -> bytes:
    return b"PK\x03\x04 a word processor's file"


async def truncated(made: Bench) -> bytes:
    return (await honest(made))[:5000]


async def expired(made: Bench) -> bytes:
    dates = {"not_before": NOW - 30 * DAY_US, "not_after": NOW - DAY_US}
    return await by(made, made.world.person(**dates))


async def not_yet_valid(made: Bench) -> bytes:
    return await by(made, made.world.person(not_before=NOW + DAY_US))


async def revoked(made: Bench) -> bytes:
    identity = made.world.person()
    made.world.pki.revoke(identity.certificate.serial_number, NOW - DAY_US)
    return await by(made, identity)


async def own_certificate(made: Bench) -> bytes:
    return await by(made, self_signed(SUBJECT, SIGNER, NOW))


async def foreign_authority(made: Bench) -> bytes:
    return await by(made, folder.create("http://127.0.0.1:1", NOW).issue(SUBJECT, SIGNER, NOW))


async def wrong_usage(made: Bench) -> bytes:
    return await by(made, made.world.pki.issue(SUBJECT, DISPATCHER, NOW))


async def another_identity(made: Bench) -> bytes:
    return await by(made, made.world.pki.issue(Subject(BUYER.name, "CCCD:001000000002"), SIGNER, NOW))


async def another_name(made: Bench) -> bytes:
    return await by(made, made.world.pki.issue(Subject("Khách hàng mẫu 02", BUYER.identity), SIGNER, NOW))


async def updated_after_signing(made: Bench) -> bytes:
    return overwrite_page(await honest(made))


async def layers_before_signing(made: Bench) -> bytes:
    return await plain(add_layers(made.prepared), made.buyer)


async def layers_after_signing(made: Bench) -> bytes:
    return add_layers(await honest(made))


async def flipped_byte(made: Bench) -> bytes:
    return flip(await honest(made), 3000)


async def flipped_signature(made: Bench) -> bytes:
    """One bit of the signature value itself."""
    content = await honest(made)
    embedded = PdfFileReader(io.BytesIO(content)).embedded_signatures[0]
    value = embedded.signer_info["signature"].native.hex().encode()
    at = content.lower().index(value) + 40
    return content[:at] + (b"0" if content[at : at + 1] != b"0" else b"1") + content[at + 1 :]


async def not_pades(made: Bench) -> bytes:
    return await plain(made.prepared, made.buyer, pades=False)


async def locked(made: Bench) -> bytes:
    from pyhanko.sign.fields import MDPPerm  # noqa: PLC0415 - used here only

    return await plain(made.prepared, made.buyer, certify=True, docmdp_permissions=MDPPerm.NO_CHANGES)


async def with_evidence(made: Bench) -> bytes:
    """The buyer's signature as the product makes it."""
    if "one" not in made.kept:
        wanted = Signing(BUYER_BOX, BUYER, Level.B_LT)
        made.kept["one"] = await sign(made.prepared, made.buyer, wanted, made.world.trust, made.world.clock)
    return made.kept["one"]


async def complete(made: Bench) -> bytes:
    """Both signatures as the product makes them."""
    if "two" not in made.kept:
        wanted = Signing(SELLER_BOX, SELLER, Level.B_LTA)
        one = await with_evidence(made)
        made.kept["two"] = await sign(one, made.seller, wanted, made.world.trust, made.world.clock)
    return made.kept["two"]


async def complete_renewed(made: Bench) -> bytes:
    return await renew(await complete(made), made.world.trust, made.world.clock)


async def complete_flipped(made: Bench) -> bytes:
    return flip(await complete(made), 3000)


async def complete_updated(made: Bench) -> bytes:
    return overwrite_page(await complete(made))


async def complete_layers_swapped(made: Bench) -> bytes:
    return add_layers(await complete(made))


async def complete_cut(made: Bench) -> bytes:
    """The seller's signature cut off: the file as it was before."""
    return await with_evidence(made)


def flip(content: bytes, at: int) -> bytes:
    """One bit changed."""
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


def overwrite_page(content: bytes) -> bytes:
    """An incremental update that exchanges the first page's content."""
    writer = IncrementalPdfFileWriter(io.BytesIO(content))
    _exchange_page(writer)
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def _exchange_page(writer: IncrementalPdfFileWriter) -> None:
    page_ref, _ = writer.find_page_for_modification(0)
    page = page_ref.get_object()
    page["/Contents"] = writer.add_object(generic.StreamObject(stream_data=b"0 0 m 100 100 l S"))
    writer.update_container(page)


def add_layers(content: bytes) -> bytes:
    """An incremental update with an optional content group, the means of a shadow attack."""
    writer = IncrementalPdfFileWriter(io.BytesIO(content))
    group = writer.add_object(
        generic.DictionaryObject({pdf_name("/Type"): pdf_name("/OCG"), pdf_name("/Name"): pdf_string("layer")})
    )
    off = generic.DictionaryObject({pdf_name("/OFF"): generic.ArrayObject([group])})
    writer.root["/OCProperties"] = generic.DictionaryObject(
        {pdf_name("/OCGs"): generic.ArrayObject([group]), pdf_name("/D"): off}
    )
    writer.update_root()
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()
