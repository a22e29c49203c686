"""A busy hospital breaks no promise, and each promise notices when somebody tampers with the database."""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from examlane import (
    GateOpen,
    IntervalRule,
    NoShowAction,
    NoShowDecision,
    Relation,
    Selector,
    Text,
    hookimpl,
)
from examlane.appointments import changes, choosing
from examlane.arrival import noshow
from examlane.clock import SetClock
from examlane.errors import NotFound
from examlane.insight.invariants import INVARIANTS, as_data, check
from examlane.records import events
from examlane.records.receipts import request_key
from examlane.reminders import reminders
from examlane.storage.database import Database
from examlane.storage.exchange import Peer
from examlane.storage.fields import epoch
from examlane.testing import MORNING, TESTER, World, small_hospital
from examlane.waiting import backfill, offers, waitlist
from examlane.waiting.waitlist import EntryData

NOW = SetClock(MORNING + timedelta(hours=2))
TEXT = Text("间隔", "distance")
RULES = (
    IntervalRule("test.apart", "1", Selector("US-THYROID"), Selector("US-HEART"), Relation.EXCLUDE, TEXT,
                 after=timedelta(minutes=30), before=timedelta(minutes=30)),
    IntervalRule("test.order", "1", Selector("CT-HEAD"), Selector("US-HEART"), Relation.BEFORE, TEXT),
)  # fmt: skip


class House:
    """Rules of a department: distances, a gate that is open for a month, and no-shows that give their seats back."""

    @hookimpl
    def interval_rules(self) -> Sequence[IntervalRule]:
        return RULES

    @hookimpl
    def pre_booking_gate(self, order: Any) -> Sequence[GateOpen]:
        return [GateOpen("assessment", item.key, MORNING + timedelta(days=30)) for item in order.items]

    @hookimpl
    def on_no_show(self) -> NoShowDecision:
        return NoShowDecision(NoShowAction.RELEASE, Text("释放", "released"))


def booked(world: World, patient: str, *items: str) -> str:
    """An order of a patient, paid; the number of its first item's appointment."""
    order = world.order(*items, patient=patient)
    world.pay(order)
    world.later(seconds=5)
    return str(world.item(f"{order}/1").appointment)


def live_a_morning(world: World) -> None:
    """Everything that can happen to an appointment happens, peers hear of it, and one of them is down for a while."""
    hospital, database = world.hospital, world.database
    for code, kinds in (("his", "[]"), ("ris", '["appointment.rescheduled","appointment.no_show"]')):
        database.insert(Peer, code=code, event_types=kinds, created_at=epoch(MORNING) - 1)
    world.switch("US", "house")
    moved = booked(world, "card-2", "US-HEART")
    time = choosing.times(hospital, appointment=moved)[3]
    key = request_key("kiosk", "k1", "reschedule", {})
    choosing.reschedule(hospital, moved, time.group, time.starts_at, TESTER, key)
    changes.cancel(hospital, booked(world, "card-3", "US-THYROID"), TESTER, reason="patient")
    done = booked(world, "card-4", "US-THYROID")
    changes.check_in(hospital, done, TESTER)
    changes.execution(hospital, done, "started", TESTER)
    changes.execution(hospital, done, "finished", TESTER)
    changes.check_in(hospital, booked(world, "card-5", "US-HEART"), TESTER)
    late = booked(world, "card-6", "US-THYROID")
    booked(world, "card-7", "CT-HEAD")
    while events.deliver_due(database, only_his, epoch(world.clock.now())):
        continue
    world.clock.set(NOW.now())
    noshow.sweep(hospital)
    changes.execution(hospital, late, "finished", TESTER)
    hold(world, "card-8")
    seats_come_free(world)
    booked(world, "card-1", "US-THYROID", "US-HEART", "CT-HEAD")
    world.order("US-THYROID", patient="card-9", settle=False)


