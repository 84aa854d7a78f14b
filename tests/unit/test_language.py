"""Both languages: nothing a view says is left untranslated, and a translation has the places of its original."""

import ast
from collections.abc import Iterator
from pathlib import Path

from scada.control.alarms import Priority
from scada.hmi.language import VIETNAMESE, say
from scada.hmi.registerlist import HEADINGS
from scada.model.cause import Cause
from scada.model.event import EventKind
from scada.model.point import Point, PointKind
from scada.model.quality import Quality
from scada.model.reading import ProfileStatus, RegisterKind
from scada.model.rollup import Level
from scada.services.endpoints import State

POINT = Point(1, "TN07/171/current_l1", PointKind.MEASURED_VALUE, "Dòng điện", "Current", "A")
SCADA = Path(__file__).resolve().parents[2] / "scada"


def said() -> Iterator[str]:
    """Every literal first argument of a call of ``say`` below scada/, and of the demo's own way to it."""
    for file in sorted(SCADA.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and called(node) in ("say", "_tell"):
                first = node.args[0]
                choices = (first.body, first.orelse) if isinstance(first, ast.IfExp) else (first,)
                yield from (str(each.value) for each in choices if isinstance(each, ast.Constant))


def called(node: ast.Call) -> str:
    return str(getattr(node.func, "id", getattr(node.func, "attr", "")))


def test_every_sentence_of_a_view_has_a_translation() -> None:
    found = list(said())
    assert len(found) > 20, "the search finds what is there"
    assert sorted(set(found) - VIETNAMESE.keys()) == []


def test_every_state_quality_cause_and_kind_has_a_translation() -> None:
    words = [
        *(each.value for each in (*State, *PointKind, *Level, *EventKind)),
        *(f"{each} priority" for each in Priority),
        *(each.name.lower() for each in (*Cause, *Quality, *ProfileStatus)),
        *(each.name.lower().replace("_", " ") for each in RegisterKind),
        *HEADINGS,
    ]
    assert sorted(set(words) - VIETNAMESE.keys()) == []


def test_a_translation_has_as_many_places_as_its_original() -> None:
    assert [each for each, other in VIETNAMESE.items() if each.count("{}") != other.count("{}")] == []


def test_what_has_no_translation_stays_english_and_english_is_itself() -> None:
    assert say("{} flew by", "vi", "a heron") == "a heron flew by"
    assert say("of {} points", "en", 7) == "of 7 points"
    assert say("of {} points", "vi", 7) == "trên 7 điểm"
