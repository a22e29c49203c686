"""The façade's addresses: who may read what, in which form, and every error as an OperationOutcome."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, cast

import peewee
import structlog
from flask import Blueprint, Flask, Response, current_app, g, request
from werkzeug.datastructures import MIMEAccept
from werkzeug.exceptions import HTTPException

from examlane.domain import Text
from examlane.errors import Unavailable
from examlane_api.access import Caller, may, operations
from examlane_api.fhir import answers, reading, search
from examlane_api.fhir.answers import MEDIA, PREFIX
from examlane_api.fhir.reading import KINDS, Kind
from examlane_api.fhir.resources import Resource, Teller
from examlane_api.fhir.search import BadSearch, Condition, Problem, Search, Terms
from examlane_api.fhir.systems import Systems
from examlane_api.rest.api import calling, hospital

METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]
SERVED = (MEDIA, "application/json", "text/json")
FORMATS = frozenset({*SERVED, "json"})
NEEDED = Text("请至少用一个参数缩小范围", "too wide: at least one of these parameters must be given: {}")
READ_ONLY = Text("只能读取", "this interface is read only")
LOG = structlog.get_logger("examlane.fhir")
blp = Blueprint("fhir", __name__, url_prefix=PREFIX)


def register(app: Flask, address: str, systems: Systems) -> None:
    """Mount the façade on an app."""
    app.extensions["examlane.fhir"] = (address.rstrip("/"), systems)
    app.register_blueprint(blp)


# Before and after each request


@blp.before_request
def guard() -> Response | None:
    """Authenticate and decide as for REST; only the CapabilityStatement is for everybody."""
    if not request.path.isprintable():
        return answers.outcome(404)
    if not _takes_json():
        return answers.outcome(406)
    if request.endpoint == "fhir.metadata":
        return None
    g.caller = calling()
    if g.caller is None:
        return answers.outcome(401, headers={"WWW-Authenticate": "Bearer"})
    if wait := current_app.extensions["examlane.rate"].seconds_to_wait(g.caller):
        return answers.outcome(429, headers={"Retry-After": str(wait)})
    name = getattr(current_app.view_functions[request.endpoint or ""], "operation", "")
    return None if not name or may(g.caller, name) else answers.outcome(403)


def _takes_json() -> bool:
    """Whether the caller takes what we have: `_format` says it before the header does."""
    named = request.args.get("_format")
    if named is not None:
        return named.partition(";")[0].strip() in FORMATS
    accepted = [(kind.partition(";")[0], quality) for kind, quality in request.accept_mimetypes]
    return not accepted or MIMEAccept(accepted).best_match(SERVED) is not None


@blp.errorhandler(BadSearch)
def bad_search(error: BadSearch) -> Response:
    return answers.bad_search(error.problems)


@blp.errorhandler(HTTPException)
def http(error: HTTPException) -> Response:
    return answers.outcome(error.code or 500)


@blp.errorhandler(Unavailable)
@blp.errorhandler(peewee.OperationalError)
@blp.errorhandler(peewee.InterfaceError)
def busy(error: Exception) -> Response:
    LOG.error("database", path=request.path, error=type(error).__name__)
    return answers.outcome(503, headers={"Retry-After": "2"})


@blp.errorhandler(Exception)
def unexpected(_error: Exception) -> Response:
    LOG.exception("unexpected", path=request.path, request_id=g.get("request_id", ""))
    return answers.outcome(500)


# What is read


@blp.get("/metadata")
def metadata() -> Response:
    """What this server can, as a CapabilityStatement."""
    return answers.answer(answers.capability(_base()))


@blp.route("/", defaults={"rest": ""}, methods=METHODS)
@blp.route("/<path:rest>", methods=METHODS)
def nothing(rest: str) -> Response:
    """All that is not served."""
    if request.method in ("GET", "HEAD"):
        return answers.outcome(404)
    return answers.outcome(405, text=READ_ONLY, headers={"Allow": "GET"})


def _read(kind: Kind) -> Callable[[str], Response]:
    def view(key: str) -> Response:
        rows = reading.found(hospital(), kind, [kind.key.read(key, _terms())], (), 1)
        if not rows:
            return answers.outcome(404)
        if not may(g.caller, kind.permission, rows[0].department.code):
            return answers.outcome(403)
        return _one(_teller().resource(rows[0]))

    return _allowed(view, kind)


def _one(resource: Resource) -> Response:
    meta = resource["meta"]
    answer = answers.answer(resource)
    answer.set_etag(meta["versionId"], weak=True)
    return cast(Response, answer.make_conditional(request))


def _search(kind: Kind) -> Callable[[], Response]:
    def view() -> Response:
        sent = [*request.args.items(multi=True), *request.form.items(multi=True)]
        lenient = "handling=lenient" in request.headers.get("Prefer", "")
        wanted = search.read(kind.parameters, sent, _terms(), strict=not lenient, width=len(kind.order))
        _narrow(kind, wanted)
        conditions = [*wanted.conditions, *_own_departments(kind)]
        if not wanted.count:
            return answers.total(_base(), kind.name, wanted.used, reading.count(hospital(), kind, conditions))
        return _page(kind, wanted, conditions)

    return _allowed(view, kind)


def _page(kind: Kind, wanted: Search, conditions: Sequence[Condition]) -> Response:
    rows = reading.found(hospital(), kind, conditions, wanted.after, wanted.count + 1)
    shown = rows[: wanted.count]
    following = search.cursor(kind.places(shown[-1])) if len(rows) > wanted.count else ""
    cursor = search.cursor(wanted.after) if wanted.after else ""
    told = [_teller().resource(row) for row in shown]
    return answers.page(_base(), kind.name, told, wanted.used, following, cursor)


def _narrow(kind: Kind, wanted: Search) -> None:
    """Refuse to walk through a table that has a row for each quarter of an hour of each resource."""
    if kind.needs and kind.needs.isdisjoint(name for name, _ in wanted.used):
        names = ", ".join(sorted(kind.needs))
        raise BadSearch([Problem(sorted(kind.needs)[-1], "required", replace(NEEDED, en=NEEDED.en.format(names)))])


def _own_departments(kind: Kind) -> list[Condition]:
    """A caller with a list of departments sees those only."""
    caller: Caller = g.caller
    if not caller.departments or not operations()[kind.permission].by_department:
        return []
    own = sorted(caller.departments)
    return [Condition(f"d.code IN ({', '.join('?' for _ in own)})", tuple(own))]


def _allowed(view: Callable[..., Any], kind: Kind) -> Callable[..., Any]:
    view.operation = kind.permission  # type: ignore[attr-defined]
    return view


def _base() -> str:
    """Our own address: the one that is set, else the one that was called."""
    address, _ = current_app.extensions["examlane.fhir"]
    return f"{address or request.host_url.rstrip('/')}{PREFIX}"


def _terms() -> Terms:
    _, systems = current_app.extensions["examlane.fhir"]
    return Terms(systems, hospital().settings.zone)


def _teller() -> Teller:
    terms = _terms()
    return Teller(terms.systems, terms.zone)


for _kind in KINDS.values():
    _name = _kind.name.lower()
    blp.add_url_rule(f"/{_kind.name}/<string:key>", f"read_{_name}", _read(_kind))
    blp.add_url_rule(f"/{_kind.name}", f"search_{_name}", _search(_kind))
    blp.add_url_rule(f"/{_kind.name}/_search", f"post_{_name}", _search(_kind), methods=["POST"])
