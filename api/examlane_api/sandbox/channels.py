"""How the systems speak to examlane: REST, the booking contract over SOAP, and the platform's HIPMessageServer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import requests
import zeep
from zeep.helpers import serialize_object

from examlane.domain import Text
from examlane.errors import Refused
from examlane.records.events import Declined, Unreachable
from examlane_api.hip import frame
from examlane_api.hip.frame import Ack
from examlane_api.hip.outbound.sending import Outgoing, Platform
from examlane_api.hip.profiles import Outbound, Profile
from examlane_api.sandbox.documents import DOCUMENTS
from examlane_api.sandbox.messages import MESSAGES, Sending, identifier
from examlane_api.soap.service import URL, WSDL

VIA = ("rest", "soap", "hip")
BINDING = "{http://examlane.org/soap/v1}BookingSoap11Binding"
PLATFORM = "platform"
PASSWORD = "EXAMLANE_SANDBOX_PLATFORM"
"""The environment variable from which the platform's log-in is read, as everywhere."""
NONSENSE = b"\x00\xff no message at all"
SECONDS = 60


@dataclass(frozen=True, slots=True)
class Said:
    """What was sent, and what examlane answered."""

    request: str
    content: Any
    status: str
    answer: Any


class Channels:
    """Every system's way to examlane, each under its own log-in."""

    def __init__(self, address: str, secrets: Mapping[str, str], profile: Profile) -> None:
        self._address = address
        self._secrets = secrets
        self._url = f"{address}/soap/hip/{profile.code}"
        outbound = Outbound(self._url, "1.2", SECONDS, SECONDS, PLATFORM, PASSWORD)
        self._profile = replace(profile, sender=profile.receiver, receiver=profile.sender, outbound=outbound)

    def send(self, sent: Sending, via: str) -> Said:
        """One message, once. Raises `Refused` where this channel has no such message, `requests.RequestException`."""
        return {"rest": self._rest, "soap": self._soap, "hip": self._hip}[via](sent)

    def nonsense(self, sent: Sending, via: str) -> Said:
        """What no receiver can read, under the sender's log-in."""
        url = {"rest": f"{self._address}/api/v1/orders", "soap": self._address + URL, "hip": self._url}[via]
        kind = "application/json" if via == "rest" else "text/xml; charset=utf-8"
        headers = {"Content-Type": kind, "Idempotency-Key": sent.key}
        with _session() as session:
            session.headers.update(self._login(sent) if via == "rest" else {})
            session.auth = None if via == "rest" else self._user(sent, via)
            answer = session.post(url, data=NONSENSE, headers=headers, timeout=SECONDS)
        return Said(f"POST {url}", repr(NONSENSE), str(answer.status_code), answer.text[:1000])

    def _user(self, sent: Sending, via: str) -> tuple[str, str]:
        client = PLATFORM if via == "hip" else MESSAGES[sent.message].system
        return client, self._secrets[client]

    def _login(self, sent: Sending) -> dict[str, str]:
        return {"Authorization": "Bearer " + ".".join(self._user(sent, "rest"))}

    def _rest(self, sent: Sending) -> Said:
        message = MESSAGES[sent.message]
        if "{appointment}" in message.path and not sent.says["appointment"]:
            raise _missing("appointment")
        path, body = f"/api/v1{message.path.format(**sent.says)}", message.body(sent)
        headers = {"Idempotency-Key": sent.key, **self._login(sent)}
        with _session() as session:
            answer = session.post(self._address + path, json=body, headers=headers, timeout=SECONDS)
        return Said(f"POST {path}", body, str(answer.status_code), answer.json())

    def _soap(self, sent: Sending) -> Said:
        if sent.message not in OPERATIONS:
            raise Refused("no_such_message", Text("SOAP 没有此消息，请用 --rest 或 --hip", "not over SOAP: use REST or HIP"))
        operation, build = OPERATIONS[sent.message]
        body = {"messageId": sent.key, **build(sent)}
        with _session() as session:
            session.auth = self._user(sent, "soap")
            transport = zeep.Transport(session=session, operation_timeout=SECONDS)  # type: ignore[no-untyped-call]
            client = zeep.Client(str(WSDL), transport=transport)  # type: ignore[no-untyped-call]
            service = client.create_service(BINDING, self._address + URL)  # type: ignore[no-untyped-call]
            try:
                answer = serialize_object(service[operation](body), dict)  # type: ignore[no-untyped-call]
            except zeep.exceptions.Fault as fault:
                return Said(operation, body, "fault", fault.message)
        return Said(operation, body, "answered", answer)

    def _hip(self, sent: Sending) -> Said:
        if sent.message not in DOCUMENTS:
            raise Refused("no_such_message", Text("HIP 没有此消息，请用 --rest", "not over HIP: use REST"))
        if "order" in sent.says and not sent.says["order"]:
            raise _missing("order")
        action, build = DOCUMENTS[sent.message]
        text = frame.to_text(build(sent, self._profile))
        with Platform(self._profile) as platform:
            try:
                ack = platform.send(Outgoing(action, text))
            except Declined as error:
                return Said(action, text, "AE", _details(frame.read_ack(error.sent.answer)))
            except Unreachable as error:
                return Said(action, text, "fault", str(error))
        return Said(action, text, "AA", _details(ack))


