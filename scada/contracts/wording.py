"""The words of the sample contract, Vietnamese and English. Our own wording; it states no law and no price.

Prices and hours are not written into a contract: they follow the decisions in force, and change without it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from scada.model.contract import RequestKind


@dataclass(frozen=True, slots=True)
class Clause:
    """One article in both languages."""

    title_vi: str
    title_en: str
    vi: str
    en: str


HEADINGS = {
    RequestKind.NEW: ("HỢP ĐỒNG CUNG CẤP ĐIỆN HẠ ÁP", "LOW-VOLTAGE ELECTRICITY SUPPLY CONTRACT"),
    RequestKind.AMENDMENT: ("PHỤ LỤC SỬA ĐỔI HỢP ĐỒNG CUNG CẤP ĐIỆN", "AMENDMENT TO THE SUPPLY CONTRACT"),
    RequestKind.TERMINATION: ("BIÊN BẢN CHẤM DỨT HỢP ĐỒNG CUNG CẤP ĐIỆN", "TERMINATION OF THE SUPPLY CONTRACT"),
}

_MEASURE = Clause(
    "Đo đếm",
    "Metering",
    "Điện năng được đo bằng công tơ điện tử lắp tại điểm đo nêu ở Điều 2. Số chế tạo của công tơ và "
    "chỉ số bắt đầu được "
    "ghi vào hồ sơ hợp đồng khi treo công tơ; hóa đơn đầu tiên tính từ các chỉ số đó.",
    "Energy is measured by the electronic meter at the metering point of Article 2. The meter's "
    "serial number and start "
    "registers are entered into the contract file when it is installed; the first bill starts from them.",
)
_PRICE = Clause(
    "Giá điện và thanh toán",
    "Price and payment",
    "Giá điện theo nhóm giá nêu ở Điều 2 và theo biểu giá do cơ quan có thẩm quyền ban hành, có hiệu lực tại thời điểm "
    "sử dụng. Bên mua thanh toán theo hóa đơn điện tử của bên bán.",
    "The price follows the tariff class of Article 2 and the price schedule issued by the competent authority in force "
    "at the time of use. The buyer pays the seller's electronic bills.",
)
_DUTIES = Clause(
    "Nghĩa vụ của các bên",
    "Duties",
    "Bên bán cung cấp điện ổn định, báo trước khi ngừng điện theo kế hoạch, và giữ dữ liệu đo đếm để bên mua kiểm tra. "
    "Bên mua sử dụng điện an toàn, không can thiệp vào công tơ, và báo cho bên bán khi có bất thường.",
    "The seller supplies electricity steadily, announces planned interruptions, and keeps the "
    "metering data open to the "
    "buyer's inspection. The buyer uses electricity safely, leaves the meter alone, and reports irregularities.",
)
_TERM = Clause(
    "Hiệu lực, sửa đổi, chấm dứt",
    "Term, amendment, termination",
    "Hợp đồng có hiệu lực từ khi đóng điện, sau khi cả hai bên đã ký số. Mọi sửa đổi và việc chấm "
    "dứt đều được lập thành "
    "văn bản điện tử và ký số theo cùng cách thức.",
    "The contract takes effect when supply is energised, after both parties have signed digitally. Amendments and "
    "termination are electronic documents signed in the same way.",
)

CLAUSES: dict[RequestKind, Sequence[Clause]] = {
    RequestKind.NEW: (_MEASURE, _PRICE, _DUTIES, _TERM),
    RequestKind.AMENDMENT: (
        Clause(
            "Nội dung sửa đổi",
            "What is amended",
            "Từ ngày hiệu lực nêu ở Điều 2, các thông tin của Điều 1 và Điều 2 thay thế thông tin tương ứng "
            "của hợp đồng "
            "được sửa đổi. Các điều khoản khác giữ nguyên; công tơ và chỉ số tiếp tục được sử dụng.",
            "From the effective day in Article 2, the particulars of Articles 1 and 2 replace those of the amended "
            "contract. Everything else stays as it is; the meter and its registers continue.",
        ),
    ),
    RequestKind.TERMINATION: (
        Clause(
            "Nội dung chấm dứt",
            "What is terminated",
            "Hai bên chấm dứt hợp đồng nêu ở Điều 2 từ ngày hiệu lực. Hóa đơn cuối cùng được lập theo chỉ "
            "số công tơ tại "
            "thời điểm đó; hồ sơ hợp đồng tiếp tục được lưu giữ.",
            "The parties end the contract named in Article 2 from the effective day. The last bill is made from the "
            "meter's registers at that time; the contract file continues to be kept.",
        ),
    ),
}
