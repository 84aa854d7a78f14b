"""The one place where pypowsybl is imported: silent, and independent of any configuration file in the user's home.

Its import takes 0.6 s and warns of extras that are not needed here; nobody is told.
"""

import logging
from collections.abc import Sequence

_log = logging.getLogger("powsybl")
_log.addHandler(logging.NullHandler())
_log.disabled = True

import numpy as np  # noqa: E402  # after its logger is silent
import pypowsybl  # noqa: E402  # after its logger is silent
import pypowsybl.loadflow as flow  # noqa: E402  # after its logger is silent
import pypowsybl.network as net  # noqa: E402  # after its logger is silent
from numpy.typing import NDArray  # noqa: E402  # after its logger is silent
from pypowsybl import _pypowsybl as engine  # noqa: E402  # after its logger is silent

_log.disabled = False
pypowsybl.set_config_read(False)

__all__ = ["engine", "flow", "net", "results"]


def results(
    network: net.Network, kind: engine.ElementType, columns: Sequence[str], ids: Sequence[str]
) -> NDArray[np.float64]:
    """Figures of the elements ``ids``, shape (ids, columns), what has none (NaN) as 0.

    As the network's data frames show them, without the frame: that takes ten times as long as all there is to read
    (1.4 ms against 0.14 for the loads of the shipped province). A test holds the two against each other.
    """
    choice = engine.FilterAttributesType.SELECTION_ATTRIBUTES
    series = engine.create_network_elements_series_array(
        network._handle, kind, choice, list(columns), None, network.per_unit, network.nominal_apparent_power
    )
    by_name = {each.name: each.data for each in series}
    row_of = {name: row for row, name in enumerate(by_name["id"])}
    rows = [row_of[each] for each in ids]
    table = np.array([by_name[each] for each in columns], dtype=np.float64)
    found: NDArray[np.float64] = np.nan_to_num(table[:, rows].T)
    return found
