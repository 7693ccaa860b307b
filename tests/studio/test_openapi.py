"""The document that the pages are built against is what the table prints."""

from __future__ import annotations

import json

from alignlab.studio import openapi
from alignlab.studio.table import FILE, TABLE


def test_the_committed_document_is_what_the_table_prints() -> None:
    assert FILE.read_text(encoding="utf-8") == openapi.text(TABLE), (
        "python -m alignlab.studio.table writes it anew; the types of the pages follow from it"
    )


def test_every_reference_leads_somewhere_and_every_route_is_there_once() -> None:
    document = openapi.document(TABLE)
    for part in openapi.text(TABLE).split('"$ref": "')[1:]:
        kind, name = part.partition('"')[0].removeprefix("#/components/").split("/")
        assert name in document["components"][kind], name
    routes = [(path, method) for path, row in document["paths"].items() for method in row]
    assert sorted(routes) == sorted((row.path, row.method.lower()) for row in TABLE)
    names = [operation["operationId"] for row in document["paths"].values() for operation in row.values()]
    assert len(set(names)) == len(names)


def test_what_is_asked_stands_in_path_query_or_body_and_no_other_field_is_let_in() -> None:
    document = openapi.document(TABLE)
    sign_in = document["paths"]["/api/session"]["post"]
    assert sign_in["requestBody"]["content"]["application/json"]["schema"]["$ref"].endswith("/SignIn")
    change = document["paths"]["/api/tasks/{id}"]["patch"]
    body = change["requestBody"]["content"]["application/json"]["schema"]
    assert [row["name"] for row in change["parameters"]] == ["id"] and "id" not in body["properties"]
    sent = document["paths"]["/api/tasks/{id}/import"]["post"]
    assert list(sent["requestBody"]["content"]) == ["application/octet-stream"]
    assert {row["name"]: row["in"] for row in sent["parameters"]}["ending"] == "query"
    sample = document["paths"]["/api/runs/{id}/samples/{row}"]["get"]["parameters"]
    assert {row["name"]: row["in"] for row in sample} == {"id": "path", "row": "path"}
    for name, shape in json.loads(openapi.text(TABLE))["components"]["schemas"].items():
        assert shape.get("type") != "object" or shape["additionalProperties"] is False, name
