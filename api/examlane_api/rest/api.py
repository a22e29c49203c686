"""How every endpoint is called: authenticated, allowed, written once per Idempotency-Key, errors as problems."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar, cast

import peewee
import structlog
from flask import Flask, Response, abort, current_app, g, request
from flask_smorest import Blueprint
from werkzeug.exceptions import HTTPException
from werkzeug.routing import BaseConverter
from werkzeug.wrappers import Response as BaseResponse

from examlane import reporting
from examlane.appointments import status
from examlane.domain import Text
from examlane.errors import ExamlaneError, Unavailable
from examlane.hospital import Hospital
from examlane.orders import patients
from examlane.orders.patients import Identifier
from examlane.records.audit import Actor
from examlane.records.receipts import Replay, RequestKey, request_key
from examlane_api import access, clients, problems, replays
from examlane_api.access import Caller, at_desk, may
from examlane_api.answers import Answers
from examlane_api.rest import documented
from examlane_api.rest.fields import BadJson, StrictParser

PREFIX = "/api/v1"
KEY = re.compile(r"[\x21-\x7e]{1,128}")
ETAG = re.compile(r'"(\d{1,9})"', re.ASCII)
KEY_MISSING = Text("写请求须带 Idempotency-Key", "a write needs an Idempotency-Key header")
KEY_BAD = Text("Idempotency-Key 须为 1–128 个可见 ASCII 字符", "an Idempotency-Key is 1 to 128 visible ASCII characters")
PUBLIC = frozenset({"api-docs.openapi_json", "api-docs.openapi_swagger_ui", "swagger-ui.asset"})
LOG = structlog.get_logger("examlane.api")
View = TypeVar("View", bound=Callable[..., Any])


def blueprint(name: str, description: str) -> Blueprint:
    """A blueprint with the strict parser, whose every endpoint is documented in full."""
    made = documented.DocumentedBlueprint(name, name, url_prefix=PREFIX, description=description)
    made.ARGUMENTS_PARSER = StrictParser()
    return made


def operation(name: str, *, writes: bool = False, tagged: bool = False, expects: bool = False) -> Callable[[View], View]:
    """Name the operation of an endpoint in the permission file; an endpoint without one is denied to all.

    `writes`: it asks for an Idempotency-Key. `tagged`: its answer has the version as ETag. `expects`: it heeds If-Match.
    """

    def mark(view: View) -> View:
        view.operation = name  # type: ignore[attr-defined]
        view.writes = writes  # type: ignore[attr-defined]
        told = documented.described(view, name, writes=writes, tagged=tagged or writes or expects, expects=expects)
        return cast(View, told)

    return mark


def hospital() -> Hospital:
    return cast(Hospital, current_app.extensions["examlane"])


def answers() -> Answers:
    return Answers(hospital().settings.zone)


def actor() -> Actor:
    caller: Caller = g.caller
    return Actor(caller.name, caller.channel, g.request_id, desk=at_desk(caller))


def guard(app: Flask) -> None:
    """Authenticate and decide before every request under the prefix."""

    @app.before_request
    def check() -> Response | None:
        if not request.path.startswith(PREFIX) or request.endpoint is None:
            return None
        if not request.path.isprintable():
            return problems.problem(404, "not_found")
        if request.endpoint in PUBLIC:
            return None
        g.caller = calling()
        view = app.view_functions[request.endpoint]
        name = getattr(view, "operation", "")
        if g.caller is None:
            return problems.problem(401, "unauthenticated", headers={"WWW-Authenticate": "Bearer"})
        if wait := current_app.extensions["examlane.rate"].seconds_to_wait(g.caller):
            return problems.problem(429, "rate_limited", headers={"Retry-After": str(wait)})
        if not may(g.caller, name):
            return problems.problem(403, "forbidden")
        return _key_problem() if getattr(view, "writes", False) else None


def _key_problem() -> Response | None:
    """What is wrong with the key of a write."""
    key = request.headers.get("Idempotency-Key", "")
    if not key:
        return problems.problem(400, "idempotency_key_missing", KEY_MISSING)
    return None if KEY.fullmatch(key) else problems.problem(400, "idempotency_key_invalid", KEY_BAD)


def calling() -> Caller | None:
    """The client of this request. The body is read here only where a signature is made over it."""
    authorization = request.headers.get("Authorization", "")
    signs = authorization.upper().startswith(clients.SCHEME)
    target = request.environ.get("REQUEST_URI") or request.full_path.removesuffix("?")
    body = request.get_data(cache=True) if signs else b""
    signed = clients.Signed(request.method, target, body, authorization)
    here = hospital()
    return clients.of_request(here.database, current_app.extensions["examlane.keyring"], signed, here.clock.now())


def allow_department(name: str, department: str) -> None:
    """Deny an operation on another department's things."""
    if not may(g.caller, name, department):
        abort(403)


