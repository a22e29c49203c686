"""What the façade answers: resources, bundles, outcomes, the CapabilityStatement; nothing leaves that is not R4."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from fhir.resources.R4B import get_fhir_model_class
from flask import Response

from examlane import __version__
from examlane.domain import Text
from examlane_api.fhir.reading import KINDS
from examlane_api.fhir.search import CURSOR, Problem
from examlane_api.problems import TITLES

MEDIA = "application/fhir+json"
PREFIX = "/fhir/R4"
CODES = {
    400: "invalid", 401: "login", 403: "forbidden", 404: "not-found", 405: "not-supported", 406: "not-supported",
    413: "too-long", 429: "throttled", 500: "exception", 503: "transient",
}  # fmt: skip
NOT_JSON = Text("只提供 application/fhir+json", "only application/fhir+json is served")
SAID_ON = "2026-11-25"
"""When the CapabilityStatement last changed."""


def answer(resource: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A resource, checked against the library's model of it.

    R4B's models: of the resources that are served here R4B changed nothing.
    """
    get_fhir_model_class(resource["resourceType"]).model_validate(resource)
    content = json.dumps(resource, ensure_ascii=False)
    made = Response(content, status, mimetype=MEDIA, content_type=f"{MEDIA}; charset=utf-8")
    made.headers.extend(headers or {})
    return made


def outcome(
    status: int, code: str = "", text: Text | None = None, expression: str = "", headers: Mapping[str, str] | None = None
) -> Response:
    """An OperationOutcome with one issue; it never repeats what was sent."""
    said = text or (NOT_JSON if status == 406 else TITLES.get(status, TITLES[400]))
    return answer(_outcome([_issue(code or CODES.get(status, "invalid"), said, expression)]), status, headers)


def bad_search(problems: Iterable[Problem]) -> Response:
    """Everything that is wrong with a search."""
    issues = [_issue(each.code, each.text, f"http.{each.parameter}") for each in problems]
    return answer(_outcome(issues), 400)


def _outcome(issues: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {"resourceType": "OperationOutcome", "issue": list(issues)}


def _issue(code: str, text: Text, expression: str) -> dict[str, Any]:
    issue = {"severity": "error", "code": code, "details": {"text": text.zh}, "diagnostics": text.en}
    return issue | ({"expression": [expression]} if expression else {})


def page(
    base: str, name: str, resources: Sequence[Mapping[str, Any]], used: Sequence[tuple[str, str]], following: str,
    cursor: str,
) -> Response:  # fmt: skip
    """A searchset. `following` is the cursor of the next page, if there is one."""
    here = f"{base}/{name}"
    entries = [{"fullUrl": f"{here}/{each['id']}", "resource": each, "search": {"mode": "match"}} for each in resources]
    links = [{"relation": "self", "url": _link(here, [*used, *([(CURSOR, cursor)] if cursor else [])])}]
    if following:
        links.append({"relation": "next", "url": _link(here, [*used, (CURSOR, following)])})
    bundle: dict[str, Any] = {"resourceType": "Bundle", "type": "searchset", "link": links}
    return answer(bundle | ({"entry": entries} if entries else {}))


def total(base: str, name: str, used: Sequence[tuple[str, str]], found: int) -> Response:
    """A searchset that only counts."""
    link = [{"relation": "self", "url": _link(f"{base}/{name}", used)}]
    return answer({"resourceType": "Bundle", "type": "searchset", "total": found, "link": link})


def _link(address: str, parameters: Sequence[tuple[str, str]]) -> str:
    return f"{address}?{urlencode(parameters)}" if parameters else address


def capability(base: str) -> dict[str, Any]:
    """What is served, told from the same tables that serve it."""
    return {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": SAID_ON,
        "kind": "instance",
        "software": {"name": "examlane", "version": __version__},
        "implementation": {"description": "examlane (约检): examination appointments, read only", "url": base},
        "fhirVersion": "4.0.1",
        "format": ["json"],
        "rest": [
            {
                "mode": "server",
                "security": {"description": "Bearer key or signed requests, as for the REST interface; see docs/fhir.md"},
                "resource": [_served(name) for name in sorted(KINDS)],
            }
        ],
    }


def _served(name: str) -> dict[str, Any]:
    parameters = {said.replace(":", ".").partition(".")[0]: known for said, known in KINDS[name].parameters.items()}
    return {
        "type": name,
        "interaction": [{"code": "read"}, {"code": "search-type"}],
        "versioning": "versioned",
        "conditionalRead": "not-match",
        "searchParam": [
            {"name": each, "type": known.type, "documentation": known.says} for each, known in sorted(parameters.items())
        ],
    }
