"""A hospital behind its FHIR façade; every answer is checked against R4's models, its code lists and its invariants."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from fhir.resources.R4B import get_fhir_model_class
from pydantic import BaseModel
from werkzeug.test import TestResponse

CARD = "urn:examlane:patient:card"
ENDED = ("cancelled", "noshow")


def unknown_codes(model: BaseModel, at: str) -> Iterator[str]:
    """Codes that are not in R4's required lists: the models themselves do not ask."""
    for name, about in type(model).model_fields.items():
        value = getattr(model, name)
        extra = about.json_schema_extra
        allowed = extra.get("enum_values") if isinstance(extra, Mapping) else None
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, BaseModel):
                yield from unknown_codes(one, f"{at}.{name}")
            elif isinstance(allowed, list) and one is not None and one not in allowed:
                yield f"{at}.{name} = {one}"


def broken_invariants(resource: Mapping[str, Any]) -> Iterator[str]:
    """R4's own rules for what is served here."""
    if resource["resourceType"] == "Appointment":
        if not resource.get("participant"):
            yield "an appointment has participants"
        if "cancelationReason" in resource and resource["status"] not in ENDED:
            yield "app-4: only what is cancelled or missed has a reason for it"
        if ("start" in resource) != ("end" in resource):
            yield "app-2: start and end come together"
        if not all("type" in each or "actor" in each for each in resource["participant"]):
            yield "app-1: a participant has a type or an actor"
    if resource["resourceType"] == "Schedule" and not resource.get("actor"):
        yield "a schedule has actors"
    if resource["resourceType"] == "Bundle" and resource["type"] != "searchset" and "search" in resource:
        yield "bdl-2: only a searchset says how an entry was found"


def checked(resource: Mapping[str, Any]) -> Mapping[str, Any]:
    """A resource that R4's models, lists and rules have nothing against."""
    name = resource["resourceType"]
    model = get_fhir_model_class(name).model_validate(resource)
    assert list(unknown_codes(model, name)) == []
    for one in (resource, *(entry["resource"] for entry in resource.get("entry", []))):
        assert list(broken_invariants(one)) == []
        assert all(value not in (None, "", []) for value in one.values())
    return resource


@dataclass
class Facade:
    """A client of the façade."""

    site: Any

    def get(self, path: str, caller: str = "his", **headers: str) -> TestResponse:
        """One request; whatever is answered is valid R4 (or nothing)."""
        sent = {**self.site.authorization(caller), **{name.replace("_", "-"): value for name, value in headers.items()}}
        answer: TestResponse = self.site.app.test_client().get(f"/fhir/R4{path}", headers=sent)
        if answer.status_code != 304:
            assert answer.mimetype == "application/fhir+json"
            checked(answer.json)
        return answer

    def found(self, path: str, **more: Any) -> list[dict[str, Any]]:
        """The resources that a search finds."""
        answer = self.get(path, **more)
        assert answer.status_code == 200, answer.json
        return [entry["resource"] for entry in answer.json.get("entry", [])]

    def refused(self, path: str, status: int, **more: Any) -> list[dict[str, Any]]:
        """The issues of an OperationOutcome."""
        answer = self.get(path, **more)
        assert (answer.status_code, answer.json["resourceType"]) == (status, "OperationOutcome")
        issues: list[dict[str, Any]] = answer.json["issue"]
        return issues


@pytest.fixture
def facade(rest: Any) -> Facade:
    return Facade(rest)


@pytest.fixture
def facade_on_each(rest_on_each: Any) -> Facade:
    return Facade(rest_on_each)