def seats_come_free(world: World) -> None:
    """One freed time went to somebody who waited, another is on offer; and the patients hear of what was booked."""
    hospital = world.hospital
    world.database.insert(Peer, code="gateway", event_types='["patient.message"]', created_at=epoch(MORNING) - 1)
    for patient in ("card-10", "card-11"):
        late, early = booked(world, f"{patient}-waits", "CT-HEAD"), booked(world, patient, "CT-HEAD")
        last = choosing.times(hospital, appointment=late)[-1]
        choosing.reschedule(hospital, late, last.group, last.starts_at, TESTER)
        limits = EntryData(MORNING.date(), MORNING.date() + timedelta(days=2), appointment=late, notice_minutes=0)
        entry = waitlist.join(hospital, limits, TESTER)
        changes.cancel(hospital, early, TESTER, reason="patient", by_patient=True)
        backfill.turn(hospital)
        (offer,) = offers.of_entry(world.database, entry.id)
        if patient == "card-10":
            offers.accept(hospital, offer.id, TESTER)
    world.database.rows("UPDATE patient SET phone = '13800001234' RETURNING id")
    reminders.turn(hospital)


def only_his(message: events.Message) -> None:
    if message.peer != "his":
        raise OSError("down")


def hold(world: World, patient: str) -> None:
    order = world.order("US-THYROID", patient=patient)
    world.pay(order)
    changes.cancel(world.hospital, world.item(f"{order}/1").appointment, TESTER, reason="other time")
    time = choosing.times(world.hospital, items=[f"{order}/1"])[0]
    choosing.book(world.hospital, [f"{order}/1"], time.group, time.starts_at, TESTER, hold=True)


def lived(url: str) -> None:
    world = small_hospital(url, {"house": House()}, days=3)
    live_a_morning(world)
    world.hospital.close()


