"""Two records of one person become one patient, and two again when that was wrong: everything linked, nothing cancelled."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, partial

from peewee import ForeignKeyField

from examlane.appointments import booking, changes, desk, states, status
from examlane.appointments.status import ItemStatus
from examlane.corrections import leaving
from examlane.corrections.leaving import Leaving
from examlane.domain import Text
from examlane.errors import Conflict, NotFound, Refused
from examlane.hospital import Hospital
from examlane.orders import patients, snapshot
from examlane.orders.patients import Identifier
from examlane.orders.snapshot import Snapshot
from examlane.records import audit, events, jobs, receipts
from examlane.records.audit import Actor
from examlane.records.receipts import RequestKey
from examlane.storage.database import Database
from examlane.storage.fields import dump, epoch
from examlane.storage.ledger import Appointment, BookingDue
from examlane.storage.models import Encounter, Order, OrderItem, Patient, Table
from examlane.storage.people import MergeOverlap, PatientMerge, PatientMergeRow, PossibleDuplicate
from examlane.storage.tables import TABLES

SAME_PATIENT = Text("两个标识属于同一患者", "both identifiers belong to the same patient")
MERGED_FURTHER = Text("该患者已再次合并，请先撤销后一次合并", "the patient was merged again since: undo that merge first")
ONE_HAS_DIED = Text(
    "一份档案登记为已死亡，另一份还有未完成的检查，请先核实",
    "one record says that the patient has died, and the other has exams open: verify first",
)
NOT_THEIRS: tuple[type[Table], ...] = (PatientMerge, PossibleDuplicate, BookingDue)
"""What is not linked to the other patient: which records there were, and a plan that is due for either."""
BELONGINGS: tuple[type[Table], ...] = (Encounter, Order, OrderItem, Appointment)
"""Of whom these are, their orders, items, visits and tasks are too."""
UNKNOWN = {"name": "", "sex": "unknown", "birth_date": None, "phone": "", "region": "", "died_at": None}
MERGED_BEFORE = """SELECT max(m.id) FROM patient_merge m WHERE m.undone_at IS NULL AND 1 = (SELECT count(*)
FROM patient_merge_row r JOIN patient_identifier i ON r.of_table = 'patient_identifier.patient_id' AND r.of_row = i.id
WHERE r.merge_id = m.id AND ((i.kind = ? AND i.value = ?) OR (i.kind = ? AND i.value = ?)))"""
MERGE = "SELECT id, kept_id, merged_id, filled, undone_at FROM patient_merge WHERE id = ?"
OPEN_STATES = ", ".join(f"'{state}'" for state in sorted(states.ACTIVE))
KEEPING = ", ".join(f"'{state}'" for state in sorted(states.ACTIVE | {"fulfilled"}))
OPEN = f"""SELECT 1 FROM patient p WHERE p.id = ? AND p.died_at IS NULL AND (EXISTS (SELECT 1 FROM order_item i
WHERE i.patient_id = p.id AND i.state NOT IN ('cancelled', 'fulfilled', 'withdrawn', 'replaced')) OR EXISTS
(SELECT 1 FROM appointment a WHERE a.patient_id = p.id AND a.state IN ({OPEN_STATES})))"""
OVERLAPS = f"""SELECT a.id, b.id, a.number, b.number, a.department FROM appointment a
JOIN appointment b ON b.patient_id = a.patient_id AND b.id > a.id AND b.start_at < a.end_at AND a.start_at < b.end_at
WHERE a.patient_id = ? AND a.state IN ({KEEPING}) AND b.state IN ({KEEPING}) AND EXISTS
(SELECT 1 FROM appointment_segment f JOIN appointment_segment g ON g.start_at < f.end_at AND f.start_at < g.end_at
WHERE f.appointment_id = a.id AND g.appointment_id = b.id)"""
NAMED = """SELECT a.number, b.number FROM merge_overlap m JOIN desk_task t ON t.id = m.task_id AND t.closed_at IS NULL
JOIN appointment a ON a.id = m.first_id JOIN appointment b ON b.id = m.second_id
WHERE a.patient_id = ? ORDER BY m.id"""
OPEN_PAIRS = """SELECT m.first_id, m.second_id, m.task_id, a.patient_id FROM merge_overlap m
JOIN desk_task t ON t.id = m.task_id AND t.closed_at IS NULL JOIN appointment a ON a.id = m.first_id"""
CLOSE_TASK = "UPDATE desk_task SET closed_at = ?, closed_by = ? WHERE id = ? AND closed_at IS NULL RETURNING id"
LOCK = "UPDATE patient SET version = version + 1 WHERE id = ? RETURNING id"
DECIDED = """UPDATE desk_task SET closed_at = ?, closed_by = ? WHERE closed_at IS NULL AND id IN
(SELECT task_id FROM possible_duplicate WHERE first_id = ? AND second_id = ?) RETURNING id"""
GOING = "(SELECT of_row FROM patient_merge_row WHERE merge_id = ? AND of_table = 'encounter.patient_id')"
# The items of a visit that belong to the other person than the visit does.
MIXED = f"""SELECT a.number, oi.key, a.state FROM appointment_item ai JOIN appointment a ON a.id = ai.appointment_id
JOIN order_item oi ON oi.id = ai.order_item_id JOIN exam_order o ON o.id = oi.order_id
WHERE a.patient_id = ? AND ai.active = 1 AND CASE WHEN o.encounter_id IN {GOING} THEN 1 ELSE 0 END
<> CASE WHEN a.encounter_id IN {GOING} THEN 1 ELSE 0 END ORDER BY oi.id"""
STRANGERS = """DELETE FROM appointment_interval WHERE EXISTS (SELECT 1 FROM appointment a, appointment b
WHERE a.id = appointment_interval.first_id AND b.id = appointment_interval.second_id AND a.patient_id <> b.patient_id
AND (a.patient_id = ? OR b.patient_id = ?)) RETURNING id"""
NO_TRIP = """UPDATE appointment SET itinerary_id = NULL WHERE patient_id = ? AND itinerary_id IN
(SELECT id FROM itinerary WHERE patient_id <> ?) RETURNING id"""
UNDONE = Text(
    "患者合并已撤销：合并期间新增、不属于原就诊的内容仍留在此患者名下，请核对",
    "a merge was undone: what came meanwhile and belongs to no visit of the other person stayed here: please check",
)


@dataclass(frozen=True, slots=True)
class Merge:
    """A merge as it stands: how many rows of what were linked, which visits overlap since, and the open items."""

    id: int
    state: str
    moved: dict[str, int]
    overlaps: tuple[tuple[str, str], ...]
    items: tuple[ItemStatus, ...]


@dataclass(frozen=True, slots=True)
class _Link:
    """A column that says whose a row is; `unique` are the other columns that name a row of one patient once."""

    table: str
    column: str
    unique: tuple[tuple[str, ...], ...]
    follows: tuple[tuple[str, str], ...]

    @property
    def name(self) -> str:
        return f"{self.table}.{self.column}"

    def move(self, database: Database, source: int, target: int, where: str, *values: int) -> list[int]:
        """Link rows to another patient, except what he has already; returns their ids."""
        free = "".join(
            f" AND NOT EXISTS (SELECT 1 FROM {self.table} o WHERE o.{self.column} = ?"
            + "".join(f" AND o.{name} = {self.table}.{name}" for name in names)
            + ")"
            for names in self.unique
        )
        rows = database.rows(
            f"UPDATE {self.table} SET {self.column} = ? WHERE {self.column} = ?{where}{free} RETURNING id",
            target, source, *values, *(target for _ in self.unique),
        )  # fmt: skip
        return [row[0] for row in rows]


def merge(hospital: Hospital, keep: Identifier, merged: Identifier, actor: Actor, key: RequestKey | None = None) -> Merge:
    """Link everything of one patient to another; what the kept one is known by and booked for stays as it is.

    Asked again, or the other way round, it answers the same merge. Raises `NotFound` for an unknown identifier, and
    `Refused` when both were one patient from the start, or one has died and the other has exams open.
    """
    number = hospital.database.write(partial(_merge, hospital, keep, merged, actor, key))
    booking.settle(hospital, _row(hospital.database, number)[1], actor)
    return read(hospital, number)


def between(database: Database, keep: Identifier, merged: Identifier) -> int | None:
    """The merge that made one patient of the two, if it stands."""
    if keep == merged:  # a later merge may have moved this one number
        return None
    found: int | None = database.value(MERGED_BEFORE, keep.kind, keep.value, merged.kind, merged.value)
    return found


def undo(hospital: Hospital, number: int, actor: Actor, key: RequestKey | None = None) -> Merge:
    """Make two patients of one again: exactly what was linked goes back, with what has come to its encounters since.

    The rest stays, and a person looks at it. Raises `NotFound`, and `Conflict` while a later merge stands.
    """

    def attempt() -> int:
        _, kept, _, _, undone_at = _row(hospital.database, number)
        if undone_at is not None:
            now = epoch(hospital.clock.now())
            hospital.database.write(partial(receipts.keep, hospital.database, key, "merge", str(number), now))
            return kept
        state = snapshot.read(hospital.database, hospital.catalogues, kept, hospital.clock.now())
        leavers = hospital.database.rows(MIXED, kept, number, number)
        going = [
            leaving.plan(hospital, state, visit, [item for other, item, _ in leavers if other == visit])
            for visit in dict.fromkeys(visit for visit, _, _ in leavers)
        ]
        hospital.database.write(partial(_undo, hospital, state, number, going, actor, key))
        return kept

    kept = changes.tried(attempt)
    booking.settle(hospital, kept, actor)
    booking.settle(hospital, _row(hospital.database, number)[2], actor)
    return read(hospital, number)


def read(hospital: Hospital, number: int) -> Merge:
    """A merge by its number. Raises `NotFound`."""
    database = hospital.database
    _, kept, _, _, undone_at = _row(database, number)
    moved = database.rows(
        "SELECT of_table, count(*) FROM patient_merge_row WHERE merge_id = ? GROUP BY of_table ORDER BY of_table", number
    )
    return Merge(
        id=number,
        state="merged" if undone_at is None else "undone",
        moved={name.partition(".")[0]: count for name, count in moved},
        overlaps=tuple((first, second) for first, second in database.rows(NAMED, kept)),
        items=tuple(status.of_patient(hospital, patients.current(database, kept))),
    )


def close_resolved(hospital: Hospital, by: Actor) -> int:
    """Close the tasks of visits that do not overlap any more; returns how many."""
    database, now = hospital.database, epoch(hospital.clock.now())
    closed = 0
    for first, second, task, patient in database.rows(OPEN_PAIRS):
        if (first, second) not in {row[:2] for row in database.rows(OVERLAPS, patient)}:
            closed += len(database.write(partial(database.rows, CLOSE_TASK, now, by.name, task)))
    return closed


def _row(database: Database, number: int) -> tuple[int, int, int, str, int | None]:
    row = database.row(MERGE, number)
    if row is None:
        raise NotFound("merge", str(number))
    return row


def _merge(hospital: Hospital, keep: Identifier, merged: Identifier, actor: Actor, key: RequestKey | None) -> int:
    database, now = hospital.database, epoch(hospital.clock.now())
    kept, gone = patients.get(database, keep), patients.get(database, merged)
    for patient in sorted({kept, gone}):
        patients.touch(database, patient)
    # Who waited for another merge to end reads again whom the identifiers name.
    kept, gone = patients.get(database, keep), patients.get(database, merged)
    if kept == gone:
        before = between(database, keep, merged)
        if before is None:
            raise Refused("same_patient", SAME_PATIENT, "/merge")
        receipts.keep(database, key, "merge", str(before), now)
        return before
    _not_only_one_may_have_died(database, (kept, gone))
    filled = _fill(database, kept, gone)
    number = database.insert(
        PatientMerge, kept=kept, merged=gone, filled=dump(filled), actor=actor.name, channel=actor.channel, merged_at=now
    )
    receipts.keep(database, key, "merge", str(number), now)
    moved = {link.name: link.move(database, gone, kept, "") for link in _links()}
    rows = [(number, name, row) for name, found in moved.items() for row in found]
    database.insert_many(PatientMergeRow, ("merge", "table", "row"), rows)
    database.rows("UPDATE patient SET merged_into_id = ? WHERE id = ? RETURNING id", kept, gone)
    database.rows("DELETE FROM booking_due WHERE patient_id = ? RETURNING id", gone)
    database.rows(DECIDED, now, actor.name, min(kept, gone), max(kept, gone))
    jobs.mark_due(database, kept, now)
    _name_overlaps(hospital, kept)
    _tell(database, "patient.merged", number, kept, moved, actor, now)
    return number


def _not_only_one_may_have_died(database: Database, both: Sequence[int]) -> None:
    """No death may end the exams of somebody who lives, and nobody who has died may be booked."""
    died = [each for each in both if database.value("SELECT died_at FROM patient WHERE id = ?", each) is not None]
    if died and any(database.row(OPEN, each) for each in both):
        raise Refused("one_has_died", ONE_HAS_DIED, "/merge")


def _fill(database: Database, kept: int, gone: int) -> dict[str, str]:
    """Let the kept patient take over what is not known of him."""
    names = ", ".join(UNKNOWN)
    known, other = (database.rows(f"SELECT {names} FROM patient WHERE id = ?", each)[0] for each in (kept, gone))
    filled = {
        name: theirs
        for (name, unknown), ours, theirs in zip(UNKNOWN.items(), known, other, strict=True)
        if ours == unknown and theirs != unknown
    }
    for name, value in filled.items():
        database.rows(f"UPDATE patient SET {name} = ? WHERE id = ? RETURNING id", value, kept)
    return filled


def _name_overlaps(hospital: Hospital, patient: int) -> None:
    """Visits that overlap now are for a person to settle: one task a pair."""
    database, now = hospital.database, hospital.clock.now()
    named = set(database.rows(NAMED, patient))
    for first, second, number, other, department in database.rows(OVERLAPS, patient):
        if (number, other) in named:
            continue
        words = Text(f"患者合并后 {number} 与 {other} 时间重叠", f"since patients were merged {number} and {other} overlap")
        task = desk.open_task(
            database, "merge_overlap", department, patient, None, now, hospital.settings.desk_deadline,
            appointment=first, reason=words,
        )  # fmt: skip
        database.insert(MergeOverlap, first=first, second=second, task=task)


def _undo(
    hospital: Hospital, state: Snapshot, number: int, going: Sequence[Leaving], actor: Actor, key: RequestKey | None
) -> None:
    database, now = hospital.database, epoch(hospital.clock.now())
    receipts.keep(database, key, "merge", str(number), now)
    _, kept, gone, filled, undone_at = _row(database, number)
    for patient in sorted((kept, gone)):
        if patient == kept:
            patients.bump(database, kept, state.version)
        else:
            database.rows(LOCK, gone)
    if undone_at is not None:
        return
    if database.value("SELECT merged_into_id FROM patient WHERE id = ?", kept) is not None:
        raise Conflict("merged_further", MERGED_FURTHER)
    for visit in going:
        _leave(hospital, visit, actor)
    moved = _go_back(database, number, kept, gone)
    _empty(database, kept, filled)
    database.rows("UPDATE patient_merge SET undone_at = ?, undone_by = ? WHERE id = ? RETURNING id", now, actor.name, number)
    for patient in (kept, gone):
        jobs.mark_due(database, patient, now)
    desk.open_task(
        database, "merge_undone", "", kept, None, hospital.clock.now(), hospital.settings.desk_deadline, reason=UNDONE
    )
    _tell(database, "patient.unmerged", number, kept, moved, actor, now)


def _leave(hospital: Hospital, going: Leaving, actor: Actor) -> None:
    """Let the other person's exams leave a visit; one that has begun keeps its time."""
    if going.visit.state in ("in_progress", "fulfilled"):
        for key in going.items:
            hospital.database.rows(leaving.LEAVE, "left", going.visit.id, key)
    else:
        leaving.write(hospital, going, actor, reason="merge undone", outcome="left", after="cancelled")


