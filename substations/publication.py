"""Notifications of changed values as columns, straight from the bytes of a publish response.

Knows the binary encoding (OPC UA Part 6, 5.2) of what a busy server sends most: data changes of plain numbers. Does not
know sessions, and leaves everything else (events, keep-alives, faults, texts, arrays) to the field library: it answers
None rather than guess.

The layout of each item is taken from its own encoding mask, because servers differ in what they send and may change it
from item to item. A run of one layout is read as columns; it ends where mask or type differ.
"""

import math
import struct
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from substations.changeblock import ChangeBlock, block, joined

_PUBLISH_RESPONSE: Final = bytes((1, 0)) + struct.pack("<H", 829)
_DATA_CHANGES: Final = bytes((1, 0)) + struct.pack("<H", 811) + b"\x01"
"""Type of the notification, and that its body is bytes (Part 6, 5.2.2.15)."""
_HEADER: Final = struct.Struct("<qIIB")
_PLAIN_REST: Final = (b"\x00\x00\x00", b"\x01\x00\x00\x00\x00")
"""No additional header, with a node id of two or of four bytes."""
_NUMBERS: Final = ("", "B", "b", "B", "h", "H", "i", "I", "q", "Q", "f", "d")
"""Built-in types by their number (Part 6, 5.1.2), Boolean to Double, as ``struct`` and numpy both call them; 0 is no
value at all."""
_BOOLEAN: Final = 1
_VALUE, _STATUS, _SOURCE, _SERVER, _SOURCE_PICO, _SERVER_PICO = (1 << bit for bit in range(6))
_SOON: Final = 8
"""After so many items of one layout in a row more are expected: from there on they are read as columns, which costs
15 µs for a run and next to nothing for an item; one by one an item costs 2 µs."""
_FIRST_LOOK: Final = 32
"""So far ahead at first; where items differ again soon, looking farther would cost more than reading."""
_EPOCH_FILETIME: Final = 116_444_736_000_000_000
"""1970 in 100 ns since 1601."""

_Items = NDArray[np.void]


@dataclass(frozen=True, slots=True)
class Publication:
    """One notification message of data changes, complete."""

    subscription: int
    sequence: int
    more: bool
    changes: ChangeBlock


def read_publication(body: bytes) -> Publication | None:
    """A publish response that holds data changes of plain numbers only; None for any other and for what is none."""
    try:
        return _Reader(body).publication()
    except (struct.error, IndexError):
        return None


class _Other(IndexError):
    """Something the field library is to read."""