def departments_of(name: str, asked: str | None) -> tuple[str, ...]:
    """The departments whose things the caller may list: the one he asks for, else all of his; none listed: every one."""
    if asked:
        allow_department(name, asked)
        return (asked,)
    return tuple(sorted(g.caller.departments)) if access.operations()[name].by_department else ()


def allow_any(name: str, departments: Iterable[str]) -> None:
    """Deny an operation on a thing of several departments, unless one of them is the caller's."""
    if not any(may(g.caller, name, each) for each in departments):
        abort(403)


def patient_of(identifier: Identifier | None) -> int | None:
    """The patient that a list is asked for; one that is not known has nothing in it."""
    return None if identifier is None else patients.find(hospital().database, [identifier]) or 0


def allow_appointment(name: str, number: str) -> None:
    allow_department(name, status.appointment(hospital(), number).department)


def write(
    name: str, body: Any, act: Callable[[RequestKey], Mapping[str, Any]],
    again: Callable[[RequestKey], Mapping[str, Any]] | None = None,
) -> Mapping[str, Any]:  # fmt: skip
    """Do a write once for the caller's Idempotency-Key; a repeated request gets the same answer.

    `again` makes the answer of one that died before it was answered, where `replays` cannot.
    """
    body = {"path": request.path, "body": body}
    named = request_key(g.caller.name, request.headers["Idempotency-Key"], name, body)

    def once_more(replay: Replay) -> Mapping[str, Any]:
        return again(named) if again else replays.answer(hospital(), answers(), actor(), replay)

    answer, g.replayed = reporting.once(hospital(), named, act, once_more)
    g.version = answer.get("version")
    return answer


def expecting(body: dict[str, Any]) -> dict[str, Any]:
    """A change's body with the version that If-Match names; what is no version of ours is never the present one."""
    sent = request.headers.get("If-Match", "*")
    tag = ETAG.fullmatch(sent)
    return body if sent == "*" else {**body, "version": int(tag[1]) if tag else 0}


class NumberConverter(BaseConverter):
    """A number in an address, where words stand beside it that name calls of their own."""

    part_isolating = True
    regex = r"(?!(?:validate|preview|calendar|trial|choices|log|duplicates)$)[^/]+"


def register_errors(app: Flask) -> None:
    """Map errors once; only under the prefix, so that pages keep their own."""

    @app.errorhandler(ExamlaneError)
    def known(error: ExamlaneError) -> Response:
        return problems.of_error(error)

    @app.errorhandler(BadJson)
    def bad_json(error: BadJson) -> Response:
        return problems.problem(400, "bad_json", Text("请求体不是有效的 JSON", str(error)))

    @app.errorhandler(HTTPException)
    def http(error: HTTPException) -> Response | HTTPException:
        if error.response is not None:
            return cast(Response, error.response)
        return problems.of_http(error) if request.path.startswith(PREFIX) else error

    @app.errorhandler(peewee.OperationalError)
    @app.errorhandler(peewee.InterfaceError)
    def unreachable(error: Exception) -> Response:
        LOG.error("database", path=request.path, error=type(error).__name__)
        return problems.of_error(Unavailable())

    @app.errorhandler(Exception)
    def unexpected(error: Exception) -> Response:
        LOG.exception("unexpected", path=request.path, request_id=g.get("request_id", ""))
        return problems.problem(500, "internal")

    @app.after_request
    def mark(answer: Response) -> BaseResponse:
        if g.get("replayed"):
            answer.headers["Idempotency-Replayed"] = "true"
        if g.get("version") is not None and answer.status_code == 200:
            answer.set_etag(str(g.version))
            return answer.make_conditional(request) if request.method == "GET" else answer
        return answer


def register(app: Flask, blueprints: Iterable[Blueprint]) -> None:
    """Mount the REST interface on an app."""
    app.url_map.converters["number"] = NumberConverter
    app.config |= documented.settings(PREFIX)
    api = documented.DocumentedApi(app)
    app.register_blueprint(documented.assets(PREFIX))
    for each in blueprints:
        api.register_blueprint(each)
    guard(app)
    register_errors(app)
