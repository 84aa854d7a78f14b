"""Alarms and conditions of a station (OPC UA Part 9) as changes of its points.

Knows the fields asked of the server, which condition is which point, and what of it has been told already. Does not
know sessions, subscriptions or when to scan.

A change of state is told once, whether it comes as an event or is seen by an interrogation first: events are known by
their EventId, which the server repeats when it refreshes (5.5.7). A point that is not shown as its events say is
believed only when no event can still be on its way.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import numpy as np
from asyncua import ua
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.object_ids import ObjectIds
from asyncua.ua.status_codes import StatusCodes

from scada.model.errors import LinkError
from substations.changeblock import ChangeBlock, block
from substations.nodes import BoundCondition
from substations.opcua_changes import microseconds
from substations.timetag import OLDEST_US

logger = logging.getLogger(__name__)

_FIELDS: Final = (
    (ObjectIds.BaseEventType, "EventId"),
    (ObjectIds.BaseEventType, "EventType"),
    (ObjectIds.BaseEventType, "SourceNode"),
    (ObjectIds.BaseEventType, "SourceName"),
    (ObjectIds.BaseEventType, "Time"),
    (ObjectIds.BaseEventType, "ReceiveTime"),
    (ObjectIds.BaseEventType, "Message"),
    (ObjectIds.BaseEventType, "Severity"),
    (ObjectIds.ConditionType, "ConditionName"),
    (ObjectIds.ConditionType, "BranchId"),
    (ObjectIds.ConditionType, "Retain"),
    (ObjectIds.ConditionType, "EnabledState/Id"),
    (ObjectIds.ConditionType, "Quality"),
    (ObjectIds.AcknowledgeableConditionType, "AckedState/Id"),
    (ObjectIds.AlarmConditionType, "ActiveState/Id"),
)
"""Type that defines the field, and its browse path (OPC UA Part 5, 6.4.2, and Part 9, 5.5 to 5.8)."""
_PLACES: Final = {path: place for place, (_, path) in enumerate(_FIELDS)}
_OUT_OF_SERVICE: Final = int(StatusCodes.BadOutOfService)
_MOST_NAMED: Final = 20


def event_filter() -> ua.EventFilter:
    """Asks for every event with the fields this module reads; the server fills those an event does not have with null.

    Without a where clause: whether a server's OfType takes subtypes in differs, and its refresh needs other types too.
    """
    asked = ua.EventFilter()
    for owner, path in _FIELDS:
        asked.SelectClauses.append(_operand(owner, path, AttributeIds.Value))
    asked.SelectClauses.append(_operand(ObjectIds.ConditionType, "", AttributeIds.NodeId))
    return asked


def _operand(owner: int, path: str, attribute: AttributeIds) -> ua.SimpleAttributeOperand:
    return ua.SimpleAttributeOperand(
        TypeDefinitionId=ua.NodeId(ua.Int32(owner)),
        BrowsePath=[ua.QualifiedName(name) for name in path.split("/") if name],
        AttributeId=attribute,
    )


@dataclass(frozen=True, slots=True)
class ConditionEvent:
    """One event: of a condition when ``condition`` is not ''. ``time``: µs UTC, 0 = none; ``active`` None: unknown."""

    event_id: bytes
    event_type: int
    source: ua.NodeId
    source_name: str
    time: int
    message: str
    severity: int
    condition: str
    is_branch: bool
    retain: bool
    status: int
    acknowledged: bool | None
    active: bool | None


def read_event(fields: Sequence[ua.Variant]) -> ConditionEvent:
    """The event whose fields answer ``event_filter``."""

    def field(path: str) -> object:
        return fields[_PLACES[path]].Value if _PLACES[path] < len(fields) else None

    source, kind, branch = field("SourceNode"), field("EventType"), field("BranchId")
    message, severity, quality = field("Message"), field("Severity"), field("Quality")
    acknowledged, active = field("AckedState/Id"), field("ActiveState/Id")
    status = quality.value if isinstance(quality, ua.StatusCode) else 0
    return ConditionEvent(
        event_id=bytes(field("EventId") or b""),  # type: ignore[call-overload]  # a ByteString or nothing
        event_type=_standard(kind),
        source=source if isinstance(source, ua.NodeId) else ua.NodeId(),
        source_name=str(field("SourceName") or ""),
        time=_moment(field("Time"), field("ReceiveTime")),
        message=str(message.Text or "") if isinstance(message, ua.LocalizedText) else "",
        severity=severity if isinstance(severity, int) else 0,
        condition=str(field("ConditionName") or ""),
        is_branch=isinstance(branch, ua.NodeId) and not branch.is_null(),
        retain=field("Retain") is True,
        status=status if field("EnabledState/Id") is not False else _OUT_OF_SERVICE,
        acknowledged=acknowledged if isinstance(acknowledged, bool) else None,
        active=active if isinstance(active, bool) else None,
    )


def _standard(kind: object) -> int:
    """The number of a type the standard defines, 0 of a vendor's."""
    if isinstance(kind, ua.NodeId) and kind.NamespaceIndex == 0 and isinstance(kind.Identifier, int):
        return int(kind.Identifier)
    return 0


def _moment(time: object, received: object) -> int:
    """The source's time; the server's where the source has no clock."""
    moments = [microseconds(each) for each in (time, received) if isinstance(each, datetime)]
    return next((each for each in moments if each >= OLDEST_US), 0)


