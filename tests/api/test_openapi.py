"""The OpenAPI document: valid 3.1, complete, and true to the routes."""

from __future__ import annotations

import re
from typing import Any

import pytest

from examlane_api.rest.api import PUBLIC


@pytest.fixture
def document(rest: Any) -> dict[str, Any]:
    found: dict[str, Any] = rest.get("/openapi.json", caller="").json
    return found


def operations(document: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {
        (method, path): operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if method in ("get", "post", "put", "patch", "delete")
    }


def test_the_document_is_valid_openapi_3_1(document: dict[str, Any]) -> None:
    validator = pytest.importorskip("openapi_spec_validator")
    assert document["openapi"].startswith("3.1")

    assert list(validator.OpenAPIV31SpecValidator(document).iter_errors()) == []


def test_every_route_is_described_and_nothing_else(rest: Any, document: dict[str, Any]) -> None:
    routes = {
        (method.lower(), re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule))
        for rule in rest.app.url_map.iter_rules()
        if rule.rule.startswith("/api/v1") and rule.endpoint not in PUBLIC
        for method in rule.methods - {"HEAD", "OPTIONS"}
    }

    assert set(operations(document)) == routes


def test_every_operation_has_a_summary_a_success_and_every_problem_it_may_answer(document: dict[str, Any]) -> None:
    problem = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    for name, operation in operations(document).items():
        responses = operation["responses"]
        assert operation["summary"].strip(), name
        assert responses["200"]["content"]["application/json"]["schema"], name
        assert {"401", "403", "404", "429", "503"} <= set(responses), name
        assert "default" not in responses, name
        if "requestBody" in operation:
            assert {"400", "413", "415", "422"} <= set(responses), name
    for found in document["components"]["responses"].values():
        assert found["content"] == problem


DRY_RUNS = ("/api/v1/orders/validate", "/api/v1/rules/trial", "/api/v1/suspensions/preview")


def test_every_write_says_that_it_needs_a_key(document: dict[str, Any]) -> None:
    for (method, path), operation in operations(document).items():
        names = [parameter.get("name") for parameter in operation.get("parameters", [])]
        assert ("Idempotency-Key" in names) == (method == "post" and path not in DRY_RUNS), path


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    def references(value: Any) -> list[str]:
        if isinstance(value, dict):
            own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
            return own + [found for each in value.values() for found in references(each)]
        return [found for each in value for found in references(each)] if isinstance(value, list) else []

    for reference in set(references(document)):
        found: Any = document
        for step in reference.removeprefix("#/").split("/"):
            found = found[step]
