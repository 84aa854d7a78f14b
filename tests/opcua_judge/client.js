// node-opcua's client, told what to do line by line.
import { serve } from "./lines.js";
import { OPCUACertificateManager } from "node-opcua-certificate-manager";
import {
    AttributeIds, constructEventFilter, DataType, MessageSecurityMode, OPCUAClient, resolveNodeId, SecurityPolicy,
    TimestampsToReturn,
} from "node-opcua-client";

const EVENT_FIELDS = ["SourceName", "Time", "ConditionName", "ActiveState.Id", "Retain", "EventId"];
let client, session, subscription;
const changes = [], events = [];

const plain = (value) => (typeof value === "bigint" ? String(value) : value);

function shown(dataValue) {
    const value = dataValue.value?.value;
    return {
        // 64-bit integers come as two halves, the high one first.
        value: Array.isArray(value) ? value.map(plain) : plain(value ?? null),
        type: DataType[dataValue.value?.dataType ?? 0],
        status: dataValue.statusCode.name,
        time: dataValue.sourceTimestamp?.getTime() ?? null,
    };
}

await serve({
    async connect({ url, secure }) {
        const options = { endpointMustExist: false, connectionStrategy: { maxRetry: 0 }, requestedSessionTimeout: 60_000 };
        if (secure) {
            const manager = new OPCUACertificateManager({ rootFolder: secure.folder, automaticallyAcceptUnknownCertificate: true });
            await manager.initialize();
            Object.assign(options, {
                securityMode: MessageSecurityMode.SignAndEncrypt,
                securityPolicy: SecurityPolicy.Basic256Sha256,
                certificateFile: secure.certificate,
                privateKeyFile: secure.key,
                applicationUri: secure.uri,
                clientCertificateManager: manager,
            });
        }
        client = OPCUAClient.create(options);
        await client.connect(url);
        session = await client.createSession();
        return session.readNamespaceArray();
    },
    async read({ nodes }) {
        return (await session.read(nodes.map((nodeId) => ({ nodeId, attributeId: AttributeIds.Value })))).map(shown);
    },
    async write({ node, type, value }) {
        const dataValue = { value: { dataType: DataType[type], value } };
        return (await session.write({ nodeId: node, attributeId: AttributeIds.Value, value: dataValue })).name;
    },
    async call({ object, method, type, value }) {
        const inputArguments = [{ dataType: DataType[type], value }];
        return (await session.call({ objectId: object, methodId: method, inputArguments })).statusCode.name;
    },
    async subscribe({ nodes, interval }) {
        subscription = await session.createSubscription2({
            requestedPublishingInterval: interval, requestedLifetimeCount: 1000, requestedMaxKeepAliveCount: 20,
            maxNotificationsPerPublish: 0, publishingEnabled: true, priority: 1,
        });
        for (const nodeId of nodes) {
            const item = await subscription.monitor(
                { nodeId, attributeId: AttributeIds.Value },
                { samplingInterval: 0, queueSize: 100, discardOldest: true },
                TimestampsToReturn.Both,
            );
            item.on("changed", (dataValue) => changes.push({ node: nodeId, ...shown(dataValue) }));
        }
        const item = await subscription.monitor(
            { nodeId: resolveNodeId("Server"), attributeId: AttributeIds.EventNotifier },
            { samplingInterval: 0, queueSize: 100, discardOldest: true, filter: constructEventFilter(EVENT_FIELDS) },
            TimestampsToReturn.Both,
        );
        item.on("changed", (fields) => {
            const [source, time, condition, active, retain, id] = fields.map((each) => each.value);
            if (condition) {
                events.push({ source, condition, active, retain, time: time.getTime(), id: id.toString("hex") });
            }
        });
    },
    async refresh() {
        const request = {
            objectId: resolveNodeId("ConditionType"),
            methodId: resolveNodeId("ConditionType_ConditionRefresh"),
            inputArguments: [{ dataType: DataType.UInt32, value: subscription.subscriptionId }],
        };
        return (await session.call(request)).statusCode.name;
    },
    told: () => ({ changes: changes.splice(0), events: events.splice(0) }),
    async close() {
        await session?.close(true);
        await client?.disconnect();
    },
});
process.exit(0);
