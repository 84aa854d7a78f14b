"""Raw registers to values and back, by a layout prepared once.

Knows scales, invalid values and quality registers. Does not know where bytes lie, sockets, plausibility or time.

One gather of bytes brings a range into native order, sorted by type, so that each type is one numpy view: a few µs for
100 registers, where the field library's conversion takes 63 µs. Encoding is the same table read backwards.
"""

from collections.abc import Sequence
from enum import Enum
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from scada.model.quality import Quality
from scada.model.sample import PointArray, QualityArray, ValueArray
from substations.layout import AddressRange, Group, Layout, RawArray, layout_of
from substations.registers import BoundPoint
from substations.wiretypes import DTYPES, WireType

_QUALITY_BITS: Final = int(
    Quality.OVERFLOW | Quality.BLOCKED | Quality.SUBSTITUTED | Quality.NOT_TOPICAL | Quality.INVALID
)


class Overflow(Enum):
    """What encoding does with a value its type cannot hold: refuse, or take the nearest it can."""

    RAISE = "raise"
    CLIP = "clip"


class EncodeError(ValueError):
    """A value does not fit the type its map gives it."""


class Decoder:
    """Values out of the bytes of a layout; ``points`` are their ids, shape (n,), in the order of its entries."""

    def __init__(self, layout: Layout) -> None:
        entries = layout.entries
        self.layout = layout
        self.points: PointArray = np.array([each.point.id for each in entries], dtype=np.int32)
        self.scale = np.array([each.scale for each in entries])
        self.add = np.array([each.add for each in entries])
        self._scaled = bool(np.any(self.scale != 1.0) or np.any(self.add != 0.0))
        self.invalid = np.array([np.nan if each.invalid is None else each.invalid for each in entries])
        self._has_invalid = not bool(np.isnan(self.invalid).all())
        self.shift = np.array([each.bit for each in entries], dtype=np.uint16)
        self.mask = np.array([(1 << each.width) - 1 for each in entries], dtype=np.uint16)
        self._second_bit = np.where(self.mask > 1, 2, 0).astype(np.uint8)

    def decode(self, raw: RawArray) -> tuple[ValueArray, QualityArray]:
        """Values in engineering units and their quality, shape (n,) each, from ``raw``, shape (raw_size,).

        INVALID where the device says so: its invalid value, or its quality register. NaN and infinity stay as they are,
        and a decimal with a digit above nine is NaN: ``scada.model.sample.samples`` marks them. Raises ValueError when
        ``raw`` has another length.
        """
        layout = self.layout
        if len(raw) != layout.raw_size:
            raise ValueError(f"{len(raw)} bytes where {layout.raw_size} belong")
        values = np.empty(len(layout.entries))
        quality = np.zeros(len(layout.entries), dtype=np.uint8)
        native = raw.take(layout.gather)
        # A device may send a signalling NaN, which the processor reports wherever it is touched.
        with np.errstate(invalid="ignore"):
            for group in layout.groups:
                values[group.rows] = self._view(group, native)
            if self._has_invalid:
                quality[values == self.invalid] = Quality.INVALID
            if self._scaled:
                values *= self.scale
                values += self.add
        if len(layout.quality_rows):
            quality[layout.quality_rows] |= raw[layout.quality_bytes] & _QUALITY_BITS
        return values, quality

    def _view(self, group: Group, native: RawArray) -> NDArray[Any]:
        mine = native[group.start : group.end]
        if group.type is WireType.BIT:
            return mine[::2] + mine[1::2] * self._second_bit[group.rows]
        words = mine.view(DTYPES[group.type])
        if group.type is WireType.BITS:
            return words >> self.shift[group.rows] & self.mask[group.rows]
        return _from_decimal(words, group.type.decimal_digits) if group.type.decimal_digits else words


