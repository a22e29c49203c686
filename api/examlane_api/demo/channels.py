"""How the hospital's systems speak to the platform: REST with keep-alive, and SOAP from a local copy of the WSDL."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import requests
from zeep import Client, Settings, Transport
from zeep.exceptions import Fault
from zeep.helpers import serialize_object

from examlane_api.soap.service import URL, WSDL

BINDING = "{http://examlane.org/soap/v1}BookingSoap11Binding"
REST_PATHS = {"order": "/orders", "payment": "/payments", "evidence": "/evidence"}


@dataclass
class Surprises:
    """Answers nobody expected: refusals, and repeated requests that were answered differently."""

    found: list[str] = field(default_factory=list)

    def add(self, what: str) -> None:
        self.found.append(what)


class Rest:
    """A client of /api/v1; every thread keeps its own connection."""

    def __init__(self, address: str, client: str, secret: str, surprises: Surprises) -> None:
        self._prefix = f"{address}/api/v1"
        self._authorization = {"Authorization": f"Bearer {client}.{secret}"}
        self._surprises = surprises
        self._local = threading.local()

    def get(self, path: str, **query: Any) -> dict[str, Any]:
        return self._answer(self._session().get(self._prefix + path, params=query, timeout=60), path)

    def post(self, path: str, body: Mapping[str, Any], key: str, *, twice: bool = False) -> dict[str, Any]:
        return self.send("POST", path, body, key, twice=twice)

    def send(self, method: str, path: str, body: Mapping[str, Any], key: str, *, twice: bool = False) -> dict[str, Any]:
        """Write once; sent twice with the same key, the second answer must be the first."""
        first = self._send(method, path, body, key)
        if twice:
            second = self._send(method, path, body, key)
            if first.json() != second.json() or "Idempotency-Replayed" not in second.headers:
                self._surprises.add(f"{path} {key}: repeated, and answered differently")
        return self._answer(first, f"{path} {key}")

    def _send(self, method: str, path: str, body: Mapping[str, Any], key: str) -> requests.Response:
        headers = {"Idempotency-Key": key}
        return self._session().request(method, self._prefix + path, json=body, headers=headers, timeout=60)

    def _answer(self, response: requests.Response, what: str) -> dict[str, Any]:
        if not response.ok:
            self._surprises.add(f"{what}: {response.status_code} {response.text[:200]}")
            return {}
        return dict(response.json())

    def _session(self) -> requests.Session:
        if not hasattr(self._local, "session"):
            self._local.session = requests.Session()
            self._local.session.trust_env = False
            self._local.session.headers.update(self._authorization)
        session: requests.Session = self._local.session
        return session


class Soap:
    """A client of the booking contract; used by one thread."""

    def __init__(self, address: str, client: str, secret: str, surprises: Surprises) -> None:
        session = requests.Session()
        session.trust_env = False
        session.auth = (client, secret)
        transport = Transport(session=session, timeout=60)  # type: ignore[no-untyped-call]
        made = Client(str(WSDL), transport=transport, settings=Settings(forbid_dtd=True))  # type: ignore[no-untyped-call]
        self._service: Any = made.create_service(BINDING, address + URL)  # type: ignore[no-untyped-call]
        self._surprises = surprises

    def call(self, operation: str, payload: Mapping[str, Any], *, twice: bool = False) -> Any:
        """One operation with its one argument; a repeated message must be answered alike."""
        try:
            answers = [getattr(self._service, operation)(payload) for _ in range(1 + twice)]
        except Fault as fault:
            self._surprises.add(f"{operation}: {fault.message}")
            return {}
        plain = [serialize_object(answer, dict) for answer in answers]  # type: ignore[no-untyped-call]
        if plain[0] != plain[-1]:
            self._surprises.add(f"{operation}: repeated, and answered differently")
        return plain[0]


class His(Protocol):
    """What the hospital information system does, whichever way it speaks."""

    def report(self, kind: str, body: Mapping[str, Any], key: str, twice: bool) -> None: ...

    def cancel(self, appointment: str, reason: str, key: str, twice: bool) -> None: ...

    def move_to_the_last_time(self, appointment: str, reason: str, key: str, twice: bool) -> None: ...


class HisOverRest:
    """The hospital information system over REST."""

    def __init__(self, rest: Rest) -> None:
        self._rest = rest

    def report(self, kind: str, body: Mapping[str, Any], key: str, twice: bool) -> None:
        self._rest.post(REST_PATHS[kind], body, key, twice=twice)

    def cancel(self, appointment: str, reason: str, key: str, twice: bool) -> None:
        self._rest.post(f"/appointments/{appointment}/cancel", {"reason": reason}, key, twice=twice)

    def move_to_the_last_time(self, appointment: str, reason: str, key: str, twice: bool) -> None:
        times = self._rest.get("/times", appointment=appointment, days=10, limit=200).get("times", [])
        if times:
            body = {"group": times[-1]["group"], "starts_at": times[-1]["starts_at"], "reason": reason}
            self._rest.post(f"/appointments/{appointment}/reschedule", body, key, twice=twice)


class HisOverSoap:
    """The integration platform over SOAP; bodies are rewritten from REST's words to the contract's."""

    def __init__(self, soap: Soap) -> None:
        self._soap = soap

    def report(self, kind: str, body: Mapping[str, Any], key: str, twice: bool) -> None:
        operation, rewritten = {
            "order": ("SubmitOrder", _order),
            "payment": ("ReportPayment", _payment),
            "evidence": ("ReportAssessment", _assessment),
        }[kind]
        self._soap.call(operation, {"messageId": key, **rewritten(body)}, twice=twice)

    def cancel(self, appointment: str, reason: str, key: str, twice: bool) -> None:
        payload = {"messageId": key, "appointmentNo": appointment, "reason": reason}
        self._soap.call("CancelAppointment", payload, twice=twice)

    def move_to_the_last_time(self, appointment: str, reason: str, key: str, twice: bool) -> None:
        found = self._soap.call("QuerySlots", {"appointmentNo": appointment, "days": 10})
        slots = found.get("slot") or []
        if slots:
            payload = {
                "messageId": key, "appointmentNo": appointment, "group": slots[-1]["group"],
                "startAt": slots[-1]["startAt"], "reason": reason,
            }  # fmt: skip
            self._soap.call("RescheduleAppointment", payload, twice=twice)


def _order(body: Mapping[str, Any]) -> dict[str, Any]:
    patient, encounter = body["patient"], body["encounter"]
    facts = [
        {"name": name, "value": _words(fact["value"]), "observedAt": fact["observed_at"], "source": fact["source"]}
        for name, fact in body["context"].items()
    ]
    items = [
        {"line": line["line"], "itemCode": line["item"], "confirmed": {"code": line["confirmed"]}} for line in body["items"]
    ]
    order = {
        "orderNo": body["number"],
        "patient": {
            "identifiers": {"identifier": patient["identifiers"]}, "name": patient["name"], "sex": patient["sex"],
            "birthDate": patient["birth_date"], "outOfTown": patient["out_of_town"],
            **({"phone": patient["phone"]} if patient["phone"] else {}),
        },
        "encounter": {
            "encounterNo": encounter["number"], "encounterClass": encounter["encounter_class"],
            "ward": encounter["ward"] or None, "campus": encounter["campus"],
        },
        "orderingDepartment": body["ordering_department"], "priority": body["priority"],
        "orderedAt": body["ordered_at"], "verified": body["verified"], "items": {"item": items},
        "facts": {"fact": facts}, "note": body["note"] or None,
    }  # fmt: skip
    return order


def _payment(body: Mapping[str, Any]) -> dict[str, Any]:
    return {"orderNo": body["order"], "paidAt": body["paid_at"]}


def _assessment(body: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "patientIdentifier": body["patient"], "kind": body["kind"], "outcome": body["outcome"],
        "observedAt": body["observed_at"], "scope": body["scope"] or None,
        "data": {"entry": [{"name": name, "value": _words(value)} for name, value in body["data"].items()]},
    }  # fmt: skip


def _words(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
