"""Orders changed, voided and refunded, patients and encounters that change: as platforms report them, in any order."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from examlane.appointments import changes
from examlane.corrections import order_changes
from examlane.insight import invariants
from examlane.testing.hospital import TESTER
from examlane.worker import turn

ONCE = str(uuid.UUID(int=7))
PATIENT_ROOT = "2.16.156.10011.2.5.1.4"


def codes(ack: Any) -> list[str]:
    return [each.code for each in ack.details]


def made(message: str, at: str) -> str:
    """The same message, made at another time."""
    root = message.index("<creationTime")
    return message[:root] + f'<creationTime value="{at}"/>' + message[message.index("/>", root) + 2 :]


def update(hip: Any, number: str, *items: str, at: str = "", **more: Any) -> str:
    message = hip.order(number, *items, new=False, **more)
    return made(message, at) if at else message


def void(hip: Any, number: str, **more: Any) -> str:
    return update(hip, number, active=False, **more)


def refund(hip: Any, number: str, kind: str, at: str = "20261123080000", **more: Any) -> str:
    content = f"<refund><orderNo>{number}</orderNo><kind>{kind}</kind><at>{at}</at></refund>"
    return str(hip.private("RefundInfoAdd", content, **more))


def person(hip: Any, at: str = "20261123080000", patient: str = "P1", more: str = "", **given: str) -> str:
    told = {"name": "张三", "phone": "", "sex": "2", "born": "19800229", **given}
    return f"""<PRPA_IN201314UV02 xmlns="urn:hl7-org:v3"><id extension="{uuid.uuid4()}"/><creationTime value="{at}"/>
    <controlActProcess><subject><registrationRequest><subject1><patient><id><item root="{PATIENT_ROOT}"
    extension="{patient}"/>{more}</id><patientPerson><name><item><part value="{told["name"]}"/></item></name>
    <telecom><item value="{told["phone"]}"/></telecom><administrativeGenderCode code="{told["sex"]}"/>
    <birthTime value="{told["born"]}"/></patientPerson></patient></subject1></registrationRequest></subject>
    </controlActProcess></PRPA_IN201314UV02>"""


def merge(keep: str, merged: str, *, name: str = "张三", state: str = "active") -> str:
    return f"""<PRPA_IN201304UV02 xmlns="urn:hl7-org:v3"><id extension="{uuid.uuid4()}"/>
    <creationTime value="20261123080000"/><controlActProcess><subject><registrationEvent><statusCode code="{state}"/>
    <subject1><patient><id><item root="{PATIENT_ROOT}" extension="{keep}"/></id><patientPerson><name><item>
    <part value="{name}"/></item></name></patientPerson></patient></subject1><replacementOf><priorRegistration><subject1>
    <priorRegisteredRole><id><item root="{PATIENT_ROOT}" extension="{merged}"/></id></priorRegisteredRole></subject1>
    </priorRegistration></replacementOf></registrationEvent></subject></controlActProcess></PRPA_IN201304UV02>"""


def encounter(
    number: str = "VP1", *, at: str = "20261123080000", made_at: str = "20261123080000", ward: str = "W3",
    patient: str = "P1", more: str = "", bed: str = "",
) -> str:  # fmt: skip
    return f"""<PRPA_IN400001UV xmlns="urn:hl7-org:v3"><id extension="{uuid.uuid4()}"/><creationTime value="{made_at}"/>
    <controlActProcess><subject><encounterEvent><id><item extension="{number}"/></id><code code="3"/>{more}<effectiveTime>
    <low value="{at}"/><high value="{at}"/></effectiveTime><subject><patient><id><item root="{PATIENT_ROOT}"
    extension="{patient}"/></id><patientPerson><name><item><part value="张三"/></item></name></patientPerson></patient>
    </subject><location><serviceDeliveryLocation><location><id><item extension="{bed}"/></id></location>
    <serviceProviderOrganization><id><item extension="{ward}"/></id></serviceProviderOrganization></serviceDeliveryLocation>
    </location></encounterEvent></subject></controlActProcess></PRPA_IN400001UV>"""


@pytest.fixture
def sound(hip: Any) -> Any:
    """The platform's hospital, in which every rule of the data still holds at the end."""
    yield hip
    assert invariants.check(hip.world.database, clock=hip.world.clock) == []


