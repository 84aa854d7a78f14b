"""What the control desk says of persons, messages, meters and its journal, in Vietnamese; the English form is the key.

``{}`` stands for anything, ``{w}`` for one word. In the translation ``{0}``, ``{1}``, … are the values in the order of
the original. Knows words only: what is matched and how is ``told``'s.
"""

from collections.abc import Mapping
from typing import Final

CAUSES: Final[Mapping[str, str]] = {
    "unknown": "không rõ",
    "not supported": "không hỗ trợ",
    "blocked by switching hierarchy": "bị khóa theo cấp thao tác",
    "select failed": "chọn không thành công",
    "invalid position": "vị trí không hợp lệ",
    "position reached": "đã ở vị trí yêu cầu",
    "parameter change in execution": "đang thay đổi tham số",
    "step limit": "đã ở nấc cuối",
    "blocked by mode": "bị khóa theo chế độ",
    "blocked by process": "bị khóa theo quá trình",
    "blocked by interlocking": "bị khóa liên động",
    "blocked by synchrocheck": "bị khóa kiểm tra hòa đồng bộ",
    "command already in execution": "lệnh đang được thực hiện",
    "blocked by health": "bị khóa do tình trạng thiết bị",
    "one of n control": "mỗi lần chỉ thao tác một thiết bị",
    "aborted by cancel": "đã hủy",
    "time limit over": "quá thời hạn",
    "aborted by trip": "dừng do bảo vệ cắt",
    "object not selected": "đối tượng chưa được chọn",
    "object already selected": "đối tượng đã được chọn",
    "no access authority": "không có quyền",
    "ended with overshoot": "kết thúc quá mức",
    "aborted due to deviation": "dừng do sai lệch",
    "aborted by communication loss": "dừng do mất kết nối",
    "blocked by command": "bị khóa bởi lệnh khác",
    "none": "không",
    "inconsistent parameters": "tham số không nhất quán",
    "locked by other client": "người khác đang giữ quyền",
}

