"""The pages for the integration platform and for operations say what the code does; their examples are run."""

from __future__ import annotations

import configparser
import importlib.util
import inspect
import json
import re
import shlex
import sys
import threading
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import click
import pytest
from flask import Flask
from lxml import etree
from werkzeug.serving import make_server

from examlane import hookspecs, reasons
from examlane.appointments import status
from examlane.insight.invariants import INVARIANTS
from examlane.outbound import kinds
from examlane.storage.exchange import Event, Peer
from examlane.testing import World
from examlane_api import clients, problems, soap
from examlane_api.app import create_app
from examlane_api.cli import cli
from examlane_api.hip.actions import ACTIONS
from examlane_api.hl7v2 import triggers
from examlane_api.rest.api import PREFIX
from examlane_api.sandbox.services import TOLD
from examlane_api.soap.booking import OPERATIONS
from examlane_api.soap.service import WSDL


def _pages() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_pages", Path(__file__).with_name("docs_pages.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


docs = _pages()
SETTINGS = (
    "examlane.settings", "examlane_api.cli", "examlane_api.keyring", "examlane_api.hip.profiles",
    "examlane_api.fhir.systems", "examlane_api.hl7v2.profiles",
)  # fmt: skip
LOOKED_UP = ("facts", "history", "exceptions", "statistics", "catalogue", "slots", "plugins", "intervals")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    found = docs.hospital(tmp_path)
    yield found
    found.hospital.close()


@pytest.fixture
def secret(world: World) -> str:
    return clients.add(world.database, "his", "HIS")


@pytest.fixture
def app(world: World) -> Flask:
    return create_app(world.hospital, "a secret for tests")


def call(app: Flask, command: str, words: Mapping[str, str]) -> Any:
    """Do what a curl command does."""
    for name, value in words.items():
        command = command.replace(f"${name}", value)
    url, *options = shlex.split(command.strip().removeprefix("curl "))
    method, headers, body = "GET", {}, None
    parts = [url, *options]
    while parts:
        part = parts.pop(0)
        if part == "-X":
            method = parts.pop(0)
        elif part == "-H":
            name, _, value = parts.pop(0).partition(": ")
            headers[name] = value
        elif part == "-d":
            body = parts.pop(0)
        else:
            url = part
    return app.test_client().open(url, method=method, headers=headers, data=body).get_json()


def holds(shown: Any, actual: Any, at: str = "") -> None:
    """Everything shown is in the answer."""
    if shown == "…":
        return
    if isinstance(shown, dict):
        for name, value in shown.items():
            assert name in actual, f"{at}/{name}"
            holds(value, actual[name], f"{at}/{name}")
    elif isinstance(shown, list):
        assert len(shown) == len(actual), at
        for index, value in enumerate(shown):
            holds(value, actual[index], f"{at}/{index}")
    else:
        assert shown == actual, at


def test_every_curl_example_gets_the_answer_shown(app: Flask, world: World, secret: str) -> None:
    words = {"BASE": PREFIX, "TOKEN": f"his.{secret}", "NUMBER": ""}
    text = docs.page("integration.md")
    blocks = docs.FENCE.findall(text.replace(docs.section(text, "Connect in an hour"), ""))
    examples = [
        (body, json.loads(answer))
        for (_, body), (language, answer) in pairwise(blocks)
        if body.startswith("curl ") and language == "json"
    ]
    assert len(examples) == sum(body.startswith("curl ") for _, body in blocks)
    for command, shown in examples:
        if "/check-in" in command:
            world.clock.set(status.appointment(world.hospital, words["NUMBER"]).starts_at)
        answer = call(app, command, words)
        holds(shown, answer, command.splitlines()[0])
        if answer.get("state") == "booked" and "items" in shown:
            words["NUMBER"] = answer["items"][0]["appointment"]["number"]


def shown_path(rule: str) -> str:
    return re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.removeprefix(PREFIX))


