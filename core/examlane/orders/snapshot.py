"""One patient's open orders, evidence and exams as of one version: what a plan is made from."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any

from examlane.capacity.catalogue import Catalogue, Catalogues
from examlane.domain import (
    EncounterClass,
    EncounterView,
    EvidenceView,
    Examination,
    Fact,
    IntervalRule,
    OrderItemView,
    OrderView,
    PatientView,
    Priority,
    Sex,
)
from examlane.errors import NotFound
from examlane.orders import context as clinical
from examlane.orders import intervals
from examlane.storage.database import Database
from examlane.storage.fields import epoch, instant, maybe_day, maybe_instant

HEAD = """SELECT p.sex, p.birth_date, p.out_of_town, p.version,
(SELECT generation FROM booking_due WHERE patient_id = p.id),
(SELECT value FROM setting WHERE name = 'catalogue'), (SELECT value FROM setting WHERE name = 'rollout'),
p.died_at, EXISTS (SELECT 1 FROM no_show_restriction r WHERE r.patient_id = p.id AND r.state = 'active')
FROM patient p WHERE p.id = ?"""
RESTRICTED = """SELECT department FROM no_show_restriction WHERE patient_id = ? AND state = 'active' AND until_at > ?"""
ITEMS = """SELECT oi.id, oi.key, oi.state, oi.fills, oi.confirmed, oi.payment, oi.release, oi.reason, i.code,
o.id, o.number, o.ordering_department, o.priority, o.context, o.note, o.ordered_at,
e.id, e.number, e.encounter_class, e.ward, e.campus, e.needs, o.replaces, ai.appointment_id
FROM order_item oi JOIN exam_order o ON o.id = oi.order_id JOIN encounter e ON e.id = o.encounter_id
JOIN exam_item i ON i.id = oi.item_id
LEFT JOIN appointment_item ai ON ai.order_item_id = oi.id AND ai.active = 1
WHERE oi.patient_id = ? AND oi.state NOT IN ('cancelled', 'fulfilled', 'withdrawn', 'replaced')
AND (oi.state <> 'rejected' OR ai.appointment_id IS NOT NULL OR EXISTS (SELECT 1 FROM order_item other
WHERE other.order_id = oi.order_id AND other.state NOT IN ('cancelled', 'rejected'))) ORDER BY oi.id"""
"""Open items. An order that was rejected as a whole was never submitted: it waits to be sent again."""
EVIDENCE = """SELECT kind, outcome, observed_at, valid_until, scope, source, data FROM evidence
WHERE patient_id = ? AND recorded_at <= ? ORDER BY observed_at, id"""
APPOINTMENTS = """SELECT a.id, a.number, a.version, a.state, a.department, a.start_at, a.end_at, a.automatic,
a.moved_by_patient, g.zone, g.code, a.mode FROM appointment a JOIN resource_group g ON g.id = a.group_id
WHERE a.patient_id = ? AND a.start_at > ? AND a.state NOT IN
('cancelled', 'expired', 'replaced', 'suspended', 'not_done', 'no_show') ORDER BY a.start_at"""
APPOINTMENT_ITEMS = """SELECT ai.appointment_id, oi.key, i.code FROM appointment_item ai
JOIN order_item oi ON oi.id = ai.order_item_id JOIN exam_item i ON i.id = oi.item_id
WHERE oi.patient_id = ? AND ai.active = 1 AND ai.held_until IS NULL"""
HELD = """SELECT ai.appointment_id, oi.id, o.number, oi.line, i.code FROM appointment_item ai
JOIN order_item oi ON oi.id = ai.order_item_id JOIN exam_order o ON o.id = oi.order_id
JOIN exam_item i ON i.id = oi.item_id WHERE oi.patient_id = ? AND ai.active = 1 AND ai.held_until > ? ORDER BY oi.id"""
SEGMENTS = """SELECT s.appointment_id, s.start_at, s.end_at FROM appointment_segment s
JOIN appointment a ON a.id = s.appointment_id WHERE a.patient_id = ? AND a.start_at > ? ORDER BY s.start_at"""
PAST = """SELECT i.code, p.start_at, p.end_at FROM past_examination p JOIN exam_item i ON i.id = p.item_id
WHERE p.patient_id = ? AND p.start_at > ?"""
LOOK_BACK = timedelta(days=200)
LAST = 2**53
"""Later than any instant that is stored."""


@dataclass(frozen=True, slots=True)
class OpenItem:
    """An order item that is neither cancelled nor done, with its order and encounter."""

    id: int
    key: str
    state: str
    payment: str
    release: str
    reason: str
    department: str
    encounter_id: int
    order: OrderView
    view: OrderItemView
    appointment: int | None
    replaces: str = ""

    def waives(self, rule: IntervalRule) -> str:
        """The reason with which the doctor set a rule aside for this item, or nothing."""
        return self.view.confirmed.get(rule.rule, "") if intervals.waivable(rule, self.order.urgent) else ""


@dataclass(frozen=True, slots=True)
class Visit:
    """An active appointment of the patient: when, where, for what, and whether it may be re-planned."""

    id: int
    number: str
    version: int
    state: str
    department: str
    starts_at: datetime
    ends_at: datetime
    automatic: bool
    moved: bool
    zone: str
    group: str
    items: tuple[str, ...]
    codes: tuple[str, ...]
    segments: tuple[tuple[datetime, datetime], ...]
    mode: str = "slot"


@dataclass(frozen=True, slots=True)
class HeldPlace:
    """A place in a visit that is kept for the order that replaces a withdrawn one."""

    appointment: int
    order_item: int
    order: str
    line: int
    code: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    patient: PatientView
    version: int
    rollout_version: int
    generation: int | None
    catalogue: Catalogue
    items: tuple[OpenItem, ...]
    evidence: tuple[EvidenceView, ...]
    visits: tuple[Visit, ...]
    exams: tuple[Examination, ...]
    """Every exam of the patient that intervals look at: booked, done, and done elsewhere."""
    held: tuple[HeldPlace, ...] = ()
    restricted: frozenset[str] = frozenset()
    """Departments that book for the patient at their desk only: too many visits were missed."""
    died: bool = False

    def context(self) -> Mapping[str, Fact]:
        """The newest known clinical facts over all open orders."""
        facts: dict[str, Fact] = {}
        for item in self.items:
            facts.update(item.order.context)
        return facts


def read(database: Database, catalogues: Catalogues, patient: int, now: datetime) -> Snapshot:
    """Read a patient's snapshot. Versions are read first, so that a change while reading makes the plan stale."""
    head = database.row(HEAD, patient)
    if head is None:
        raise NotFound("patient", str(patient))
    sex, birth_date, out_of_town, version, generation, catalogue_version, rollout_version, died, restricted = head
    view = PatientView(patient, Sex(sex), maybe_day(birth_date), bool(out_of_town))
    catalogue = catalogues.at(catalogue_version or 0)
    since = epoch(now - LOOK_BACK)
    visits = _visits(database, patient, since)
    items = _items(database, catalogue, view, now)
    replacing = any(item.replaces for item in items)
    return Snapshot(
        patient=view,
        version=version,
        rollout_version=rollout_version or 0,
        generation=generation,
        catalogue=catalogue,
        items=items,
        evidence=evidence_of(database, patient),
        visits=visits,
        exams=_exams(database, catalogue, patient, since, visits),
        held=tuple(HeldPlace(*row) for row in database.rows(HELD, patient, epoch(now))) if replacing else (),
        restricted=_restricted(database, patient, now) if restricted else frozenset(),
        died=died is not None,
    )