def _go_back(database: Database, number: int, kept: int, gone: int) -> dict[str, list[int]]:
    """The rows that were linked, then what has come to their encounters since."""
    database.rows("UPDATE patient SET merged_into_id = NULL WHERE id = ? RETURNING id", gone)
    recorded = " AND id IN (SELECT of_row FROM patient_merge_row WHERE merge_id = ? AND of_table = '{}')"
    moved = {link.name: link.move(database, kept, gone, recorded.format(link.name), number) for link in _links()}
    for link in _links():
        for column, table in link.follows:
            theirs = f" AND {column} IN (SELECT id FROM {table} WHERE patient_id = ?)"
            moved[link.name] += link.move(database, kept, gone, theirs, gone)
    database.rows(STRANGERS, gone, gone)
    for patient in (kept, gone):
        database.rows(NO_TRIP, patient, patient)
    return moved


def _empty(database: Database, kept: int, filled: str) -> None:
    """Forget again what was taken over of the other person, unless it was reported anew."""
    for name, value in json.loads(filled).items():
        database.rows(f"UPDATE patient SET {name} = ? WHERE id = ? AND {name} = ? RETURNING id", UNKNOWN[name], kept, value)


def _tell(
    database: Database, kind: str, number: int, kept: int, moved: dict[str, list[int]], actor: Actor, now: int
) -> None:
    """Peers link encounters, orders and appointments anew, by their numbers: no event names a person."""
    told = {
        table._meta.table_name: _numbers(database, table, moved[f"{table._meta.table_name}.patient_id"])
        for table in (Encounter, Order, Appointment)
    }
    names = {"encounter": "encounters", "exam_order": "orders", "appointment": "appointments"}
    payload = {"merge": number, **{names[table]: numbers for table, numbers in told.items()}}
    events.emit(database, "patient", str(kept), kind, payload, now)
    counts = {name: len(rows) for name, rows in moved.items() if rows}
    audit.record(database, actor, kind, "patient", str(kept), now, merge=number, rows=counts)


