"""Alarms of the control desk as people see them: the list, and the lines that stand above everything else.

Knows the fields of an alarm's report. Does not fetch it, and does not know what raises one.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from rich.console import Group
from rich.table import Table
from rich.text import Text

from scada.hmi.deskwords import told
from scada.hmi.language import say
from scada.hmi.words import time_words

Alarms = Sequence[Mapping[str, Any]]
COLOURS: Final[Mapping[str, str]] = {"high": "bold red", "medium": "yellow", "low": "cyan"}
SHOWN: Final = 5
SHORT: Final = 8
"""Characters of an alarm's number that are shown, from its end: they are the random ones."""


def alarm_table(alarms: Alarms, language: str, zone: str) -> Table:
    """Every alarm, oldest first: what must be acknowledged, and its short number."""
    table = Table(box=None)
    for heading in ("alarm", "time", "priority", "kind"):
        table.add_column(say(heading, language), no_wrap=True)
    table.add_column(say("what happened", language))
    for each in alarms:
        row = [each["id"][-SHORT:], time_words(each["time"], zone), say(f"{each['priority']} priority", language)]
        table.add_row(
            *row, say(each["kind"], language), Text(told(each["sentence"], language)), style=COLOURS[each["priority"]]
        )
    return table


def alarm_lines(alarms: Alarms, language: str, zone: str) -> Group:
    """The newest few, and what to do; nothing at all without an alarm."""
    if not alarms:
        return Group()
    lines = [Text(say("alarms not acknowledged: {} (scada alarms)", language, len(alarms)), style="bold red")]
    for each in reversed(alarms[-SHOWN:]):
        words = f"{say(each['kind'], language)}: {told(each['sentence'], language)}"
        lines.append(Text(f"  {time_words(each['time'], zone)}  {words}", COLOURS[each["priority"]]))
    return Group(*lines)
