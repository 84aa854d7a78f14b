"""What the commands about meters say, in Vietnamese; the English words are the key (``scada.hmi.language``)."""

from collections.abc import Mapping
from typing import Final

METERS: Final[Mapping[str, str]] = {
    # headings
    "concentrator": "bộ tập trung",
    "intervals": "chu kỳ",
    "asked": "đã hỏi",
    "next": "lần sau",
    "class": "loại khách hàng",
    "points": "điểm đo đếm",
    "customers": "khách hàng",
    "delivering": "có số liệu",
    "expected readings": "phải có",
    "complete": "đủ số liệu",
    "exploitation": "tỷ lệ khai thác",
    "collection": "tỷ lệ thu thập",
    "feeder": "xuất tuyến",
    "transformer": "trạm biến áp",
    "began": "mất điện lúc",
    "restored": "có điện lại",
    "still out": "còn mất điện",
    "meters": "công tơ",
    "exact": "đúng giờ",
    "nearest": "gần nhất",
    "missing": "thiếu",
    "farthest": "lệch nhất",
    "table": "bảng",
    "rows": "dòng",
    "chunks": "phân mảnh",
    "rows MB": "dữ liệu, MB",
    "indexes MB": "chỉ mục, MB",
    "bytes each": "byte mỗi dòng",
    "model": "kiểu",
    "multiplier": "hệ số nhân",
    "schedule": "lịch đo",
    "at the start": "chỉ số đầu",
    "at the end": "chỉ số cuối",
    # gaps
    "requested": "đã yêu cầu",
    "recovered": "đã thu lại",
    "no data": "công tơ không có",
    "permanent": "mất hẳn",
    "meter silent": "công tơ không trả lời",
    "concentrator silent": "bộ tập trung không trả lời",
    "supply lost": "mất điện",
    "own modem": "modem riêng",
    "{} meters": "{} công tơ",
    "… and more; see --limit (now {})": "… còn nữa; xem --limit (đang là {})",
    "Looked at: intervals of {} s ending {} to {}.": "Đã xét: chu kỳ {} s kết thúc từ {} đến {}.",
    "No interval has been looked at yet: no reading has come, or `scada collect` rests.": (
        "Chưa xét chu kỳ nào: chưa có chỉ số, hoặc `scada collect` không chạy."
    ),
    "No interval is missing, and none was.": "Không thiếu chu kỳ nào, trước đây cũng không.",
    "{}, {}: {} intervals of {} meters in {} gaps, asked for {} times": (
        "{}, {}: {} chu kỳ của {} công tơ trong {} khoảng trống, đã hỏi {} lần"
    ),
    "{} intervals are being chased, {} were recovered.": "Đang truy thu {} chu kỳ, đã thu lại {} chu kỳ.",
    # figures
    "{} of {} points delivered; {} of {} readings are stored.": (
        "{} trên {} điểm đo đếm có số liệu; đã lưu {} trên {} chỉ số."
    ),
    "whole feeder": "cả xuất tuyến",
    "not yet": "chưa",
    "{} outages, {} customers without supply now.": "{} lần mất điện, hiện có {} khách hàng mất điện.",
    "Registers at {}: {} exact, {} nearest, {} missing.": "Chỉ số lúc {}: {} đúng giờ, {} gần nhất, {} thiếu.",
    "{} metering points in the customer system's list": "{} điểm đo đếm trong danh sách của hệ thống khách hàng",
    "Compression: none; this edition of TimescaleDB ({}) has none.": (
        "Không nén: bản TimescaleDB này ({}) không có tính năng nén."
    ),
    "Compression: {} of {} days of readings are compressed.": "Đã nén {} trên {} ngày chỉ số.",
    "{}: {} rows, {}, sha256 {}…": "{}: {} dòng, {}, sha256 {}…",
    "{} bytes": "{} byte",
    "{} bytes, {} for each row": "{} byte, {} mỗi dòng",
    # asking meters
    "… and {} more": "… và {} nữa",
    "done": "xong",
    "refused": "từ chối",
    "unknown": "không rõ",
    "clock was {} s off, set": "đồng hồ lệch {} s, đã chỉnh",
    "no events": "không có sự kiện",
    "{} code {}": "{} mã {}",
    # lists taken in
    "{} added, {} changed, {} unchanged": "thêm {}, sửa {}, giữ nguyên {}",
    "{} would be added, {} would be changed, {} unchanged": "sẽ thêm {}, sẽ sửa {}, giữ nguyên {}",
    "{} meters exchanged": "đã thay {} công tơ",
    "{} meters would be exchanged": "sẽ thay {} công tơ",
    "{} models listed": "đã ghi {} kiểu công tơ",
    "{} models would be listed": "sẽ ghi {} kiểu công tơ",
    "… and {} more faults": "… và {} lỗi nữa",
    "No meter ever stood at {}": "Chưa từng có công tơ nào ở {}",
    "{} since {}": "{} từ {}",
}
