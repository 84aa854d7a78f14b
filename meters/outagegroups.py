"""Power failures and last gasps of many meters, grouped into outages of a transformer or a feeder.

Knows times and places. Does not know breakers, clock or store. The same events give the same outages in whatever order
they came, so a late event only means computing again.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from scada.model.reading import EventCode

TOGETHER_US = 300_000_000
"""Meters that go out within five minutes of one another at one place went out together: gasps are spread by radio."""

MIN_TRANSFORMERS = 2
FEEDER_SHARE = 0.5
"""A feeder is out when at least two transformers and half of its transformers with meters went out together."""


@dataclass(frozen=True, slots=True)
class PowerEvent:
    """A meter's word about its supply. ``time`` in µs; ``transformer`` '' when unknown."""

    meter: int
    time: int
    code: int
    feeder: str
    transformer: str


@dataclass(frozen=True, slots=True)
class Interruption:
    """One meter without supply in [began, restored); ``restored`` None while it lasts."""

    meter: int
    feeder: str
    transformer: str
    began: int
    restored: int | None


@dataclass(frozen=True, slots=True)
class Outage:
    """Meters that went out together. ``transformer`` '' for a whole feeder; ``restored`` None until all are back."""

    feeder: str
    transformer: str
    began: int
    restored: int | None
    meters: int
    still_out: int


def interruptions(events: Iterable[PowerEvent]) -> tuple[Interruption, ...]:
    """Each meter's times without supply, by meter and time. A second gasp or a lone return changes nothing."""
    found: list[Interruption] = []
    out: dict[int, PowerEvent] = {}
    for event in sorted(events, key=_in_time):
        if event.code != EventCode.POWER_RETURNED:
            out.setdefault(event.meter, event)
        elif (began := out.pop(event.meter, None)) is not None:
            found.append(_interruption(began, event.time))
    found += [_interruption(event, None) for event in out.values()]
    return tuple(sorted(found, key=lambda each: (each.meter, each.began)))


def _in_time(event: PowerEvent) -> tuple[int, int, bool, int, str, str]:
    """By time; at one instant a return comes last, and the rest of the key makes the order of arrival irrelevant."""
    returned = event.code == EventCode.POWER_RETURNED
    return event.time, event.meter, returned, event.code, event.feeder, event.transformer


def ended_by_readings(lasting: Iterable[Interruption], supplied_at: Mapping[int, int]) -> tuple[Interruption, ...]:
    """Interruptions with those ended whose meter has reported an interval with supply later (``supplied_at``, µs)."""
    ended = []
    for each in lasting:
        back = supplied_at.get(each.meter)
        is_back = each.restored is None and back is not None and back > each.began
        restored = back if is_back else each.restored
        ended.append(Interruption(each.meter, each.feeder, each.transformer, each.began, restored))
    return tuple(ended)


def group(lasting: Sequence[Interruption], transformers_of: Mapping[str, int]) -> tuple[Outage, ...]:
    """Outages by transformer; where enough of a feeder went out together, one of the feeder instead.

    ``transformers_of``: how many transformers with meters a feeder has. Sorted by begin.
    """
    outages: list[Outage] = []
    by_feeder: dict[str, list[Interruption]] = {}
    for each in lasting:
        by_feeder.setdefault(each.feeder, []).append(each)
    for feeder, all_of_it in by_feeder.items():
        for together in _together(all_of_it):
            outages += _outages(feeder, together, transformers_of.get(feeder, 0))
    return tuple(sorted(outages, key=lambda each: (each.began, each.feeder, each.transformer)))


def _outages(feeder: str, together: Sequence[Interruption], transformers: int) -> list[Outage]:
    by_transformer: dict[str, list[Interruption]] = {}
    for each in together:
        by_transformer.setdefault(each.transformer, []).append(each)
    named = len(by_transformer) - ("" in by_transformer)
    if named >= MIN_TRANSFORMERS and named >= FEEDER_SHARE * transformers:
        return [_outage(feeder, "", together)]
    return [_outage(feeder, name, part) for name, part in by_transformer.items()]


def _outage(feeder: str, transformer: str, together: Sequence[Interruption]) -> Outage:
    still_out = len({each.meter for each in together if each.restored is None})
    restored = None if still_out else max(each.restored or 0 for each in together)
    began = min(each.began for each in together)
    return Outage(feeder, transformer, began, restored, len({each.meter for each in together}), still_out)


def _together(lasting: Iterable[Interruption]) -> list[list[Interruption]]:
    """Interruptions of one place, cut where none began for longer than TOGETHER_US."""
    groups: list[list[Interruption]] = []
    last = None
    for each in sorted(lasting, key=lambda each: (each.began, each.meter)):
        if last is None or each.began - last > TOGETHER_US:
            groups.append([])
        groups[-1].append(each)
        last = each.began
    return groups


def _interruption(event: PowerEvent, restored: int | None) -> Interruption:
    return Interruption(event.meter, event.feeder, event.transformer, event.time, restored)
