"""A sentence of the control desk in the language of the reader, found by its form: the journal keeps what was said.

Knows how a sentence is matched with the form it was made from, part by part. Does not know the words
(``desksentences``, ``fieldsentences``), nor where a sentence comes from.
"""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from scada.hmi import desksentences, fieldsentences
from scada.hmi.language import VIETNAMESE

FORMS: Final[Mapping[str, str]] = {
    **desksentences.CAUSES,
    **{f"{cause} ({{}})": f"{words} ({{0}})" for cause, words in desksentences.CAUSES.items()},
    **desksentences.PERSONS,
    **desksentences.JOURNAL,
    **fieldsentences.WORDS,
    **fieldsentences.COMMANDS,
    **fieldsentences.NETWORK,
    **fieldsentences.ORDERS,
}
JOINED: Final[Mapping[str, str]] = {
    "{}; {}": "{0}; {1}",
    "{} ({})": "{0} ({1})",
    "{}: {}": "{0}: {1}",
    "{}, {}": "{0}, {1}",
    "{} and {}": "{0} và {1}",
    "{}+{}": "{0}+{1}",
}
"""How the desk joins sentences and values: tried last, for what no form of its own knows."""
PLACES: Final = re.compile(r"\{w?\}")
LONGEST: Final = 800
"""Characters of a sentence that is looked at: the desk says nothing longer; others may have it repeat their words."""
DEEPEST: Final = 6
"""How many sentences may stand in one another."""


def told(sentence: str, language: str) -> str:
    """``sentence`` in ``language`` ("vi" or "en"); what has no known form stays as it is, names and values always."""
    return _translated(sentence, DEEPEST) if language == "vi" and len(sentence) < LONGEST else sentence


@lru_cache(maxsize=4096)
def _translated(sentence: str, depth: int) -> str:
    if (whole := FORMS.get(sentence) or VIETNAMESE.get(sentence)) is not None and not PLACES.search(sentence):
        return whole
    if not depth:
        return sentence
    for pattern, words in _patterns():
        if (found := pattern.fullmatch(sentence)) is not None:
            return words.format(*(_translated(each, depth - 1) for each in found.groups()))
    return sentence


@lru_cache(maxsize=1)
def _patterns() -> Sequence[tuple[re.Pattern[str], str]]:
    """The form with the most of its own characters first, joined ones last."""
    forms = sorted((each for each in FORMS if PLACES.search(each)), key=lambda form: -len(PLACES.sub("", form)))
    return [(_pattern(each), FORMS[each]) for each in forms] + [(_pattern(each), JOINED[each]) for each in JOINED]


def _pattern(form: str) -> re.Pattern[str]:
    between = [re.escape(each) for each in PLACES.split(form)]
    places = [r"(\S+)" if each == "{w}" else r"(\S.*?)" for each in PLACES.findall(form)]
    return re.compile("".join(part for pair in zip(between, [*places, ""], strict=True) for part in pair), re.DOTALL)


def worded(report: Any, language: str) -> Any:
    """A report as plain JSON values, with every sentence, cause and remark also in ``language``, beside what is kept.

    ``sentence`` gets ``text``, ``label`` gets ``label_text``; an ``error`` is a text for people alone.
    """
    if isinstance(report, list):
        return [worded(each, language) for each in report]
    if not isinstance(report, dict):
        return report
    made = {key: worded(value, language) for key, value in report.items()}
    for key, beside in (("sentence", "text"), ("label", "label_text"), ("error", "error")):
        if isinstance(report.get(key), str):
            made[beside] = told(report[key], language)
    return made


def refusal_words(refusal: Mapping[str, Any], language: str) -> str:
    """A refusal of a report for people: ``10 blocked by interlocking (…)``."""
    return f"{refusal['cause']} {told(refusal['label'], language)} ({told(refusal['sentence'], language)})"