def _restricted(database: Database, patient: int, now: datetime) -> frozenset[str]:
    return frozenset(row[0] for row in database.rows(RESTRICTED, patient, epoch(now)))


def evidence_of(database: Database, patient: int, known_at: int = LAST) -> tuple[EvidenceView, ...]:
    """Everything known of a patient that can open a gate, now or at an earlier instant (UTC seconds), oldest first."""
    return tuple(_evidence(*row) for row in database.rows(EVIDENCE, patient, known_at))


def _items(database: Database, catalogue: Catalogue, patient: PatientView, now: datetime) -> tuple[OpenItem, ...]:
    orders: dict[int, OrderView] = {}
    known = clinical.known_facts(database, patient.id)
    return tuple(_item(catalogue, patient, now, orders, known, row) for row in database.rows(ITEMS, patient.id))


def _item(
    catalogue: Catalogue, patient: PatientView, now: datetime, orders: dict[int, OrderView], known: Mapping[str, Fact],
    row: tuple[Any, ...],
) -> OpenItem:  # fmt: skip
    key, name, state, fills, confirmed, payment, release, reason, code, order_id, *rest = row
    encounter_id, appointment = rest[6], rest[-1]
    if order_id not in orders:
        told = order_view(*rest[:6], *rest[7:-2])
        orders[order_id] = replace(told, context=clinical.newest(told.context, known, told.ordered_at))
    order = orders[order_id]
    item = catalogue.item(code)
    services = catalogue.offered(code, patient, order.encounter, order.known("weight_kg"), now.date())
    view = OrderItemView(name, item, services, MappingProxyType(json.loads(fills)), MappingProxyType(json.loads(confirmed)))
    return OpenItem(
        key, name, state, payment, release, reason, item.department, encounter_id, order, view, appointment, rest[-2]
    )


