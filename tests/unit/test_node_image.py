"""Claims about the values of a simulated OPC UA server: unit, type, changes, and what an order means."""

import numpy as np
import pytest

from scada.model.addcause import AddCause
from scada.model.point import Point, PointKind
from scada.model.quality import Quality
from simulators.node_image import NodeImage, NodeOrders, NodeValue
from simulators.orders import Action
from substations.nodemap import NodeCommand, NodeType
from substations.nodes import BoundNode, BoundNodeCommand, StationNodes

NOW = 1_795_410_000_000_000


def node(number: int, node_type: NodeType, scale: float = 1.0) -> BoundNode:
    return BoundNode(
        point=Point(number, f"TN99/171/p{number}", PointKind.MEASURED_VALUE, "", ""),
        namespace="urn:test",
        identifier=f"s=p{number}",
        type=node_type,
        scale=scale,
        add=0.0,
        deadband=0.0,
        period_s=1.0,
        sampling_s=1.0,
        queue_size=1,
    )


NODES = (node(3, NodeType.DOUBLE, scale=0.001), node(1, NodeType.BYTE), node(2, NodeType.BOOLEAN))


def changes(
    image: NodeImage, values: list[float], quality: tuple[int, int, int] = (0, 0, 0)
) -> list[tuple[object, ...]]:
    told = image.refresh(
        np.array([1, 2, 3], dtype=np.int32),
        np.array(values),
        np.array(quality, dtype=np.uint8),
        np.array([NOW + 1, NOW + 2, NOW + 3]),
    )
    return [(each.node.point.id, each.value, each.quality, each.time) for each in told]


def test_all_nodes_are_told_first_and_then_only_those_that_changed() -> None:
    image = NodeImage(StationNodes("TN99", NODES, ()))
    assert changes(image, [2.0, 1.0, 3.87]) == [(3, 3870.0, 0, NOW + 3), (1, 2, 0, NOW + 1), (2, True, 0, NOW + 2)]
    assert changes(image, [2.0, 1.0, 3.87]) == []
    assert changes(image, [0.0, 1.0, 3.87]) == [(1, 0, 0, NOW + 1)]


def test_a_change_of_quality_is_a_change() -> None:
    image = NodeImage(StationNodes("TN99", NODES, ()))
    changes(image, [2.0, 1.0, 3.87])
    invalid = int(Quality.INVALID)
    assert changes(image, [2.0, 1.0, 3.87], (0, 0, invalid)) == [(3, 3870.0, invalid, NOW + 3)]


def test_a_value_beyond_its_type_is_held_at_the_limit() -> None:
    image = NodeImage(StationNodes("TN99", (node(1, NodeType.BYTE),), ()))
    told = image.refresh(np.array([1], dtype=np.int32), np.array([300.0]), np.zeros(1, dtype=np.uint8), np.array([NOW]))
    assert [each.value for each in told] == [255]


ENTRY = NodeCommand(name="171.operate", operate="s=o", select="s=s", echo="s=e", values={"open": 1, "close": 2})


@pytest.mark.parametrize(
    ("selected", "operated", "carried_out", "cause"),
    [
        (1, 1, ["open"], None),
        (2, 2, ["close"], None),
        (1, 2, [], AddCause.INCONSISTENT_PARAMETERS),
        (0, 1, [], AddCause.OBJECT_NOT_SELECTED),
        (7, 7, [], AddCause.NOT_SUPPORTED),
    ],
)
def test_an_order_means_what_its_value_says(
    selected: NodeValue, operated: NodeValue, carried_out: list[Action], cause: AddCause | None
) -> None:
    done: list[Action] = []

    def carry_out(_command: str, action: Action, _now: int) -> AddCause | None:
        done.append(action)
        return None

    command = BoundNodeCommand("TN99/171/171.operate", "urn:test", ENTRY, "s=o", "s=s", "s=e", "", "")
    orders = NodeOrders(command, carry_out)
    orders.select(selected, NOW)
    assert orders.selected_value(NOW) == (selected if selected in (1, 2) else 0)
    assert orders.operate(operated, NOW) is cause
    assert done == carried_out
    assert orders.selected_value(NOW) == 0