def _details(ack: Ack) -> list[str]:
    return [f"{each.code} {each.text}" for each in ack.details]


def _session() -> requests.Session:
    session = requests.Session()
    session.trust_env = False
    return session


def _missing(name: str) -> Refused:
    return Refused("missing", Text(f"请写明 {name}=…", f"name it: {name}=…"), f"/{name}")


# As the booking contract says it


def _order(sent: Sending) -> dict[str, Any]:
    says = sent.says
    return {
        "orderNo": says["number"],
        "patient": _patient(says),
        "encounter": {"encounterNo": says["encounter"], "encounterClass": says["encounter_class"].value,
                      "ward": says["ward"] or None, "campus": says["campus"]},
        "orderingDepartment": says["department"], "priority": says["priority"].value, "orderedAt": sent.at,
        "verified": says["verified"], "items": _items(says), "facts": _facts(sent), "note": says["note"] or None,
    }  # fmt: skip


def _patient(says: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "identifiers": {"identifier": [identifier(says["patient"])]}, "name": says["name"], "sex": says["sex"].value,
        "birthDate": says["birth_date"], "phone": says["phone"] or None,
    }  # fmt: skip


def _items(says: Mapping[str, Any]) -> dict[str, Any]:
    confirmed = {"code": says.get("confirm", [])}
    items = [{"line": line, "itemCode": item, "confirmed": confirmed} for line, item in enumerate(says["item"], 1)]
    return {"item": items}


def _facts(sent: Sending) -> dict[str, Any]:
    facts = sent.says["fact"].items()
    return {"fact": [{"name": name, "value": _words(value), "observedAt": sent.at} for name, value in facts]}


def _change(sent: Sending) -> dict[str, Any]:
    says = sent.says
    return {
        "orderNo": says["order"], "facts": _facts(sent) if says["fact"] else None, "note": says["note"],
        "priority": says["priority"].value if says["priority"] else None, "items": _items(says) if says["item"] else None,
    }  # fmt: skip


def _void(sent: Sending) -> dict[str, Any]:
    return {**_lines(sent), "reason": sent.says["reason"], "reissue": sent.says["reissue"]}


def _refund(sent: Sending) -> dict[str, Any]:
    return {**_lines(sent), "kind": sent.says["kind"], "at": sent.at}


def _lines(sent: Sending) -> dict[str, Any]:
    return {"orderNo": sent.says["order"], "lines": {"line": sent.says["line"]}}


def _payment(sent: Sending) -> dict[str, Any]:
    return {**_lines(sent), "amount": sent.says["amount"] or None, "paidAt": sent.at}


def _assessment(sent: Sending) -> dict[str, Any]:
    says = sent.says
    entries = [{"name": name, "value": _words(value)} for name, value in says["data"].items()]
    return {
        "patientIdentifier": identifier(says["patient"]), "kind": says["kind"], "outcome": says["outcome"],
        "observedAt": sent.at, "scope": says["scope"] or None, "data": {"entry": entries},
    }  # fmt: skip


def _merge(sent: Sending) -> dict[str, Any]:
    return {"keep": identifier(sent.says["keep"]), "merged": identifier(sent.says["merge"])}


def _movement(sent: Sending) -> dict[str, Any]:
    says = sent.says
    return {
        "encounterNo": says["encounter"], "eventKind": sent.message, "at": sent.at, "patient": _patient(says),
        "ward": says["ward"] or None, "bed": says["bed"] or None,
    }  # fmt: skip


def _visit(*names: str) -> Callable[[Sending], dict[str, Any]]:
    """What is said of a visit: its number, and what the message says under these names."""

    def build(sent: Sending) -> dict[str, Any]:
        if not sent.says["appointment"]:
            raise _missing("appointment")
        said = {"at": sent.at, **{name: None if value == "" else value for name, value in sent.says.items()}}
        return {"appointmentNo": said["appointment"], **{name: said[name] for name in names}}

    return build


def _words(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


OPERATIONS: Mapping[str, tuple[str, Callable[[Sending], dict[str, Any]]]] = {
    "order": ("SubmitOrder", _order),
    "change": ("ChangeOrder", _change),
    "void": ("CancelOrder", _void),
    "payment": ("ReportPayment", _payment),
    "refund": ("ReportRefund", _refund),
    "assessment": ("ReportAssessment", _assessment),
    "merge": ("MergePatients", _merge),
    "admission": ("ReportEncounter", _movement),
    "transfer": ("ReportEncounter", _movement),
    "discharge": ("ReportEncounter", _movement),
    "death": ("ReportEncounter", _movement),
    "cancel": ("CancelAppointment", _visit("reason")),
    "checkin": ("CheckIn", _visit("at")),
    "call": ("ReportCall", _visit("absent")),
    "noshow": ("ReportNoShow", _visit()),
    "execution": ("ReportExecution", _visit("state", "at", "reason")),
}
"""The operation of each message. The gateway reports its deliveries over REST only."""
