"""One contract as a folder that explains and proves itself without us: documents, evidence, reports, journal, roots."""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from scada import hashchain
from scada.contracts.desk import ContractDesk
from scada.contracts.request import ActionRefused
from scada.contracts.verdict import as_json, sentences
from scada.contracts.verify import verify

README = """Hồ sơ hợp đồng điện tử {number}
Electronic contract file {number}

contract.pdf            văn bản có hiệu lực, mở bằng phần mềm đọc PDF bất kỳ / the document in force; any PDF reader
revisions/              mọi bản đã lưu, theo thứ tự / every archived revision, in order
evidence/               chứng thư, OCSP, CRL, chữ ký, dấu thời gian / certificates, OCSP, CRL, signatures, time-stamps
trust/                  chứng thư gốc và trung gian được tin cậy / trusted roots and intermediates
report.txt report.json  kết quả kiểm tra khi xuất / verification when exported
events.json             mọi việc đã xảy ra với hồ sơ / everything that happened
journal.jsonl           chuỗi băm toàn bộ kho đến lúc xuất / the hash chain of the archive up to the export
SHA256SUMS              kiểm tra bằng `sha256sum -c` / check with `sha256sum -c`
"""


async def export(desk: ContractDesk, number: str, folder: Path) -> Path:
    """Write the folder ``folder/number``. Raises ActionRefused when it exists or the contract has no document."""
    request = await desk.request(number)
    content = desk.document(request)
    target = folder / number
    if target.exists():
        raise ActionRefused(f"{target} exists already")
    for part in ("revisions", "evidence", "trust"):
        (target / part).mkdir(parents=True)
    (target / "contract.pdf").write_bytes(content)
    verdict = await verify(content, desk.trust, desk.clock(), holders=await desk.holders(request))
    (target / "report.txt").write_text("\n".join(sentences(verdict)) + "\n", encoding="utf-8")
    _write_json(target / "report.json", as_json(verdict))
    _write_json(target / "events.json", [asdict(event) for event in await desk.history(number)])
    for told in desk.archive.announced(number):
        for event in told.events:
            if event.document_sha256:
                name = f"{event.sequence:02d}-{event.action}.pdf"
                (target / "revisions" / name).write_bytes(desk.archive.get(event.document_sha256, "pdf"))
        for digest, suffix in told.evidence.items():
            (target / "evidence" / f"{digest}.{suffix}").write_bytes(desk.archive.get(digest, suffix))
    for certificate in (*desk.trust.roots, *desk.trust.intermediates):
        (target / "trust" / f"{certificate.sha256.hex()[:16]}.cer").write_bytes(certificate.dump())
    _write_journal(desk, number, target / "journal.jsonl")
    (target / "README.txt").write_text(README.format(number=number), encoding="utf-8")
    _write_sums(target)
    return target


def _write_journal(desk: ContractDesk, number: str, path: Path) -> None:
    """The whole chain, with the entries of other contracts sealed: it can be checked, and tells nothing of others."""
    with path.open("w", encoding="utf-8") as lines:
        for entry in hashchain.entries(desk.archive.folder / "journal.jsonl"):
            events = (entry.body or {}).get("events", ())
            own = any(event["request"] == number for event in events)
            lines.write(hashchain.line(entry if own else hashchain.sealed(entry)))


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False, indent=1), encoding="utf-8")


def _write_sums(target: Path) -> None:
    files = sorted(path for path in target.rglob("*") if path.is_file())
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(target)}" for path in files]
    (target / "SHA256SUMS").write_text("\n".join(lines) + "\n", encoding="utf-8")
