"""What some systems serve besides events: the platform HIPMessageServer, the HIS clinical facts, the gateway messages."""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Mapping
from typing import Any

from flask import Flask, Response, request
from marshmallow import EXCLUDE, Schema, fields

from examlane.domain import Text
from examlane.errors import InvalidInput
from examlane_api.hip import frame
from examlane_api.hip.contract import HipContract
from examlane_api.hip.frame import Ack, Detail, Document
from examlane_api.hip.profiles import Profile
from examlane_api.hip.service import check
from examlane_api.rest import schemas
from examlane_api.sandbox.system import Received, System, body_of, not_signed
from examlane_api.soap.credentials import Credentials
from examlane_api.soap.engine import SoapService
from examlane_api.soap.faults import SoapRefusal

TOLD = frozenset({
    "CheckAppointStatusInfoAdd", "CheckAppointStatusInfoUpdate", "CheckStatusInfoUpdate", "SourceAndScheduleInfoAdd",
    "SourceAndScheduleInfoUpdate", "NoShowInfoAdd",
})  # fmt: skip
MOBILE = re.compile(r"1\d{10}", re.ASCII)
NO_MESSAGE_ID = Text("缺少消息编号", "the message has no id")
Facts = dict[str, dict[str, Mapping[str, Any]]]
"""By patient and name: value, source and when it was observed."""


# HIPMessageServer


def serve_hip(system: System, profile: Profile, password: str) -> None:
    """Take examlane's documents at `/hip`, each acknowledged AA or AE."""
    contract = HipContract(profile)

    def handle(_caller: Any, payload: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"text": _taken(system, profile, payload["action"], payload["message"]), "namespace": payload["namespace"]}

    def authenticate(given: Credentials | None) -> str | None:
        known = given and not given.digested and hmac.compare_digest(given.password.encode(), password.encode())
        return given.user if given and known and given.user == profile.outbound.user else None

    handlers = dict.fromkeys(contract.operations, handle)
    service = SoapService(contract, handlers, lambda: f"{system.address}/hip", authenticate)
    system.app.register_blueprint(service.blueprint("/hip", "hip"))


def _taken(system: System, profile: Profile, action: str, text: str) -> str:
    target = ""
    try:
        document = frame.read(text, profile.timezone)
        target = document.message_id
        ack = _kept(system, profile, action, document, text)
    except SoapRefusal as refusal:
        ack = Ack(False, (Detail(refusal.code, refusal.words("zh")),), target)
    except InvalidInput as error:
        ack = Ack(False, (Detail("invalid_input", frame.texts(error.problems)),), target)
    at = frame.stamp(system.now(), profile.timezone)
    return frame.write_ack(ack, frame.derived_id("sandbox", target, at), at, profile.receiver, profile.sender)


def _kept(system: System, profile: Profile, action: str, document: Document, text: str) -> Ack:
    if action not in TOLD:
        return Ack(False, (Detail("unknown_action", f"未知的服务：{action[:64]}"),), document.message_id)
    if not document.message_id:
        raise InvalidInput([("id", NO_MESSAGE_ID)])
    check(profile, action, document)
    subject, key = _about(document)
    system.keep(Received(document.message_id, "hip", action, subject, key, None, system.now(), text))
    return Ack(True, (Detail("accepted", "已接收"),), document.message_id)


def _about(document: Document) -> tuple[str, str]:
    """The appointment or the order that a document is about."""
    root = document.root
    number = root.raw(".//actAppointment/id") or root.raw("noShow/appointmentNo", "")
    if number:
        return "appointment", number
    return "order", root.raw(".//observationRequest/id/item")


# Messages for patients


class Words(Schema):
    """What a message must say; a newer examlane may say more."""

    class Meta:
        unknown = EXCLUDE

    message = fields.String(required=True)
    channel = fields.String(required=True)
    phone = fields.String(required=True)
    text = fields.Dict(required=True)


def serve_messages(system: System) -> None:
    """Take messages at `/messages`. One for no mobile telephone fails at once; of the others the fate is told later."""

    def hear() -> Response | tuple[Mapping[str, str], int]:
        if not system.is_genuine():
            return not_signed()
        said = body_of(request)
        words = Words().load(said)
        number = words["message"]
        system.keep(Received(number, "rest", words["channel"], "message", number, None, system.now(), said))
        return ({}, 202) if MOBILE.fullmatch(words["phone"]) else ({"state": "failed", "reason": "非手机号码"}, 200)

    system.app.add_url_rule("/messages", view_func=hear, methods=["POST"])


# Clinical facts


class Question(Schema):
    """Whose facts are asked for, and which."""

    patient = fields.Nested({"identifiers": fields.List(fields.Nested(schemas.Identifier), required=True)}, required=True)
    facts = fields.List(fields.String(), load_default=[])


def serve_facts(app: Flask, facts: Facts, secret: str) -> None:
    """Answer examlane's questions for clinical facts at `/context`, as a context provider of the kind `rest`."""

    def known() -> Response | None:
        given = request.headers.get("Authorization", "").encode()
        right = hmac.compare_digest(given, f"Bearer {secret}".encode())
        return None if right or not request.path.startswith("/context/") else Response(status=401)

    def answer_facts() -> Mapping[str, Any]:
        asked = Question().load(body_of(request))
        about = _of_patient(facts, asked["patient"])
        return {"patient": asked["patient"], "facts": {name: about[name] for name in asked["facts"] if name in about}}

    def answer_examinations() -> Mapping[str, Any]:
        return {"patient": Question().load(body_of(request))["patient"], "examinations": []}

    app.before_request(known)
    rules: Mapping[str, Callable[[], Mapping[str, Any]]] = {"facts": answer_facts, "examinations": answer_examinations}
    for name, view in rules.items():
        app.add_url_rule(f"/context/{name}", name, view, methods=["POST"])


def _of_patient(facts: Facts, patient: Mapping[str, Any]) -> Mapping[str, Any]:
    found: dict[str, Any] = {}
    for each in patient["identifiers"]:
        found |= facts.get(each["value"], {})
    return found
