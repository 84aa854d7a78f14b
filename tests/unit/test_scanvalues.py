"""Claims about decoding a whole scan at once: it is what decoding read by read gives."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from scada.model.cause import Cause
from scada.model.quality import Quality
from scada.model.sample import SampleArray
from substations.decode import Codec
from substations.polling import ReadBlock
from substations.registers import BoundPoint
from substations.scanvalues import ScanValues
from substations.wiretypes import Order, Table, WireType
from tests.fakes_substations import make_entry

NOW = 1_700_000_000_000_000


@st.composite
def reads(draw: st.DrawFn) -> list[ReadBlock]:
    """Reads of every table, with points of every type, shared quality registers and invalid values among them."""
    found: list[ReadBlock] = []
    number = 0
    for start in range(0, 1000 * draw(st.integers(1, 4)), 1000):
        table = draw(st.sampled_from(Table))
        entries: list[BoundPoint] = []
        address = start + 1
        for _ in range(draw(st.integers(1, 8))):
            fields: dict[str, object] = {
                "order": draw(st.sampled_from(Order)),
                "scale": draw(st.sampled_from((1.0, 0.1))),
            }
            wire_type = draw(st.sampled_from([each for each in WireType if each is not WireType.BIT]))
            if table.of_bits:
                wire_type, fields["width"] = WireType.BIT, draw(st.integers(1, 2))
            elif draw(st.booleans()):
                fields |= {"quality_address": start, "invalid": 0.0}
            entries.append(make_entry(number, table, address, wire_type, **fields))
            address += entries[-1].size + draw(st.integers(0, 2))
            number += 1
        found.append(ReadBlock(1, table, start, address - start, 1.0, tuple(entries)))
    return found


def one_by_one(read: ReadBlock, raw: np.ndarray) -> dict[int, tuple[float, int]]:
    codec = Codec(read.entries, read.start, read.count)
    values, quality = codec.decode(raw)
    finite = np.isfinite(values)
    quality[~finite] |= np.uint8(Quality.INVALID)
    shown = np.where(finite, values, 0.0)
    return dict(zip(codec.points.tolist(), zip(shown.tolist(), quality.tolist(), strict=True), strict=True))


def by_point(batch: SampleArray) -> dict[int, tuple[float, int]]:
    return {row[0]: (row[2], row[3]) for row in batch.tolist()}


@given(reads(), st.data())
def test_all_at_once_is_one_by_one(plan: list[ReadBlock], data: st.DataObject) -> None:
    answers, wanted = [], {}
    for moment, read in enumerate(plan):
        size = read.count if read.table.of_bits else read.count * 2
        highest = 1 if read.table.of_bits else 255
        raw = np.array(data.draw(st.lists(st.integers(0, highest), min_size=size, max_size=size)), dtype=np.uint8)
        if data.draw(st.booleans()):
            answers.append((raw, NOW + moment))
            wanted |= one_by_one(read, raw)
        else:
            answers.append(None)
    batch = ScanValues(plan).samples(answers, Cause.SPONTANEOUS)
    assert by_point(batch) == wanted
    times = {each.point.id: NOW + moment for moment, read in enumerate(plan) for each in read.entries}
    assert [times[point] for point in batch["point"].tolist()] == batch["time"].tolist()