PERSONS: Final[Mapping[str, str]] = {
    # rights (authority)
    "operate": "thao tác",
    "approve": "duyệt",
    "tag": "đặt biển báo",
    "switch the supply of meters": "đóng cắt nguồn cấp của công tơ",
    "override the second person in an emergency": "thao tác khẩn cấp không có người thứ hai",
    "remove the tags of others": "gỡ biển báo của người khác",
    "acknowledge alarms": "xác nhận cảnh báo",
    "set a broken part of the journal aside": "tách phần hỏng của nhật ký",
    "no role": "không có vai trò nào",
    "no area": "không khu vực nào",
    "the whole province": "toàn tỉnh",
    "a meter without a feeder": "công tơ không rõ xuất tuyến",
    "{w} has {}; to {} takes {}": "{0} có vai trò {1}; để {2} cần {3}",
    "{w} may {} in {}, not in {}": "{0} được {1} ở {2}, không phải ở {3}",
    "{w} may {} in {} {}, not now": "{0} được {1} ở {2} {3}, không phải lúc này",
    "from {w} to {w}": "từ {0} đến {1}",
    "{} or {}": "{0} hoặc {1}",
    # signatures and trust
    "the document is not signed as it must be: {}": "văn bản không được ký đúng quy cách: {0}",
    "the signed content is no command: {}": "nội dung được ký không phải là lệnh: {0}",
    "a new message bears exactly one signature": "bản tin mới phải có đúng một chữ ký",
    "the signature does not fit the content: a byte was changed, or another key signed": (
        "chữ ký không khớp nội dung: có byte bị thay đổi, hoặc ký bằng khóa khác"
    ),
    "the message says {w}, the signature is {w}'s": "bản tin ghi {0}, nhưng chữ ký là của {1}",
    "no authority is trusted here: nobody may operate": (
        "ở đây không có tổ chức chứng thực nào được tin cậy: không ai được thao tác"
    ),
    "{} is not in the authority table": "{0} không có trong bảng phân quyền",
    "the path of certificates is too long": "chuỗi chứng thư quá dài",
    "certificate {} is not for signing commands": "chứng thư {0} không dùng để ký lệnh",
    "certificate {} does not say what it is for": "chứng thư {0} không ghi mục đích sử dụng",
    "certificate {} is not valid before {} UTC": "chứng thư {0} chưa có hiệu lực trước {1} UTC",
    "certificate {} expired on {} UTC": "chứng thư {0} đã hết hạn lúc {1} UTC",
    "certificate {} was revoked on {} UTC": "chứng thư {0} đã bị thu hồi lúc {1} UTC",
    "certificate {} was issued by nobody we trust ({})": "chứng thư {0} do tổ chức không được tin cậy cấp ({1})",
    "{} is no authority": "{0} không phải là tổ chức chứng thực",
    "there is no revocation list of {}": "không có danh sách thu hồi của {0}",
    "the revocation list of {} is out of date": "danh sách thu hồi của {0} đã quá hạn",
    "{w} signatures; 1 to {w} are accepted": "{0} chữ ký; chỉ chấp nhận từ 1 đến {1}",
    "{w} bytes; at most {w} are accepted": "{0} byte; chỉ chấp nhận tối đa {1}",
    "{w} certificates; 1 to {w} are accepted": "{0} chứng thư; chỉ chấp nhận từ 1 đến {1}",
    "it is signed with {}; only {w} is accepted": "được ký bằng {0}; chỉ chấp nhận {1}",
    "is no JWS in general serialisation: {}": "không phải JWS dạng tổng quát: {0}",
    "its protected header cannot be used: {}": "phần đầu được bảo vệ không dùng được: {0}",
    "its certificate cannot be read: {}": "không đọc được chứng thư: {0}",
    "its {} is not base64url as it should be written": "{0} không được viết đúng dạng base64url",
    "its {} is not base64url": "{0} không phải base64url",
    "protected header": "phần đầu được bảo vệ",
    "{} cannot be opened: wrong passphrase, or no PKCS#12 file": (
        "không mở được {0}: sai mật khẩu, hoặc không phải tệp PKCS#12"
    ),
    "{} holds no P-256 key with its certificate": "{0} không chứa khóa P-256 cùng chứng thư",
    "token {} holds no ECDSA key": "thiết bị {0} không chứa khóa ECDSA",
    "token {} holds no certificate": "thiết bị {0} không chứa chứng thư",
    "token {}: {}": "thiết bị {0}: {1}",
    # messages
    "id {} is no UUIDv7": "số {0} không phải UUIDv7",
    "has no originator": "không ghi người lập",
    "{w} needs target and action": "{0} cần đối tượng và thao tác",
    "set needs the value as set_point": "set cần giá trị (set_point)",
    "{w} takes no set_point": "{0} không nhận giá trị đặt",
    "unit belongs to set_point": "đơn vị chỉ đi cùng giá trị đặt",
    "supply needs the serial of a meter as target, and disconnect or reconnect": (
        "supply cần số công tơ làm đối tượng, và disconnect hoặc reconnect"
    ),
    "tag needs target and tag": "tag cần đối tượng và loại biển báo",
    "{w} needs the id of what it is about as subject": "{0} cần số của đối tượng liên quan (subject)",
    "hand_over needs the name of who takes the tag over": "hand_over cần tên người nhận biển báo",
    "it was made to hold for {w} s; more than 0 and at most {w} s are accepted": (
        "được lập với thời hạn {0} s; chỉ chấp nhận trên 0 và tối đa {1} s"
    ),
    "it was issued {w} s in the future: a clock is wrong, the signer's or ours": (
        "được lập trước giờ hiện tại {0} s: đồng hồ của người ký hoặc của hệ thống bị sai"
    ),
    "it is {w} s old and expired {w} s ago": "đã lập {0} s trước và hết hạn {1} s trước",
    "message {w} was received before": "bản tin {0} đã được nhận trước đó",
    "the desk's clock is {w} s behind its own journal": "đồng hồ của bàn điều khiển chậm {0} s so với nhật ký của nó",
    # approval
    "the signed bytes of {w} say something else than the desk shows ({})": (
        "nội dung đã ký của {0} khác với nội dung bàn điều khiển hiển thị ({1})"
    ),
    "what the desk shows of {w} is no signed message: {}": (
        "nội dung bàn điều khiển hiển thị về {0} không phải là bản tin đã ký: {1}"
    ),
    "no command {w} waits for approval": "không có lệnh {0} nào chờ duyệt",
    "what was approved is not what was requested": "nội dung được duyệt không phải nội dung được yêu cầu",
    "{w} does not wait for this approval": "{0} không chờ lần duyệt này",
    "the first signature is not {w}'s": "chữ ký thứ nhất không phải của {0}",
    "{w} requested it and cannot approve it as well": "{0} là người yêu cầu nên không được tự duyệt",
    "the command expired while it was under way": "lệnh hết hạn khi đang thực hiện",
    "an emergency override needs a reason": "thao tác khẩn cấp phải ghi lý do",
    "{w} wants to be selected first": "{0} phải được chọn trước",
    "the second signature was refused: {}": "chữ ký thứ hai bị từ chối: {0}",
    # tags
    "{w} bears a {}": "{0} đang có {1}",
    "only {w} may operate {w}: {}": "chỉ {0} được thao tác {1}: {2}",
    "Caution: {}": "Chú ý: {0}",
    "caution tag of {w} on {}": "biển chú ý của {0} trên {1}",
    "control inhibit tag of {w} on {}": "biển cấm thao tác của {0} trên {1}",
    "control authority tag of {w} on {}": "biển giữ quyền thao tác của {0} trên {1}",
    "out of service tag of {w} on {}": "biển ngừng vận hành của {0} trên {1}",
    "there is no tag {}": "không có biển báo {0}",
    "caution": "chú ý",
    "control_inhibit": "cấm thao tác",
    "control_authority": "giữ quyền thao tác",
    "out_of_service": "ngừng vận hành",
    # the door
    "this process is not in control": "tiến trình này không giữ quyền điều khiển",
    "a message has at most {w} bytes": "bản tin có tối đa {0} byte",
    "no command {} here": "ở đây không có lệnh {0}",
    "steps and wait_s are numbers": "steps và wait_s là số",
    "scada run is not running (no {})": "scada run không chạy (không có {0})",
    "the desk does not answer at {w}: {}": "bàn điều khiển không trả lời tại {0}: {1}",
    "the desk answers {w}": "bàn điều khiển trả lời {0}",
    "no command {} is under way; `scada control list` shows them all": (
        "không có lệnh {0} nào đang thực hiện; xem `scada control list`"
    ),
    "{w} {} has ended ({w}: {})": "{0} {1} đã kết thúc ({2}: {3})",
    "no key {}: no such file, and none of that name in {}": (
        "không có khóa {0}: không có tệp đó, và trong {1} cũng không có"
    ),
    # alarms
    "no alarm {} waits to be acknowledged": "không có cảnh báo {0} nào chờ xác nhận",
    "no alarm {} waits to be acknowledged; `scada alarms` lists them": (
        "không có cảnh báo {0} nào chờ xác nhận; xem `scada alarms`"
    ),
    # meters' supply
    "meter {w} is being switched": "công tơ {0} đang được đóng cắt",
    "no meter is reached from this desk": "bàn điều khiển này không liên lạc được với công tơ nào",
    "the registry of meters does not answer: {}": "sổ đăng ký công tơ không trả lời: {0}",
    "no installed meter has the serial {w}": "không có công tơ nào đang lắp mang số {0}",
    "no installed meter has this serial": "không có công tơ nào đang lắp mang số này",
    "nothing stands against it; the test flag: nothing was sent": "không có gì cản trở; lệnh thử: không gửi gì",
    "whether the order was entered is not known: {}": "không rõ lệnh đã được ghi nhận hay chưa: {0}",
    "the meter answered, but says {}": "công tơ có trả lời, nhưng báo {0}",
    "the meter says {}": "công tơ báo {0}",
    "no state": "không có trạng thái",
    "meter {w} {w}": "công tơ {0} {1}",
    "no head-end has ended it: is `scada collect` running?": (
        "không hệ thu thập nào kết thúc yêu cầu: `scada collect` có đang chạy không?"
    ),
}

