"""The table as an OpenAPI 3.1 document, the same to the byte each time."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from pydantic.json_schema import models_json_schema

from ..text.lines import first_paragraph
from .endpoint import Endpoint
from .schema import Problem

MEDIA = {"json": "application/json", "page": "text/html", "events": "text/event-stream"}
REFUSALS = {
    "400": "not what is asked for in form",
    "401": "sign in first",
    "403": "a page from elsewhere, or not yours",
    "404": "nothing has this address or id",
    "409": "the cursor is of an earlier generation, or the link was used",
    "413": "the body is too long",
    "415": "the body is not JSON",
    "421": "another host's name",
    "422": "a field has a value that it cannot have",
    "429": "too often; Retry-After says when",
    "503": "cannot be done now",
}


def document(rows: Sequence[Endpoint]) -> dict[str, Any]:
    """The whole document."""
    models = list(dict.fromkeys(model for row in rows for model in (row.asks, row.answers)))
    asked = {row.asks for row in rows}
    references, schemas = models_json_schema(
        [(model, "validation" if model in asked else "serialization") for model in [*models, Problem]],
        ref_template="#/components/schemas/{model}",
    )
    named = {model: reference for (model, _), reference in references.items()}
    paths: dict[str, Any] = {}
    for row in rows:
        paths.setdefault(row.path, {})[row.method.lower()] = _operation(row, named, schemas["$defs"])
    return {
        "openapi": "3.1.0",
        "info": {"title": "alignlab studio", "version": "1"},
        "paths": paths,
        "components": {
            "schemas": schemas["$defs"],
            "responses": {
                status: {"description": why, "content": {MEDIA["json"]: {"schema": named[Problem]}}}
                for status, why in REFUSALS.items()
            },
            "securitySchemes": {
                "session": {"type": "apiKey", "in": "cookie", "name": "alignlab_studio_PORT"}
            },
        },
    }


def text(rows: Sequence[Endpoint]) -> str:
    """The document as it stands in the file."""
    return json.dumps(document(rows), indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def _operation(row: Endpoint, named: dict[Any, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    asked = schemas[row.asks.__name__]
    fields = asked.get("properties", {})
    in_path = [name for name in fields if f"{{{name}}}" in row.path]
    parameters = [_parameter(name, fields[name], "path", required=True) for name in in_path]
    found: dict[str, Any] = {
        "operationId": f"{row.method.lower()}_{row.path.strip('/').translate(_PLAIN)}",
        "summary": first_paragraph(row.handler),
        "x-role": row.role,
        "responses": _responses(row, named),
    }
    if row.method == "GET":
        needed = asked.get("required", ())
        others = [name for name in fields if name not in in_path]
        parameters += [_parameter(name, fields[name], "query", required=name in needed) for name in others]
    else:
        body = _without(asked, in_path) if in_path else named[row.asks]
        found["requestBody"] = {"required": True, "content": {MEDIA["json"]: {"schema": body}}}
    if parameters:
        found["parameters"] = parameters
    if row.role != "anyone":
        found["security"] = [{"session": []}]
    return found


_PLAIN = str.maketrans({"/": "_", ".": "_", "{": None, "}": None})


def _parameter(name: str, schema: dict[str, Any], where: str, *, required: bool) -> dict[str, Any]:
    return {"name": name, "in": where, "required": required, "schema": schema}


def _without(asked: dict[str, Any], in_path: Sequence[str]) -> dict[str, Any]:
    """What is asked beside what the path names."""
    fields = {name: field for name, field in asked["properties"].items() if name not in in_path}
    needed = [name for name in asked.get("required", ()) if name not in in_path]
    return {**asked, "properties": fields, "required": needed}


def _responses(row: Endpoint, named: dict[Any, Any]) -> dict[str, Any]:
    content = {MEDIA[row.form]: {"schema": named[row.answers]}}
    if row.form == "page":
        content = {MEDIA["page"]: {"schema": {"type": "string"}}}
    elif row.path.endswith("openapi.json"):
        content = {MEDIA["json"]: {"schema": {"type": "object"}}}
    refused = {status: {"$ref": f"#/components/responses/{status}"} for status in REFUSALS}
    return {"200": {"description": "the answer", "content": content}} | refused
