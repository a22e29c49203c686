"""`SoapService`: one URL that serves a contract in SOAP 1.1 and 1.2. `handle` reads from top to bottom what happens."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, Protocol

import structlog
from flask import Blueprint, Request, Response, request
from lxml import etree

from examlane import Text
from examlane_api.soap.credentials import Credentials, read_credentials
from examlane_api.soap.envelope import Envelope, Limits, read_envelope, refuse_unknown_headers
from examlane_api.soap.faults import FaultKind, SoapRefusal, SoapVersion, render_fault

Handler = Callable[[Any, dict[str, Any]], Mapping[str, Any]]
"""Gets the caller and the request's one child; returns the response's one child."""

_SHOWN = {
    "wsdl": frozenset({SoapVersion.V11}),
    "singlewsdl": frozenset({SoapVersion.V11}),
    "wsdl12": frozenset({SoapVersion.V12}),
    "wsdlall": frozenset(SoapVersion),
}


class Served(Protocol):
    """What a service speaks: typed (`Contract`), or a document as text in two parameters (the platforms' HIP)."""

    namespace: str

    @property
    def operations(self) -> frozenset[str]: ...

    def operation(self, version: SoapVersion, tag: str) -> Any:
        """The operation whose request has this name; it has a `name`."""

    def read(self, operation: Any, message: etree._Element) -> dict[str, Any]:
        """What a request says; a refusal names every field at fault."""

    def write(self, operation: Any, answer: Mapping[str, Any]) -> etree._Element:
        """The envelope of an answer."""

    def wsdl(self, versions: frozenset[SoapVersion], location: str) -> bytes:
        """The WSDL for clients that speak these versions."""


class SoapService:
    """Serves a contract with one handler per operation.

    `authenticate` turns credentials, or their absence, into a caller; None refuses. `location` is the public address
    that the WSDL names.
    """

    def __init__(
        self,
        contract: Served,
        handlers: Mapping[str, Handler],
        location: Callable[[], str],
        authenticate: Callable[[Credentials | None], Any | None],
        limits: Limits | None = None,
    ) -> None:
        self._contract = contract
        if self._contract.operations != set(handlers):
            odd = sorted(self._contract.operations ^ set(handlers))
            raise ValueError(f"the operations of the contract and their handlers differ: {', '.join(odd)}")
        self._handlers = dict(handlers)
        self._location = location
        self._authenticate = authenticate
        self._limits = limits or Limits()
        self._log = structlog.get_logger(__name__)

    def blueprint(self, url: str, name: str = "soap") -> Blueprint:
        """The service at this URL, for an application to register."""
        blueprint = Blueprint(name, __name__)
        blueprint.add_url_rule(url, name, lambda: self.handle(request), methods=["GET", "POST"])
        return blueprint

    def handle(self, request: Request) -> Response:
        """Answer one HTTP request: a WSDL, a message's response, or a fault."""
        if request.method != "POST":
            return self._document(request)
        version = _expected_version(request)
        try:
            envelope = read_envelope(request, self._limits)
            version = envelope.version
            refuse_unknown_headers(envelope)
            caller = self._caller(envelope, request)
            return _reply(self._answer(envelope, caller), version)
        except SoapRefusal as refusal:
            return self._fault(refusal, version, request)
        except Exception:  # noqa: BLE001 - whatever happens, the caller gets a fault and nothing of our insides
            self._log.exception("soap_request_failed")
            return self._fault(_internal(), version, request)

    def _caller(self, envelope: Envelope, request: Request) -> Any:
        caller = self._authenticate(read_credentials(envelope.headers, request))
        if caller is None:
            words = Text("用户名或口令错误，或未提供。", "The user name or password is missing or wrong.")
            raise SoapRefusal("unauthenticated", words, status=HTTPStatus.UNAUTHORIZED)
        return caller

    def _answer(self, envelope: Envelope, caller: Any) -> etree._Element:
        if len(envelope.body) != 1:
            raise SoapRefusal("one_message", Text("Body 必须恰好有一个子元素。", "Body must have exactly one child."))
        message = envelope.body[0]
        operation = self._contract.operation(envelope.version, str(message.tag))
        payload = self._contract.read(operation, message)
        return self._contract.write(operation, self._handlers[operation.name](caller, payload))

    def _fault(self, refusal: SoapRefusal, version: SoapVersion, request: Request) -> Response:
        fault = render_fault(refusal, version, self._contract.namespace, language_of(request))
        response = _reply(fault, version)
        response.status_code = refusal.status
        if refusal.status == HTTPStatus.UNAUTHORIZED:
            # .NET and Perl send their credentials only after this challenge.
            response.headers["WWW-Authenticate"] = 'Basic realm="examlane", charset="UTF-8"'
        return response

    def _document(self, request: Request) -> Response:
        asked = {name.lower() for name in request.args}
        versions = next((versions for name, versions in _SHOWN.items() if name in asked), None)
        if versions is None:
            return Response("POST SOAP here; GET ?wsdl, ?wsdl12 or ?wsdlall.\n", 405, {"Allow": "POST"})
        return Response(self._contract.wsdl(versions, self._location()), content_type="text/xml; charset=utf-8")


def language_of(request: Request) -> str:
    """The language of the words in an answer: the one asked for, else Chinese."""
    return request.accept_languages.best_match(("zh", "en")) or "zh"


def _expected_version(request: Request) -> SoapVersion:
    """The version to answer in while the envelope is not readable."""
    return SoapVersion.V12 if request.mimetype == "application/soap+xml" else SoapVersion.V11


def _reply(envelope: etree._Element, version: SoapVersion) -> Response:
    body = etree.tostring(envelope, xml_declaration=True, encoding="utf-8")
    return Response(body, content_type=version.content_type)


def _internal() -> SoapRefusal:
    words = Text("系统内部错误，请稍后以同一消息重发。", "An internal error: send the same message again later.")
    return SoapRefusal("internal", words, retryable=True, kind=FaultKind.RECEIVER)
