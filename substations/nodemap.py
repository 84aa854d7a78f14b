"""Node maps as their files are: which OPC UA nodes are the points and commands of one bay type.

Knows the rows of a map file. Does not know its faults, stations, sessions or namespace indices: a map names the
namespace by its URI, and the index is asked of the server at every connection, because servers renumber.

Names are those of the bay type's points, words in braces included; a node identifier may hold the same words, and
``{station}`` and ``{point}`` for the station's code and the point's name in its bay.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

import numpy as np

from scada.tables import bounded


class NodeType(StrEnum):
    """Built-in type of a node's value (OPC UA Part 6, 5.1.2), in the standard's names but lower case."""

    BOOLEAN = "boolean"
    SBYTE = "sbyte"
    BYTE = "byte"
    INT16 = "int16"
    UINT16 = "uint16"
    INT32 = "int32"
    UINT32 = "uint32"
    INT64 = "int64"
    UINT64 = "uint64"
    FLOAT = "float"
    DOUBLE = "double"


DTYPES: Final[Mapping[NodeType, np.dtype[Any]]] = {
    NodeType.BOOLEAN: np.dtype("<u1"),
    NodeType.SBYTE: np.dtype("<i1"),
    NodeType.BYTE: np.dtype("<u1"),
    NodeType.INT16: np.dtype("<i2"),
    NodeType.UINT16: np.dtype("<u2"),
    NodeType.INT32: np.dtype("<i4"),
    NodeType.UINT32: np.dtype("<u4"),
    NodeType.INT64: np.dtype("<i8"),
    NodeType.UINT64: np.dtype("<u8"),
    NodeType.FLOAT: np.dtype("<f4"),
    NodeType.DOUBLE: np.dtype("<f8"),
}


@dataclass(frozen=True, slots=True)
class NodeEntry:
    """One point: ``node`` is its identifier without the namespace (``s={station}.{bay}.P``); without one the group's
    pattern holds. Engineering value = node value x ``scale`` + ``add``.

    ``deadband``, in the point's unit, is asked of the server; 0 asks for every change and leaves the judgement to our
    process image, because some servers compare with the last sample instead of the last reported value (slow drift is
    lost) or let a dead band swallow a change of status.
    """

    name: str
    node: str = ""
    type: NodeType | None = None
    scale: float = 1.0
    add: float = 0.0
    deadband: float = bounded(low=0.0, default=0.0)


@dataclass(frozen=True, slots=True)
class NodeGroup:
    """Points of one subscription: published every ``period_s``, sampled by the server every ``sampling_s``, each with a
    queue of ``queue_size`` values so that no change between two publications is lost."""

    name: str
    points: tuple[NodeEntry, ...]
    node: str = ""
    type: NodeType = NodeType.DOUBLE
    period_s: float = bounded(low=0.02, high=3600.0, default=0.5)
    sampling_s: float = bounded(low=0.0, high=3600.0, default=0.25)
    queue_size: int = bounded(low=1, high=100_000, default=10)


@dataclass(frozen=True, slots=True)
class ConditionEntry:
    """One point; without a name of its ``condition`` the group's pattern holds."""

    name: str
    condition: str = ""


@dataclass(frozen=True, slots=True)
class ConditionGroup:
    """Points whose changes the server tells as events of conditions (OPC UA Part 9): 1 while the condition is active.

    A condition is known by its ``source`` (SourceNode, a node identifier) and its name there (ConditionName). The
    points' nodes in the groups are then read for an interrogation only. The server keeps ``queue_size`` events between
    two publications, ``period_s`` apart.
    """

    name: str
    source: str
    points: tuple[ConditionEntry, ...]
    condition: str = "{point}"
    period_s: float = bounded(low=0.02, high=3600.0, default=0.25)
    queue_size: int = bounded(low=1, high=100_000, default=1000)


@dataclass(frozen=True, slots=True)
class NodeCommand:
    """How one command is given: write ``values[action]``, or a set-point's value, to node ``operate``.

    With ``select`` the same value goes there first and must be read back from ``echo`` before ``operate`` is written,
    within ``select_timeout_s``; ``cancel`` withdraws a selection. ``result`` shows the AddCause code (IEC 61850-7-2,
    20.5.2.9) of the last order, 0 = none. With ``object`` set, ``select`` and ``operate`` are methods of that object,
    called with the value, and their status is the answer.
    """

    name: str
    operate: str
    type: NodeType = NodeType.BYTE
    values: dict[str, int] = field(default_factory=dict)
    select: str = ""
    echo: str = ""
    result: str = ""
    object: str = ""
    cancel: int = 0
    select_timeout_s: float = bounded(low=0.1, high=600.0, default=30.0)
    scale: float = 1.0
    add: float = 0.0
    set_point: bool = False


@dataclass(frozen=True, slots=True)
class NodeMap:
    """The map of one bay type, as in its file; ``namespace`` is a URI."""

    bay_type: str
    namespace: str
    group: tuple[NodeGroup, ...]
    condition: tuple[ConditionGroup, ...] = ()
    command: tuple[NodeCommand, ...] = ()
