"""The description of the contract desk's HTTP door (OpenAPI 3.1). Words and shapes; no behaviour."""

from typing import Any

_TEXT: dict[str, Any] = {"type": "string"}
_TIME: dict[str, Any] = {"type": "integer", "description": "µs since 1970 UTC"}
_CUSTOMER = {
    "type": "object",
    "required": ["name", "identity", "address"],
    "properties": dict.fromkeys(("name", "identity", "address", "phone", "email"), _TEXT),
}
_SUPPLY = {
    "type": "object",
    "required": ["metering_point", "address", "tariff_class"],
    "properties": {
        **dict.fromkeys(("metering_point", "address", "tariff_class"), _TEXT),
        **{name: {"type": "integer"} for name in ("phases", "contracted_kw", "households")},
    },
}
_METER = {
    "type": "object",
    "required": ["serial", "start_registers", "photo_sha256", "installed_at"],
    "properties": {
        "serial": {"type": "integer"},
        "start_registers": {"type": "object", "additionalProperties": {"type": "integer"}},
        "photo_sha256": _TEXT,
        "installed_at": _TIME,
    },
}
_BODIES: dict[str, dict[str, Any]] = {
    "survey": {"type": "object"},
    "offer": {"type": "object", "required": ["offer"], "properties": {"offer": {"type": "object"}}},
    "prepare": {"type": "object", "properties": {"effective_from": _TIME}},
    "sign-seller": {"type": "object"},
    "install-meter": _METER,
    "energise": {"type": "object"},
    "activate": {"type": "object"},
    "reject": {"type": "object", "required": ["reason"], "properties": {"reason": _TEXT}},
    "amend": {"type": "object", "properties": {"tariff_class": _TEXT, "customer_name": _TEXT}},
    "terminate": {"type": "object"},
}
_ERRORS = {
    "400": "the body is wrong",
    "401": "who asks is not known",
    "403": "who asks is known and may not ask for this",
    "409": "the request is not where this step needs it, or somebody else was first",
    "413": "too large",
    "422": "a signature could not be made or taken; findings in Vietnamese and English",
    "503": "the database does not answer",
}


def description(prefix: str) -> dict[str, Any]:
    """The whole document."""
    paths: dict[str, Any] = {
        f"{prefix}/verify": {"post": _call("Verify a PDF from its own evidence", body=_pdf(), public=True)},
        f"{prefix}/verify/{{number}}": {"get": _call("The public page of a contract", public=True)},
        prefix: {
            "get": _call("All requests, or those in a state", query=["state"]),
            "post": _call("Enter an application", body=_json({"type": "object", "properties": _APPLICATION})),
        },
        f"{prefix}/{{number}}": {"get": _call("A request with its clock and history")},
        f"{prefix}/{{number}}/document": {"get": _call("The latest revision of the PDF")},
        f"{prefix}/{{number}}/upload": {"post": _call("The document that the buyer signed elsewhere", body=_pdf())},
        f"{prefix}/valid/{{point}}": {"get": _call("The contract that holds for a metering point", query=["at"])},
        f"{prefix}/unbound": {"get": _call("Metering points without a valid contract", query=["at"])},
    }
    for action, schema in _BODIES.items():
        paths[f"{prefix}/{{number}}/{action}"] = {"post": _call(f"Step: {action}", body=_json(schema))}
    for path, calls in paths.items():
        names = [part.strip("{}") for part in path.split("/") if part.startswith("{")]
        for call in calls.values():
            call["parameters"] = call.get("parameters", []) + [
                {"name": name, "in": "path", "required": True, "schema": _TEXT} for name in names
            ]
    return {
        "openapi": "3.1.0",
        "info": {"title": "Electronic supply contracts", "version": "1"},
        "paths": paths,
        "components": {"securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}}},
    }


_APPLICATION = {"customer": _CUSTOMER, "supply": _SUPPLY}


def _call(
    summary: str, *, body: dict[str, Any] | None = None, query: list[str] | None = None, public: bool = False
) -> dict[str, Any]:
    call: dict[str, Any] = {
        "summary": summary,
        "responses": {"200": {"description": "done"}} | {code: {"description": text} for code, text in _ERRORS.items()},
        "security": [] if public else [{"bearer": []}],
    }
    if body is not None:
        call["requestBody"] = body
    if query:
        call["parameters"] = [{"name": name, "in": "query", "required": False, "schema": _TEXT} for name in query]
    return call


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"content": {"application/json": {"schema": schema}}}


def _pdf() -> dict[str, Any]:
    return {"required": True, "content": {"application/pdf": {"schema": {"type": "string", "format": "binary"}}}}
