"""What the OpenAPI document says of every endpoint beside its messages: headers, and each status that it may answer."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from importlib.resources import files
from typing import Any

from flask import Blueprint as FlaskBlueprint
from flask import Response, send_from_directory
from flask_smorest import Api, Blueprint

from examlane_api.rest.schemas import Problem

KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": True,
    "description": "Names this write: sent again with the same key it changes nothing and gets the same answer.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 128, "pattern": "^[!-~]+$"},
}
IF_MATCH = {
    "name": "If-Match",
    "in": "header",
    "required": False,
    "description": "The ETag of what was read; 412 where it has changed since.",
    "schema": {"type": "string"},
}
ETAG = {"ETag": {"description": "The version, in quotation marks.", "schema": {"type": "string"}}}
REPLAYED = {
    "Idempotency-Replayed": {
        "description": "`true`: the answer of an earlier request with this key.",
        "schema": {"type": "string", "enum": ["true"]},
    }
}
ALWAYS = (
    HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND, HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.SERVICE_UNAVAILABLE,
)  # fmt: skip
CHANGES = (HTTPStatus.CONFLICT, HTTPStatus.PRECONDITION_FAILED, HTTPStatus.UNPROCESSABLE_ENTITY)
WITH_BODY = (HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.UNSUPPORTED_MEDIA_TYPE)


class DocumentedApi(Api):
    """flask-smorest's documentation with our own problems and ways to authenticate."""

    ERROR_SCHEMA = Problem

    def __init__(self, app: Any) -> None:
        super().__init__(app)
        self.spec.components.security_scheme("client", {"type": "http", "scheme": "bearer"})
        self.spec.options["security"] = [{"client": []}]

    def _register_responses(self) -> None:
        """Every error is a problem."""
        for status in HTTPStatus:
            content = {"application/problem+json": {"schema": Problem}}
            response = {"description": status.phrase, "content": content}
            self.spec.components.response(status.name, response, lazy=True)

    def _register_error_handlers(self) -> None:
        """Errors are mapped once, in `register_errors`, and only under the API's prefix."""


class DocumentedBlueprint(Blueprint):
    """A blueprint whose endpoints name each status that they may answer."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._prepare_doc_cbks.append(self._prepare_problem_doc)

    def _prepare_problem_doc(self, doc: dict[str, Any], doc_info: dict[str, Any], *, method: str, **_: Any) -> Any:
        statuses = {*ALWAYS, *(WITH_BODY if "requestBody" in doc else ())}
        statuses |= set(CHANGES) if method != "get" else set()
        responses = {int(key): value for key, value in doc["responses"].items() if key != "default"}
        for status in sorted(statuses - responses.keys()):
            responses[int(status)] = status.name
        doc["responses"] = responses
        return doc


def described(view: Callable[..., Any], permission: str, *, writes: bool, tagged: bool, expects: bool) -> Callable[..., Any]:
    """Document the permission that an endpoint asks for, and the headers that it takes and answers."""
    parameters = [KEY] * writes + [IF_MATCH] * expects
    answered = {**(ETAG if tagged else {}), **(REPLAYED if writes else {})}
    told: dict[str, Any] = {"x-permission": permission}
    if parameters:
        told["parameters"] = parameters
    if answered:
        told["responses"] = {200: {"headers": answered}}
    if tagged and not (writes or expects):
        told["responses"][304] = {"description": "Not changed since the version that If-None-Match names."}
    document: Callable[..., Callable[..., Any]] = Blueprint.doc(**told)
    return document(view)


def settings(prefix: str) -> dict[str, str]:
    """Where the document and the page that shows it are served."""
    return {
        "API_TITLE": "examlane",
        "API_VERSION": "v1",
        "OPENAPI_VERSION": "3.1.0",
        "OPENAPI_URL_PREFIX": prefix,
        "OPENAPI_JSON_PATH": "openapi.json",
        "OPENAPI_SWAGGER_UI_PATH": "docs",
        "OPENAPI_SWAGGER_UI_URL": f"{prefix}/docs/",
    }


def assets(prefix: str) -> FlaskBlueprint:
    """The files of Swagger UI from the package that carries them, so that its page loads nothing from elsewhere."""
    made = FlaskBlueprint("swagger-ui", __name__, url_prefix=f"{prefix}/docs")

    @made.get("/<path:name>")
    def asset(name: str) -> Response:
        return send_from_directory(str(files("flask_swagger_ui").joinpath("dist")), name)

    return made