def test_every_endpoint_and_its_permission_is_in_the_table(app: Flask) -> None:
    actual = {
        (f"{method} {shown_path(rule.rule)}", view.operation)
        for rule in app.url_map.iter_rules()
        for view in [app.view_functions[rule.endpoint]]
        if rule.rule.startswith(PREFIX) and hasattr(view, "operation")
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    shown = [row for row in docs.rows(docs.section(docs.page("integration.md"), "REST")) if len(row) == 3]
    assert {(docs.code(row[0]), docs.code(row[1])) for row in shown} == actual


def test_every_message_of_the_table_of_facts_exists(app: Flask) -> None:
    rows = docs.rows(docs.section(docs.page("integration.md"), "Every fact, both ways"))
    calls, operations, actions, told, documents, siu = (
        {name for row in rows for name in re.findall(r"`([^`]+)`", row[column])} for column in range(1, 7)
    )
    served = {f"{method} {shown_path(rule.rule)}" for rule in app.url_map.iter_rules() for method in rule.methods or ()}
    assert {each for each in calls if " " in each} <= served
    assert operations <= set(OPERATIONS)
    assert actions <= set(ACTIONS)
    assert told <= set(kinds.KINDS)
    assert documents <= TOLD
    assert siu == {triggers.NEW, triggers.RESCHEDULED, triggers.MODIFIED, triggers.CANCELLED, triggers.NO_SHOW}


def looked_up_table(app: Flask) -> str:
    paths = app.test_client().get(f"{PREFIX}/openapi.json").get_json()["paths"]
    found = [
        (f"`{method.upper()} {path.removeprefix(PREFIX)}`", f"`{told['x-permission']}`", told["summary"].rstrip("."))
        for path, methods in paths.items()
        for method, told in methods.items()
        if method in ("get", "post", "put") and told["tags"][0] in LOOKED_UP
    ]
    return str(docs.table(("call", "permission", "what it does"), *found))


def test_what_is_looked_up_and_settled_is_told_as_the_document_tells_it(app: Flask) -> None:
    assert docs.between(docs.page("integration.md"), "looked up") == looked_up_table(app)


def soap_operations() -> dict[str, tuple[str, str]]:
    """Every operation of the contract: what it does, and its own faults as it says itself."""
    port = etree.parse(str(WSDL)).find("{*}portType")
    told = {str(each.get("name")): each.findtext("{*}documentation") for each in port.iter("{*}operation")}
    parts = {name: words.partition(" Faults: ") for name, words in told.items()}
    return {name: (what, faults.rstrip(".")) for name, (what, _, faults) in parts.items()}


def soap_rows() -> list[list[str]]:
    return [row for row in docs.rows(docs.section(docs.page("integration.md"), "SOAP")) if len(row) == 5]


def test_every_soap_operation_is_in_the_table_as_the_contract_tells_it() -> None:
    assert {docs.code(row[0]): (row[3], row[4].replace("`", "")) for row in soap_rows()} == soap_operations()


def test_every_soap_operation_has_the_permission_of_its_twin_in_rest() -> None:
    rest = docs.rows(docs.section(docs.page("integration.md"), "REST"))
    calls = {docs.code(row[0]): docs.code(row[1]) for row in rest if len(row) == 3}
    assert all(calls[docs.code(row[1])] == docs.code(row[2]) for row in soap_rows())
    assert {docs.code(row[0]): docs.code(row[2]) for row in soap_rows()} == {
        name: operation.permission for name, operation in OPERATIONS.items()
    }


def test_every_fault_of_soap_is_explained() -> None:
    text = docs.page("integration.md")
    own = {code for row in soap_rows() for code in re.findall(r"`(\w+)`", row[4])}
    common = [row[0] for row in docs.rows(docs.section(text, "SOAP")) if len(row) == 3]
    shared = {code for cell in common for code in re.findall(r"`(\w+)`", cell)}
    refusals = {docs.code(row[0]) for row in docs.rows(docs.section(text, "Errors"))}
    assert own <= refusals | {"not_found"}
    package = Path(str(inspect.getfile(soap))).parent
    source = "".join(path.read_text("utf-8") for path in package.rglob("*.py"))
    assert set(re.findall(r"SoapRefusal\(\s*\"(\w+)\"", source)) <= shared


def test_the_soap_example_books(app: Flask, secret: str, capsys: pytest.CaptureFixture[str]) -> None:
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    names: dict[str, Any] = {"ADDRESS": f"http://127.0.0.1:{server.server_port}", "SECRET": secret}
    try:
        for language, body in docs.FENCE.findall(docs.section(docs.page("integration.md"), "SOAP")):
            if language == "python":
                exec(compile(body, "integration.md", "exec"), names)
    finally:
        names["session"].close()
        server.shutdown()
        thread.join()
        server.server_close()
    booked_at, refused = capsys.readouterr().out.splitlines()
    assert "超声室" in booked_at
    assert refused.startswith("not_found")


def test_events_are_as_shown(world: World) -> None:
    shown = next(
        json.loads(body)
        for language, body in docs.FENCE.findall(docs.section(docs.page("integration.md"), "Events"))
        if language == "json"
    )
    database = world.database
    database.write(lambda: database.insert(Peer, code="RIS", address="http://ris", created_at=0))
    docs.booked(world, "US-HEART")
    with database.bound():
        told = {event.kind: json.loads(event.payload) for event in Event.select()}
    assert set(told["appointment.booked"]) == set(shown["payload"])
    assert [misfit for kind, payload in told.items() for misfit in kinds.misfits(kind, payload)] == []


def reason_table() -> str:
    return docs.table(
        ("code", "中文", "English"),
        *((f"`{name}`", text.zh, text.en) for name, text in reasons.REASONS.items()),
    )


def test_the_reason_codes_are_those_of_the_code() -> None:
    assert docs.between(docs.page("integration.md"), "reasons") == reason_table()


def test_every_status_and_every_refusal_is_explained() -> None:
    text = docs.section(docs.page("integration.md"), "Errors")
    shown = {docs.code(row[0]) for row in docs.rows(text)}
    assert {str(status) for status in problems.TITLES} <= shown
    package = Path(str(inspect.getfile(hookspecs))).parent
    source = "".join(path.read_text("utf-8") for path in package.rglob("*.py"))
    raised = set(re.findall(r"(?:Conflict|Refused|Objection)\(\s*\"(\w+)\"", source))
    assert {name for name in shown if not name.isdigit()} == raised


# Operations


def commands(group: click.Group, before: str = "examlane") -> Iterator[str]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, f"{before} {name}")
        if not isinstance(command, click.Group) or command.invoke_without_command:
            yield f"{before} {name}"


