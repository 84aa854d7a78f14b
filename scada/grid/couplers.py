"""Flow through bus couplers, which have no impedance and so no flow of their own in a load flow.

Knows the balance of a node: what enters leaves. Does not know voltages. Where couplers form a ring the balance leaves
the split open, and the answer says so with NaN (INVALID once it becomes a sample).
"""

import numpy as np

from scada.grid.topology import IndexArray
from scada.model.sample import ValueArray


def coupler_flows(edges: IndexArray, drawn: ValueArray) -> ValueArray:
    """Flow through each coupler from its first section to its second, shape (couplers,).

    edges: sections joined by each closed coupler, shape (couplers, 2), indexes of ``drawn``. drawn: what the equipment
    of each section draws in sum, generation negative, any additive unit. Leaves are peeled off: the only coupler of a
    section brings what the section draws, which its neighbour draws in turn.
    """
    flows = np.full(len(edges), np.nan)
    draws = drawn.astype(np.float64)
    at: dict[int, set[int]] = {}
    for coupler, (first, second) in enumerate(edges.tolist()):
        at.setdefault(first, set()).add(coupler)
        at.setdefault(second, set()).add(coupler)
    leaves = [section for section, couplers in at.items() if len(couplers) == 1]
    while leaves:
        leaf = leaves.pop()
        if len(at[leaf]) != 1:
            continue
        coupler = at[leaf].pop()
        first, second = edges[coupler].tolist()
        other = second if first == leaf else first
        flows[coupler] = -draws[leaf] if first == leaf else draws[leaf]
        draws[other] += draws[leaf]
        at[other].discard(coupler)
        if len(at[other]) == 1:
            leaves.append(other)
    return flows
