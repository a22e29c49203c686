"""Switching a department between its own system and ours: what would go wrong, what is taken over, what is given back."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from examlane.appointments import desk, states
from examlane.domain import DepartmentMode, Stage
from examlane.errors import NotFound
from examlane.extension import rollout
from examlane.golive import exports
from examlane.hospital import Hospital
from examlane.orders import patients
from examlane.planning.judging import BOOKED_OUTSIDE
from examlane.records import audit, events, jobs
from examlane.records.audit import Actor
from examlane.storage.daily import Transfer
from examlane.storage.fields import dump, epoch, instant

HELD = ", ".join(f"'{state}'" for state in sorted(states.ACTIVE | {"fulfilled"}))
UNMAPPED = """SELECT i.code FROM exam_item i JOIN department d ON d.id = i.department_id WHERE d.code = ? AND i.is_active = 1
AND NOT EXISTS (SELECT 1 FROM service s WHERE s.item_id = i.id) ORDER BY i.code"""
NO_ROSTER = """SELECT r.code FROM resource r JOIN resource_group g ON g.id = r.group_id JOIN department d
ON d.id = g.department_id WHERE d.code = ? AND r.is_active = 1 AND NOT EXISTS (SELECT 1 FROM slot s
WHERE s.resource_id = r.id AND s.start_at > ? AND s.closed = 0) ORDER BY r.code"""
# What may become ours has an order for every exam, its seats, no other exam meanwhile, and no gate known to be closed.
FUTURE = f"""SELECT a.id, a.number, a.patient_id, n.item, a.start_at, CASE WHEN n.outside = 1 THEN 'without_order'
WHEN NOT EXISTS (SELECT 1 FROM claim c WHERE c.appointment_id = a.id AND c.released_at IS NULL) THEN 'outside_roster'
WHEN EXISTS (SELECT 1 FROM appointment b WHERE b.patient_id = a.patient_id AND b.id <> a.id AND b.start_at < a.end_at
AND a.start_at < b.end_at AND b.state IN ({HELD})) THEN 'overlap'
WHEN EXISTS (SELECT 1 FROM gate g JOIN appointment_item i ON i.order_item_id = g.order_item_id WHERE i.active = 1
AND i.appointment_id = a.id AND (g.state <> 'open' OR g.valid_until < a.start_at)) THEN 'awaiting_gate' ELSE '' END
FROM appointment a JOIN (SELECT ai.appointment_id, min(ai.order_item_id) AS item,
max(CASE WHEN oi.release = '{BOOKED_OUTSIDE}' THEN 1 ELSE 0 END) AS outside FROM appointment_item ai
JOIN order_item oi ON oi.id = ai.order_item_id WHERE ai.active = 1 GROUP BY ai.appointment_id) n
ON n.appointment_id = a.id WHERE a.department = ? AND a.mode = 'external' AND a.state = 'booked' AND a.start_at > ?"""
IN_ORDER = " ORDER BY a.start_at, a.id"
WAITING = """SELECT oi.key, oi.patient_id FROM order_item oi JOIN exam_order o ON o.id = oi.order_id
JOIN exam_item i ON i.id = oi.item_id JOIN department d ON d.id = i.department_id
WHERE d.code = ? AND oi.reason = 'department_external' AND o.ordered_at > ? AND NOT EXISTS
(SELECT 1 FROM appointment_item ai WHERE ai.order_item_id = oi.id AND ai.active = 1) ORDER BY oi.key"""
ADOPT = "UPDATE appointment SET mode = 'slot' WHERE id = ? AND mode = 'external' RETURNING number"
GIVE_BACK = """UPDATE appointment SET mode = 'external' WHERE department = ? AND mode = 'slot' AND start_at > ?
AND state IN ('booked', 'tentative') RETURNING id"""
NUMBER = "SELECT max(number) FROM external_appointment WHERE appointment_id = ?"


@dataclass(frozen=True, slots=True)
class Obstacle:
    """What would be wrong after the switch: a reason code and what it is about (an item, a resource, an appointment)."""

    code: str
    subject: str


@dataclass(frozen=True, slots=True)
class Switched:
    """What a switch of mode did: appointments taken over, those that could not be, and those given back with the export."""

    adopted: int = 0
    left: int = 0
    given_back: int = 0
    export: int | None = None


def cutover(hospital: Hospital, department: str) -> list[Obstacle]:
    """What would be wrong if a department booked automatically from now on. Raises `NotFound`."""
    catalogue, database, now = hospital.catalogues.current(), hospital.database, hospital.clock.now()
    if department not in catalogue.departments:
        raise NotFound("department", department)
    since, recent = epoch(now), epoch(now - timedelta(days=hospital.settings.horizon_days))
    return [
        *_plugins(hospital, department),
        *(Obstacle("unmapped_item", code) for (code,) in database.rows(UNMAPPED, department)),
        *(Obstacle("no_roster", code) for (code,) in database.rows(NO_ROSTER, department, since)),
        *(Obstacle(row[5], row[1]) for row in database.rows(FUTURE + IN_ORDER, department, since) if row[5]),
        *(Obstacle("department_external", row[0]) for row in database.rows(WAITING, department, recent)),
    ]


def _plugins(hospital: Hospital, department: str) -> list[Obstacle]:
    version = hospital.database.value("SELECT value FROM setting WHERE name = 'rollout'") or 0
    switches = hospital.rollouts.at(version, hospital.clock.now()).switches.get(department, [])
    counting = [
        each for each in switches if each.stage in (Stage.ON, Stage.PILOT) and each.plugin in hospital.plugins.loaded
    ]
    missing = [each.plugin for each in switches if each.required and each not in counting]
    found = [Obstacle("required_plugin_missing", plugin) for plugin in missing]
    return found or ([] if counting else [Obstacle("no_plugin", department)])


def switch(hospital: Hospital, department: str, mode: DepartmentMode, actor: Actor, version: int | None = None) -> Switched:
    """Switch a department's mode, with what belongs to it; running it again finishes what was interrupted.

    To external: every future appointment is exported, kept and left in place as the other system's. From external: what
    has an order and its seats becomes ours; for the rest the desk is asked. Raises `Conflict` on a stale version.
    """
    database = hospital.database
    given, export = database.write(partial(_change, hospital, department, mode, actor, version))
    if mode is DepartmentMode.EXTERNAL:
        return Switched(given_back=given, export=export)
    rows = database.rows(FUTURE + IN_ORDER, department, epoch(hospital.clock.now()))
    adopted = sum(database.write(partial(_adopt, hospital, department, row[0], row[2], actor)) for row in rows)
    if mode is DepartmentMode.AUTOMATIC:
        _plan_waiting(hospital, department)
    return Switched(adopted=adopted, left=len(rows) - adopted)


def _change(
    hospital: Hospital, department: str, mode: DepartmentMode, actor: Actor, version: int | None
) -> tuple[int, int | None]:
    database, now = hospital.database, epoch(hospital.clock.now())
    before = rollout.change_mode(database, department, mode, actor, now, version)
    if mode is not DepartmentMode.EXTERNAL or before == mode:
        return 0, None
    given = len(database.rows(GIVE_BACK, department, now))
    rows = exports.future(hospital, department)
    export = database.insert(
        Transfer, kind="export", department=department, complete=1, actor=actor.name, started_at=now, finished_at=now,
        report=dump({"appointments": rows}),
    )  # fmt: skip
    payload = {"department": department, "export": export, "appointments": len(rows)}
    events.emit(database, "department", department, "department.external", payload, now)
    audit.record(database, actor, "department.export", "transfer", str(export), now, appointments=len(rows))
    return given, export


def _adopt(hospital: Hospital, department: str, appointment: int, patient: int, actor: Actor) -> bool:
    """Make one appointment ours, or ask the desk for what it lacks; whether it is ours now."""
    database, now = hospital.database, hospital.clock.now()
    patients.touch(database, patient)
    row = database.row(f"{FUTURE} AND a.id = ?", department, epoch(now), appointment)
    if row is None:
        return False
    _, number, _, item, start, obstacle = row
    if obstacle:
        desk.open_task(
            database, obstacle, department, patient, item, now, hospital.settings.desk_deadline, appointment=appointment
        )
        return False
    database.rows(ADOPT, appointment)
    told = database.value(NUMBER, appointment) or ""
    audit.record(database, actor, "appointment.adopted", "appointment", number, epoch(now), external_number=told)
    payload = {
        "appointment": number, "external_number": told, "department": department, "starts_at": instant(start).isoformat(),
    }  # fmt: skip
    events.emit(database, "appointment", number, "appointment.adopted", payload, epoch(now))
    jobs.mark_due(database, patient, epoch(now))
    return True


def _plan_waiting(hospital: Hospital, department: str) -> None:
    """What was ordered lately and never booked in the other system is planned now."""
    database, now = hospital.database, hospital.clock.now()
    recent = epoch(now - timedelta(days=hospital.settings.horizon_days))
    for patient in sorted({row[1] for row in database.rows(WAITING, department, recent)}):
        database.write(partial(jobs.mark_due, database, patient, epoch(now)))