def test_every_command_and_only_those_are_in_the_table() -> None:
    shown = {docs.code(row[0]) for row in docs.rows(docs.section(docs.page("operations.md"), "Commands"))}
    assert shown == set(commands(cli))


def test_every_setting_of_the_environment_is_in_the_table() -> None:
    source = "".join(Path(inspect.getfile(module)).read_text("utf-8") for module in map(sys.modules.get, SETTINGS) if module)
    shown = {docs.code(row[0]) for row in docs.rows(docs.section(docs.page("operations.md"), "Settings"))}
    assert shown == set(re.findall(r"\"(EXAMLANE_\w+)\"", source))


def invariant_table() -> str:
    return docs.table(
        ("id", "what holds", "应当成立"),
        *((f"`{each.id}`", each.title.en, each.title.zh) for each in INVARIANTS),
    )


def test_the_invariants_are_those_of_the_code() -> None:
    assert docs.between(docs.page("operations.md"), "invariants") == invariant_table()


def test_every_dependency_has_its_reason() -> None:
    parser = configparser.ConfigParser()
    parser.read(docs.ROOT / "setup.cfg", "utf-8")
    extras = parser["options.extras_require"]
    lists = [parser["options"]["install_requires"], *(extras[name] for name in ("fhir", "hl7", "postgres"))]
    lists += [parser["testenv"]["deps"], parser["testenv:types"]["deps"]]
    declared = {re.split(r"[\[<>=;]", line)[0].strip() for text in lists for line in text.strip().splitlines()}
    shown = {docs.code(row[0]) for row in docs.rows(docs.page("dependencies.md"))}
    assert declared == shown
