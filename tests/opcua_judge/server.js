// node-opcua's server, told what to show line by line.
import { serve } from "./lines.js";
import { OPCUACertificateManager } from "node-opcua-certificate-manager";
import { nodesets } from "node-opcua-nodesets";
import { MessageSecurityMode, SecurityPolicy } from "node-opcua-secure-channel";
import { OPCUAServer } from "node-opcua-server";
import { StatusCodes } from "node-opcua-status-code";
import { DataType, VariantArrayType } from "node-opcua-variant";

let server, space, root;
const variables = new Map(), alarms = new Map(), orders = [];
// 64-bit integers come as two halves, which the library would take for an array.
const variant = (type, value) => ({ dataType: DataType[type], arrayType: VariantArrayType.Scalar, value });

await serve({
    async start({ port, folder, before, secure }) {
        const manager = new OPCUACertificateManager({ rootFolder: folder, automaticallyAcceptUnknownCertificate: true });
        await manager.initialize();
        server = new OPCUAServer({
            port,
            hostname: "127.0.0.1",
            nodeset_filename: [nodesets.standard],
            serverCertificateManager: manager,
            userCertificateManager: manager,
            allowAnonymous: true,
            securityPolicies: [SecurityPolicy.Basic256Sha256],
            securityModes: [MessageSecurityMode.SignAndEncrypt],
            certificateFile: secure.certificate,
            privateKeyFile: secure.key,
            serverInfo: { applicationUri: secure.uri },
            // Every change is told, not the last of 50 ms.
            serverCapabilities: { minSupportedSampleRate: 0 },
        });
        await server.initialize();
        const address = server.engine.addressSpace;
        for (let each = 0; each < before; each += 1) {
            address.registerNamespace(`urn:other:${each}`);
        }
        space = address.registerNamespace("urn:gridscada:substation");
        address.installAlarmsAndConditionsService();
        root = space.addObject({
            organizedBy: address.rootFolder.objects, browseName: "TN07", nodeId: "s=TN07/171",
            eventNotifier: 1, eventSourceOf: address.rootFolder.objects.server,
        });
        await server.start();
    },
    port: () => server.endpoints[0].port,
    variable({ node, type, value, writable, echo }) {
        const made = space.addVariable({ componentOf: root, browseName: node, nodeId: node, dataType: type, minimumSamplingInterval: 0 });
        made.setValueFromSource(variant(type, value));
        variables.set(node, made);
        if (writable) {
            made.on("value_changed", ({ value: { value: wanted } }) => {
                orders.push({ node, value: wanted });
                if (echo) {
                    variables.get(echo).setValueFromSource(variant(type, wanted));
                }
            });
        }
    },
    set({ node, type, value, special, status, time }) {
        const moment = time === undefined ? new Date() : new Date(time);
        variables.get(node).setValueFromSource(variant(type, special ? Number(special) : value), StatusCodes[status ?? "Good"], moment);
    },
    method({ object, node }) {
        const owner = space.addObject({ componentOf: root, browseName: object, nodeId: object });
        const made = space.addMethod(owner, {
            browseName: node, nodeId: node,
            inputArguments: [{ name: "value", description: { text: "" }, dataType: DataType.Byte }], outputArguments: [],
        });
        made.bindMethod(async ([input], _context) => {
            orders.push({ node, value: input.value });
            return { statusCode: input.value === 9 ? StatusCodes.BadInvalidState : StatusCodes.Good, outputArguments: [] };
        });
    },
    alarm({ name, node }) {
        // Active while the input differs from the normal state.
        const normal = space.addVariable({ componentOf: root, browseName: `${name}.normal`, dataType: "Boolean" });
        normal.setValueFromSource(variant("Boolean", false));
        alarms.set(name, space.instantiateOffNormalAlarm({
            browseName: name, conditionName: name, conditionOf: root, conditionSource: root, inputNode: variables.get(node),
            normalState: normal, componentOf: root,
        }));
    },
    alarm_time: ({ name }) => alarms.get(name).time.readValue().value.value.getTime(),
    orders: () => orders.splice(0),
    async stop() {
        await server?.shutdown(0);
    },
});
process.exit(0);
