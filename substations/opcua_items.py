"""What is asked of a server when its changes are subscribed: publishing, monitored items, and a refresh of conditions.

Knows requests (OPC UA Part 4, 5.12 and 5.13; Part 9, 5.5.7). Does not know sessions, or what becomes of the answers.
"""

from typing import Final

from asyncua import ua
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.object_ids import ObjectIds

from substations.nodes import BoundNode
from substations.opcua_conditions import event_filter

KEEP_ALIVE_S: Final = 5.0
"""A subscription without changes shows after this time that it is alive."""


def publishing(period_s: float) -> ua.CreateSubscriptionParameters:
    """A subscription that publishes every ``period_s``."""
    parameters = ua.CreateSubscriptionParameters()
    parameters.RequestedPublishingInterval = period_s * 1000
    parameters.RequestedMaxKeepAliveCount = max(1, round(KEEP_ALIVE_S / period_s))
    parameters.RequestedLifetimeCount = 10 * parameters.RequestedMaxKeepAliveCount
    parameters.PublishingEnabled = True
    return parameters


def changes_of(node: BoundNode, node_id: ua.NodeId, handle: int) -> ua.MonitoredItemCreateRequest:
    """The changes of one node's value, told with ``handle``."""
    parameters = ua.MonitoringParameters()
    parameters.ClientHandle = handle
    parameters.SamplingInterval = node.sampling_s * 1000
    parameters.QueueSize = node.queue_size
    parameters.DiscardOldest = True
    if node.deadband > 0:
        parameters.Filter = ua.DataChangeFilter(
            Trigger=ua.DataChangeTrigger.StatusValue,
            DeadbandType=int(ua.DeadbandType.Absolute),
            DeadbandValue=node.deadband,
        )
    return _item(node_id, AttributeIds.Value, parameters)


def events_of_the_server(handle: int, queue_size: int) -> ua.MonitoredItemCreateRequest:
    """The events of everything the server stands for."""
    parameters = ua.MonitoringParameters()
    parameters.ClientHandle = handle
    parameters.QueueSize = queue_size
    parameters.DiscardOldest = True
    parameters.Filter = event_filter()
    return _item(ua.NodeId(ua.Int32(ObjectIds.Server)), AttributeIds.EventNotifier, parameters)


def refresh(subscription: int) -> ua.CallMethodRequest:
    """Ask for the present state of every condition that is worth telling, into this subscription."""
    request = ua.CallMethodRequest()
    request.ObjectId = ua.NodeId(ua.Int32(ObjectIds.ConditionType))
    request.MethodId = ua.NodeId(ua.Int32(ObjectIds.ConditionType_ConditionRefresh))
    request.InputArguments = [ua.Variant(subscription, ua.VariantType.UInt32)]
    return request


def _item(
    node_id: ua.NodeId, attribute: AttributeIds, parameters: ua.MonitoringParameters
) -> ua.MonitoredItemCreateRequest:
    request = ua.MonitoredItemCreateRequest()
    request.ItemToMonitor = ua.ReadValueId(NodeId=node_id, AttributeId=attribute)
    request.MonitoringMode = ua.MonitoringMode.Reporting
    request.RequestedParameters = parameters
    return request
