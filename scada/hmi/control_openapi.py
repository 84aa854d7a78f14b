"""The control door in the words of OpenAPI 3.1, made from the types it takes.

Knows the description's shape. Does not know what is decided.
"""

from typing import Any

import msgspec

from scada.control.message import Message
from scada.model.addcause import AddCause


def description() -> dict[str, Any]:
    """The document served at ``/api/v1/openapi.json``."""
    schemas = msgspec.json.schema_components([Message], ref_template="#/components/schemas/{name}")[1]
    schemas |= {"SignedDocument": _signed_document(), "Report": _report(), "Refusal": _refusal()}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Control desk",
            "version": "1",
            "description": (
                "Every order is a JWS in general serialisation (RFC 7515, 7.2.1) with ES256 over the UTF-8 JSON of a "
                "Message; the certificate chain is in the header x5c. The signature is the authentication."
            ),
        },
        "paths": {
            "/api/v1/control/messages": {
                "post": _post("Operate, select, execute, cancel; switch a meter's supply; tags; acknowledge alarms")
            },
            "/api/v1/control/approvals": {"post": _post("The second signature over a command that waits for it")},
            "/api/v1/control/commands": {"get": _get("Commands under way and the latest ended ones")},
            "/api/v1/control/commands/{id}": {
                "get": _get("One command; waits for news with steps and wait_s", "id", "steps", "wait_s")
            },
            "/api/v1/control/tags": {"get": _get("All tags: the hand-over list")},
            "/api/v1/control/events": {"get": _get("The latest alarms, acknowledged or not")},
            "/api/v1/control/alarms": {"get": _get("Alarms nobody has acknowledged yet")},
        },
        "components": {"schemas": schemas},
    }


def _post(summary: str) -> dict[str, Any]:
    report = {"application/json": {"schema": {"$ref": "#/components/schemas/Report"}}}
    document = {"application/json": {"schema": {"$ref": "#/components/schemas/SignedDocument"}}}
    return {
        "summary": summary,
        "requestBody": {"required": True, "content": document},
        "responses": {
            "200": {"description": "Taken; the report tells how far it came", "content": report},
            "409": {"description": "Refused, with causes and sentences", "content": report},
            "413": {"description": "Too long"},
            "503": {"description": "This process is not in control"},
        },
    }


def _get(summary: str, *parameters: str) -> dict[str, Any]:
    return {
        "summary": summary,
        "parameters": [
            {
                "name": name,
                "in": "path" if name == "id" else "query",
                "required": name == "id",
                "schema": {"type": "string" if name == "id" else "number"},
            }
            for name in parameters
        ],
        "responses": {
            "200": {"description": "As JSON", "content": {"application/json": {"schema": {"type": "object"}}}},
            "503": {"description": "This process is not in control"},
        },
    }


def _signed_document() -> dict[str, Any]:
    text = {"type": "string", "description": "base64url without padding"}
    signature = {
        "type": "object",
        "required": ["protected", "signature"],
        "properties": {"protected": text, "signature": text},
    }
    return {
        "type": "object",
        "required": ["payload", "signatures"],
        "properties": {"payload": text, "signatures": {"type": "array", "items": signature, "minItems": 1}},
    }


def _refusal() -> dict[str, Any]:
    causes = "; ".join(f"{cause.value} {cause.label}" for cause in AddCause)
    return {
        "type": "object",
        "properties": {
            "cause": {"type": "integer", "description": f"AddCause, IEC 61850-7-2: {causes}"},
            "label": {"type": "string"},
            "sentence": {"type": "string", "description": "as the journal keeps it"},
            **_texts("label_text", "text"),
            "facts": {"type": "array", "items": {"type": "object"}},
        },
    }


def _texts(*names: str) -> dict[str, Any]:
    """What stands beside label and sentence, for people."""
    return {each: {"type": "string", "description": "in the language of the configuration"} for each in names}


def _report() -> dict[str, Any]:
    refusals = {"type": "array", "items": {"$ref": "#/components/schemas/Refusal"}}
    outcomes = ["completed", "refused", "unknown", None]
    return {
        "type": "object",
        "properties": {
            "id": {"type": "string"},
            "state": {"type": "string"},
            "outcome": {"enum": outcomes, "description": "null while under way"},
            "action": {"type": "string"},
            "set_point": {"type": "number", "description": "what a set-point is to be; there with action set only"},
            "unit": {"type": "string", "description": "of set_point"},
            "waits_for": {"enum": ["", "approval", "execute"]},
            "refusals": refusals,
            "facts": {"type": "array", "items": {"type": "string"}},
            "consequences": {"type": ["object", "null"]},
            "steps": {"type": "array", "items": {"type": "object"}},
            **_texts("text"),
            "sentence": {"type": "string", "description": "how the switching of a meter's supply ended, in words"},
            "persons": {"type": "array", "items": {"type": "string"}, "description": "who stands for it"},
            "meter_state": {
                "type": "string",
                "description": "what the meter said of its disconnect control, '' when it said nothing: CONNECTED, "
                "DISCONNECTED or READY_FOR_RECONNECTION",
            },
            "document": {"type": "string", "description": "the signed document, to be countersigned by an approver"},
        },
    }
