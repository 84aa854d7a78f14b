"""The report of a point-to-point test as CSV and as PDF.

Knows forms. Does not judge anything.
"""

import csv
import hashlib
import io
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files

import typst

from scada.clock import local
from scada.hmi.words import time_words
from scada.model.quality import Quality
from scada.model.station import Station
from scada.pointtest import PointVerdict, Verdict


@dataclass(frozen=True, slots=True)
class Frame:
    """Who tested what, when; times in µs UTC. ``device``: what stood at the far end."""

    station: Station
    tester: str
    device: str
    begun: int
    ended: int
    zone: str


def report_csv(frame: Frame, verdicts: Sequence[PointVerdict]) -> str:
    """One line for each point; times are local, to the millisecond."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(
        ("point", "id", "kind", "unit", "result", "tried", "expected", "seen", "quality", "time", "tester", "note")
    )
    for each in verdicts:
        writer.writerow(
            (
                each.point.name,
                each.point.id,
                each.point.kind.value,
                each.point.unit,
                each.verdict.value,
                each.tried,
                f"{each.expected:g}",
                f"{each.seen.value:g}",
                Quality(each.seen.quality).label,
                time_words(each.time, frame.zone),
                frame.tester,
                each.why,
            )
        )
    return out.getvalue()


def report_pdf(frame: Frame, verdicts: Sequence[PointVerdict]) -> bytes:
    """The same as a document to sign; it names the CSV by its SHA-256. Failures come first."""
    count = Counter(each.verdict for each in verdicts)
    end = frame.station.endpoint
    day = local(frame.ended, frame.zone)
    ordered = sorted(verdicts, key=lambda each: each.verdict is not Verdict.FAIL)
    data = {
        "title": f"P2P {frame.station.code}",
        "station": frame.station.code,
        "title_vi": frame.station.title_vi,
        "protocol": end.protocol.value,
        "address": f"{end.host}:{end.port}",
        "tester": frame.tester,
        "device": frame.device,
        "begun": time_words(frame.begun, frame.zone),
        "ended": time_words(frame.ended, frame.zone),
        "day": {"year": day.year, "month": day.month, "day": day.day},
        "passed": str(count[Verdict.PASS]),
        "failed": str(count[Verdict.FAIL]),
        "skipped": str(count[Verdict.SKIPPED]),
        "sha256": hashlib.sha256(report_csv(frame, verdicts).encode()).hexdigest(),
        "rows": [
            {
                "point": each.point.name,
                "title": each.point.title_vi,
                "tried": str(each.tried),
                "expected": f"{each.expected:g} {each.point.unit}".strip(),
                "seen": f"{each.seen.value:g} {each.point.unit}".strip(),
                "time": time_words(each.time, frame.zone)[11:],
                "verdict": each.verdict.value,
                "why": each.why,
            }
            for each in ordered
        ],
    }
    pdf = typst.compile(
        (files("scada.hmi") / "pointreport.typ").read_bytes(),
        format="pdf",
        sys_inputs={"data": json.dumps(data, ensure_ascii=False)},
        ignore_system_fonts=True,
    )
    assert isinstance(pdf, bytes)
    return pdf
