"""Values between samples: what a point was at an instant, from the samples around it.

Knows how a course is read between two samples, and what quality may be claimed there. Does not know the database.

A measured value or integrated total runs straight from one valid sample to the next; a position or signal holds. What
lies between is as doubtful as both of its ends together; between a valid and an invalid end nothing is claimed but the
valid one before, marked NOT_TOPICAL. Source: OPC UA part 13, interpolated aggregate with TreatUncertainAsBad false.
"""

from dataclasses import dataclass

import numpy as np

from scada.model.cause import Cause
from scada.model.point import PointKind
from scada.model.quality import Quality
from scada.model.sample import SAMPLE, SampleArray, TimeArray

_UNUSABLE = int(Quality.INVALID | Quality.NOT_TOPICAL)
_STEPPED = (PointKind.SINGLE_POINT, PointKind.DOUBLE_POINT, PointKind.STEP_POSITION)


@dataclass(frozen=True, slots=True)
class Longest:
    """How long a value may be relied on: beyond ``held_us`` after the last sample it is NOT_TOPICAL."""

    held_us: int = 900_000_000
    """Three times the integrity scan's 300 s."""


def values_at(course: SampleArray, instants: TimeArray, kind: PointKind, longest: Longest | None = None) -> SampleArray:
    """The course at ``instants``, SAMPLE, one row each, cause REQUEST; instants before the first sample are left out.

    course: samples of one point, oldest first, with the one before the first instant and the one after the last where
    they exist. Times in µs.
    """
    held_us = (longest or Longest()).held_us
    if not len(course):
        return np.empty(0, dtype=SAMPLE)
    before = np.searchsorted(course["time"], instants, side="right") - 1
    asked, before = instants[before >= 0], before[before >= 0]
    after = np.minimum(before + 1, len(course) - 1)
    left, right = course[before], course[after]
    found = np.empty(len(asked), dtype=SAMPLE)
    found["point"], found["time"], found["cause"] = course["point"][0], asked, Cause.REQUEST
    found["value"], found["quality"] = left["value"], left["quality"]
    is_between = (right["time"] > asked) & (asked > left["time"])
    if kind not in _STEPPED:
        usable = is_between & ((left["quality"] | right["quality"]) & _UNUSABLE == 0)
        width = np.maximum(right["time"] - left["time"], 1)
        share = (asked - left["time"]) / width
        straight = left["value"] + (right["value"] - left["value"]) * share
        found["value"] = np.where(usable, straight, left["value"])
        found["quality"] = np.where(usable, left["quality"] | right["quality"], found["quality"])
        ends_badly = is_between & (left["quality"] & _UNUSABLE == 0) & (right["quality"] & _UNUSABLE != 0)
        found["quality"] |= np.where(ends_badly, int(Quality.NOT_TOPICAL), 0).astype(np.uint8)
    too_old = asked - left["time"] > held_us
    found["quality"] |= np.where(too_old, int(Quality.NOT_TOPICAL), 0).astype(np.uint8)
    return found