@pytest.fixture(scope="module")
def sqlite_morning(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("morning") / "hospital.db"
    lived(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="module")
def postgresql_morning(postgresql_folder: Path) -> str:
    name = f"morning{uuid.uuid4().hex}"
    execute(postgresql_folder, f"CREATE DATABASE {name}")
    lived(f"postgresql://postgres@/{name}?host={postgresql_folder}")
    return name


def execute(folder: Path, sql: str) -> None:
    import psycopg

    with psycopg.connect(f"postgresql://postgres@/postgres?host={folder}", autocommit=True) as connection:
        connection.execute(sql)


def copied(request: pytest.FixtureRequest, engine: str) -> str:
    """The same morning again, in a database that a test may spoil."""
    if engine == "sqlite":
        path = request.getfixturevalue("tmp_path") / "hospital.db"
        shutil.copy(request.getfixturevalue("sqlite_morning"), path)
        return f"sqlite:///{path}"
    folder, name = request.getfixturevalue("postgresql_folder"), f"t{uuid.uuid4().hex}"
    execute(folder, f"CREATE DATABASE {name} TEMPLATE {request.getfixturevalue('postgresql_morning')}")
    return f"postgresql://postgres@/{name}?host={folder}"


@pytest.fixture(params=["sqlite", "postgresql"])
def busy(request: pytest.FixtureRequest) -> Iterator[Database]:
    database = Database(copied(request, request.param))
    yield database
    database.close()


CHECKS = "SELECT conrelid::regclass, conname FROM pg_constraint WHERE contype = 'c' AND conrelid = 'slot'::regclass"


def loosen(database: Database) -> None:
    """Take away what the database itself would refuse."""
    for index in ("one_active_appointment", "receipt_client_key"):
        database.rows(f"DROP INDEX IF EXISTS {index}")
    if database.is_sqlite:
        database.rows("PRAGMA foreign_keys = 0")
        database.rows("PRAGMA ignore_check_constraints = 1")
        return
    database.rows("SET session_replication_role = replica")
    for table, name in database.rows(CHECKS):
        database.rows(f"ALTER TABLE {table} DROP CONSTRAINT {name}")


@dataclass(frozen=True)
class Tampering:
    """What somebody does to the database behind the program's back, and which promises notice."""

    name: str
    statements: tuple[str, ...]
    noticed: tuple[str, ...] = ()

    @property
    def expected(self) -> set[str]:
        return set(self.noticed or (self.name.split(":")[0],))


def tampering(name: str, *statements: str, noticed: tuple[str, ...] = ()) -> Tampering:
    return Tampering(name, statements, noticed)


def of(patient: str) -> str:
    """The last appointment of a patient."""
    return (
        "(SELECT max(a.id) FROM appointment a JOIN patient_identifier p ON p.patient_id = a.patient_id "
        f"WHERE p.value = '{patient}')"
    )


MOVED, GIVEN_UP, DONE, PRESENT, LATE, MISSED, HELD = (of(f"card-{number}") for number in range(2, 9))
TAKEN = "(SELECT max(id) FROM slot WHERE taken = 1 AND capacity = 1 AND extra = 0)"
CLAIM = f"(SELECT max(id) FROM claim WHERE appointment_id = {MOVED} AND released_at IS NULL)"
FREE = "(SELECT max(id) FROM slot WHERE taken = 0 AND closed = 0)"
WITHHELD = "(SELECT min(id) FROM slot WHERE withheld = 1)"
LAST_EVENT = f"(SELECT max(id) FROM event WHERE subject_key = (SELECT number FROM appointment WHERE id = {PRESENT}))"
DONE_NUMBER = f"(SELECT number FROM appointment WHERE id = {DONE})"
LAST_OF_CT = ("(SELECT max(c.slot_id) FROM claim c JOIN appointment a ON a.id = c.appointment_id "
              "WHERE a.state = 'booked' AND c.released_at IS NULL)")  # fmt: skip


def suspended(slot: str, closes: int) -> tuple[str, str]:
    """A suspension that was applied and is about one slot."""
    return (
        "INSERT INTO suspension (number, kind, department, request, starts_at, ends_at, reason, state, seats_lost, "
        f"move_back, actor, channel, created_at, ended_by) SELECT 'S{closes}', 'device_down', 'US', '', start_at, end_at, "
        f"'x', 'applied', 0, 0, 'x', 'x', start_at - 60, '' FROM slot WHERE id = {slot}",
        "INSERT INTO suspension_scope (suspension_id, resource_id, start_at, end_at, closes) SELECT "
        f"(SELECT max(id) FROM suspension), resource_id, start_at, end_at, {closes} FROM slot WHERE id = {slot}",
    )


TAMPERINGS = (
    tampering("merged_empty", "UPDATE patient SET merged_into_id = (SELECT min(id) FROM patient) "
              "WHERE id = (SELECT max(id) FROM patient)"),
    tampering("checkup_quota",
              "INSERT INTO checkup_contract (number, unit, items, quotas, starts_on, ends_on, state, version, actor, "
              "created_at) VALUES ('C1', 'U', '[]', '{}', '2026-11-24', '2026-11-24', 'open', 1, 'x', 1790000000)",
              "INSERT INTO checkup_quota (contract_id, campus, day, seats, taken) "
              "SELECT max(id), 'N', '2026-11-24', 1, 1 FROM checkup_contract"),
    tampering("one_owner", "UPDATE exam_order SET patient_id = (SELECT min(id) FROM patient) "
              "WHERE id = (SELECT max(id) FROM exam_order)"),
    tampering("slot_taken", f"UPDATE slot SET taken = 0, is_open = 1 WHERE id = {TAKEN}"),
    tampering("slot_bounds", f"UPDATE slot SET capacity = 0 WHERE id = {TAKEN}"),
    tampering("slot_bounds: below zero", f"UPDATE slot SET taken = -1 WHERE id = {FREE}",
              noticed=("slot_bounds", "slot_taken")),
    tampering("slot_open", f"UPDATE slot SET is_open = 1 WHERE id = {TAKEN}"),
    tampering("slot_open: closed", f"UPDATE slot SET closed = 1 WHERE id = {FREE}"),
    tampering("slot_bounds: withheld", f"UPDATE slot SET withheld = 1 WHERE id = {TAKEN}",
              noticed=("slot_bounds", "slot_withheld")),
    tampering("slot_open: withheld", f"UPDATE slot SET is_open = 1 WHERE id = {WITHHELD}"),
    tampering("slot_withheld", f"UPDATE slot SET withheld = 0, is_open = 1 WHERE id = {WITHHELD}"),
    tampering("slot_withheld: for ever", f"UPDATE slot SET withheld = 1, is_open = 0 WHERE id = {FREE}"),
    tampering("freed_time", "UPDATE freed_time SET state = 'returned' WHERE state = 'open'",
              noticed=("freed_time", "offer_open")),
    tampering("freed_time: given, yet withheld", "UPDATE withheld_seat SET ended_at = NULL",
              "UPDATE slot SET withheld = 1, is_open = 0 WHERE id IN (SELECT slot_id FROM withheld_seat)",
              noticed=("freed_time", "slot_bounds")),
    tampering("offer_open", "UPDATE offer SET state = 'open' WHERE state = 'accepted'"),
    tampering("offer_open: given twice", "INSERT INTO offer (freed_id, entry_id, group_code, start_at, state, made_at, "
              "expires_at, message) SELECT freed_id, entry_id, group_code, start_at, state, made_at, expires_at, '' "
              "FROM offer WHERE state = 'accepted'"),
    tampering("freed_late", "UPDATE freed_time SET due_at = due_at - 7200"),
    tampering("claim_resource", f"UPDATE claim SET resource_id = resource_id + 1 WHERE id = {CLAIM}"),
    tampering("released_states",
              f"UPDATE claim SET released_at = NULL, slot_id = {FREE} WHERE appointment_id = {GIVEN_UP}",
              "UPDATE claim SET resource_id = (SELECT resource_id FROM slot s WHERE s.id = slot_id)",
              f"UPDATE slot SET taken = 1, is_open = 0 WHERE id = {FREE}"),
    tampering("claims_as_booked",
              f"UPDATE appointment_version SET claims = '[[7,1],[8,1]]' WHERE appointment_id = {MOVED} AND version = 2"),
    tampering("claims_as_booked: a seat lost",
              f"UPDATE slot SET taken = 0, is_open = 1 WHERE id = (SELECT slot_id FROM claim WHERE id = {CLAIM})",
              f"UPDATE claim SET released_at = {epoch(MORNING)} WHERE id = {CLAIM}",
              noticed=("claims_as_booked", "segment_cover")),
    tampering("segment_cover", "UPDATE slot SET end_at = end_at - 60 WHERE id = "
              f"(SELECT min(slot_id) FROM claim WHERE appointment_id = {MOVED} AND released_at IS NULL)"),
    tampering("segment_cover: late start", "UPDATE slot SET start_at = start_at + 60 WHERE id = "
              f"(SELECT min(slot_id) FROM claim WHERE appointment_id = {MOVED} AND released_at IS NULL)"),
    tampering("segment_cover: early end", "UPDATE slot SET end_at = end_at - 60 WHERE id = "
              f"(SELECT max(slot_id) FROM claim WHERE appointment_id = {MOVED} AND released_at IS NULL)"),
    tampering("one_active_appointment",
              "INSERT INTO appointment_item (appointment_id, order_item_id, session, active, outcome) "
              "SELECT min(appointment_id), max(order_item_id), 1, 1, '' "
              "FROM appointment_item WHERE appointment_id IN (SELECT id FROM appointment "
              f"WHERE patient_id = (SELECT patient_id FROM appointment WHERE id = {of('card-1')}))"),
    tampering("active_items", f"UPDATE appointment_item SET active = 0 WHERE appointment_id = {MOVED}"),
    tampering("active_items: given up", f"UPDATE appointment_item SET active = 1 WHERE appointment_id = {GIVEN_UP}"),
    tampering("item_patient",
              f"UPDATE order_item SET patient_id = (SELECT patient_id FROM appointment WHERE id = {DONE}) WHERE id IN "
              f"(SELECT order_item_id FROM appointment_item WHERE appointment_id = {MOVED})",
              noticed=("item_patient", "one_owner")),
    tampering("patient_overlap",
              f"UPDATE order_item SET patient_id = (SELECT patient_id FROM appointment WHERE id = {DONE}) WHERE id IN "
              f"(SELECT order_item_id FROM appointment_item WHERE appointment_id = {PRESENT})",
              f"UPDATE appointment SET patient_id = (SELECT b.patient_id FROM appointment b WHERE b.id = {DONE}) "
              f"WHERE id = {PRESENT}", noticed=("patient_overlap", "one_owner")),
    tampering("visit_times", f"UPDATE appointment_segment SET end_at = end_at - 60 WHERE appointment_id = {MOVED}"),
    tampering("period", f"UPDATE appointment SET period_end_at = start_at WHERE id = {MOVED}"),
    tampering("period: two hours", f"UPDATE appointment SET period_end_at = period_start_at + 7200 WHERE id = {MOVED}"),
    tampering("queue_number", "UPDATE appointment SET queue_number = 1 WHERE group_id = "
              f"(SELECT b.group_id FROM appointment b WHERE b.id = {MOVED})"),
    tampering("not_in_the_past", f"UPDATE appointment SET created_at = created_at + 1 WHERE id = {MOVED}"),
    tampering("hold_expired", "UPDATE appointment SET hold_expires_at = hold_expires_at - 3600 WHERE state = 'held'"),
    tampering("gate_respected", "UPDATE gate SET state = 'closed' WHERE order_item_id IN "
              f"(SELECT order_item_id FROM appointment_item WHERE appointment_id = {MOVED})"),
    tampering("gate_respected: runs out",
              f"UPDATE gate SET valid_until = (SELECT start_at - 1 FROM appointment WHERE id = {HELD}) WHERE "
              f"order_item_id IN (SELECT order_item_id FROM appointment_item WHERE appointment_id = {HELD})"),
    tampering("interval_respected", "UPDATE appointment_interval SET after_seconds = 86400, before_seconds = 86400 "
              "WHERE relation = 'exclude'"),
    tampering("interval_respected: order", "UPDATE appointment_interval SET first_id = second_id, second_id = first_id "
              "WHERE relation = 'before'"),
    tampering("item_bookable", "UPDATE order_item SET release = '' WHERE id IN "
              f"(SELECT order_item_id FROM appointment_item WHERE appointment_id = {MOVED})"),
    tampering("item_bookable: cancelled", "UPDATE order_item SET state = 'cancelled' WHERE id IN "
              f"(SELECT order_item_id FROM appointment_item WHERE appointment_id = {HELD})"),
    tampering("version_chain", "UPDATE appointment_version SET from_state = 'no_show' "
              f"WHERE appointment_id = {MOVED} AND version = 2"),
    tampering("version_chain: gap",
              f"UPDATE appointment_version SET version = 3 WHERE appointment_id = {MOVED} AND version = 2",
              noticed=("version_chain", "last_version", "version_audit", "audit_version", "version_event",
                       "event_version")),
    tampering("legal_moves",
              f"UPDATE appointment_version SET state = 'expired' WHERE appointment_id = {DONE} AND version = 2",
              f"UPDATE appointment_version SET from_state = 'expired' WHERE appointment_id = {DONE} AND version = 3",
              "UPDATE event SET kind = 'appointment.expired' WHERE kind = 'appointment.checked_in' "
              f"AND subject_key = {DONE_NUMBER}"),
    tampering("last_version", f"UPDATE appointment SET state = 'called' WHERE id = {PRESENT}"),
    tampering("version_audit", f"DELETE FROM audit WHERE subject_key = {DONE_NUMBER} AND version = 2"),
    tampering("version_audit: another actor",
              f"UPDATE audit SET actor = 'somebody' WHERE subject_key = {DONE_NUMBER} AND version = 2"),
    tampering("audit_version",
              "INSERT INTO audit (at, actor, channel, action, subject, subject_key, version, request_id, detail) "
              "SELECT at, actor, channel, action, subject, subject_key, 99, '', '{}' FROM audit "
              f"WHERE subject_key = {DONE_NUMBER} AND version = 2"),
    tampering("version_event", f"DELETE FROM delivery WHERE event_id = {LAST_EVENT}",
              f"DELETE FROM event WHERE id = {LAST_EVENT}"),
    tampering("event_version",
              "INSERT INTO event (event_id, peer_id, subject, subject_key, sequence, kind, payload, created_at, due_at, "
              "lease_until, attempts, dead, error) SELECT 'x', peer_id, subject, subject_key, sequence + 1, kind, "
              "'{\"state\":\"called\",\"version\":99}', created_at, due_at, 0, 0, 0, '' FROM event "
              f"WHERE id = {LAST_EVENT}"),
    tampering("event_sequence", f"UPDATE event SET sequence = sequence + 1 WHERE id = {LAST_EVENT}"),
    tampering("event_order", f"UPDATE event SET sent_at = NULL WHERE subject_key = {DONE_NUMBER} AND sequence = 1"),
    tampering("receipt_unique",
              "INSERT INTO receipt (client, key, fingerprint, subject, subject_key, created_at) "
              "SELECT client, key, fingerprint, subject, subject_key, created_at FROM receipt"),
    tampering("booking_late", "UPDATE booking_due SET due_at = due_at - 3600"),
    tampering("suspension_closes", *suspended(FREE, closes=1)),
    tampering("suspension_empties",
              f"UPDATE slot SET closed = 1, is_open = 0 WHERE id = {LAST_OF_CT}",
              *suspended(LAST_OF_CT, closes=0)),
    tampering("suspension_loses_nobody",
              "UPDATE order_item SET reason = 'suspended' WHERE id IN (SELECT order_item_id FROM appointment_item "
              f"WHERE appointment_id = {GIVEN_UP})",
              f"UPDATE appointment SET state = 'suspended' WHERE id = {GIVEN_UP}",
              noticed=("suspension_loses_nobody", "last_version")),
    tampering("nothing_for_the_dead", f"UPDATE patient SET died_at = {epoch(MORNING)} WHERE id = "
              f"(SELECT patient_id FROM appointment WHERE id = {MOVED})"),
    tampering("sweep_paused",
              "INSERT INTO check_in_pause (department, kind, since, reason, actor, noticed_at, ended_by) "
              f"VALUES ('US', 'offline', {epoch(MORNING)}, '', 'x', {epoch(MORNING)}, '')"),
    tampering("restriction_grounds",
              "INSERT INTO no_show_restriction (patient_id, department, state, from_at, until_at, threshold, visits, "
              "appeal, appealed_by, decision, decision_reason, decided_by) SELECT min(id), 'US', 'active', "
              f"{epoch(MORNING)}, {epoch(MORNING) + 9}, 2, '[\"A\"]', '', '', '', '', '' FROM patient"),
    tampering("reminder_late", f"UPDATE reminder SET state = 'pending', due_at = {epoch(MORNING) - 3600}"),
    tampering("reminder_sent", "DELETE FROM event WHERE kind = 'patient.message' AND id = "
              "(SELECT max(id) FROM event WHERE kind = 'patient.message')"),
    tampering("foreign_keys", "UPDATE desk_task SET patient_id = 987654321"),
    tampering("instants", "UPDATE payment SET paid_at = 12"),
)  # fmt: skip


def test_a_busy_morning_breaks_no_promise(busy: Database) -> None:
    assert check(busy, clock=NOW) == []


def test_the_busy_morning_is_busy(busy: Database) -> None:
    states = {state for (state,) in busy.rows("SELECT DISTINCT state FROM appointment_version")}
    assert states == {"booked", "held", "cancelled", "checked_in", "in_progress", "fulfilled", "no_show"}
    relations = {relation for (relation,) in busy.rows("SELECT relation FROM appointment_interval")}
    assert relations == {"exclude", "before"}
    assert busy.value("SELECT count(*) FROM gate") > 0
    assert busy.value("SELECT count(*) FROM event WHERE sent_at IS NULL") > 0


@pytest.mark.parametrize("case", TAMPERINGS, ids=lambda case: case.name)
def test_tampering_is_noticed_by_the_promise_it_breaks_and_no_other(busy: Database, case: Tampering) -> None:
    tamper(busy, case)

    assert {violation.id for violation in check(busy, clock=NOW)} == case.expected


def tamper(database: Database, case: Tampering) -> None:
    loosen(database)
    for statement in case.statements:
        database.rows(statement)


def test_every_promise_is_tampered_with() -> None:
    assert {case.name.split(":")[0] for case in TAMPERINGS} == {invariant.id for invariant in INVARIANTS}


def test_what_is_shown_names_no_patient(busy: Database) -> None:
    for case in TAMPERINGS:
        tamper(busy, case)
    shown = json.dumps(as_data(check(busy, clock=NOW)), ensure_ascii=False)

    assert len(json.loads(shown)) > 20
    assert "患者card" not in shown
    assert "card-" not in shown


def test_only_what_was_asked_for_is_checked(busy: Database) -> None:
    busy.rows("UPDATE payment SET paid_at = 12")

    assert check(busy, ["slot_taken"], clock=NOW) == []
    assert [violation.id for violation in check(busy, ["instants", "slot_taken"], clock=NOW)] == ["instants"]
    with pytest.raises(NotFound):
        check(busy, ["no_such_promise"])


def test_a_violation_shows_its_first_rows_and_counts_all(busy: Database) -> None:
    busy.rows("UPDATE slot SET is_open = 0")
    (found,) = as_data(check(busy, clock=NOW))

    assert found["count"] > 20
    assert len(found["rows"]) == 20
    assert (found["id"], found["severity"]) == ("slot_open", "violation")


def test_work_that_waits_is_a_warning_only(busy: Database) -> None:
    later = SetClock(NOW.now() + timedelta(minutes=30))

    assert [(found.id, found.severity.value) for found in check(busy, clock=later)] == [
        ("hold_expired", "violation"),
        ("booking_late", "warning"),
    ]


def test_a_distance_that_was_overridden_counts_as_kept(busy: Database) -> None:
    busy.rows("UPDATE appointment_interval SET after_seconds = 86400, before_seconds = 86400, overridden_by = 'chief'")

    assert check(busy, clock=NOW) == []
