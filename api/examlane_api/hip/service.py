"""One endpoint a platform: a document comes in, is done once, and is acknowledged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

from flask import Flask, g

from examlane import reporting
from examlane.domain import Text
from examlane.errors import ExamlaneError, InvalidInput, NotFound, Refused, Unavailable
from examlane.hospital import Hospital
from examlane.records import inbox
from examlane.records.audit import SYSTEM, Actor
from examlane.records.inbox import Missing, Parked
from examlane.records.receipts import Replay, RequestKey
from examlane_api import clients, replays
from examlane_api.access import Caller, may
from examlane_api.hip import frame
from examlane_api.hip.actions import ACTIONS, PRIVATE_ACTIONS, Action
from examlane_api.hip.codes import FORBIDDEN, Call, Unknown
from examlane_api.hip.contract import HipContract
from examlane_api.hip.frame import Ack, Detail, Document
from examlane_api.hip.profiles import Profile
from examlane_api.soap.engine import SoapService
from examlane_api.soap.faults import FaultKind, SoapRefusal
from examlane_api.soap.service import authenticator, location

PRIVATE_SCHEMA = Path(str(files("examlane_api.hip").joinpath("private.xsd")))
SUBJECTS = {
    "order": "申请单", "appointment": "预约", "patient": "患者", "department": "科室", "schedule": "排班",
    "merge": "患者合并", "encounter": "就诊", "encounter event": "就诊事件",
}  # fmt: skip
KINDS = {
    "item": "检查项目", "department": "科室", "status": "状态", "priority": "优先级", "class": "就诊类别",
    inbox.ORDER: "申请单",
}  # fmt: skip
ORDERS = frozenset({"CheckAppInfoAdd", "CheckAppInfoUpdate"})
"""With them may come the order that other messages wait for."""
AGAIN = frozenset({"request_in_flight", "version_conflict"})
"""Refusals that are answered as a fault, so that the platform sends the same document again by itself."""


def register(app: Flask, hospital: Hospital, address: str, profiles: Mapping[str, Profile]) -> None:
    """Serve `/soap/hip/<peer>` for every profile."""
    authenticate = authenticator(app, hospital)
    for code, profile in profiles.items():
        url = f"/soap/hip/{code}"
        contract = HipContract(profile)
        handle = partial(_handle, hospital, profile)
        handlers = dict.fromkeys(contract.operations, handle)
        service = SoapService(contract, handlers, location(address, url), authenticate)
        app.register_blueprint(service.blueprint(url, f"hip_{code.replace('-', '_')}"))


def _handle(hospital: Hospital, profile: Profile, caller: Caller, payload: Mapping[str, Any]) -> Mapping[str, Any]:
    if caller.name != profile.client:
        raise SoapRefusal("forbidden", FORBIDDEN)
    actor = Actor(caller.name, "hip", g.get("request_id", ""))
    text = answer(hospital, profile, caller, actor, payload["action"], payload["message"])
    return {"text": text, "namespace": payload["namespace"]}


def answer(hospital: Hospital, profile: Profile, caller: Caller, actor: Actor, action: str, text: str) -> str:
    """The acknowledgement of one document. Raises `SoapRefusal` where it should be sent again as it is."""
    try:
        document = frame.read(text, profile.timezone)
    except SoapRefusal as refusal:
        return _written(hospital, profile, None, Ack(False, (Detail(refusal.code, refusal.words("zh")),)))
    try:
        ack = _taken(hospital, profile, caller, actor, action, text, document)
    except Unavailable as error:
        words = Text("系统繁忙，请稍后重发", "busy: send the same document again later")
        raise SoapRefusal("unavailable", words, retryable=True, kind=FaultKind.RECEIVER) from error
    except ExamlaneError as error:
        if isinstance(error, Refused) and error.code in AGAIN:
            raise SoapRefusal(error.code, error.text, retryable=True, kind=FaultKind.RECEIVER) from error
        ack = Ack(False, _refusal(error))
    return _written(hospital, profile, document, ack)


def _written(hospital: Hospital, profile: Profile, document: Document | None, ack: Ack) -> str:
    at = ack.at or frame.stamp(hospital.clock.now(), profile.timezone)
    target, sender = (document.message_id, document.sender) if document else ("", "")
    number = frame.derived_id(profile.code, "ack", target, at)
    return frame.write_ack(replace(ack, target=target), number, at, profile.sender, sender or profile.receiver)


def _taken(
    hospital: Hospital, profile: Profile, caller: Caller, actor: Actor, name: str, text: str, document: Document
) -> Ack:
    action = ACTIONS.get(name)
    if action is None:
        raise Refused("unknown_action", Text(f"未知的服务：{name[:64]}", f"no such action: {name[:64]}"))
    if not may(caller, action.operation):
        raise Refused("forbidden", FORBIDDEN)
    if not document.message_id:
        document.root.wrong("messageId" if name in PRIVATE_ACTIONS else "id", "extension", frame.MISSING)
        document.check()
    check(profile, name, document)
    key = RequestKey(caller.name, document.message_id, document.fingerprint)
    call = Call(hospital, profile, caller, actor, key, _made_at(hospital, document))
    value = action.read(document.root, profile)
    document.check()
    return _once(call, name, action, value, text) if action.writes else action.act(call, value)


def _made_at(hospital: Hospital, document: Document) -> datetime:
    """When a document was made; one from the future is as new as it can be."""
    now = hospital.clock.now()
    return min(document.made_at or now, now)


def check(profile: Profile, action: str, document: Document) -> None:
    """Raise `InvalidInput` where a document does not fit its schema: ours always, the standard's where it is there."""
    if action in PRIVATE_ACTIONS:
        frame.check_file(document, PRIVATE_SCHEMA)
    elif profile.schema_folder is not None:
        frame.check_file(document, profile.schema_folder / f"{action}.xsd")