def _numbers(database: Database, table: type[Table], ids: Sequence[int]) -> list[str]:
    marks = ", ".join("?" for _ in ids)
    name = table._meta.table_name
    rows = database.rows(f"SELECT number FROM {name} WHERE id IN ({marks}) ORDER BY id", *ids) if ids else []
    return [number for (number,) in rows]


@cache
def _links() -> tuple[_Link, ...]:
    """Every column of the declared schema that leads to a patient, referenced tables first: so that none is forgotten."""
    return tuple(
        _Link(table._meta.table_name, field.column_name, _unique(table, field.name), _follows(table))
        for table in TABLES
        if table not in NOT_THEIRS
        for field in table._meta.sorted_fields
        if isinstance(field, ForeignKeyField) and field.rel_model is Patient
    )


def _unique(table: type[Table], name: str) -> tuple[tuple[str, ...], ...]:
    fields = table._meta.fields
    return tuple(
        tuple(fields[other].column_name for other in names if other != name)
        for names, unique in (index for index in table._meta.indexes if isinstance(index, tuple))
        if unique and name in names
    )


def _follows(table: type[Table]) -> tuple[tuple[str, str], ...]:
    return tuple(
        (field.column_name, field.rel_model._meta.table_name)
        for field in table._meta.sorted_fields
        if isinstance(field, ForeignKeyField) and field.rel_model in BELONGINGS
    )