class Codec:
    """Decodes and encodes addresses [start, start + count) of one table of one device.

    ``entries`` is the order of values; ``points`` their ids, shape (n,). All entries lie in the range and in one table.
    """

    def __init__(self, entries: Sequence[BoundPoint], start: int, count: int) -> None:
        if not entries:
            raise ValueError("a codec needs at least one point")
        self._layout = layout_of([AddressRange(entries, start, count)])
        self._decoder = Decoder(self._layout)
        self.entries = self._layout.entries
        self.points = self._decoder.points
        self.raw_size = self._layout.raw_size

    def decode(self, raw: RawArray) -> tuple[ValueArray, QualityArray]:
        """As ``Decoder.decode``."""
        return self._decoder.decode(raw)

    def encode(
        self,
        values: ValueArray,
        quality: QualityArray,
        raw: RawArray,
        on_overflow: Overflow = Overflow.RAISE,
    ) -> NDArray[np.bool_]:
        """Write values, shape (n,), in engineering units, into ``raw``, shape (raw_size,), leaving other bytes alone.

        A value with INVALID becomes the entry's invalid value where it has one; quality registers get the union of
        their points' qualities. Returns where a value did not fit and was clipped, shape (n,); with RAISE, EncodeError
        instead and ``raw`` is untouched. Nothing ever wraps.
        """
        if len(raw) != self.raw_size:
            raise ValueError(f"{len(raw)} bytes where {self.raw_size} belong")
        unscaled = (np.asarray(values, dtype=np.float64) - self._decoder.add) / self._decoder.scale
        absent = ~np.isnan(self._decoder.invalid) & ((quality & Quality.INVALID != 0) | np.isnan(unscaled))
        unscaled = np.where(absent, self._decoder.invalid, unscaled)
        native = raw.take(self._layout.gather)
        clipped = np.zeros(len(self.entries), dtype=np.bool_)
        for group in self._layout.groups:
            clipped[group.rows] = self._encode_group(group, unscaled[group.rows], native)
        if on_overflow is Overflow.RAISE and clipped.any():
            worst = int(np.flatnonzero(clipped)[0])
            raise EncodeError(
                f"{self.entries[worst].point.name}: {float(values[worst])} does not fit "
                f"{self.entries[worst].type.value} with scale {self.entries[worst].scale}"
            )
        raw[self._layout.gather] = native
        if len(self._layout.quality_rows):
            raw[self._layout.quality_bytes] = 0
            np.bitwise_or.at(raw, self._layout.quality_bytes, quality[self._layout.quality_rows] & _QUALITY_BITS)
        return clipped

    def _encode_group(self, group: Group, wanted: ValueArray, native: RawArray) -> NDArray[np.bool_]:
        mine, rows = native[group.start : group.end], group.rows
        if group.type in (WireType.BIT, WireType.BITS):
            fitted, clipped = _fit(wanted, 0.0, self._decoder.mask[rows].astype(np.float64))
            codes = fitted.astype(np.uint16)
            if group.type is WireType.BIT:
                pairs = mine.reshape(-1, 2)
                wide = self._decoder.mask[rows] > 1
                pairs[:, 0] = codes & 1
                pairs[:, 1] = np.where(wide, codes >> 1 & 1, pairs[:, 0])
                return clipped
            self._encode_bits(mine.view("<u2"), codes, rows)
            return clipped
        dtype = DTYPES[group.type]
        if dtype.kind == "f":
            return _encode_floats(wanted, mine.view(dtype))
        if digits := group.type.decimal_digits:
            fitted, clipped = _fit(wanted, 0.0, 10.0**digits - 1)
            mine.view(dtype)[:] = _to_decimal(fitted.astype(dtype), digits)
            return clipped
        limits = np.iinfo(dtype)
        fitted, clipped = _fit(wanted, float(limits.min), float(limits.max))
        mine.view(dtype)[:] = _to_integers(fitted, dtype)
        return clipped

    def _encode_bits(self, words: NDArray[np.uint16], codes: NDArray[np.uint16], rows: slice) -> None:
        """Several points share a register: each one's bits are put into every copy of it."""
        shift, mask = self._decoder.shift[rows], self._decoder.mask[rows]
        addresses = [each.address for each in self.entries[rows]]
        _, where = np.unique(np.array(addresses), return_inverse=True)
        own = np.zeros(int(where.max()) + 1, dtype=np.uint16)
        put = np.zeros_like(own)
        np.bitwise_or.at(own, where, mask << shift)
        np.bitwise_or.at(put, where, codes << shift)
        words[:] = words & ~own[where] | put[where]


def _fit(wanted: ValueArray, low: float | ValueArray, high: float | ValueArray) -> tuple[ValueArray, NDArray[np.bool_]]:
    """Rounded and brought into [low, high]; NaN becomes ``low`` and counts as not fitting."""
    rounded = np.rint(wanted)
    clipped = ~((rounded >= low) & (rounded <= high))
    return np.where(np.isnan(rounded), low, np.clip(rounded, low, high)), clipped


def _to_integers(fitted: ValueArray, dtype: np.dtype[Any]) -> NDArray[Any]:
    """float64 cannot hold 2^63 - 1 and 2^64 - 1: their nearest float lies outside, so the top is set apart."""
    limits = np.iinfo(dtype)
    top = fitted >= float(limits.max)
    return np.where(top, np.array(limits.max, dtype=dtype), np.where(top, 0.0, fitted).astype(dtype))


def _from_decimal(words: NDArray[Any], digits: int) -> ValueArray:
    """Numbers of ``digits`` packed decimal digits; NaN where one of them is none."""
    parts = words[:, None] >> np.arange(0, 4 * digits, 4, dtype=words.dtype) & words.dtype.type(0xF)
    return np.where((parts > 9).any(axis=1), np.nan, parts @ 10.0 ** np.arange(digits))


def _to_decimal(numbers: NDArray[Any], digits: int) -> NDArray[Any]:
    """Whole numbers of at most ``digits`` digits, packed; shape and dtype stay."""
    packed = np.zeros_like(numbers)
    for place in range(digits):
        packed |= numbers // 10**place % 10 << 4 * place
    return packed


def _encode_floats(wanted: ValueArray, into: NDArray[Any]) -> NDArray[np.bool_]:
    limits = np.finfo(into.dtype)
    clipped = np.isfinite(wanted) & (np.abs(wanted) > float(limits.max))
    into[:] = np.where(clipped, np.copysign(float(limits.max), wanted), wanted)
    return clipped
