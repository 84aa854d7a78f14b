"""A command of the control desk as people see it: its steps, what is asked of a second person, how it ended.

Knows the fields of a command's report and says them in the reader's language. Does not fetch it, and judges nothing.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from rich.text import Text

from scada.clock import local
from scada.hmi.deskwords import refusal_words, told
from scada.hmi.journalwords import wish_words
from scada.hmi.language import say

Report = Mapping[str, Any]
LOOK_FIRST = "Neither done nor refused: see where it stands (scada watch) before anything else; nothing is tried again."


def step_line(step: Mapping[str, Any], language: str, zone: str) -> Text:
    """When, into which state, in words; the time of day to the millisecond."""
    when = f"{local(step['time'], zone):%H:%M:%S.%f}"[:-3]
    return Text(f"{when}  {told(step['state'], language):10}  {told(step['sentence'], language)}")


def request_lines(report: Report, language: str) -> Iterator[Text]:
    """What a second person reads before signing: what it is, why, and what it would bring about."""
    subject = subject_words(report, language)
    yield Text(say("{}, requested by {}, number {}", language, subject, report["requester"], report["id"]))
    if report["reason"]:
        yield Text("  " + say("reason: {}", language, report["reason"]))
    for remark in report["remarks"]:
        yield Text(f"  {told(remark, language)}")
    found = report["consequences"]
    if found is None:
        return
    if not found["known"]:
        yield Text("  " + say("what it would bring about is not known: {}", language, told(found["reason"], language)))
    if found["lost_loads"]:
        lost = (f"{found['lost_mw']:.2f}", found["lost_customers"], ", ".join(found["lost_loads"]))
        yield Text("  " + say("loses {} MW, customers without supply: {} ({})", language, *lost), "yellow")
    for sentence in (*found["overloads"], *found["voltages"], *found["remarks"]):
        yield Text(f"  {told(sentence, language)}")


def waiting_line(report: Report, language: str) -> Text:
    """What has to be typed next, and by whom."""
    if report["waits_for"] == "execute":
        return Text(say("selected; carry it out with: scada execute {} --key …", language, report["target"]))
    return Text(say("waits for a second person: scada approve {} --key …", language, report["target"]))


def outcome_lines(report: Report, language: str) -> Iterator[Text]:
    """How it ended, and why when it was not completed."""
    subject = subject_words(report, language)
    if report["outcome"] == "completed":
        yield Text(say("{} completed", language, subject), "green")
        return
    outcome = told(report["outcome"], language)
    for refusal in report["refusals"]:
        yield Text(f"{subject} {outcome}: {refusal_words(refusal, language)}", "red")
    if report["outcome"] == "unknown":
        yield Text(say(LOOK_FIRST, language), "bold red")


def subject_words(report: Report, language: str) -> str:
    """What was to be done with what: ``TN01/471 open``; a message that was refused unread has neither."""
    if "action" in report:
        return told(f"{report['target']} {wish_words(report)}", language)
    return str(report.get("target") or say("message", language))