JOURNAL: Final[Mapping[str, str]] = {
    "the end of the journal was not whole and was set aside: {}": (
        "phần cuối nhật ký không toàn vẹn và đã được tách ra: {0}"
    ),
    "segment {w} from line {w}, {w} bytes, in {w}": "đoạn {0} từ dòng {1}, {2} byte, giữ trong {3}",
    "segment {w} from line {w}, {w} bytes, in {w}, by {w}: {}": (
        "đoạn {0} từ dòng {1}, {2} byte, giữ trong {3}, do {4}: {5}"
    ),
    "{}, line {w}: {}": "{0}, dòng {1}: {2}",
    "{}. No desk continues a journal it cannot prove: compare it with the copy in the historian, then leave out what "
    "is broken with `scada journal set-aside --key K --reason …` (docs/control.md); it is kept, and told": (
        "{0}. Bàn điều khiển không tiếp tục một nhật ký không chứng minh được: hãy đối chiếu với bản sao trong cơ sở "
        "dữ liệu, rồi tách phần hỏng bằng `scada journal set-aside --key K --reason …` (docs/control.md); phần đó được "
        "giữ lại và được ghi nhận"
    ),
    "{} cannot be read: {}": "không đọc được {0}: {1}",
    "cannot be read": "không đọc được",
    "entry {w}: cannot be read": "mục {0}: không đọc được",
    "entry {w}: its content was taken away": "mục {0}: nội dung đã bị lấy đi",
    "its content was changed": "nội dung đã bị thay đổi",
    "does not follow from the entry before it": "không nối tiếp mục trước",
    "numbered {w}; an entry was removed, inserted or moved": "mang số {0}; có mục bị xóa, chèn hoặc chuyển chỗ",
    "not whole": "không trọn vẹn",
    "{} is no ECDSA key": "{0} không phải khóa ECDSA",
    "the journal cannot be written: {}": "không ghi được nhật ký: {0}",
    "it cannot be journaled, so nothing is done: {}": "không ghi được nhật ký nên không thực hiện gì: {0}",
    "the end of the journal is not what the decision is about": (
        "phần cuối nhật ký không phải phần mà quyết định nói đến"
    ),
    "the end of the journal cannot be set aside: {}": "không tách được phần cuối nhật ký: {0}",
    "the end of the journal is in order: a desk may be started; see `scada journal verify`": (
        "phần cuối nhật ký bình thường: có thể khởi động bàn điều khiển; xem `scada journal verify`"
    ),
    "process {w} on {w} is in control: its journal is not broken, or end it": (
        "tiến trình {0} trên {1} đang điều khiển: nhật ký của nó không hỏng, hoặc hãy dừng nó"
    ),
    "a process still writes to the end of the journal: end it first": (
        "một tiến trình vẫn đang ghi vào phần cuối nhật ký: hãy dừng nó trước"
    ),
    "another process has just taken control": "tiến trình khác vừa nhận quyền điều khiển",
    "it is no signed decision about the journal: {}": "không phải quyết định có chữ ký về nhật ký: {0}",
    "a decision about the journal bears exactly one signature": "quyết định về nhật ký phải có đúng một chữ ký",
    "the decision says {w}, the signature is {w}'s": "quyết định ghi {0}, nhưng chữ ký là của {1}",
    "to set a part of the journal aside needs a reason": "tách một phần nhật ký phải ghi lý do",
    "the decision is not of now: it was signed more than ten minutes from our clock": (
        "quyết định không phải của lúc này: được ký lệch quá mười phút so với đồng hồ hệ thống"
    ),
    "the signature is about other bytes than those at the end of the journal": (
        "chữ ký nói về các byte khác với phần cuối nhật ký"
    ),
    "entry 1: is no beginning of a tenure; the beginning was removed": (
        "mục 1: không phải phần mở đầu; phần mở đầu đã bị xóa"
    ),
    "entry 1: follows segment {w}, which is not there": "mục 1: nối tiếp đoạn {0}, nhưng đoạn đó không có",
    "entry 1: segment {w} does not hold the entry it follows; its end was cut off": (
        "mục 1: đoạn {0} không chứa mục mà nó nối tiếp; phần cuối đã bị cắt"
    ),
    "entry 1: tells of {w}, which is not there": "mục 1: nói đến {0}, nhưng tệp đó không có",
    "entry 1: tells of {w}, whose content was changed": "mục 1: nói đến {0}, nhưng nội dung tệp đã bị thay đổi",
    "entry {w}: signs another entry than the one before it": "mục {0}: ký cho một mục khác, không phải mục trước nó",
    "entry {w}: its signature is not this key's": "mục {0}: chữ ký không phải của khóa này",
    "segment {w}: entries {w} to {w}": "đoạn {0}: các mục {1} đến {2}",
    "segment {w}, entry {w}: {}": "đoạn {0}, mục {1}: {2}",
    "segment {w}, {}": "đoạn {0}, {1}",
}
