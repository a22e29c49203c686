"""Requests made from the OpenAPI document, allowed and forbidden ones: each is answered as the document says."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from waitress import wasyncore
from waitress.server import create_server

from examlane_api import access

schemathesis = pytest.importorskip("schemathesis")
from schemathesis.config import SchemathesisConfig  # noqa: E402
from schemathesis.engine import events, from_schema  # noqa: E402

CALLERS = {"integration": "his", "registrar": "desk", "administrator": "console", "approver": "pharmacist"}
EXAMPLES = {"examples": 1, "coverage": 1, "fuzzing": 6, "stateful": 4}
# What the document cannot say of content is 422 and of a version 412; a schema cannot know which orders there are.
BEYOND_A_SCHEMA = ["2xx", "304", "404", "409", "412", "422"]
# Nor for which roles a caller signs rules: for another one he is forbidden to, whatever else he may do.
APPROVAL = "POST /api/v1/rules/{rule}/versions/{version}/approvals"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Any]:
    """A hospital with some orders, appointments and exceptions, behind a real server."""
    from tests.api.conftest import opened

    folder = tmp_path_factory.mktemp("generated")
    with opened(f"sqlite:///{folder / 'hospital.db'}") as made:
        made.booked("O1")
        made.booked("O2", "CT-HEAD", "US-HEART")
        made.post("/payments", made.payment("unknown"))
        channels: dict[int, Any] = {}
        server = create_server(made.app, map=channels, host="127.0.0.1", port=0, threads=2)
        thread = threading.Thread(target=server.run)
        thread.start()
        yield made, f"http://127.0.0.1:{server.effective_port}"
        wasyncore.close_all(channels)
        server.task_dispatcher.shutdown()
        thread.join()


def document(site: Any, phase: str, examples: int) -> Any:
    """The document as a source of requests, each by a caller who may do the operation."""
    made, address = site
    settings: dict[str, Any] = {
        "seed": 20261123,
        "generation": {"max-examples": examples, "database": "none"},
        "checks": {"positive_data_acceptance": {"expected-statuses": BEYOND_A_SCHEMA}},
        "operations": [
            {
                "include-name": APPROVAL,
                "checks": {"positive_data_acceptance": {"expected-statuses": [*BEYOND_A_SCHEMA, "403"]}},
            }
        ],
        "phases": {name: {"enabled": name == phase} for name in EXAMPLES},
    }
    schema = schemathesis.openapi.from_url(f"{address}/api/v1/openapi.json", config=SchemathesisConfig.from_dict(settings))

    @schema.auth(refresh_interval=None)  # each operation has its own caller
    class Authorized:
        def get(self, case: Any, context: Any) -> str:
            roles = access.operations()[case.operation.definition.raw["x-permission"]].roles
            caller = next(caller for role, caller in CALLERS.items() if role in roles)
            return str(made.authorization(caller)["Authorization"])

        def set(self, case: Any, data: str, context: Any) -> None:
            case.headers = {**(case.headers or {}), "Authorization": data}

    return schema


def played(schema: Any) -> tuple[Counter[int], list[str]]:
    """How often each status was answered, and everything that was not as the document says."""
    statuses: Counter[int] = Counter()
    found: dict[tuple[str, str], str] = {}
    for event in from_schema(schema).execute():
        if isinstance(event, events.NonFatalError | events.FatalError):
            found["error", str(getattr(event, "label", ""))] = str(getattr(event, "info", event))
        if not isinstance(event, events.ScenarioFinished):
            continue
        statuses.update(one.response.status_code for one in event.recorder.interactions.values() if one.response)
        for checks in event.recorder.checks.values():
            for check in checks:
                if check.failure_info:
                    told = f"{check.failure_info.failure.message}\n{check.failure_info.code_sample}"
                    found.setdefault((event.recorder.label, check.name), told)
    return statuses, [f"{label} {check}: {told}" for (label, check), told in found.items()]


@pytest.mark.parametrize("phase", EXAMPLES)
def test_every_request_is_answered_as_the_document_says(site: Any, phase: str) -> None:
    statuses, found = played(document(site, phase, EXAMPLES[phase]))

    assert found == []
    assert phase == "examples" or statuses[200]
    assert not [status for status in statuses if status >= 500]
