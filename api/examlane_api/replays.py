"""The answer of a repeated request whose first sending died before it was answered, made from what it led to."""

from __future__ import annotations

from typing import Any

from examlane.appointments import booking, reporting, status
from examlane.hospital import Hospital
from examlane.records.audit import Actor
from examlane.records.receipts import Replay
from examlane.storage.fields import epoch
from examlane_api import rulebook
from examlane_api.answers import Answers

PATIENT_OF_ORDER = "SELECT patient_id FROM exam_order WHERE number = ?"
DUE = "SELECT 1 FROM booking_due WHERE patient_id = ? AND due_at <= ?"


def answer(hospital: Hospital, answers: Answers, actor: Actor, replay: Replay) -> dict[str, Any]:
    """The answer as it stands now; what the first sending left due is settled first, so that it is not an interim one."""
    key = replay.subject_key
    if replay.subject == "appointment":
        return answers.appointment(status.appointment(hospital, key))
    if replay.subject == "patient":
        _finish(hospital, int(key), actor)
        return answers.items(status.of_patient(hospital, int(key)))
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
