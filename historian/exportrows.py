"""The rows of an exported month: readings and billing registers as columns, the registers with their codes and rates.

Knows layouts and columns. Does not know files. What a register's number means is told by whoever exports; which rate it
is, the models of the meters say.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from historian.copyformat import READING_COPY, REGISTER_COPY, CopyLayout, Rows, copy_layout

_MOMENTS = ("time", "taken_at", "known_at")
_MOMENT = pa.timestamp("us", tz="UTC")
NUMBERS = 2**15
"""As many numbers of registers as a column of 16 bits holds."""
_WORDS = pa.dictionary(pa.int16(), pa.string())


def _with_known_at(layout: CopyLayout) -> CopyLayout:
    """The layout of an export: as the rows are stored, and then when they became known."""
    rows: np.dtype[np.void] = np.dtype([*layout.rows.descr, ("known_at", "<i8")])
    columns = [(name, layout.wire[name].str) for name in layout.columns]
    return copy_layout(rows, (*columns, ("known_at", ">i8")), instants=_MOMENTS)


EXPORT_COPY = _with_known_at(READING_COPY)
REGISTER_EXPORT_COPY = _with_known_at(REGISTER_COPY)


@dataclass(frozen=True, slots=True)
class Form:
    """How rows stand in a file: ``layout`` and ``words``, columns of text that are made from them."""

    layout: CopyLayout
    words: Mapping[str, Callable[[Rows], pa.DictionaryArray]]

    @property
    def schema(self) -> pa.Schema:
        """The columns of the file."""
        dtype = self.layout.rows
        fields = [
            (name, _MOMENT if name in _MOMENTS else pa.from_numpy_dtype(dtype[name])) for name in dtype.names or ()
        ]
        return pa.schema([*fields, *((name, _WORDS) for name in self.words)])

    def table(self, rows: Rows) -> pa.Table:
        """Rows as a table."""
        schema = self.schema
        names = self.layout.rows.names or ()
        columns = [pa.array(np.ascontiguousarray(rows[name])).cast(schema.field(name).type) for name in names]
        return pa.Table.from_arrays([*columns, *(made(rows) for made in self.words.values())], schema=schema)


READINGS = Form(EXPORT_COPY, {})


def registers(codes: Mapping[int, str], rates: "Rates") -> Form:
    """Registers with ``code``, their OBIS code, and ``rate``, '' where a register is none. ``codes``: by number."""
    words = pa.array(["", *codes.values()])
    places = np.zeros(NUMBERS, dtype=np.int16)
    places[list(codes)] = np.arange(1, len(codes) + 1)

    def code(rows: Rows) -> pa.DictionaryArray:
        return pa.DictionaryArray.from_arrays(pa.array(places[rows["obis"]]), words)

    return Form(REGISTER_EXPORT_COPY, {"code": code, "rate": rates.of})


class Rates:
    """Which register of which meter is which rate. ``meters``: id and the map of its model, as JSON, by id."""

    def __init__(self, meters: Sequence[tuple[int, str]], codes: Mapping[int, str]) -> None:
        maps = ["{}", *sorted({text for _, text in meters} - {"{}"})]
        of_map = [json.loads(text) for text in maps]
        self._words = ["", *sorted({rate for each in of_map for rate in each.values()})]
        self._table = np.zeros((len(maps), NUMBERS), dtype=np.int16)
        for number, code in codes.items():
            self._table[:, number] = [self._words.index(each.get(code, "")) for each in of_map]
        self._meters: NDArray[np.int32] = np.array([meter for meter, _ in meters], dtype=np.int32)
        place = {text: number for number, text in enumerate(maps)}
        # one more than there are meters: whoever is not listed has no map
        self._map_of = np.array([*(place[text] for _, text in meters), 0], dtype=np.intp)

    def of(self, rows: Rows) -> pa.DictionaryArray:
        """The rate of each register, '' where it is none."""
        found = np.searchsorted(self._meters, rows["meter"])
        known = np.append(self._meters, -1)[found] == rows["meter"]
        places = self._table[self._map_of[np.where(known, found, len(self._meters))], rows["obis"]]
        return pa.DictionaryArray.from_arrays(pa.array(places), pa.array(self._words))
