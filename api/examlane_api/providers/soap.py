"""A context provider that answers SOAP: the contract is the local `context.wsdl`, the address that of the configuration."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from lxml.etree import LxmlError
from zeep import Client, Settings, Transport
from zeep.exceptions import Error

from examlane.domain import Fact
from examlane.orders.context import Config, Past, Unanswered
from examlane.orders.patients import Identifier
from examlane_api.providers.answers import check_address, same_patient, secret, session

WSDL = Path(str(files("examlane_api.providers").joinpath("context.wsdl")))
BINDING = "{http://examlane.org/context/v1}ContextSoap"


def connect(config: Config) -> SoapProvider:
    """Raises `ValueError` for an address that cannot be asked."""
    check_address(config)
    return SoapProvider(config)


class SoapProvider:
    """Asks `QueryFacts` and `QueryExaminations`; each call has a client to itself, kept for the next."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._lock = threading.Lock()
        self._idle: list[Any] = [self._made()]

    def facts(self, identifiers: Sequence[Identifier], names: Sequence[str]) -> Mapping[str, Fact]:
        answer = self._ask("QueryFacts", identifiers, name=list(names))
        known = {fact.name: (fact, _value(fact)) for fact in answer.fact}
        return {
            name: Fact(value, fact.observedAt, fact.source or self._config.code)
            for name, (fact, value) in known.items()
            if value is not None
        }

    def examinations(self, identifiers: Sequence[Identifier]) -> Sequence[Past]:
        answer = self._ask("QueryExaminations", identifiers)
        return [Past(exam.itemCode, exam.startsAt, exam.endsAt) for exam in answer.examination]

    def _ask(self, operation: str, identifiers: Sequence[Identifier], **more: Any) -> Any:
        patient = {"identifier": [{"kind": each.kind, "value": each.value} for each in identifiers]}
        with self._lock:
            service = self._idle.pop() if self._idle else None
        service = service or self._made()
        try:
            answer = getattr(service, operation)(patient=patient, **more)
            same_patient(identifiers, [(each.kind, each.value) for each in answer.patient.identifier])
        except (Error, LxmlError, ValueError, TypeError, AttributeError) as error:
            raise Unanswered("garbage") from error
        finally:
            with self._lock:
                self._idle.append(service)
        return answer

    def _made(self) -> Any:
        line = session()
        key = secret(self._config)
        line.auth = (self._config.code, key) if key else None
        limit = self._config.limit
        transport = Transport(session=line, timeout=limit, operation_timeout=limit)  # type: ignore[no-untyped-call]
        client = Client(str(WSDL), transport=transport, settings=Settings(forbid_dtd=True))  # type: ignore[no-untyped-call]
        return client.create_service(BINDING, self._config.address)  # type: ignore[no-untyped-call]


def _value(fact: Any) -> Any:
    """The one value that a fact has; with several, or none, it is unknown."""
    values = [value for value in (fact.number, fact.flag, fact.text) if value is not None]
    return values[0] if len(values) == 1 else None