def _once(call: Call, name: str, action: Action, value: Any, text: str) -> Ack:
    """Do it once for its message id; what names unknown codes is parked whole, where the profile allows it."""

    def act(key: RequestKey) -> Mapping[str, Any]:
        try:
            ack = action.act(call, value)
        except Unknown as unknown:
            ack = _park(call, name, unknown.missing, text)
        return _dated(call, ack)

    def again(seen: Replay) -> Mapping[str, Any]:
        if seen.subject in ("order", "payment"):
            replays.finish_order(call.hospital, seen.subject_key, call.actor)
        return _dated(call, action.again(call, value))

    data, _ = reporting.once(call.hospital, call.key, act, again)
    if name in ORDERS:
        replay_ready(call.hospital, call.profile, call.actor, order=value.number)
    return frame.of_data(data)


def _dated(call: Call, ack: Ack) -> Mapping[str, Any]:
    """An acknowledgement as it is stored: with its instant, so that it is the same when it is given again."""
    return frame.as_data(replace(ack, at=frame.stamp(call.hospital.clock.now(), call.profile.timezone)))


def _park(call: Call, name: str, missing: Sequence[Missing], text: str) -> Ack:
    database, now = call.hospital.database, call.hospital.clock.now()
    words = "；".join(f"{KINDS[each.kind]} {each.code}{f'（{each.name}）' if each.name else ''}" for each in missing)
    waits_for_order = any(each.kind == inbox.ORDER for each in missing)
    if not call.profile.park_unknown and not waits_for_order:
        database.write(lambda: inbox.note(database, call.profile.code, missing, now))
        raise Refused("unknown_code", Text(f"未对照的编码：{words}", f"codes without a meaning here: {words}"))
    inbox.park(database, call.profile.code, name, call.key, text, missing, now)
    return Ack(True, (Detail("parked", f"已存储，等待{'申请单到达' if waits_for_order else '编码对照'}：{words}"),))


def replay_ready(hospital: Hospital, profile: Profile, actor: Actor, *, order: str = "") -> list[tuple[Parked, str]]:
    """Do what was parked and waits no longer (for `order`); each message with what became of it, as `replay` says it."""
    ready = inbox.ready(hospital.database, profile.code, order)
    return [(each, replay(hospital, profile, actor, each)) for each in ready if each.action in ACTIONS]


def replay_all(hospital: Hospital, profile: Profile, actor: Actor) -> list[tuple[Parked, str]]:
    """Try everything that is parked: codes may have got their meaning in the profile. A wait for an order ends in a day."""
    inbox.give_up(hospital.database, hospital.clock.now(), profile.code)
    waiting = inbox.parked(hospital.database, profile.code)
    return [(each, replay(hospital, profile, actor, each)) for each in waiting if each.action in ACTIONS]


def replay_arrived(hospital: Hospital, profiles: Mapping[str, Profile]) -> int:
    """Do what waits no longer, whoever brought what it waited for; returns how many messages are settled."""
    done = [pair for profile in profiles.values() for pair in replay_ready(hospital, profile, SYSTEM)]
    return sum(outcome != "parked" for _, outcome in done)


def replay(hospital: Hospital, profile: Profile, actor: Actor, parked: Parked) -> str:
    """Do a parked message now, once, with the rights its sender has now: `done`, still `parked`, or why it is refused."""
    database, now = hospital.database, hospital.clock.now()
    document = frame.read(parked.body, profile.timezone)
    caller = clients.caller(database, profile.client, "hip", now)
    action = ACTIONS[parked.action]
    if caller is None or not may(caller, action.operation):
        return "its sender may not do this"
    key = RequestKey(caller.name, f"parked-{parked.id}", document.fingerprint)
    sender = Actor(caller.name, "hip", actor.request_id)
    call = Call(hospital, profile, caller, sender, key, _made_at(hospital, document))
    try:
        value = action.read(document.root, profile)
        data, _ = reporting.once(
            hospital, key, lambda _: _dated(call, action.act(call, value)),
            lambda _: _dated(call, action.again(call, value)),
        )  # fmt: skip
        ack = frame.of_data(data)
    except Unknown as unknown:
        inbox.wait_on(database, parked.id, unknown.missing)
        return "parked"
    except Unavailable:
        return "parked"
    except ExamlaneError as error:
        ack = Ack(False, _refusal(error))
    reason = "" if ack.taken else "；".join(f"{each.code} {each.text}" for each in ack.details)
    inbox.settle(database, parked.id, now, reason)
    if ack.taken and parked.action in ORDERS:
        replay_ready(hospital, profile, actor, order=value.number)
    return reason or "done"


def _refusal(error: ExamlaneError) -> tuple[Detail, ...]:
    if isinstance(error, InvalidInput):
        return (Detail("invalid_input", frame.texts(error.problems)),)
    if isinstance(error, NotFound):
        return (Detail("not_found", f"没有这个{SUBJECTS.get(error.subject, error.subject)}：{error.key[:64]}"),)
    if isinstance(error, Refused):
        place = f"（{error.pointer}）" if error.pointer else ""
        return (Detail(error.code, f"{error.text.zh}{place}"),)
    return (Detail("try_again", "请稍后重发"),)
