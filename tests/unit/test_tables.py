"""TOML tables: unknown keys, wrong types and bounds are all found in one pass, by name."""

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import pytest

from scada.model.errors import ConfigurationError, Fault
from scada.tables import Faults, bounded, load_table, nearest, read_table, refuse_faults


class Colour(StrEnum):
    RED = "red"
    GREEN = "green"


@dataclass(frozen=True)
class Inner:
    size: float


@dataclass(frozen=True)
class Outer:
    name: str
    colour: Colour = Colour.RED
    port: int = bounded(low=1, high=65535, default=502)
    mode: str = bounded(choices=("fast", "slow"), default="fast")
    inner: Inner | None = None
    many: tuple[Inner, ...] = ()
    map: dict[str, float] = field(default_factory=dict)
    flag: bool = False
    path: Path = Path()


def faults_of(table: dict[str, object]) -> list[str]:
    found: list[Fault] = []
    assert (read_table(Outer, table, Faults("x.toml", found)) is None) == bool(found)
    return [str(each) for each in found]


def test_a_complete_table_becomes_the_dataclass() -> None:
    found: list[Fault] = []
    table = {
        "name": "n",
        "colour": "green",
        "port": 1,
        "mode": "slow",
        "inner": {"size": 2},
        "many": [{"size": 1.5}],
        "map": {"a": 1},
        "flag": True,
        "path": "p",
    }
    assert read_table(Outer, table, Faults("x.toml", found)) == Outer(
        "n", Colour.GREEN, 1, "slow", Inner(2.0), (Inner(1.5),), {"a": 1.0}, flag=True, path=Path("p")
    )
    assert found == []


def test_defaults_fill_what_is_left_out() -> None:
    assert read_table(Outer, {"name": "n"}, Faults("x.toml", [])) == Outer("n")


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"name": "n", "prot": 1}, "x.toml: prot: unknown key; did you mean 'port'?"),
        (
            {"name": "n", "zzz": 1},
            "x.toml: zzz: unknown key; known are colour, flag, inner, many, map, mode, name, path, port",
        ),
        ({}, "x.toml: name: is missing"),
        ({"name": 3}, "x.toml: name: must be text, is 3"),
        ({"name": "n", "port": 0}, "x.toml: port: 0 is below 1"),
        ({"name": "n", "port": 70000}, "x.toml: port: 70000 is above 65535"),
        ({"name": "n", "port": True}, "x.toml: port: must be a whole number, is True"),
        ({"name": "n", "port": 1.0}, "x.toml: port: must be a whole number, is 1.0"),
        ({"name": "n", "mode": "fats"}, "x.toml: mode: 'fats' is not allowed; did you mean 'fast'?"),
        ({"name": "n", "colour": "gren"}, "x.toml: colour: 'gren' is not allowed; did you mean 'green'?"),
        ({"name": "n", "inner": 3}, "x.toml: inner: must be a table, is 3"),
        ({"name": "n", "inner": {"size": "a"}}, "x.toml: inner.size: must be a number, is 'a'"),
        ({"name": "n", "inner": {"size": float("nan")}}, "x.toml: inner.size: must be a finite number, is nan"),
        ({"name": "n", "many": {}}, "x.toml: many: must be a list, is {}"),
        ({"name": "n", "many": [{"size": 1}, {"sise": 1}]}, "x.toml: many[2].sise: unknown key; did you mean 'size'?"),
        ({"name": "n", "map": 1}, "x.toml: map: must be a table, is 1"),
        ({"name": "n", "map": {"a": "b"}}, "x.toml: map.a: must be a number, is 'b'"),
        ({"name": "n", "flag": 1}, "x.toml: flag: must be true or false, is 1"),
    ],
)
def test_a_fault_names_the_key_and_the_remedy(table: dict[str, object], message: str) -> None:
    assert message in faults_of(table)


def test_all_faults_are_found_in_one_pass() -> None:
    assert len(faults_of({"nam": "n", "port": -1, "flag": "yes"})) == 4


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a = ", "x.toml: is not TOML: Invalid value (at end of document)"),
        (b"name = '\xff'", "x.toml: is not UTF-8: byte 8"),
    ],
)
def test_an_unreadable_file_is_a_fault(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "x.toml").write_bytes(content)
    found: list[Fault] = []
    assert load_table(Outer, tmp_path / "x.toml", found) is None
    assert [str(each) for each in found] == [message]


def test_a_missing_file_is_a_fault(tmp_path: Path) -> None:
    found: list[Fault] = []
    assert load_table(Outer, tmp_path / "none.toml", found, name="stations/none.toml") is None
    assert [str(each) for each in found] == [f"stations/none.toml: no such file: {tmp_path / 'none.toml'}"]


def test_the_exception_carries_every_fault_sorted() -> None:
    with pytest.raises(ConfigurationError) as caught:
        refuse_faults([Fault("b.toml", "k", "wrong"), Fault("a.toml", "", "missing")])
    assert str(caught.value) == "a.toml: missing\nb.toml: k: wrong"
    refuse_faults([])


def test_nearest_is_silent_when_nothing_is_known() -> None:
    assert nearest("x", []) == ""
