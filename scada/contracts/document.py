"""Makes the PDF that both sides sign: typst renders PDF/A-2b with embedded fonts, then both signature fields are added.

The result is final: nothing may be stamped on it later. The same data give the same bytes of text; what is signed is
named by the SHA-256 of the file. Knows layout and wording. Does not sign.
"""

import hashlib
import io
import json
from dataclasses import asdict, dataclass
from importlib.resources import files
from typing import Any

import segno
import typst
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.sign.fields import SigFieldSpec, append_signature_field

from scada.contracts.layout import BOXES
from scada.contracts.request import SupplyRequest
from scada.contracts.wording import CLAUSES, HEADINGS
from scada.contracts.workdays import INDOCHINA, utc
from scada.model.contract import Customer, RequestKind


@dataclass(frozen=True, slots=True)
class Prepared:
    """A document ready to be signed, and the SHA-256 of the data it was made from (printed in it)."""

    pdf: bytes
    data_sha256: str

    @property
    def sha256(self) -> str:
        """The name of the file's bytes."""
        return hashlib.sha256(self.pdf).hexdigest()


def render(request: SupplyRequest, seller: Customer, verify_url: str, day: int, effective_from: int | None) -> Prepared:
    """The document of a request, dated ``day``. ``verify_url`` is the public page where a copy can be checked."""
    content = _content(request, seller, day, effective_from)
    digest = hashlib.sha256(_canonical(content)).hexdigest()
    address = f"{verify_url}/{request.number}"
    inputs = {
        "data": json.dumps({**content, "sha256": digest, "verify_url": address}, ensure_ascii=False),
        "qr": _qr(f"{address}?sha256={digest}"),
    }
    pdf = typst.compile(
        (files("scada.contracts") / "contract.typ").read_bytes(),
        format="pdf",
        sys_inputs=inputs,
        pdf_standards=["a-2b"],
        ignore_system_fonts=True,
    )
    assert isinstance(pdf, bytes)
    return Prepared(with_fields(pdf), digest)


def with_fields(pdf: bytes) -> bytes:
    """``pdf`` with both signature fields on its last page, empty."""
    writer = IncrementalPdfFileWriter(io.BytesIO(pdf))
    for box in BOXES:
        title = f"{box.title_vi} / {box.title_en}"
        append_signature_field(
            writer, SigFieldSpec(box.field, on_page=-1, box=box.pdf_box(), readable_field_name=title)
        )
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def _content(request: SupplyRequest, seller: Customer, day: int, effective_from: int | None) -> dict[str, Any]:
    heading = HEADINGS[request.kind]
    made = utc(day).astimezone(INDOCHINA)
    names = {"BenMua": request.customer, "BenBan": seller}
    return {
        "number": request.number,
        "title": f"{heading[0]} {request.number}",
        "heading": {"vi": heading[0], "en": heading[1]},
        "day": {"year": made.year, "month": made.month, "day": made.day},
        "seller": _party(seller),
        "buyer": _party(request.customer),
        "rows": _rows(request, effective_from),
        "clauses": [asdict(clause) for clause in CLAUSES[request.kind]],
        "boxes": [
            asdict(box) | {"name": names[box.field].name, "identity": names[box.field].identity} for box in BOXES
        ],
    }


def _party(customer: Customer) -> dict[str, str]:
    contact = " · ".join(part for part in (customer.phone, customer.email) if part) or "–"
    return {"name": customer.name, "identity": customer.identity, "address": customer.address, "contact": contact}


def _rows(request: SupplyRequest, effective_from: int | None) -> list[tuple[str, str, str]]:
    supply = request.supply
    rows = [
        ("Mã điểm đo", "Metering point", supply.metering_point),
        ("Địa chỉ dùng điện", "Place of supply", supply.address),
        ("Nhóm giá", "Tariff class", supply.tariff_class),
        ("Số pha", "Phases", str(supply.phases)),
        ("Công suất đăng ký", "Contracted power", f"{supply.contracted_kw} kW"),
        ("Số hộ dùng chung", "Households", str(supply.households)),
    ]
    if request.kind is not RequestKind.NEW:
        rows.insert(0, ("Hợp đồng liên quan", "Contract concerned", request.predecessor))
    if effective_from is not None:
        local = utc(effective_from).astimezone(INDOCHINA)
        rows.append(("Hiệu lực từ", "Effective from", f"{local:%d/%m/%Y %H:%M}"))
    return rows


def _canonical(content: dict[str, Any]) -> bytes:
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()


def _qr(text: str) -> str:
    out = io.BytesIO()
    segno.make(text, error="m", micro=False).save(out, kind="svg", xmldecl=False, border=1)
    return out.getvalue().decode()
