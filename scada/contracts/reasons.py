"""Every reason for which a signature, a file or a certificate is not accepted, in Vietnamese and English: one table.

``WAITS`` are the reasons that pass by themselves: the contract waits and is tried again; all others are refusals.
"""

from dataclasses import dataclass
from enum import Enum

from scada.model.errors import GridScadaError


class Reason(Enum):
    """Value: Vietnamese, English."""

    TOO_LARGE = ("Tệp quá lớn", "The file is too large")
    NOT_PDF = ("Tệp không phải là PDF đọc được", "The file is not a readable PDF")
    ENCRYPTED = ("Tệp PDF bị mã hóa", "The PDF is encrypted")
    OTHER_DOCUMENT = ("Không phải văn bản đã lập cho hồ sơ này", "It is not the document prepared for this request")
    EDITED = ("Văn bản đã lập bị sửa hoặc ghi lại", "The prepared document was edited or rewritten")
    NO_SIGNATURE = ("Không có chữ ký số", "There is no digital signature")
    WRONG_FIELD = ("Chữ ký không nằm trong ô của bên ký", "The signature is not in the signer's field")
    SIGNED_TWICE = ("Có nhiều hơn một chữ ký", "There is more than one signature")
    NOT_PADES = ("Chữ ký không theo chuẩn PAdES", "The signature is not PAdES (ETSI EN 319 142-1)")
    WEAK_ALGORITHM = (
        "Thuật toán ký không đạt: cần ECDSA từ 256 bit hoặc RSA-PSS từ 2048 bit, SHA-2",
        "The algorithm is not accepted: ECDSA from 256 bit or RSA-PSS from 2048 bit, with SHA-2, is needed",
    )
    NOT_INTACT = ("Nội dung được ký đã bị thay đổi", "The signed content was changed")
    NOT_VALID = ("Chữ ký không đúng với khóa của chứng thư", "The signature does not match the certificate's key")
    CHANGED_AFTER_SIGNING = ("Văn bản bị thay đổi sau khi ký", "The document was changed after signing")
    LOCKED = (
        "Chữ ký khóa văn bản, bên bán không thể ký tiếp",
        "The signature locks the document, so the seller could not sign",
    )
    HIDDEN_CONTENT = (
        "Văn bản có lớp ẩn, mã lệnh hoặc tệp đính kèm",
        "The document has hidden layers, scripts or attachments",
    )
    CERTIFICATE_EXPIRED = ("Chứng thư số đã hết hạn khi ký", "The certificate had expired when signing")
    CERTIFICATE_NOT_YET_VALID = (
        "Chứng thư số chưa có hiệu lực khi ký",
        "The certificate was not yet valid when signing",
    )
    CERTIFICATE_REVOKED = ("Chứng thư số đã bị thu hồi", "The certificate is revoked")
    CERTIFICATE_SELF_SIGNED = ("Chứng thư số tự ký", "The certificate is self-signed")
    CERTIFICATE_UNTRUSTED = (
        "Chứng thư số không do tổ chức được tin cậy cấp",
        "The certificate was not issued by a trusted authority",
    )
    CERTIFICATE_WRONG_USAGE = (
        "Chứng thư số không dùng để ký văn bản",
        "The certificate is not meant for signing documents",
    )
    IDENTITY_DIFFERS = (
        "Số định danh trong chứng thư khác với hồ sơ",
        "The identity number in the certificate differs from the request's",
    )
    NAME_DIFFERS = ("Tên trong chứng thư khác với hồ sơ", "The name in the certificate differs from the request's")
    REVOCATION_UNKNOWN = (
        "Không xác định được chứng thư có bị thu hồi hay không",
        "It cannot be established whether the certificate is revoked",
    )
    TSA_DOWN = ("Dịch vụ cấp dấu thời gian không trả lời", "The time-stamping authority does not answer")
    TSA_REFUSED = (
        "Dịch vụ cấp dấu thời gian từ chối hoặc không được tin cậy",
        "The time-stamping authority refused or is not trusted",
    )
    TSA_WRONG_TIME = (
        "Giờ của dịch vụ cấp dấu thời gian sai lệch",
        "The clock of the time-stamping authority is wrong",
    )
    TOKEN_GONE = ("Không truy cập được thiết bị lưu khóa của bên bán", "The seller's token cannot be reached")
    REMOTE_SIGNING_FAILED = ("Dịch vụ ký số từ xa không ký", "The remote signing service did not sign")
    EVIDENCE_MISSING = (
        "Thiếu bằng chứng kèm theo để kiểm tra lâu dài",
        "Evidence for long-term validation is missing from the file",
    )
    ARCHIVE_LAPSED = (
        "Dấu thời gian lưu trữ đã hết hạn, không được gia hạn kịp",
        "The archive time-stamp has expired without having been renewed",
    )
    FROM_THE_FUTURE = ("Dấu thời gian nằm sau thời điểm kiểm tra", "A time-stamp lies after the time of verification")

    @property
    def vi(self) -> str:
        """In Vietnamese."""
        return self.value[0]

    @property
    def en(self) -> str:
        """In English."""
        return self.value[1]


WAITS = frozenset(
    {
        Reason.REVOCATION_UNKNOWN,
        Reason.TSA_DOWN,
        Reason.TSA_REFUSED,
        Reason.TSA_WRONG_TIME,
        Reason.TOKEN_GONE,
        Reason.REMOTE_SIGNING_FAILED,
    }
)


@dataclass(frozen=True, slots=True)
class Finding:
    """A reason with what was found, for the person who has to mend it."""

    reason: Reason
    detail: str = ""

    def __str__(self) -> str:
        text = f"{self.reason.vi} / {self.reason.en}"
        return f"{text} ({self.detail})" if self.detail else text


def told_by(error: Exception) -> str:
    """The first line of what an exception says, or its name: those of networks that time out often say nothing."""
    return str(error).partition("\n")[0] or type(error).__name__


class NotAccepted(GridScadaError):
    """A signature could not be made or taken; ``findings`` say why, all of them."""

    def __init__(self, *findings: Finding) -> None:
        self.findings = findings
        super().__init__("; ".join(str(finding) for finding in findings))

    @property
    def waits(self) -> bool:
        """True when trying again later can help without anybody changing anything."""
        return all(finding.reason in WAITS for finding in self.findings)
