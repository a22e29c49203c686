"""The answer of a repeated request whose first sending died before it was answered, made from what it led to."""

from __future__ import annotations

from typing import Any

from examlane import reporting
from examlane.appointments import booking, status
from examlane.arrival import attendance, repeated
from examlane.checkups import group_days
from examlane.corrections import withdrawing
from examlane.golive import imports, received
from examlane.hospital import Hospital
from examlane.orders import patients
from examlane.patients import merging, people
from examlane.reading import exceptions
from examlane.records import dead_letters
from examlane.records.audit import Actor
from examlane.records.receipts import Replay
from examlane.replanning import reading
from examlane.storage.fields import epoch
from examlane.wards import encounters
from examlane_api import rulebook, waiting
from examlane_api.answers import Answers

PATIENT_OF_ORDER = "SELECT patient_id FROM exam_order WHERE number = ?"
DUE = "SELECT 1 FROM booking_due WHERE patient_id = ? AND due_at <= ?"


def answer(hospital: Hospital, answers: Answers, actor: Actor, replay: Replay) -> dict[str, Any]:
    """The answer as it stands now; what the first sending left due is settled first, so that it is not an interim one."""
    key = replay.subject_key
    if replay.subject == "appointment":
        return answers.appointment(status.appointment(hospital, key))
    if replay.subject == "visit":
        return answers.items(status.of_appointment(hospital, key))
    if replay.subject == "voided_order":
        return answers.items(withdrawing.settle_early(hospital, key, actor))
    if replay.subject == "parked":
        return answers.items(())
    if replay.subject == "check_in_source":
        return answers.source(attendance.source(hospital, key))
    if replay.subject == "encounter":
        found = encounters.read(hospital, key)
        _finish(hospital, found.patient, actor)
        return answers.encounter(encounters.read(hospital, key))
    if replay.subject == "restriction":
        return answers.restriction(repeated.restriction(hospital, int(key)))
    if replay.subject == "patient":
        patient = patients.current(hospital.database, int(key))
        _finish(hospital, patient, actor)
        return answers.items(status.of_patient(hospital, patient))
    if replay.subject == "relation":
        return answers.person(people.masked(hospital, int(key)))
    if replay.subject == "merge":
        return answers.merge(merging.read(hospital, int(key)))
    if replay.subject == "suspension":
        return answers.suspension(reading.get(hospital, key))
    if replay.subject in waiting.SUBJECTS:
        return waiting.of_subject(hospital, answers, replay.subject, key)
    if replay.subject == "external_appointment":
        system, _, number = key.partition("/")
        return answers.received(system, number, received.now(hospital, system, number))
    if replay.subject == "transfer":
        return answers.transfer(imports.of(hospital, int(key)))
    if replay.subject == "checkup":
        return answers.checkup(group_days.read(hospital, key))
    if replay.subject == "exception":
        return answers.exception(exceptions.task(hospital.database, int(key)))
    if replay.subject == "event":
        return answers.event(dead_letters.show(hospital.database, key)[0])
    if replay.subject == "rule":
        return answers.rule_version(rulebook.by_key(hospital, int(key)))
    finish_order(hospital, key, actor)
    if replay.subject == "payment":
        return answers.payment(reporting.payment_answer(hospital, key))
    return answers.items(status.of_order(hospital, key))


def finish_order(hospital: Hospital, number: str, actor: Actor) -> None:
    """Settle what a sending of an order or payment left due when it died."""
    _finish(hospital, hospital.database.value(PATIENT_OF_ORDER, number), actor)


def _finish(hospital: Hospital, patient: int | None, actor: Actor) -> None:
    now = epoch(hospital.clock.now())
    if patient is not None and hospital.database.row(DUE, patient, now):
        booking.settle(hospital, patient, actor)
