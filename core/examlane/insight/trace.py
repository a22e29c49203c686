"""Why an order is as it is: what was decided about it, and what every plugin says when it is planned again now."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, tzinfo
from typing import Any

from examlane.appointments import status
from examlane.appointments.status import ItemStatus
from examlane.domain import Finding, GateClosed, GateOpen, IntervalRule, Preparation
from examlane.extension.dispatch import Answer, Dispatcher
from examlane.hospital import Hospital
from examlane.orders import snapshot
from examlane.orders.snapshot import Snapshot
from examlane.planning.planner import Plan, Planner
from examlane.storage.fields import instant
from examlane.visit import Infeasible, Placement, Visit

GATES = """SELECT oi.key, g.kind, g.state, g.code, g.plugin, g.evaluated_at FROM gate g
JOIN order_item oi ON oi.id = g.order_item_id JOIN exam_order o ON o.id = oi.order_id
WHERE o.number = ? ORDER BY oi.id, g.kind"""
VERSIONS = """SELECT version, state, start_at, at, actor, reason, evidence FROM appointment_version
WHERE appointment_id = ? ORDER BY version"""


@dataclass(frozen=True, slots=True)
class DecidedGate:
    """A gate as it was last evaluated, and the plugin that did."""

    item: str
    kind: str
    state: str
    code: str
    plugin: str
    evaluated_at: datetime


@dataclass(frozen=True, slots=True)
class DecidedVersion:
    """A version of an appointment, with its evidence: plugins, rules with versions, gates, the rollout's version."""

    number: str
    version: int
    state: str
    starts_at: datetime
    at: datetime
    actor: str
    reason: str
    evidence: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Said:
    """What one plugin said at one hook, in one short line."""

    department: str
    hook: str
    plugin: str
    version: str
    milliseconds: float
    answer: str
    failure: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What planning again makes of an item; `starts_at` is local to the hospital."""

    item: str
    state: str
    reason: str
    starts_at: datetime | None
    group: str


@dataclass(frozen=True, slots=True)
class Trace:
    """An order's decisions as they are stored, and a rehearsal of them that stores nothing."""

    order: str
    items: tuple[ItemStatus, ...]
    gates: tuple[DecidedGate, ...]
    versions: tuple[DecidedVersion, ...]
    said: tuple[Said, ...]
    outcome: tuple[Outcome, ...]


def trace(hospital: Hospital, number: str) -> Trace:
    """Everything about one order. Raises `NotFound`."""
    items = status.of_order(hospital, number)
    plan = rehearse(hospital, number)
    return Trace(
        number,
        tuple(items),
        tuple(_gates(hospital, number)),
        tuple(_versions(hospital, items)),
        tuple(_said(answer, hospital.settings.zone) for answer in plan.trace),
        tuple(_outcome(hospital, plan, number)),
    )


def rehearse(hospital: Hospital, number: str) -> Plan:
    """The plan of the order's patient as it would be made now, were the order not booked; nothing is stored.

    The seats that the order holds count as taken. Its failures rest no plugin: a dispatcher of its own is asked.
    """
    patient = hospital.database.value("SELECT patient_id FROM exam_order WHERE number = ?", number)
    now = hospital.clock.now()
    found = _as_if_open(snapshot.read(hospital.database, hospital.catalogues, patient, now), number)
    dispatcher = Dispatcher(hospital.settings.hook_seconds, thread_ends=hospital.database.close)
    try:
        return Planner(replace(hospital, dispatcher=dispatcher), found, now).plan()
    finally:
        dispatcher.close()


def _as_if_open(found: Snapshot, number: str) -> Snapshot:
    own = {item.appointment for item in found.items if item.order.number == number}
    left_out = {visit.number for visit in found.visits if visit.id in own}
    return replace(
        found,
        items=tuple(replace(item, appointment=None) if item.appointment in own else item for item in found.items),
        visits=tuple(visit for visit in found.visits if visit.id not in own),
        exams=tuple(exam for exam in found.exams if exam.appointment not in left_out),
    )


def _gates(hospital: Hospital, number: str) -> Iterable[DecidedGate]:
    for item, kind, state, code, plugin, at in hospital.database.rows(GATES, number):
        yield DecidedGate(item, kind, state, code, plugin, instant(at))


def _versions(hospital: Hospital, items: Iterable[ItemStatus]) -> Iterable[DecidedVersion]:
    appointments = {item.appointment.id: item.appointment.number for item in items if item.appointment}
    for key, number in appointments.items():
        for version, state, start, at, actor, reason, evidence in hospital.database.rows(VERSIONS, key):
            yield DecidedVersion(number, version, state, instant(start), instant(at), actor, reason, json.loads(evidence))


def _outcome(hospital: Hospital, plan: Plan, number: str) -> Iterable[Outcome]:
    placed = {item.key: visit for visit in plan.visits for item in visit.items}
    for verdict in plan.verdicts:
        if verdict.item.order.number != number:
            continue
        visit = placed.get(verdict.item.key)
        reason = "booked" if visit else plan.unplaced.get(verdict.item.id, verdict.reason)
        local = visit.starts_at.astimezone(hospital.settings.zone) if visit else None
        yield Outcome(verdict.item.key, verdict.state, reason, local, visit.option.group if visit else "")


def _said(answer: Answer, zone: tzinfo) -> Said:
    return Said(
        answer.department, answer.hook, answer.plugin, answer.version, answer.milliseconds,
        "" if answer.failure else in_short(answer.value, zone), answer.failure,
    )  # fmt: skip


def in_short(value: Any, zone: tzinfo) -> str:
    """A checked answer of any hook in one line, with local times."""
    if value is None:
        return "declines"
    if isinstance(value, Infeasible):
        return f"impossible: {value.code}"
    return "; ".join(_one(one, zone) for one in value) or "nothing"


def _one(value: Any, zone: tzinfo) -> str:
    if isinstance(value, Finding):
        filled = f" {value.field} = {value.value}" if value.field else ""
        return f"{value.item} {value.kind.value} {value.code}{filled}{_time(' until', value.until, zone)}"
    if isinstance(value, GateOpen):
        return f"{value.item} {value.kind} open{_time(' until', value.until, zone)}"
    if isinstance(value, GateClosed):
        return f"{value.item} {value.kind} closed: {value.code}"
    if isinstance(value, Visit):
        groups = ", ".join(option.group for option in value.options) or "no place"
        limits = _time(" from", value.earliest, zone) + _time(" to", value.latest, zone)
        return f"{value.key} at {groups}{limits}"
    if isinstance(value, IntervalRule):
        return value.rule
    if isinstance(value, Preparation):
        hours = value.lead.total_seconds() / 3600
        return f"{value.code} {hours:g} h before" if hours else value.code
    return f"{value.code}: " + ", ".join(_place(placement, zone) for placement in value.placements)


def _place(placement: Placement, zone: tzinfo) -> str:
    return f"{placement.visit}{_time('', placement.starts_at, zone)} {placement.group}"


def _time(word: str, instant: datetime | None, zone: tzinfo) -> str:
    return f"{word} {instant.astimezone(zone):%Y-%m-%d %H:%M}" if instant else ""