def order_view(
    number: str, department: str, priority: str, context: str, note: str, ordered_at: int,
    encounter: str, encounter_class: str, ward: str, campus: str, needs: str,
) -> OrderView:  # fmt: skip
    """An order without its items, from the columns of its row and its encounter's."""
    visit = EncounterView(encounter, EncounterClass(encounter_class), ward, campus, frozenset(json.loads(needs)))
    return OrderView(number, visit, department, Priority(priority), instant(ordered_at), (), facts(context), note)


def facts(context: str) -> Mapping[str, Fact]:
    """Clinical facts from their stored JSON."""
    return MappingProxyType(
        {
            name: Fact(fact["value"], maybe_instant(fact["observed_at"]), fact["source"])
            for name, fact in json.loads(context).items()
        }
    )


def _evidence(
    kind: str, outcome: str, observed_at: int, valid_until: int | None, scope: str, source: str, data: str
) -> EvidenceView:
    return EvidenceView(
        kind, outcome, instant(observed_at), maybe_instant(valid_until), scope, source,
        MappingProxyType(json.loads(data)),
    )  # fmt: skip


def _visits(database: Database, patient: int, since: int) -> tuple[Visit, ...]:
    rows = database.rows(APPOINTMENTS, patient, since)
    if not rows:
        return ()
    items, codes, segments = defaultdict(list), defaultdict(list), defaultdict(list)
    for appointment, key, code in database.rows(APPOINTMENT_ITEMS, patient):
        items[appointment].append(key)
        codes[appointment].append(code)
    for appointment, start, end in database.rows(SEGMENTS, patient, since):
        segments[appointment].append((instant(start), instant(end)))
    return tuple(
        Visit(
            row[0], row[1], row[2], row[3], row[4], instant(row[5]), instant(row[6]), bool(row[7]), bool(row[8]),
            row[9], row[10], tuple(items[row[0]]), tuple(codes[row[0]]), tuple(segments[row[0]]),
            row[11],
        )
        for row in rows
    )  # fmt: skip


def _exams(
    database: Database, catalogue: Catalogue, patient: int, since: int, visits: tuple[Visit, ...]
) -> tuple[Examination, ...]:
    booked = [
        Examination(catalogue.item(code), visit.starts_at, visit.ends_at, visit.number)
        for visit in visits
        for code in visit.codes
    ]
    elsewhere = [
        Examination(catalogue.item(code), instant(start), instant(end))
        for code, start, end in database.rows(PAST, patient, since)
    ]
    return tuple(booked + elsewhere)
