"""The one road to an appointment: snapshot → rules → times → one transaction. Used by every channel and the worker."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from examlane.appointments import desk, distances, evidence, places, visits
from examlane.domain import GateOpen
from examlane.errors import Conflict, NotFound, StalePlan
from examlane.extension import shadow
from examlane.hospital import Hospital
from examlane.orders import patients, snapshot
from examlane.orders.snapshot import OpenItem
from examlane.orders.snapshot import Visit as BookedVisit
from examlane.outbound import order_items
from examlane.planning.allocation import EXTRA
from examlane.planning.constraints import audiences
from examlane.planning.judging import NamedGate, Verdict
from examlane.planning.planner import Plan, PlannedVisit, Planner
from examlane.planning.takeover import TAKEN_OVER, take_over
from examlane.reasons import REASONS
from examlane.records import jobs, receipts
from examlane.records.audit import SYSTEM, Actor
from examlane.records.receipts import RequestKey
from examlane.storage.fields import dump, epoch, maybe_epoch
from examlane.storage.ledger import Itinerary

ATTEMPTS = 4
RETRY_SECONDS = 5
GIVE_UP_AFTER = 5
UPDATE_ITEM = """UPDATE order_item SET state = ?, findings = ?, fills = ?, earliest_at = ?, reason = ?
WHERE id = ? AND state NOT IN ('cancelled', 'fulfilled', 'withdrawn', 'replaced') RETURNING id"""
ON_CLOSED_SLOTS = """SELECT s.id FROM claim c JOIN slot s ON s.id = c.slot_id
WHERE c.appointment_id = ? AND c.released_at IS NULL AND s.closed = 1"""
LEAVE_PLACE = """UPDATE appointment_item SET active = ?, outcome = ?, held_until = ?
WHERE order_item_id = ? AND active = 1 RETURNING id"""
UPSERT_GATE = """INSERT INTO gate (order_item_id, kind, state, code, reason, next_action, owner, payable, valid_until,
plugin, evaluated_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (order_item_id, kind) DO UPDATE SET state = excluded.state, code = excluded.code, reason = excluded.reason,
next_action = excluded.next_action, owner = excluded.owner, payable = excluded.payable,
valid_until = excluded.valid_until, plugin = excluded.plugin, evaluated_at = excluded.evaluated_at RETURNING id"""


@dataclass(frozen=True, slots=True)
class Settlement:
    """What a settling did: whether it finished, and which appointments it made or moved."""

    finished: bool
    appointments: tuple[int, ...] = ()


def settle(hospital: Hospital, patient: int, actor: Actor = SYSTEM) -> Settlement:
    """Bring a patient's open items as far as the rules allow: judged, booked where possible, else explained.

    A lost race is planned again on fresh data a few times; then the worker, at last the desk finishes it.
    """
    hospital.context.complete(hospital.database, hospital.catalogues.current, patient, hospital.clock.now())
    for _ in range(ATTEMPTS):
        state = snapshot.read(hospital.database, hospital.catalogues, patient, hospital.clock.now())
        try:
            plan = Planner(hospital, state, hospital.clock.now()).plan(take_over if state.held else None)
            booked = hospital.database.write(partial(_commit, hospital, plan, actor))
        except StalePlan:
            continue
        return Settlement(True, booked)
    _leave_to_worker(hospital, patient)
    return Settlement(False)


def plan_rest_again(hospital: Hospital, number: str, actor: Actor, key: RequestKey | None = None) -> Settlement:
    """Plan what is left of a cancelled appointment's itinerary together anew, its own seats counting as free.

    Numbers stay. Where not all of them find a time, nothing changes. Raises `NotFound`, and `Conflict` when a race is
    lost too often.
    """
    cancelled, patient = _of_number(hospital, number)
    for _ in range(ATTEMPTS):
        state = snapshot.read(hospital.database, hospital.catalogues, patient, hospital.clock.now())
        rest = {key for key, _ in desk.rest_of_itinerary(hospital.database, cancelled, hospital.clock.now())}
        plan = Planner(hospital, state, hospital.clock.now()).plan_again(rest)
        try:
            write = partial(_commit_rest, hospital, plan, cancelled, actor, key)
            return Settlement(True, hospital.database.write(write))
        except StalePlan:
            continue
    raise Conflict("conflict_repeated", REASONS["conflict_repeated"])


def rest_of(hospital: Hospital, number: str) -> list[str]:
    """The numbers of the appointments that `plan_rest_again` may move. Raises `NotFound`."""
    cancelled, _patient = _of_number(hospital, number)
    return [other for _, other in desk.rest_of_itinerary(hospital.database, cancelled, hospital.clock.now())]


def _of_number(hospital: Hospital, number: str) -> tuple[int, int]:
    row = hospital.database.row("SELECT id, patient_id FROM appointment WHERE number = ?", number)
    if row is None:
        raise NotFound("appointment", number)
    return row[0], row[1]


def _commit_rest(hospital: Hospital, plan: Plan, cancelled: int, actor: Actor, key: RequestKey | None) -> tuple[int, ...]:
    patient = str(plan.snapshot.patient.id)
    receipts.keep(hospital.database, key, "patient", patient, epoch(hospital.clock.now()))
    desk.close_offer(hospital.database, cancelled, actor.name, hospital.clock.now())
    return _commit(hospital, plan, actor)


def write_plan(hospital: Hospital, plan: Plan, actor: Actor, also: Callable[[], None]) -> None:
    """Write a plan and what belongs to it, in one transaction. Raises `StalePlan` when the patient changed meanwhile."""
    write_plans(hospital, [plan], actor, also)


def write_plans(hospital: Hospital, plans: Sequence[Plan], actor: Actor, also: Callable[[], None]) -> None:
    """Write the plans of several patients, and what belongs to them, all or none."""

    def write() -> None:
        for plan in sorted(plans, key=lambda each: each.snapshot.patient.id):
            _commit(hospital, plan, actor)
        also()

    hospital.database.write(write)


def settle_due(hospital: Hospital, limit: int = 50) -> int:
    """The worker's part: settle every patient whose plan is due; returns how many finished."""
    due = jobs.due_patients(hospital.database, epoch(hospital.clock.now()), limit)
    return sum(settle(hospital, patient).finished for patient in due)


def _leave_to_worker(hospital: Hospital, patient: int) -> None:
    now = hospital.clock.now()

    def postpone() -> None:
        tried = jobs.postpone(hospital.database, patient, epoch(now) + RETRY_SECONDS)
        if tried == GIVE_UP_AFTER:
            desk.open_task(hospital.database, "conflict_repeated", "", patient, None, now, hospital.settings.desk_deadline)

    hospital.database.write(postpone)


def _commit(hospital: Hospital, plan: Plan, actor: Actor) -> tuple[int, ...]:
    """Write a plan, or raise `StalePlan` when what the hooks saw is no longer so. Database statements only."""
    database, state = hospital.database, plan.snapshot
    if patients.bump(database, state.patient.id, state.version) != state.rollout_version:
        raise StalePlan("the rollout changed meanwhile")
    for verdict in plan.verdicts:
        _store_verdict(hospital, plan, verdict, actor)
    order_items.answered(database, plan.verdicts, epoch(hospital.clock.now()))
    _follow_gates(hospital, plan, actor)
    for visit in plan.visits:
        _leave_places(hospital, plan, visit)
    booked = tuple(_book(hospital, plan, visit, actor) for visit in plan.visits)
    placed = [(appointment, visit.items) for appointment, visit in zip(booked, plan.visits, strict=True)]
    distances.store(hospital, plan, placed)
    shadow.remember(database, plan.watched, epoch(hospital.clock.now()))
    jobs.done(database, state.patient.id, state.generation)
    return booked


def _store_verdict(hospital: Hospital, plan: Plan, verdict: Verdict, actor: Actor) -> None:
    database, item, now = hospital.database, verdict.item, hospital.clock.now()
    placed = any(item in visit.items for visit in plan.visits)
    barred = "no_service" if _barred(plan, item, now) else ""
    reason = barred or ("booked" if placed or item.appointment else plan.unplaced.get(item.id, verdict.reason))
    if item.appointment and not placed and item.reason == "no_show":
        reason = "no_show"  # a missed visit keeps its items until somebody decides, and the desk its task
    task = barred or ("" if placed or item.appointment else plan.unplaced.get(item.id, verdict.desk))
    database.rows(
        UPDATE_ITEM, verdict.state, dump(evidence.findings_as_data(verdict.findings)), dump(dict(verdict.fills)),
        maybe_epoch(verdict.earliest), reason, item.id,
    )  # fmt: skip
    kinds = [gate.answer.kind for gate in verdict.gates]
    marks = ", ".join("?" for _ in kinds)
    stale = f" AND kind NOT IN ({marks})" if kinds else ""
    database.rows(f"DELETE FROM gate WHERE order_item_id = ?{stale} RETURNING id", item.id, *kinds)
    for gate in verdict.gates:
        _store_gate(hospital, item.id, gate)
    if task or (item.reason and item.reason != reason):
        desk.close_tasks(database, item.id, task, actor.name, now)
    if task:
        desk.open_task(
            database, task, item.department, plan.snapshot.patient.id, item.id, now, hospital.settings.desk_deadline
        )
    if reason != item.reason:
        order_items.changed(database, item.key, verdict.state, reason, epoch(now), payable=verdict.payable)
    else:
        order_items.tell_payable(database, item.key, verdict.payable, reason, epoch(now))


def _store_gate(hospital: Hospital, item: int, gate: NamedGate) -> None:
    answer, now = gate.answer, epoch(hospital.clock.now())
    if isinstance(answer, GateOpen):
        values: tuple[Any, ...] = ("open", "", "{}", "{}", "", 1, maybe_epoch(answer.until))
    else:
        values = (
            "closed", answer.code, _words(answer.reason), _words(answer.next_action), answer.owner,
            int(answer.payable), None,
        )  # fmt: skip
    hospital.database.rows(UPSERT_GATE, item, answer.kind, *values, gate.plugin, now)


def _follow_gates(hospital: Hospital, plan: Plan, actor: Actor) -> None:
    """A booked visit whose gate no longer covers its start becomes tentative, and booked again when it does."""
    verdicts = {verdict.item.key: verdict for verdict in plan.verdicts}
    planned = {old.id for visit in plan.visits for old in visit.replaces}
    for visit in plan.snapshot.visits:
        own = [verdicts[key] for key in visit.items if key in verdicts]
        kept_by_us = visit.mode != "external" and visit.state in ("booked", "tentative")
        if not kept_by_us or visit.id in planned or not own:
            continue
        now = hospital.clock.now()
        covered = all(verdict.covers(visit.starts_at) and not _barred(plan, verdict.item, now) for verdict in own)
        # What became unpaid with its patient's discharge is booked again only once it is paid.
        kept = visit.state == "booked" or all(verdict.item.release for verdict in own)
        after = "booked" if covered and kept else "tentative"
        if after != visit.state:
            reason = "gate open again" if covered else "gate closed again"
            visits.change_state(hospital.database, visit.id, visit.version, visit.state, after, actor, now, reason=reason)


def _barred(plan: Plan, item: OpenItem, now: datetime) -> bool:
    """Whether an item is booked, and to come, where its patient is beyond the limits of sex, age or weight."""
    state = plan.snapshot
    visit = next((visit for visit in state.visits if visit.id == item.appointment), None)
    if visit is None or visit.state not in ("booked", "tentative"):
        return False
    weight = item.order.known("weight_kg")
    return state.catalogue.barred(item.view.item.code, visit.group, state.patient, weight, now.date())


def _book(hospital: Hospital, plan: Plan, visit: PlannedVisit, actor: Actor) -> int:
    """Book one planned visit, or move the one it takes the place of."""
    database, catalogue, now = hospital.database, plan.snapshot.catalogue, hospital.clock.now()
    order = visit.items[0].order
    seats = audiences(order.encounter.encounter_class, hospital.settings, now)
    preparation = dump(evidence.preparation_as_data(visit.preparation))
    decided = dump(evidence.of_visit(plan, visit))
    if visit.replaces:
        return _replan(hospital, plan, visit, actor, preparation, decided)
    extra = visit.explanation["code"] == EXTRA
    place = places.bind(database, catalogue, visit.option, visit.starts_at, None if extra else seats, visit.segments)
    if extra:
        visits.add_seats(database, place, actor, now, "emergency")
    booking = visits.Booking(
        patient=plan.snapshot.patient.id,
        encounter=visit.items[0].encounter_id,
        department=visit.visit.department,
        items=tuple(item.id for item in visit.items),
        fallback=visit.fallback,
        itinerary=_itinerary(hospital, plan, visit),
        preparation=preparation,
        explanation=dump(visit.explanation),
        evidence=decided,
        reason=visit.explanation["code"],
    )
    return visits.create(database, catalogue, place, booking, actor, now)[0]


def _replan(hospital: Hospital, plan: Plan, visit: PlannedVisit, actor: Actor, preparation: str, decided: str) -> int:
    database, catalogue, now = hospital.database, plan.snapshot.catalogue, hospital.clock.now()
    kept, *others = visit.replaces
    for other in others:
        visits.change_state(
            database, other.id, other.version, other.state, "replaced", actor, now, reason=f"merged into {kept.number}"
        )
    same_segments = not visit.segments or visit.segments == tuple(start for start, _ in kept.segments)
    unchanged = visit.starts_at == kept.starts_at and same_segments and set(visit.visit.items) == set(kept.items)
    if unchanged and not database.rows(ON_CLOSED_SLOTS, kept.id):
        return kept.id
    added = [item.id for item in visit.items if item.key not in kept.items]
    if _as_it_stands(visit, kept):
        visits.hand_over(
            database, kept.id, kept.version, kept.state, added, actor, now, evidence=decided, preparation=preparation,
            explanation=dump(visit.explanation),
        )  # fmt: skip
        return kept.id
    visits.release_claims(database, kept.id, now)
    seats = audiences(visit.items[0].order.encounter.encounter_class, hospital.settings, now)
    place = places.bind(database, catalogue, visit.option, visit.starts_at, seats, visit.segments)
    visits.move(
        database, catalogue, kept.id, kept.version, place, kept.state, actor, now, reason=plan.reason, evidence=decided,
        add_items=added, preparation=preparation, explanation=dump(visit.explanation),
    )  # fmt: skip
    return kept.id


def _as_it_stands(visit: PlannedVisit, kept: BookedVisit) -> bool:
    """Whether a re-issued order needs just the seats that were kept for it."""
    same = (visit.starts_at, visit.ends_at, visit.option.group) == (kept.starts_at, kept.ends_at, kept.group)
    starts = visit.segments or tuple(start for start, _ in kept.segments)
    return visit.explanation["code"] == TAKEN_OVER and same and starts == tuple(start for start, _ in kept.segments)


def _leave_places(hospital: Hospital, plan: Plan, visit: PlannedVisit) -> None:
    """The withdrawn items make room for those that replace them; a place that nobody takes is given back shortly."""
    database, now = hospital.database, epoch(hospital.clock.now())
    taken = bool(visit.replaces)
    for old in (plan.taken_over[item.id] for item in visit.items if item.id in plan.taken_over):
        database.rows(LEAVE_PLACE, int(not taken), "replaced" if taken else "", None if taken else now, old)
        database.rows("UPDATE order_item SET state = 'replaced', reason = 'reissued' WHERE id = ? RETURNING id", old)


def _itinerary(hospital: Hospital, plan: Plan, visit: PlannedVisit) -> int | None:
    """One itinerary row for visits that were planned together, shared through the proposal's code."""
    if visit.explanation["code"] in ("earliest", "same_campus", "other_campus", EXTRA) or len(plan.visits) < 2:
        return None
    now = epoch(hospital.clock.now())
    existing = hospital.database.value(
        "SELECT id FROM itinerary WHERE patient_id = ? AND created_at = ? AND code = ?",
        plan.snapshot.patient.id, now, visit.explanation["code"],
    )  # fmt: skip
    return existing or hospital.database.insert(
        Itinerary, patient=plan.snapshot.patient.id, code=visit.explanation["code"],
        reason=dump(visit.explanation["why"]), proven=int(visit.explanation["proven"]), created_at=now,
    )  # fmt: skip


def _words(text: Any) -> str:
    return dump({"zh": text.zh, "en": text.en})
