"""The verdict on a signed file, as facts kept apart and as words in Vietnamese and English. Pure."""

from dataclasses import asdict, dataclass
from enum import Enum, StrEnum
from typing import Any

from scada.contracts.reasons import Finding
from scada.contracts.signing import Level
from scada.contracts.workdays import INDOCHINA, utc


class Outcome(Enum):
    """The whole, with the exit code of ``scada contract verify``: name, code, Vietnamese, English."""

    VALID = (0, "HỢP LỆ", "VALID")
    INVALID = (1, "KHÔNG HỢP LỆ", "INVALID")
    INDETERMINATE = (2, "CHƯA XÁC ĐỊNH ĐƯỢC", "CANNOT BE ESTABLISHED")
    UNREADABLE = (3, "KHÔNG ĐỌC ĐƯỢC", "UNREADABLE")

    @property
    def exit_code(self) -> int:
        """0 valid, 1 invalid, 2 cannot be established, 3 unreadable."""
        return self.value[0]

    @property
    def words(self) -> str:
        """Both languages."""
        return f"{self.value[1]} / {self.value[2]}"


class Coverage(StrEnum):
    """How much of the file a signature covers."""

    WHOLE_FILE = "whole file"
    WHOLE_REVISION = "whole revision"
    UNCLEAR = "unclear"


class Changes(StrEnum):
    """What came after a signature."""

    NONE = "none"
    EVIDENCE = "evidence and time-stamps only"
    SIGNATURE = "the other party's signature, evidence and time-stamps"
    SUSPICIOUS = "changes that are not permitted"


@dataclass(frozen=True, slots=True)
class SignatureVerdict:
    """One signature. ``intact``: signed bytes unchanged; ``valid``: made with the certificate's key; ``trusted``: the
    certificate led to a trusted root and was not revoked **at signing time**. ``time`` is proven, µs UTC."""

    field: str
    signer: str
    identity: str
    issuer: str
    intact: bool
    valid: bool
    trusted: bool
    coverage: Coverage
    changes: Changes
    level: Level
    time: int | None
    findings: tuple[Finding, ...] = ()

    @property
    def accepted(self) -> bool:
        """True when nothing speaks against it."""
        return self.intact and self.valid and self.trusted and not self.findings


@dataclass(frozen=True, slots=True)
class Verdict:
    """A file; ``sha256`` is '' when it was too large to be read.

    ``evidence_from`` and ``evidence_until``: time of the last archive time-stamp, end of its certificate.
    """

    outcome: Outcome
    sha256: str
    verified_at: int
    signatures: tuple[SignatureVerdict, ...] = ()
    findings: tuple[Finding, ...] = ()
    evidence_from: int | None = None
    evidence_until: int | None = None

    def all_findings(self) -> tuple[Finding, ...]:
        """The file's and its signatures'."""
        return self.findings + tuple(finding for each in self.signatures for finding in each.findings)


def as_json(verdict: Verdict) -> dict[str, Any]:
    """Plain values, reasons by name and in words."""
    return {
        "outcome": verdict.outcome.name,
        "words": verdict.outcome.words,
        "sha256": verdict.sha256,
        "verified_at": verdict.verified_at,
        "evidence_from": verdict.evidence_from,
        "evidence_until": verdict.evidence_until,
        "findings": [finding_json(each) for each in verdict.findings],
        "signatures": [
            {**asdict(each), "findings": [finding_json(found) for found in each.findings]}
            for each in verdict.signatures
        ],
    }


def finding_json(finding: Finding) -> dict[str, str]:
    """A finding as plain values."""
    return {
        "reason": finding.reason.name,
        "vi": finding.reason.vi,
        "en": finding.reason.en,
        "detail": finding.detail,
    }


def sentences(verdict: Verdict) -> list[str]:
    """The verdict as a person reads it, line by line, Vietnamese first."""
    lines = [verdict.outcome.words, f"SHA-256 {verdict.sha256 or '–'}"]
    lines += [f"! {finding}" for finding in verdict.findings]
    for each in verdict.signatures:
        lines += _signature_sentences(each)
    if verdict.evidence_until is not None:
        lines.append(
            f"Bằng chứng lưu trữ có giá trị đến / Archive evidence holds until {local_text(verdict.evidence_until)}"
        )
    return lines


def local_text(time: int) -> str:
    """Date and time in Vietnam."""
    return f"{utc(time).astimezone(INDOCHINA):%Y-%m-%d %H:%M:%S +07}"


_YES_NO = {True: "có/yes", False: "KHÔNG/NO"}


def _signature_sentences(each: SignatureVerdict) -> list[str]:
    time = "–" if each.time is None else local_text(each.time)
    return [
        f"[{each.field}] {each.signer} ({each.identity or '–'}), cấp bởi / issued by {each.issuer}",
        f"  nguyên vẹn/intact {_YES_NO[each.intact]} · đúng khóa/valid {_YES_NO[each.valid]} · "
        f"tin cậy khi ký/trusted at signing {_YES_NO[each.trusted]} · mức/level {each.level}",
        f"  thời điểm ký/time {time} · phạm vi/covers {each.coverage} · sau khi ký/after it {each.changes}",
        *(f"  ! {finding}" for finding in each.findings),
    ]