def active(hip: Any) -> list[tuple[str, str]]:
    return list(
        hip.world.database.rows(
            "SELECT oi.key, oi.state FROM order_item oi WHERE oi.state NOT IN ('cancelled', 'withdrawn') ORDER BY oi.id"
        )
    )


def repeated(hip: Any, action: str, message: str) -> None:
    """The same message again gets the same answer and changes nothing."""
    tables = ("order_item", "appointment", "appointment_version", "payment", "audit", "event", "patient", "encounter")
    rows = [hip.world.database.rows(f"SELECT * FROM {name} ORDER BY id") for name in tables]
    first = hip.answer(action, message)
    assert hip.answer(action, message) == first
    assert [hip.world.database.rows(f"SELECT * FROM {name} ORDER BY id") for name in tables] == rows


# Orders changed


def test_an_order_is_changed_to_what_the_form_says_now(sound: Any) -> None:
    hip = sound
    hip.booked("1001", "US001", "CT001")
    kept = hip.world.item("1001/2").appointment
    head, heart = hip.form("1001", "CT001", "US002").items
    items = (replace(head, placer="10012"), replace(heart, placer="50009"))
    message = hip.order("1001", new=False, items=items, note="左侧", diagnosis="结节?", priority="urgent")
    ack = hip.taken("CheckAppInfoUpdate", message)
    assert codes(ack)[0] == "cancelled"
    assert active(hip) == [("1001/2", "accepted"), ("1001/3", "accepted")]
    assert hip.world.item("1001/1").appointment is None
    assert hip.world.item("1001/2").appointment == kept
    placers = hip.world.database.rows("SELECT line, number FROM placer_number ORDER BY line")
    assert placers == [(1, "10011"), (2, "10012"), (3, "50009")]
    assert hip.world.database.row("SELECT note, priority FROM exam_order") == ("左侧", "urgent")
    repeated(hip, "CheckAppInfoUpdate", message)


def test_another_exam_under_the_same_number_is_another_line(sound: Any) -> None:
    hip = sound
    hip.taken("CheckAppInfoAdd", hip.order("1001", "US001"))
    hip.taken("CheckAppInfoUpdate", update(hip, "1001", "US002"))
    assert active(hip) == [("1001/2", "accepted")]


def test_what_a_form_does_not_change_keeps_its_place_and_its_confirmations(sound: Any) -> None:
    hip = sound
    number = hip.booked("1001", "US001")
    database = hip.world.database
    database.write(lambda: database.rows("UPDATE order_item SET confirmed = ? RETURNING id", '{"us.x":"医生确认"}'))
    hip.taken("CheckAppInfoUpdate", update(hip, "1001", "US001", note="改"))
    hip.taken("CheckAppInfoUpdate", update(hip, "1001", "US001", "CT001"))
    assert hip.world.item("1001/1").appointment == number
    assert database.value("SELECT confirmed FROM order_item WHERE line = 1") == '{"us.x":"医生确认"}'


def test_a_verifier_lets_an_inpatients_order_be_booked(sound: Any) -> None:
    hip = sound
    hip.taken("CheckAppInfoAdd", hip.order("1001", encounter_class="inpatient", verified=False))
    assert hip.world.item("1001/1").appointment is None
    hip.taken("CheckAppInfoUpdate", update(hip, "1001", encounter_class="inpatient", verified=True))
    assert hip.world.item("1001/1").appointment_state == "booked"


def test_a_verifier_pays_for_nobody(sound: Any) -> None:
    hip = sound
    hip.taken("CheckAppInfoAdd", hip.order("1001"))
    hip.taken("CheckAppInfoUpdate", update(hip, "1001", verified=True))
    assert hip.world.item("1001/1").appointment is None


def test_an_older_change_that_comes_late_changes_nothing(sound: Any) -> None:
    hip = sound
    hip.booked("1001", "US001")
    hip.world.clock.advance(timedelta(minutes=10))
    hip.taken("CheckAppInfoUpdate", update(hip, "1001", "US001", note="第二版", at="20261123080500"))
    late = update(hip, "1001", "US002", note="第一版", at="20261123080100")
    assert codes(hip.taken("CheckAppInfoUpdate", late)) == ["superseded"]
    assert hip.world.database.value("SELECT note FROM exam_order") == "第二版"
    assert active(hip) == [("1001/1", "accepted")]
    assert codes(hip.taken("CheckAppInfoUpdate", void(hip, "1001", at="20261123080200"))) == ["superseded"]
    repeated(hip, "CheckAppInfoUpdate", late)


