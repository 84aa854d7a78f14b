"""Claims about the authority table, the policy file and tags."""

from pathlib import Path

import pytest

from scada.control.authority import AuthorityTable, Right, load_authority
from scada.control.message import TagKind
from scada.control.policy import SHIPPED, PointClass, load_policy
from scada.control.tags import Tag, Tags
from scada.model.addcause import AddCause
from scada.model.errors import Fault
from scada.model.switching import Action, Operation

DAY_US = 86_400_000_000
ZONE = "Asia/Ho_Chi_Minh"
NOW = 20_000 * DAY_US - 7 * 3_600_000_000
"""2024-10-04 begins, in Viet Nam."""
PRINT = "ab" * 32
TABLE = f"""
version = 3
[[person]]
name = "d"
certificate = "{PRINT}"
grant = [
  {{ role = "OPERATOR", areas = ["TN01"], since = "2024-10-04", until = "2024-10-04" }},
  {{ role = "VIEWER", areas = ["*"] }},
]
"""


def load(tmp_path: Path, text: str) -> tuple[AuthorityTable | None, list[str]]:
    path = tmp_path / "authority.toml"
    path.write_text(text, encoding="utf-8")
    found: list[Fault] = []
    return load_authority(path, found, ZONE), [str(fault) for fault in found]


def test_a_right_holds_in_its_area_on_its_days_only(tmp_path: Path) -> None:
    table, faults = load(tmp_path, TABLE)
    assert table is not None, faults
    person = table.person(PRINT)
    assert person is not None
    assert table.why_not(person, Right.OPERATE, "TN01", NOW) == ""
    assert table.why_not(person, Right.OPERATE, "TN01", NOW + DAY_US - 1) == ""
    assert "from 2024-10-04 to 2024-10-04, not now" in table.why_not(person, Right.OPERATE, "TN01", NOW + DAY_US)
    assert "not now" in table.why_not(person, Right.OPERATE, "TN01", NOW - 1)
    assert table.why_not(person, Right.OPERATE, "TN02", NOW) == "d may operate in TN01, not in TN02"
    assert table.why_not(person, Right.CLEAR_TAGS_OF_OTHERS, "TN01", NOW).endswith("takes ENGINEER")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("version = 3", "version = 0", "0 is below 1"),
        (PRINT, "AB" * 32, "64 lower-case hexadecimal digits"),
        ("2024-10-04", "4.10.2024", "is no day"),
        ('until = "2024-10-04"', 'until = "2024-10-03"', "is before"),
        ('until = "2024-10-04"', 'until = "20241003"', "is before"),
        ("OPERATOR", "OPERATER", "did you mean 'OPERATOR'"),
        ('name = "d"', 'nmae = "d"', "did you mean 'name'"),
    ],
)
def test_a_wrong_table_is_no_table(tmp_path: Path, old: str, new: str, words: str) -> None:
    table, faults = load(tmp_path, TABLE.replace(old, new))
    assert table is None
    assert any(words in fault for fault in faults), faults


def test_a_certificate_belongs_to_one_person(tmp_path: Path) -> None:
    second = TABLE.split("[[person]]")[1].replace('name = "d"', 'name = "e"')
    table, faults = load(tmp_path, f"{TABLE}[[person]]{second}")
    assert (table, faults) == (None, ["authority.toml: person e.certificate: is d's"])


def test_the_shipped_policy_wants_two_persons_for_everything_that_switches() -> None:
    found: list[Fault] = []
    policy = load_policy(SHIPPED, found)
    assert policy is not None, found
    two = {each for each in PointClass if policy.rule(each).persons == 2}
    assert two == {
        PointClass.CIRCUIT_BREAKER,
        PointClass.LOAD_BREAK_SWITCH,
        PointClass.DISCONNECTOR,
        PointClass.EARTHING_SWITCH,
    }


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('class = "reset"', 'class = "reste"', "'reste' is none of"),
        ('class = "reset"', 'class = "automatic"', "is there twice"),
        ("persons = 2", "persons = 3", "3 is above 2"),
        ("approval_s", "aproval_s", "did you mean 'approval_s'"),
    ],
)
def test_a_wrong_policy_is_refused(tmp_path: Path, old: str, new: str, words: str) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(SHIPPED.read_text(encoding="utf-8").replace(old, new, 1), encoding="utf-8")
    found: list[Fault] = []
    assert load_policy(path, found) is None
    assert any(words in str(fault) for fault in found), found


def test_a_policy_without_a_rule_for_a_class_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text("approval_s = 60.0\n", encoding="utf-8")
    found: list[Fault] = []
    assert load_policy(path, found) is None
    assert len(found) == len(PointClass)


OPERATION = Operation("TN01", "471", "471.operate", "471", Action.OPEN)


@pytest.mark.parametrize(
    ("kind", "cause"),
    [
        (TagKind.CAUTION, None),
        (TagKind.CONTROL_INHIBIT, AddCause.BLOCKED_BY_COMMAND),
        (TagKind.OUT_OF_SERVICE, AddCause.BLOCKED_BY_MODE),
        (TagKind.CONTROL_AUTHORITY, AddCause.LOCKED_BY_OTHER_CLIENT),
    ],
)
@pytest.mark.parametrize("target", ["TN01", "TN01/471", "TN01/471/471.operate"])
def test_a_tag_does_what_its_kind_says_wherever_it_hangs(kind: TagKind, cause: AddCause | None, target: str) -> None:
    tags = Tags([Tag("1", target, kind, "e", "why", 0)])
    assert [each.cause for each in tags.refusals(OPERATION, ("d",))] == ([] if cause is None else [cause])
    assert len(tags.remarks(OPERATION)) == (cause is None)


def test_its_holder_and_whoever_he_approves_may_operate_under_a_control_authority_tag() -> None:
    tags = Tags([Tag("1", "TN01/471", TagKind.CONTROL_AUTHORITY, "d", "", 0)])
    assert tags.refusals(OPERATION, ("d",)) == ()
    assert tags.refusals(OPERATION, ("x", "d")) == ()


def test_a_tag_elsewhere_forbids_nothing_here() -> None:
    tags = Tags([Tag("1", each, TagKind.CONTROL_INHIBIT, "e", "", 0) for each in ("TN02", "TN01/472")])
    assert tags.refusals(OPERATION, ("d",)) == ()
