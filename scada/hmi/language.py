"""What the views say, in both languages; the English words are the key.

Knows headings, states and the words of qualities and causes. Titles of points and stations are in the stations' files.
"""

from collections.abc import Mapping
from typing import Final

VIETNAMESE: Final[Mapping[str, str]] = {
    # headings
    "time": "thời điểm",
    "received": "nhận sau",
    "point": "điểm đo",
    "value": "giá trị",
    "quality": "chất lượng",
    "cause": "nguyên nhân",
    "id": "số",
    "kind": "loại",
    "unit": "đơn vị",
    "deadband": "vùng chết",
    "low": "giới hạn dưới",
    "high": "giới hạn trên",
    "from": "từ",
    "min": "nhỏ nhất",
    "max": "lớn nhất",
    "mean": "trung bình",
    "mean by time": "trung bình theo thời gian",
    "last": "cuối cùng",
    "samples": "số mẫu",
    "valid s": "giây hợp lệ",
    "worst quality": "chất lượng xấu nhất",
    "shown": "hiển thị",
    "field says": "thiết bị báo",
    "since": "từ lúc",
    "until": "đến",
    "by": "người",
    "why": "lý do",
    "service": "dịch vụ",
    "state": "trạng thái",
    "address": "địa chỉ",
    "pid": "pid",
    # kinds of points
    "single_point": "điểm đơn",
    "double_point": "điểm kép",
    "measured_value": "đo lường",
    "step_position": "nấc phân áp",
    "integrated_total": "bộ đếm",
    # alarms and control
    "can be operated": "trạm thao tác được",
    "alarm": "cảnh báo",
    "priority": "mức ưu tiên",
    "what happened": "diễn biến",
    "high priority": "cao",
    "medium priority": "trung bình",
    "low priority": "thấp",
    "fail to operate": "thiết bị không thao tác",
    "outcome unknown": "không rõ kết quả",
    "movement without command": "chuyển trạng thái không có lệnh",
    "emergency override": "thao tác khẩn cấp một người",
    "control taken over": "quyền điều khiển chuyển sang tiến trình khác",
    "control lost": "mất quyền điều khiển",
    "journal incomplete": "nhật ký điều khiển không toàn vẹn",
    "set-point changed without command": "giá trị đặt thay đổi không có lệnh",
    "stations are watched, nothing can be operated: {}": "chỉ giám sát được các trạm, không thao tác được: {}",
    "alarms not acknowledged: {} (scada alarms)": "cảnh báo chưa xác nhận: {} (scada alarms)",
    "{} not acknowledged (scada alarms)": "{} chưa xác nhận (scada alarms)",
    # what runs
    "stations up": "trạm kết nối",
    "points/s": "điểm/s",
    "of {} points": "trên {} điểm",
    "samples stored": "mẫu đã lưu",
    "meters heard": "công tơ có số liệu",
    "readings": "chỉ số",
    "{} stored, {} duplicate, {} rejected": "{} đã lưu, {} trùng, {} bị loại",
    "lag": "độ trễ",
    "{} s (longest {} s)": "{} s (dài nhất {} s)",
    "gap chase": "truy thu số liệu",
    "resting: {}": "tạm dừng: {}",
    "jobs": "tác vụ định kỳ",
    "active": "đang làm",
    "standby": "dự phòng",
    "spooled": "chờ trên đĩa",
    "waiting": "chờ trong bộ nhớ",
    "rejected": "bị loại",
    "dropped": "bị bỏ",
    "running": "đang chạy",
    "answering": "đang phục vụ",
    "stopped": "đã dừng",
    "silent": "không trả lời",
    # qualities (IEC 60870-5-101, 7.2.6) and causes (7.2.3)
    "good": "tốt",
    "overflow": "tràn",
    "blocked": "bị khóa",
    "substituted": "thay thế",
    "not_topical": "không cập nhật",
    "invalid": "không hợp lệ",
    "periodic": "chu kỳ",
    "background_scan": "quét nền",
    "spontaneous": "tự phát",
    "initialized": "khởi động",
    "request": "theo yêu cầu",
    "activation": "kích hoạt",
    "activation_confirmation": "xác nhận kích hoạt",
    "deactivation": "hủy kích hoạt",
    "deactivation_confirmation": "xác nhận hủy",
    "activation_termination": "kết thúc kích hoạt",
    "return_information_remote": "phản hồi lệnh từ xa",
    "return_information_local": "phản hồi thao tác tại chỗ",
    "general_interrogation": "tổng kiểm tra",
    "counter_interrogation": "chốt bộ đếm",
    "in force before": "hiệu lực từ trước",
    # sentences
    "no unit": "không đơn vị",
    "by {}": "theo {}",
    "minute": "phút",
    "hour": "giờ",
    "raw": "mẫu gốc",
    "substitute": "thay thế",
    "block": "khóa",
    "until released": "đến khi bỏ",
    "{} points are substituted or blocked": "{} điểm đang được thay thế hoặc khóa",
    "{}: no valid sample in this time": "{}: không có mẫu hợp lệ trong thời gian này",
    "{} at {}: {} (sample of {}: {})": "{} lúc {}: {} (mẫu lúc {}: {})",
    "{} points, {}; {} computed": "{} điểm, {}; {} điểm tính toán",
    "{} events": "{} sự kiện",
    "{} events, the newest; more with --limit": "{} sự kiện mới nhất; xem thêm với --limit",
    # tests of maps and points
    "fault": "lỗi",
    "note": "lưu ý",
    "the map fits the station": "bảng địa chỉ khớp với trạm",
    "{} faults": "{} lỗi",
    "{} of {} points compared, {} notes; {}": "đã đối chiếu {} trên {} điểm, {} lưu ý; {}",
    "expected": "mong đợi",
    "seen": "nhận được",
    "{} points passed, {} failed, {} skipped in {} s, by {}": (
        "{} điểm đạt, {} điểm không đạt, {} điểm bỏ qua trong {} s, người thử: {}"
    ),
    "Say what the device shows: a value (positions: 1 open, 2 closed), Enter to skip, q to end.": (
        "Nhập giá trị thiết bị đang hiển thị (vị trí: 1 mở, 2 đóng); Enter để bỏ qua, q để kết thúc."
    ),
    "{} is no number": "{} không phải là số",
    "pass": "đạt",
    "fail": "không đạt",
    "skipped": "bỏ qua",
    # billing registers
    "metering point": "điểm đo đếm",
    "meter": "công tơ",
    "boundary": "thời điểm chốt",
    "register": "thanh ghi",
    "counted": "lúc ghi",
    "known since": "biết từ",
    "snapshot": "chốt từ biểu đồ phụ tải",
    "daily": "chốt ngày",
    "month end": "chốt tháng",
    "price change": "chốt đổi giá",
    "exchange": "treo tháo",
    "on demand": "đọc theo yêu cầu",
    "exact": "đúng lúc",
    "replaced": "đã thay",
    "revision from {}": "bản sửa từ {}",
    "critical_error": "lỗi nghiêm trọng",
    "clock_invalid": "sai đồng hồ",
    "data_not_valid": "số liệu không hợp lệ",
    "daylight_saving": "giờ mùa hè",
    "clock_adjusted": "đã chỉnh đồng hồ",
    "recovered_value": "giá trị khôi phục",
    "power_down": "mất điện",
    "No register is known.": "Chưa có chỉ số chốt nào.",
    "… and perhaps more; see --limit (now {})": "… có thể còn nữa; xem --limit (hiện là {})",
    "{} registers of {} meters, {} values replaced.": "{} chỉ số của {} công tơ, {} giá trị đã thay.",
    # the course of a demo and its end
    "database and broker answer, the broker on port {}": "cơ sở dữ liệu và broker đã sẵn sàng, broker ở cổng {}",
    "{} meters in the registry, {} of them new": "{} công tơ trong sổ đăng ký, trong đó {} mới",
    "{} stations answer on port {} + common address": "{} trạm trả lời ở cổng {} + địa chỉ chung",
    "{} had died and was started again": "{} đã dừng đột ngột và được khởi động lại",
    "{} had died and was started again; see {}": "{} đã dừng đột ngột và được khởi động lại; xem {}",
    "stopping: scan and field first, the head-end when it has taken everything": (
        "đang dừng: vòng quét và thiết bị mô phỏng trước, hệ thu thập khi đã nhận đủ"
    ),
    "{} did not end cleanly: {}": "{} không kết thúc bình thường: {}",
    "{} of {} stations up, {} points: {} samples stored, {} more in the database.": (
        "{} trên {} trạm kết nối, {} điểm: {} mẫu đã lưu, cơ sở dữ liệu thêm {}."
    ),
    "{} of {} meters heard: {} readings received = {} stored + {} duplicate + {} rejected{}; "
    "{} more in the database, longest lag {} s.": (
        "{} trên {} công tơ có số liệu: {} chỉ số nhận được = {} đã lưu + {} trùng + {} bị loại{}; "
        "cơ sở dữ liệu thêm {}, độ trễ dài nhất {} s."
    ),
    ", {} of the stored as revisions": ", {} trong số đã lưu là bản sửa",
    "Started again after a crash: {}.": "Đã khởi động lại sau sự cố: {}.",
    "{} {} times": "{} {} lần",
    "Ended before every station was up and every meter heard.": (
        "Kết thúc trước khi mọi trạm kết nối và mọi công tơ có số liệu."
    ),
    "DOES NOT ADD UP: {}.": "KHÔNG KHỚP: {}.",
    "Everything adds up; nothing was lost.": "Mọi con số đều khớp; không mất dữ liệu nào.",
}


def say(english: str, language: str, *values: object) -> str:
    """``english`` in ``language`` ("vi" or "en"), its places filled with ``values``.

    What has no translation stays English: at three in the morning a foreign word is better than none.
    """
    words = VIETNAMESE.get(english, english) if language == "vi" else english
    return words.format(*values) if values else words