@dataclass(frozen=True, slots=True)
class _Told:
    """What was told of a point last, and by which event; b"" when an interrogation saw it."""

    event_id: bytes
    value: float
    time: int
    status: int = 0
    acknowledged: bool | None = None


class Conditions:
    """The conditions of one station; ``rows`` tells the row of each point by its id. Survives reconnections."""

    def __init__(self, station: str, conditions: Sequence[BoundCondition], rows: Mapping[int, int]) -> None:
        self._station = station
        self._conditions = conditions
        self._rows = rows
        self._row_of: dict[tuple[ua.NodeId, str], int] = {}
        self._told: dict[int, _Told] = {}
        self._doubted: dict[int, tuple[float, int]] = {}
        self._named: set[tuple[str, str]] = set()
        self.asks_refresh = False
        """The server said that events were lost or that its conditions changed altogether."""
        self.refreshes = 0
        """Refreshes the server has finished."""
        self.heard = self.unknown = self.overflows = 0

    @property
    def rows(self) -> frozenset[int]:
        """Rows of the points that conditions tell."""
        return frozenset(self._rows[each.point.id] for each in self._conditions)

    @property
    def period_s(self) -> float:
        """The shortest publishing interval the map asks for."""
        return min(each.period_s for each in self._conditions)

    @property
    def queue_size(self) -> int:
        """Events the server is to keep between two publications."""
        return max(each.queue_size for each in self._conditions)

    def __bool__(self) -> bool:
        return bool(self._conditions)

    def locate(self, uris: Sequence[str]) -> None:
        """Know the sources by the present connection's namespace indices. Raises LinkError."""
        for each in self._conditions:
            if each.namespace not in uris:
                raise LinkError(f"the server has no namespace {each.namespace}")
        self._row_of = {
            (
                ua.NodeId.from_string(f"ns={uris.index(each.namespace)};{each.source}"),
                each.condition,
            ): self._rows[each.point.id]
            for each in self._conditions
        }

    def take(self, events: Sequence[ua.EventFieldList]) -> ChangeBlock:
        """The changes of state among events, in the server's order."""
        found: list[tuple[int, float, int, int]] = []
        for fields in events:
            event = read_event(fields.EventFields)
            if event.condition:
                self.heard += 1
                found += self._change(event)
            elif event.event_type == ObjectIds.RefreshEndEventType:
                self.refreshes += 1
            elif event.event_type == ObjectIds.RefreshRequiredEventType:
                self.asks_refresh = True
            elif event.event_type == ObjectIds.EventQueueOverflowEventType:
                self.overflows += 1
                self.asks_refresh = True
        return block(*zip(*found, strict=True)) if found else block((), (), (), ())

    def settle(self, interrogated: ChangeBlock, *, is_complete: bool) -> ChangeBlock:
        """What an interrogation may say of the points, in keeping with their events.

        ``is_complete``: every event of before the interrogation has been taken, so that what is newer than the last one
        is true. Any other difference counts when the interrogation after it sees the same: clocks may differ.
        """
        values, times = interrogated.values.copy(), interrogated.times.copy()
        mine = np.isin(interrogated.rows, np.fromiter(self.rows, dtype=np.intp))
        for place in np.flatnonzero(mine & ((interrogated.statuses >> 30) == 0)).tolist():
            row, value, time = int(interrogated.rows[place]), float(values[place]), int(times[place])
            told = self._told.get(row)
            if told is None or self._believes(row, value, time, told, is_complete=is_complete):
                self._told[row] = _Told(b"", value, time)
            else:
                values[place], times[place] = told.value, told.time
        return ChangeBlock(interrogated.rows, values, interrogated.statuses, times)

    def _believes(self, row: int, value: float, time: int, told: _Told, *, is_complete: bool) -> bool:
        """Whether what was read is news that no event will tell."""
        seen = self._doubted.pop(row, None) == (value, time)
        if value == told.value:
            return False
        if seen or (is_complete and time > told.time):
            return True
        self._doubted[row] = (value, time)
        return False

    def _change(self, event: ConditionEvent) -> list[tuple[int, float, int, int]]:
        row = self._row_of.get((event.source, event.condition))
        if row is None or event.active is None:
            self._note_unknown(event)
            return []
        told = self._told.get(row)
        # A branch is an earlier state that waits to be acknowledged, not the present one.
        if event.is_branch or (told is not None and event.event_id and event.event_id == told.event_id):
            return []
        value = 1.0 if event.active else 0.0
        self._note_acknowledged(event, told)
        self._told[row] = _Told(event.event_id, value, event.time, event.status, event.acknowledged)
        if told is not None and (told.value, told.status) == (value, event.status):
            return []
        return [(row, value, event.status, event.time)]

    def _note_acknowledged(self, event: ConditionEvent, told: _Told | None) -> None:
        if told is not None and told.acknowledged is False and event.acknowledged:
            logger.info("%s: %s of %s acknowledged at the station", self._station, event.condition, event.source_name)

    def _note_unknown(self, event: ConditionEvent) -> None:
        self.unknown += 1
        name = (event.source_name, event.condition)
        if name not in self._named and len(self._named) < _MOST_NAMED:
            self._named.add(name)
            logger.warning(
                "%s tells of a condition that is in no map: %s of %s, severity %d: %s",
                self._station,
                event.condition,
                event.source_name,
                event.severity,
                event.message,
            )