def test_a_clock_that_runs_ahead_silences_nobody(sound: Any) -> None:
    hip = sound
    hip.booked("1001")
    hip.taken("CheckAppInfoUpdate", update(hip, "1001", note="一", at="20991231080000"))
    hip.world.clock.advance(timedelta(minutes=1))
    hip.taken("CheckAppInfoUpdate", update(hip, "1001", note="二"))
    assert hip.world.database.value("SELECT note FROM exam_order") == "二"


def test_an_order_that_comes_after_its_change_is_only_noted(sound: Any) -> None:
    hip = sound
    hip.world.clock.advance(timedelta(minutes=10))
    hip.taken("CheckAppInfoUpdate", update(hip, "1001", "US002", at="20261123080500"))
    late = made(hip.order("1001", "US001"), "20261123080000")
    assert codes(hip.taken("CheckAppInfoAdd", late)) == ["superseded"]
    assert hip.count("exam_order") == 1
    assert hip.world.database.value("SELECT name FROM exam_item i JOIN order_item oi ON oi.item_id = i.id") == "心脏彩超"


def test_changes_at_the_same_moment_are_applied_one_after_the_other(hip: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    hip.booked("1001")
    real = order_changes.change

    def slower(hospital: Any, changed: Any, *rest: Any) -> Any:
        monkeypatch.setattr(order_changes, "change", real)
        hip.taken("CheckAppInfoUpdate", update(hip, "1001", note="先"))
        return real(hospital, changed, *rest)

    monkeypatch.setattr(order_changes, "change", slower)
    message = update(hip, "1001", note="后", message_id=ONCE)
    response = hip.post(hip.envelope("CheckAppInfoUpdate", message))
    assert response.status_code == 500
    assert "version_conflict" in response.text
    assert "true</" in response.text
    hip.taken("CheckAppInfoUpdate", message)
    assert hip.world.database.value("SELECT note FROM exam_order") == "后"


def test_another_patients_order_is_not_changed(sound: Any) -> None:
    hip = sound
    number = hip.booked("1001")
    hip.taken("CheckAppInfoAdd", hip.order("1002", patient="P2"))
    for message in (update(hip, "1001", "US002", patient="P2"), void(hip, "1001", patient="P2")):
        assert codes(hip.send("CheckAppInfoUpdate", message)) == ["other_patient"]
    assert hip.state(number) == "booked"


# Orders voided


def test_a_voided_order_leaves_its_place_to_the_one_that_follows(sound: Any) -> None:
    hip = sound
    number = hip.booked("1001")
    message = void(hip, "1001")
    assert codes(hip.taken("CheckAppInfoUpdate", message)) == ["held"]
    assert hip.state(number) == "held"
    assert codes(hip.taken("CheckAppInfoUpdate", void(hip, "1001"))) == ["noted"]
    repeated(hip, "CheckAppInfoUpdate", message)
    assert codes(hip.send("CheckAppInfoUpdate", update(hip, "1001"))) == ["order_closed"]
    hip.world.clock.advance(timedelta(hours=1))
    turn(hip.world.hospital, lambda message: None)
    assert hip.state(number) == "expired"


@pytest.mark.parametrize("action", ["CheckAppInfoUpdate", "CheckAppInfoAdd"])
def test_an_order_that_was_voided_before_it_came_is_never_booked(sound: Any, action: str) -> None:
    hip = sound
    assert hip.paid("1001").taken
    assert codes(hip.taken(action, void(hip, "1001"))) == ["voided"]
    hip.world.clock.advance(timedelta(minutes=1))
    assert codes(hip.taken("CheckAppInfoAdd", hip.order("1001"))) == ["voided"]
    assert hip.count("appointment") == 0
    assert codes(hip.taken("CheckAppInfoUpdate", void(hip, "1001"))) == ["noted"]


def test_an_exam_that_has_begun_is_not_voided(sound: Any) -> None:
    hip = sound
    number = hip.booked("1001")
    changes.execution(hip.world.hospital, number, "started", TESTER)
    assert codes(hip.send("CheckAppInfoUpdate", void(hip, "1001"))) == ["exam_started"]
    assert hip.state(number) == "in_progress"


# Refunds


def test_a_refund_gives_the_place_back_and_its_withdrawal_books_again(sound: Any) -> None:
    hip = sound
    number = hip.booked("1001")
    asked = refund(hip, "1001", "requested")
    assert codes(hip.taken("RefundInfoAdd", asked)) == ["refund_requested"]
    assert hip.state(number) == "cancelled"
    repeated(hip, "RefundInfoAdd", asked)
    hip.taken("RefundInfoAdd", refund(hip, "1001", "withdrawn", "20261123080100"))
    assert hip.world.item("1001/1").appointment_state == "booked"


def test_a_refund_of_the_future_is_refused(sound: Any) -> None:
    number = sound.booked("1001")
    assert codes(sound.send("RefundInfoAdd", refund(sound, "1001", "requested", "20991231080000"))) == ["invalid_input"]
    assert sound.state(number) == "booked"


def test_a_refund_waits_for_its_order(sound: Any) -> None:
    hip = sound
    hip.paid("1001")
    assert codes(hip.taken("RefundInfoAdd", refund(hip, "1001", "refunded", "20261123080100"))) == ["parked"]
    hip.taken("CheckAppInfoAdd", hip.order("1001"))
    assert hip.world.database.row("SELECT state FROM parked_message") == ("done",)
    assert hip.world.item("1001/1").appointment is None
    assert hip.world.database.value("SELECT payment FROM order_item") == "refunded"


def test_a_payment_that_comes_after_its_refund_books_nothing(sound: Any) -> None:
    hip = sound
    hip.taken("CheckAppInfoAdd", hip.order("1001"))
    hip.taken("RefundInfoAdd", refund(hip, "1001", "refunded", "20261123080100"))
    hip.paid("1001")
    assert hip.world.item("1001/1").appointment is None
    assert hip.world.database.value("SELECT payment FROM order_item") == "unpaid"


def test_a_refund_that_is_withdrawn_pays_for_nothing_that_was_not_paid(sound: Any) -> None:
    hip = sound
    hip.taken("CheckAppInfoAdd", hip.order("1001", "US001", "CT001"))
    content = "<payment><orderNo>1001</orderNo><line>1</line><paidAt>20261123080000</paidAt></payment>"
    hip.taken("PaymentInfoAdd", hip.private("PaymentInfoAdd", content))
    hip.taken("RefundInfoAdd", refund(hip, "1001", "requested", "20261123080100"))
    hip.taken("RefundInfoAdd", refund(hip, "1001", "withdrawn", "20261123080200"))
    assert hip.world.database.rows("SELECT payment FROM order_item ORDER BY line") == [("paid",), ("unpaid",)]
    assert hip.world.item("1001/2").appointment is None


def test_a_refund_request_that_comes_after_its_withdrawal_takes_nothing(sound: Any) -> None:
    hip = sound
    number = hip.booked("1001")
    hip.taken("RefundInfoAdd", refund(hip, "1001", "withdrawn", "20261123080200"))
    hip.taken("RefundInfoAdd", refund(hip, "1001", "requested", "20261123080100"))
    assert hip.state(number) == "booked"
    assert hip.count("payment") == 3


def test_whether_an_order_may_be_refunded_is_answered_by_line(sound: Any) -> None:
    hip = sound
    hip.booked("1001", "US001", "CT001")
    hip.taken("CheckStatusInfoUpdate", hip.status("1001", "SC19", department="31"))
    subjects = hip.found("RefundableInfoQuery", hip.private("RefundableInfoQuery", "<orderNo>1001</orderNo>"))
    said = [dict(subject[0].attrib) for subject in subjects]
    assert [(each["line"], each["refundable"], each["code"]) for each in said] == [
        ("1", "true", "refundable"), ("2", "false", "exam_started"),
    ]  # fmt: skip
    unknown = hip.send("RefundableInfoQuery", hip.private("RefundableInfoQuery", "<orderNo>404</orderNo>"))
    assert codes(unknown) == ["not_found"]


# Check-in taken back


def test_a_registration_is_taken_back_also_when_the_patient_was_called(sound: Any) -> None:
    hip = sound
    number = hip.booked("1001")
    hip.taken("CheckStatusInfoUpdate", hip.status("1001", "SC08"))
    hip.taken("CallInfoAdd", hip.private("CallInfoAdd", f"<call><appointmentNo>{number}</appointmentNo></call>"))
    message = hip.status("1001", "SC09", at="20261123080100")
    assert codes(hip.taken("CheckStatusInfoUpdate", message)) == ["booked"]
    assert hip.state(number) == "booked"
    repeated(hip, "CheckStatusInfoUpdate", message)
    hip.world.clock.advance(timedelta(minutes=5))
    hip.taken("CheckStatusInfoUpdate", hip.status("1001", "SC08", at="20261123080300"))
    assert hip.state(number) == "checked_in"


def test_a_registration_that_comes_after_its_withdrawal_is_only_noted(sound: Any) -> None:
    hip = sound
    number = hip.booked("1001")
    hip.world.clock.advance(timedelta(minutes=5))
    assert codes(hip.taken("CheckStatusInfoUpdate", hip.status("1001", "SC09", at="20261123080300"))) == ["noted"]
    assert codes(hip.taken("CheckStatusInfoUpdate", hip.status("1001", "SC08", at="20261123080100"))) == ["noted"]
    assert hip.state(number) == "booked"


def test_what_has_begun_is_not_unregistered(sound: Any) -> None:
    hip = sound
    number = hip.booked("1001")
    hip.taken("CheckStatusInfoUpdate", hip.status("1001", "SC10"))
    assert codes(hip.send("CheckStatusInfoUpdate", hip.status("1001", "SC09"))) == ["not_undoable"]
    assert hip.state(number) == "in_progress"


# Patients


def test_a_patient_is_changed_and_gets_his_new_identifiers(sound: Any) -> None:
    hip = sound
    hip.booked("1001")
    card = '<item root="2.16.156.10011.1.11" extension="OP77"/>'
    message = person(hip, name="张三丰", phone="13900000000", born="19800301", more=card)
    message = message.replace(card, "").replace("<id><item", f"<id>{card}<item")
    hip.taken("PatientInfoUpdate", message)
    row = hip.world.database.row("SELECT name, sex, birth_date, phone FROM patient")
    assert row == ("张三丰", "female", "1980-03-01", "13900000000")
    assert hip.world.database.value("SELECT count(*) FROM patient_identifier") == 2
    repeated(hip, "PatientInfoUpdate", message)


def test_what_an_update_leaves_out_stays(sound: Any) -> None:
    hip = sound
    hip.taken("CheckAppInfoAdd", hip.order("1001"))
    hip.taken("PatientInfoUpdate", person(hip, sex="9", born=""))
    row = hip.world.database.row("SELECT sex, birth_date, phone FROM patient")
    assert row == ("female", "1980-02-29", "13800001234")


def test_an_update_that_is_refused_adds_no_identifier(sound: Any) -> None:
    hip = sound
    hip.taken("CheckAppInfoAdd", hip.order("1001"))
    card = '<item root="2.16.156.10011.1.11" extension="OP77"/>'
    assert codes(hip.send("PatientInfoUpdate", person(hip, born="20280101", more=card))) == ["invalid_input"]
    assert hip.count("patient_identifier") == 1


def test_an_older_word_of_a_patient_changes_nothing(sound: Any) -> None:
    hip = sound
    hip.world.clock.advance(timedelta(minutes=10))
    hip.taken("PatientInfoUpdate", person(hip, "20261123080500", name="新名"))
    assert codes(hip.taken("PatientInfoUpdate", person(hip, "20261123080100", name="旧名"))) == ["superseded"]
    hip.taken("PatientInfoRegister", person(hip, "20261123080000", name="旧名"))
    assert hip.world.database.rows("SELECT name FROM patient") == [("新名",)]


def test_two_patients_become_one_and_two_again(sound: Any) -> None:
    hip = sound
    first, second = hip.booked("1001"), hip.booked("1002", "CT001", patient="P2")
    message = merge("P1", "P2")
    hip.taken("PatientInfoMerge", message)
    owners = "SELECT DISTINCT patient_id FROM exam_order"
    assert len(hip.world.database.rows(owners)) == 1
    assert [hip.state(first), hip.state(second)] == ["booked", "booked"]
    repeated(hip, "PatientInfoMerge", message)
    hip.taken("PatientInfoMerge", merge("P1", "P2"))
    hip.taken("PatientInfoMerge", merge("P1", "P2", state="nullified"))
    assert len(hip.world.database.rows(owners)) == 2
    assert codes(hip.send("PatientInfoMerge", merge("P1", "P2", state="nullified"))) == ["not_found"]


@pytest.mark.parametrize("known", ["P1", "P2", ""])
def test_whoever_of_two_is_known_what_comes_later_is_one_patients(sound: Any, known: str) -> None:
    hip = sound
    if known:
        hip.taken("CheckAppInfoAdd", hip.order("1000", patient=known))
    hip.taken("PatientInfoMerge", merge("P1", "P2"))
    assert codes(hip.taken("PatientInfoMerge", merge("P1", "P2"))) == ["noted"]
    for number, item, patient in (("1001", "CT001", "P1"), ("1002", "US002", "P2")):
        hip.taken("CheckAppInfoAdd", hip.order(number, item, patient=patient, encounter=f"V{number}"))
    assert hip.count("patient") == 1


def test_a_merge_of_nobody_we_know_and_nobody_named_is_refused(sound: Any) -> None:
    assert codes(sound.send("PatientInfoMerge", merge("P1", "P2", name=""))) == ["unknown_patient"]
    assert sound.count("patient") == 0


# Encounters


def test_an_encounter_is_admitted_moved_and_discharged(sound: Any) -> None:
    hip = sound
    number = hip.booked("1001")
    row = "SELECT encounter_class, ward, bed, state FROM encounter"
    admission = encounter(bed="12")
    hip.taken("InPatientInfoAdd", admission)
    assert hip.world.database.row(row) == ("inpatient", "W3", "12", "open")
    repeated(hip, "InPatientInfoAdd", admission)
    hip.world.clock.advance(timedelta(minutes=10))
    hip.taken("TransferInfoAdd", encounter(ward="W4", at="20261123080200"))
    assert hip.world.database.value("SELECT ward FROM encounter") == "W4"
    hip.taken("DischargeInfoAdd", encounter(ward="W4", at="20261123080900"))
    assert hip.world.database.value("SELECT state FROM encounter") == "discharged"
    assert hip.state(number) == "cancelled"


def test_a_transfer_that_comes_after_a_later_one_changes_nothing(sound: Any) -> None:
    hip = sound
    hip.taken("CheckAppInfoAdd", hip.order("1001"))
    hip.world.clock.advance(timedelta(minutes=10))
    hip.taken("TransferInfoAdd", encounter(ward="W5", at="20261123080500"))
    hip.taken("TransferInfoAdd", encounter(ward="W4", at="20261123080200"))
    hip.taken("InPatientInfoAdd", encounter(ward="W3", at="20261123080000"))
    assert hip.world.database.row("SELECT encounter_class, ward FROM encounter") == ("inpatient", "W5")


def test_an_update_of_an_admission_moves_the_patient(sound: Any) -> None:
    hip = sound
    hip.taken("InPatientInfoAdd", encounter())
    hip.world.clock.advance(timedelta(minutes=10))
    hip.taken("InPatientInfoUpdate", encounter(ward="W4", made_at="20261123080500"))
    assert hip.world.database.value("SELECT ward FROM encounter") == "W4"
    hip.taken("InPatientInfoUpdate", encounter("V9", patient="P9"))
    assert hip.world.database.value("SELECT encounter_class FROM encounter WHERE number = 'V9'") == "inpatient"


def test_a_discharge_that_was_none_brings_the_exams_back(sound: Any) -> None:
    hip = sound
    hip.booked("1001")
    hip.taken("DischargeInfoAdd", encounter())
    assert hip.world.item("1001/1").appointment is None
    hip.taken("DischargeInfoUpdate", encounter(more='<statusCode code="nullified"/>'))
    assert hip.world.database.value("SELECT state FROM encounter") == "open"


def test_a_discharge_may_mean_death(sound: Any) -> None:
    hip = sound
    hip.booked("1001")
    hip.taken("DischargeInfoAdd", encounter(more='<dischargeDispositionCode code="5"/>'))
    assert hip.world.database.value("SELECT died_at FROM patient") is not None
    assert hip.count("claim") == hip.world.database.value("SELECT count(*) FROM claim WHERE released_at IS NOT NULL")


def test_a_registration_at_a_clinic_makes_the_patient_known(sound: Any) -> None:
    hip = sound
    hip.taken("OutPatientInfoAdd", encounter("V9", patient="P9"))
    assert hip.world.database.rows("SELECT name FROM patient") == [("张三",)]
    hip.taken("CheckAppInfoAdd", hip.order("1001", patient="P9"))
    assert hip.count("patient") == 1


def test_an_event_of_the_future_is_refused_with_its_field(sound: Any) -> None:
    ack = sound.send("InPatientInfoAdd", encounter(at="20271123080000"))
    assert codes(ack) == ["invalid_input"]
    assert "/at" in ack.details[0].text
    assert sound.count("encounter") == sound.count("patient") == 0


# An answer that was lost, and rights

SENT: list[tuple[str, Callable[[Any], str]]] = [
    ("CheckAppInfoUpdate", lambda hip: update(hip, "1001", "US002", message_id=ONCE)),
    ("CheckAppInfoUpdate", lambda hip: void(hip, "1001", message_id=ONCE)),
    ("CheckAppInfoUpdate", lambda hip: void(hip, "404", message_id=ONCE)),
    ("RefundInfoAdd", lambda hip: refund(hip, "1001", "requested")),
    ("PatientInfoUpdate", lambda hip: person(hip, name="李四")),
    ("PatientInfoMerge", lambda hip: merge("P1", "P8")),
    ("InPatientInfoAdd", lambda hip: encounter()),
    ("DischargeInfoAdd", lambda hip: encounter()),
]


@pytest.mark.parametrize(("action", "message"), SENT)
def test_an_answer_lost_after_the_effect_is_made_anew(sound: Any, action: str, message: Callable[[Any], str]) -> None:
    hip = sound
    hip.booked("1001")
    sent = message(hip)
    first = hip.taken(action, sent)
    database = hip.world.database
    database.write(lambda: database.rows("UPDATE receipt SET answer = NULL RETURNING id"))
    before = database.rows("SELECT * FROM audit ORDER BY id")
    again = hip.taken(action, sent)
    assert again.details == first.details
    assert database.rows("SELECT * FROM audit ORDER BY id") == before


def test_each_thing_needs_its_own_permission(hip: Any) -> None:
    number = hip.booked("1001")
    hip.taken("CheckStatusInfoUpdate", hip.status("1001", "SC08"))
    database = hip.world.database

    def only(*scopes: str) -> None:
        text = "[" + ",".join(f'"{each}"' for each in scopes) + "]"
        database.write(lambda: database.rows("UPDATE api_client SET scopes = ? RETURNING id", text))

    forbidden = [
        (["order.change"], "CheckAppInfoUpdate", void(hip, "1001")),
        (["order.change"], "CheckAppInfoUpdate", update(hip, "1002")),
        (["order.submit"], "CheckAppInfoUpdate", update(hip, "1001")),
        (["order.submit"], "CheckAppInfoAdd", void(hip, "1001")),
        (["payment.report"], "RefundInfoAdd", refund(hip, "1001", "requested")),
        (["order.submit"], "PatientInfoUpdate", person(hip)),
        (["order.submit"], "PatientInfoMerge", merge("P1", "P2")),
        (["order.submit"], "InPatientInfoAdd", encounter()),
        (["encounter.report"], "InPatientInfoAdd", encounter(more='<statusCode code="nullified"/>')),
        (["appointment.execution"], "CheckStatusInfoUpdate", hip.status("1001", "SC09", at="20261123080000")),
    ]
    for scopes, action, message in forbidden:
        only(*scopes)
        assert codes(hip.send(action, message)) == ["forbidden"], (scopes, action)
    assert hip.state(number) == "checked_in"
    only("order.change", "order.void", "appointment.execution", "appointment.undo")
    database.write(lambda: database.rows("UPDATE api_client SET departments = ? RETURNING id", '["CT"]'))
    assert codes(hip.send("CheckStatusInfoUpdate", hip.status("1001", "SC09", at="20261123080000"))) == ["forbidden"]
    assert hip.state(number) == "checked_in"
