"""Alarms of a simulated station: a condition of the server (OPC UA Part 9) for every point the node map asks one for.

Knows asyncua's events. Does not know the plant: a signal that is set makes its condition active, one that goes back
makes it inactive and acknowledged, so that a refresh repeats exactly the active ones.
"""

import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, timedelta
from typing import Any, Final

from asyncua import ua
from asyncua.common.event_objects import TripAlarm
from asyncua.server.internal_server import InternalServer

from substations.nodes import BoundCondition

_EPOCH: Final = ua.DateTime(1970, 1, 1, tzinfo=UTC)
_SEVERITY: Final = 800
_STATES: Final = {False: "Inactive", True: "Active"}


class Alarms:
    """The conditions of one server. ``places``: node of each source, by its identifier."""

    def __init__(
        self, core: InternalServer, conditions: Sequence[BoundCondition], places: Mapping[str, ua.NodeId]
    ) -> None:
        self._core = core
        self._events = {each.point.id: _event(each, places[each.source]) for each in conditions}
        self._active = dict.fromkeys(self._events, False)
        self.told = 0

    async def show(self, point: int, *, active: bool, time: int, now: int) -> None:
        """Tell subscribers when the point's condition has changed; ``time`` is that of the change, µs UTC."""
        event = self._events.get(point)
        if event is None or self._active[point] == active:
            return
        self._active[point] = active
        event.EventId = uuid.uuid4().bytes
        event.Time, event.ReceiveTime = _date(time), _date(now)
        event.Retain = active
        for name, value in (("ActiveState", active), ("AckedState", not active)):
            setattr(event, f"{name}/Id", value)
            setattr(event, name, ua.LocalizedText(_STATES[value] if name == "ActiveState" else ""))
        self.told += 1
        await self._core.subscription_service.trigger_event(event)


def _event(condition: BoundCondition, source: ua.NodeId) -> Any:
    """The library's event object, of which each telling is a copy."""
    event: Any = TripAlarm(  # type: ignore[no-untyped-call]  # the library leaves its generated classes untyped
        sourcenode=source, message=condition.point.title_en, severity=_SEVERITY
    )
    event.SourceName = condition.point.name.rsplit("/", 1)[0]
    event.ConditionName = condition.condition
    event.Quality = ua.StatusCode()
    setattr(event, "EnabledState/Id", True)
    # The library keeps what a refresh repeats by this field; no type of the standard has it.
    instance = ua.NodeId(
        ua.String(f"{condition.source.partition('=')[2]}!{condition.condition}"), source.NamespaceIndex
    )
    event.add_property("NodeId", instance, ua.VariantType.NodeId)
    return event


def _date(time: int) -> ua.DateTime:
    return _EPOCH + timedelta(microseconds=time)