class _Reader:
    def __init__(self, body: bytes) -> None:
        self._body = body
        self._at = 0

    def publication(self) -> Publication:
        self._expect(_PUBLISH_RESPONSE)
        _, _, result, diagnostics = self._unpack(_HEADER)
        if result or diagnostics or self._count() > 0:
            raise _Other
        if not any(self._found(each) for each in _PLAIN_REST):
            raise _Other
        (subscription,) = self._unpack(_UINT32)
        self._skip(4 * self._count())
        (more,) = self._unpack(_BYTE)
        sequence, _ = self._unpack(_MESSAGE)
        blocks = [self._notification() for _ in range(self._count())]
        self._skip(4 * self._count())
        if not blocks or self._count() > 0 or self._at != len(self._body):
            raise _Other
        return Publication(subscription, sequence, bool(more), joined(blocks))

    def _notification(self) -> ChangeBlock:
        self._expect(_DATA_CHANGES)
        (length,) = self._unpack(_INT32)
        end = self._at + length
        if length < 0 or end > len(self._body):
            raise _Other
        changes = self._items(self._count(), end)
        if self._count() > 0 or self._at != end:
            raise _Other
        return changes

    def _items(self, count: int, end: int) -> ChangeBlock:
        """``count`` items that lie before ``end``."""
        columns = _Columns()
        before, alike, look = None, 0, _FIRST_LOOK
        while count > 0:
            mask = self._body[self._at + 4]
            layout = _layout(mask, self._body[self._at + 5] if mask & _VALUE else 0)
            most = min(count, (end - self._at) // layout.size)
            if most < 1:
                raise _Other
            alike = alike + 1 if layout is before else 0
            before = layout
            if alike < _SOON:
                columns.add(layout, layout.packed.unpack_from(self._body, self._at))
                taken = 1
            else:
                most = min(most, look)
                run = layout.alike(np.frombuffer(self._body, layout.fields, most, self._at))
                columns.add_run(layout, run)
                taken = len(run)
                look = look * 4 if taken == most else _FIRST_LOOK
            count -= taken
            self._at += taken * layout.size
        return columns.block()

    def _expect(self, wanted: bytes) -> None:
        if not self._found(wanted):
            raise _Other

    def _found(self, wanted: bytes) -> bool:
        is_there = self._body.startswith(wanted, self._at)
        self._at += len(wanted) if is_there else 0
        return is_there

    def _unpack(self, shape: struct.Struct) -> tuple[int, ...]:
        found: tuple[int, ...] = shape.unpack_from(self._body, self._at)
        self._at += shape.size
        return found

    def _count(self) -> int:
        """Length of an array; a null one has none."""
        return max(0, self._unpack(_INT32)[0])

    def _skip(self, size: int) -> None:
        self._at += size


_UINT32: Final = struct.Struct("<I")
_INT32: Final = struct.Struct("<i")
_BYTE: Final = struct.Struct("<B")
_MESSAGE: Final = struct.Struct("<Iq")


@dataclass(frozen=True, slots=True)
class _Layout:
    """How an item lies: as a numpy structure and as a ``struct``. ``value``, ``status`` and ``time`` are places in it,
    -1 = it has none."""

    mask: int
    kind: int
    fields: np.dtype[np.void]
    packed: struct.Struct
    value: int
    status: int
    time: int

    @property
    def size(self) -> int:
        return self.packed.size

    def alike(self, items: _Items) -> _Items:
        """The items from the first on that lie this way."""
        same = items["mask"] == self.mask
        if self.mask & _VALUE:
            same &= items["kind"] == self.kind
        return items if same.all() else items[: int(np.argmin(same))]


@lru_cache(maxsize=256)
def _layout(mask: int, kind: int) -> _Layout:
    """The layout with this encoding mask and built-in type (Part 4, 7.25.2, and Part 6, 5.2.2.17)."""
    pico_alone = (mask & _SOURCE_PICO and not mask & _SOURCE) or (mask & _SERVER_PICO and not mask & _SERVER)
    if kind >= len(_NUMBERS) or mask >= _SERVER_PICO << 1 or pico_alone:
        raise _Other
    parts = [("handle", "I"), ("mask", "B")]
    if mask & _VALUE:
        parts += [("kind", "B"), ("value", _NUMBERS[kind])][: 2 if kind else 1]
    optional = (
        (_STATUS, "status", "I"),
        (_SOURCE, "source", "q"),
        (_SOURCE_PICO, "source_pico", "H"),
        (_SERVER, "server", "q"),
        (_SERVER_PICO, "server_pico", "H"),
    )
    parts += [(name, shape) for bit, name, shape in optional if mask & bit]
    names = [name for name, _ in parts]
    packed = struct.Struct("<" + "".join(shape for _, shape in parts))
    places = [names.index(name) if name in names else -1 for name in ("value", "status", "source", "server")]
    fields = np.dtype([(name, "<" + shape) for name, shape in parts])
    return _Layout(mask, kind, fields, packed, places[0], places[1], places[2] if places[2] >= 0 else places[3])


class _Columns:
    """Gathers items one by one and in runs, in their order."""

    def __init__(self) -> None:
        self._blocks: list[ChangeBlock] = []
        self._single: list[tuple[int, float, int, int]] = []

    def add(self, layout: _Layout, item: tuple[Any, ...]) -> None:
        """One item."""
        value = item[layout.value] if layout.value >= 0 else math.nan
        self._single.append(
            (
                item[0],
                float(value != 0 if layout.kind == _BOOLEAN else value),
                item[layout.status] if layout.status >= 0 else 0,
                item[layout.time] if layout.time >= 0 else 0,
            )
        )

    def add_run(self, layout: _Layout, run: _Items) -> None:
        """Items of one layout."""
        self._flush()
        count, names = len(run), layout.fields.names or ()
        values = np.full(count, np.nan)
        if layout.value >= 0:
            with np.errstate(invalid="ignore"):  # a signalling NaN is a NaN
                values[:] = run["value"] != 0 if layout.kind == _BOOLEAN else run["value"]
        statuses = run["status"].copy() if layout.status >= 0 else np.zeros(count, dtype=np.uint32)
        times = run[names[layout.time]] if layout.time >= 0 else np.zeros(count, dtype=np.int64)
        self._blocks.append(ChangeBlock(run["handle"].astype(np.intp), values, statuses, _microseconds(times)))

    def block(self) -> ChangeBlock:
        """Everything that was added."""
        self._flush()
        return joined(self._blocks)

    def _flush(self) -> None:
        if self._single:
            rows, values, statuses, times = zip(*self._single, strict=True)
            self._blocks.append(block(rows, values, statuses, _microseconds(np.array(times, dtype=np.int64)).tolist()))
            self._single = []


def _microseconds(filetimes: NDArray[np.int64]) -> NDArray[np.int64]:
    """µs since 1970; 0 or less for what is before."""
    since: NDArray[np.int64] = np.maximum(filetimes, _EPOCH_FILETIME - 1) - _EPOCH_FILETIME
    return since // 10
