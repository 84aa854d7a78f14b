"""Claims about the desk's sentences in Vietnamese: every form it uses has one, and values are never translated away."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from scada.control.lifecycle import Outcome, State
from scada.control.message import TagKind
from scada.control.orders import OrderState
from scada.hmi.deskwords import FORMS, PLACES, told, worded
from scada.hmi.language import VIETNAMESE
from scada.model.addcause import AddCause
from scada.model.meterlink import SupplyAction
from scada.model.switching import Action

CONTROL = Path(__file__).resolve().parents[2] / "scada" / "control"
NOT_SAID = {
    "orders_pdf": "is in Vietnamese itself",
    "report_bm20c": "is in Vietnamese itself",
    "policy": "faults of files, as every file's in English",
}
"""Modules that say nothing to a dispatcher, and why."""
PARTS = {
    # parts of what is looked up whole, and what is written down but not said
    "set aside",
    "person {}",
    "{} {}",
    " {} {}",
    "{} {}{}{}",
    "check ,",
    ", on site",
    ", {}",
    "{}: {}",
    "; did",
    "; did you mean {}?",
    "is not selected",
    "is not selected any more ({})",
    "command {} {}",
    "what-if {}",
    "meter {}",
    "meter {} {}",
    "at {}, feeder {}",
    "gridscada journal {} {}",
    "{} in state {}",
    "splits into",
    "is joined to",
    ", by {}: {}",
    "{} dead",
    "{} voltage",
    "{} synchrocheck",
    "not available",
    "%Y-%m-%d %H:%M:%S",
    "takes no set_point",
    "needs the value as set_point",
    ", {} customers",
    "{} = {}",
    "{} < {}",
    "{} > {}",
    "_End | None",
    "{} would close onto an earthed section",
    "{} would connect a source to an earth",
    "the energised network {} {} island{} (now {})",
    "{} MW lost{}: {}",
    "{} tag of {} on {}",
}


def forms_said() -> Iterator[tuple[str, str]]:
    """Every text with a blank in it that a module of the desk makes, ``{}`` for its values; not docstrings, not what
    goes to the log, not faults of files."""
    for file in sorted(CONTROL.glob("*.py")):
        if file.stem in NOT_SAID:
            continue
        tree = ast.parse(file.read_text(encoding="utf-8"))
        above = {child: parent for parent in ast.walk(tree) for child in ast.iter_child_nodes(parent)}
        for node in ast.walk(tree):
            form = form_of(node)
            if form is None or " " not in form.strip() or isinstance(above[node], (ast.Expr, ast.JoinedStr)):
                continue
            if not any(is_unsaid(each) for each in ancestors(node, above)):
                yield form, f"{file.stem}:{getattr(node, 'lineno', 0)}"


def form_of(node: ast.AST) -> str | None:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(str(each.value) if isinstance(each, ast.Constant) else "{}" for each in node.values)
    return None


def ancestors(node: ast.AST, above: dict[ast.AST, ast.AST]) -> Iterator[ast.AST]:
    while not isinstance(node, ast.stmt):
        node = above[node]
        yield node


def is_unsaid(node: ast.AST) -> bool:
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
        return False
    owner = node.func.value
    return isinstance(owner, ast.Name) and (owner.id == "log" or (owner.id == "faults" and node.func.attr == "add"))


def is_known(form: str) -> bool:
    """Whether a sentence of this form is found by a form of its own, not only by how sentences are joined."""
    sample = PLACES.sub("Q7", form)
    if sample in FORMS or sample in VIETNAMESE:
        return True
    return any(re.fullmatch(pattern_of(each), sample) for each in FORMS if PLACES.search(each))


def pattern_of(form: str) -> str:
    return re.escape(form).replace(r"\{w\}", r"\S+").replace(r"\{\}", r"\S.*?")


def test_every_sentence_of_the_desk_has_a_vietnamese_form() -> None:
    found = dict(forms_said())
    assert len(found) > 150, "the search finds what is there"
    missing = {form: place for form, place in found.items() if form not in PARTS and not is_known(form)}
    assert missing == {}


def test_nothing_is_left_out_that_is_not_there() -> None:
    found = dict(forms_said())
    assert sorted(PARTS - found.keys()) == []


def test_every_cause_state_tag_and_action_has_a_vietnamese_word() -> None:
    words = [
        *(each.label for each in AddCause),
        *(str(each) for each in (*TagKind, *Action, *SupplyAction, *OrderState, *Outcome, *State)),
    ]
    assert [each for each in words if each not in FORMS and each not in VIETNAMESE] == []


def test_a_translation_has_every_value_of_its_original_once() -> None:
    for form, words in FORMS.items():
        places = [f"{{{number}}}" for number in range(len(PLACES.findall(form)))]
        assert sorted(re.findall(r"\{\d\}", words)) == places, form


@pytest.mark.parametrize(
    ("sentence", "vietnamese"),
    [
        (
            "the circuit of TN01/171-7 is not interrupted: TN01/171 is closed",
            "mạch của TN01/171-7 chưa bị cắt: TN01/171 đang đóng",
        ),
        (
            "TN01/471 is in local mode: TN01/471/local_remote is local",
            "TN01/471 đang ở chế độ tại chỗ: TN01/471/local_remote: tại chỗ",
        ),
        ("TN01/471 open: sent", "TN01/471 cắt: đã gửi"),
        ("TN01/471 is open", "TN01/471 đang mở"),
        (
            "TN01/471 bears a control inhibit tag of dispatcher-2 on TN01 (men at work)",
            "TN01/471 đang có biển cấm thao tác của dispatcher-2 trên TN01 (men at work)",
        ),
        (
            "step 1: blocked by switching hierarchy (TN01/471 is in local mode: TN01/471/local_remote is local)",
            "bước 1: bị khóa theo cấp thao tác (TN01/471 đang ở chế độ tại chỗ: TN01/471/local_remote: tại chỗ)",
        ),
        (
            "whether TN01/C41 is energised is not known: the position of TN01/171-7 is not topical",
            "không rõ TN01/C41 có điện hay không: vị trí của TN01/171-7: không cập nhật",
        ),
        (
            "TN01/471 open: TN01 lost after the order was sent: no answer within 1 s; not tried again",
            "TN01/471 cắt: mất kết nối TN01 sau khi gửi lệnh: không trả lời trong 1 s; không thử lại",
        ),
        (
            "viewer-1 has VIEWER; to acknowledge alarms takes OPERATOR",
            "viewer-1 có vai trò VIEWER; để xác nhận cảnh báo cần OPERATOR",
        ),
        ("a heron flew by", "a heron flew by"),
    ],
)
def test_a_sentence_is_told_with_its_values_in_their_places(sentence: str, vietnamese: str) -> None:
    assert told(sentence, "vi") == vietnamese
    assert told(sentence, "en") == sentence


def test_a_report_keeps_what_is_journaled_and_gets_the_words_beside_it() -> None:
    refusal = {"cause": 5, "label": "position reached", "sentence": "TN01/471 is open already", "facts": []}
    made = worded({"outcome": "refused", "refusals": [refusal], "steps": [{"sentence": "the device accepted"}]}, "vi")
    assert made == {
        "outcome": "refused",
        "refusals": [{**refusal, "label_text": "đã ở vị trí yêu cầu", "text": "TN01/471 đã mở rồi"}],
        "steps": [{"sentence": "the device accepted", "text": "thiết bị đã chấp nhận"}],
    }
    assert worded({"error": "this process is not in control"}, "vi") == {
        "error": "tiến trình này không giữ quyền điều khiển"
    }


@pytest.mark.parametrize("wild", ["a: b (c, d); is ", ": : : ", "is ", "of a in b, not in c ", "): ("])
def test_a_wild_sentence_is_answered_whatever_its_length(wild: str) -> None:
    """Others may have the desk repeat their words: nothing they send may make it recurse or search without end."""
    for length in (300, 799, 60_000):
        assert told((wild * length)[:length], "vi")
