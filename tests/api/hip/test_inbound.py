"""A platform sends its documents: dispatched by action, acknowledged with a reason, done once."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import pytest

from examlane import Finding, FindingKind, OrderView, Text, hookimpl, reporting
from examlane.appointments import changes
from examlane.arrival import noshow
from examlane.domain import EncounterClass
from examlane.orders.intake import EncounterData, OrderData, OrderLine
from examlane.orders.patients import Identifier, PatientData
from examlane.records import inbox
from examlane.records.audit import Actor
from examlane.testing.hospital import TESTER
from examlane_api.access import operations
from examlane_api.hip import service
from examlane_api.hip.actions import ACTIONS

ENGINEER = Actor("engineer", "command")
ONCE = str(uuid.UUID(int=7))


class Forbids:
    @hookimpl
    def validate_order(self, order: OrderView) -> list[Finding]:
        words = Text("心脏起搏器患者不能做此检查", "not with a pacemaker")
        hearts = [item.key for item in order.items if item.item.code == "US-HEART"]
        return [Finding(FindingKind.BLOCK, "us.pacemaker", words, key) for key in hearts]


def codes(ack: Any) -> list[str]:
    return [each.code for each in ack.details]


def rows(hip: Any, *tables: str) -> list[Any]:
    return [hip.world.database.rows(f"SELECT * FROM {table} ORDER BY id") for table in tables]


# Orders


def test_an_order_is_placed_and_booked_once_it_is_paid(hip: Any) -> None:
    placed = hip.taken("CheckAppInfoAdd", hip.order("1001", "US001", "CT001"))
    assert codes(placed) == ["awaiting_payment", "awaiting_payment"]
    assert "第1项 甲状腺彩超" in placed.details[0].text
    paid = hip.paid("1001")
    assert codes(paid) == ["booked", "booked"]
    assert "2026-11-23" in paid.details[0].text
    assert hip.world.item("1001/1").appointment_state == "booked"


def test_an_order_brings_patient_encounter_and_note(hip: Any) -> None:
    hip.taken("CheckAppInfoAdd", hip.order("1001", note="左侧", encounter_class="inpatient", ward="W3"))
    database = hip.world.database
    patient = database.row("SELECT name, sex, birth_date, phone FROM patient")
    assert patient == ("张三", "female", "1980-02-29", "13800001234")
    assert database.row("SELECT number, encounter_class, ward FROM encounter") == ("VP1", "inpatient", "W3")
    assert database.row("SELECT note, doctor FROM exam_order") == ("左侧", "李医生")
    assert database.value("SELECT kind FROM patient_identifier") == "patient_id"
    assert database.value("SELECT release FROM order_item") == "verified"


def test_the_medical_order_number_of_each_line_is_kept(hip: Any) -> None:
    hip.taken("CheckAppInfoAdd", hip.order("1001", "US001", "US002"))
    kept = hip.world.database.rows("SELECT order_number, line, number FROM placer_number ORDER BY line")
    assert kept == [("1001", 1, "10011"), ("1001", 2, "10012")]


def test_an_order_that_the_rules_stop_is_refused_with_their_words(open_hip: Any, sqlite_url: str, profile: Any) -> None:
    with open_hip(sqlite_url, profile, {"forbids": Forbids()}) as hip:
        hip.world.switch("US", "forbids")
        ack = hip.send("CheckAppInfoAdd", hip.order("1001", "US002"))
        assert not ack.taken
        assert codes(ack) == ["rejected"]
        assert "起搏器" in ack.details[0].text
        part = hip.send("CheckAppInfoAdd", hip.order("1002", "US001", "US002", patient="P2"))
        assert part.taken
        assert codes(part) == ["awaiting_payment", "rejected"]


def test_the_same_id_gets_the_same_answer_and_changes_nothing(hip: Any) -> None:
    message = hip.order("1001", message_id=ONCE)
    first = hip.answer("CheckAppInfoAdd", message)
    hip.paid("1001")
    before = rows(hip, "exam_order", "order_item", "appointment", "event", "audit", "patient")
    hip.world.clock.advance(timedelta(minutes=5))
    assert hip.answer("CheckAppInfoAdd", message) == first
    assert rows(hip, "exam_order", "order_item", "appointment", "event", "audit", "patient") == before


def test_the_same_id_with_a_later_creation_time_is_the_same_message(hip: Any) -> None:
    message = hip.order("1001", message_id=ONCE)
    first = hip.answer("CheckAppInfoAdd", message)
    later = message.replace('value="20261123080000"/><inter', 'value="20261123090000"/><inter')
    assert later != message
    assert hip.answer("CheckAppInfoAdd", later) == first


def test_the_same_id_with_another_body_is_refused(hip: Any) -> None:
    hip.taken("CheckAppInfoAdd", hip.order("1001", message_id=ONCE))
    ack = hip.send("CheckAppInfoAdd", hip.order("1002", message_id=ONCE))
    assert not ack.taken
    assert codes(ack) == ["idempotency_key_reused"]
    assert hip.count("exam_order") == 1


def test_a_refused_message_may_be_corrected_under_its_id(hip: Any) -> None:
    wrong = hip.order("1001", message_id=ONCE).replace("张三", "")
    assert codes(hip.send("CheckAppInfoAdd", wrong)) == ["invalid_input"]
    hip.taken("CheckAppInfoAdd", hip.order("1001", message_id=ONCE))


def test_an_answer_lost_after_the_effect_is_made_anew(hip: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    message = hip.order("1001", message_id=ONCE)
    hip.taken("CheckAppInfoAdd", message)
    hip.world.database.write(lambda: hip.world.database.rows("UPDATE receipt SET answer = NULL RETURNING id"))
    assert codes(hip.taken("CheckAppInfoAdd", message)) == ["awaiting_payment"]
    assert hip.count("exam_order") == 1


def test_every_field_at_fault_is_named_with_its_path(hip: Any) -> None:
    message = hip.order("1001").replace("张三", "").replace('value="19800229"', 'value="19800231"')
    message = message.replace('extension="VP1"', 'extension=""')
    ack = hip.send("CheckAppInfoAdd", message)
    assert not ack.taken
    words = ack.details[0].text
    assert "componentOf1/encounter/subject/patient/patientPerson/name/item/part/@value：必填" in words
    assert "birthTime/@value：日期格式应为 yyyyMMdd" in words
    assert "componentOf1/encounter/id/item/@extension：必填" in words
    assert hip.count("exam_order") == hip.count("patient") == 0


@pytest.mark.parametrize(
    ("old", "new", "path"),
    [
        ('extension="1001"', 'extension="10/01"', "observationRequest/id/item"),
        ('extension="1001"', 'extension=""', "observationRequest/id/item"),
        ('extension="10011"', 'extension="' + "9" * 65 + '"', "component2[1]/observationRequest/id/item"),
        ('extension="P1"', 'extension="P 1"', "patient/id/item"),
        ("张三", "张\u202e三", "patientPerson/name"),
        ("张三", "三" * 65, "patientPerson/name"),
        ("20261123080000", "20261323080000", "author/time"),
        ("20261123080000", "2026-11-23", "author/time"),
        ("20261123080000", "19991231235959", "author/time"),
        ("20261123080000", "２０２６１１２３", "author/time"),
        ('value="19800229"', 'value="18000101"', "birthTime"),
    ],
)
def test_bad_values_are_refused_and_nothing_is_written(hip_on_sqlite: Any, old: str, new: str, path: str) -> None:
    hip = hip_on_sqlite
    message = hip.order("1001")
    assert old in message
    ack = hip.send("CheckAppInfoAdd", message.replace(old, new))
    assert not ack.taken
    assert path in ack.details[0].text
    assert hip.count("exam_order") == hip.count("patient") == hip.count("receipt") == hip.count("parked_message") == 0


def test_an_order_in_the_future_is_refused_by_the_core(hip_on_sqlite: Any) -> None:
    message = hip_on_sqlite.order("1001", ordered_at=hip_on_sqlite.now.replace(year=2027))
    ack = hip_on_sqlite.send("CheckAppInfoAdd", message)
    assert "开单时间在将来" in ack.details[0].text


def test_a_rare_character_in_a_name_is_taken(hip_on_sqlite: Any) -> None:
    hip_on_sqlite.taken("CheckAppInfoAdd", hip_on_sqlite.order("1001", patient_name="𠮷·买买提"))
    assert hip_on_sqlite.world.database.value("SELECT name FROM patient") == "𠮷·买买提"


def test_an_update_of_an_order_that_never_came_places_it(hip: Any) -> None:
    hip.taken("CheckAppInfoUpdate", hip.order("1001", new=False))
    assert hip.world.item("1001/1").state == "accepted"


def test_a_drawing_comes_only_where_the_profile_says_so(open_hip: Any, sqlite_url: str, make_profile: Any) -> None:
    with open_hip(sqlite_url, make_profile(drawings=True, notes=False)) as hip:
        drawn = hip.order("1001", note="x").replace('<text value=""/>', '<text value="data:image/png;base64,AAAA"/>')
        hip.taken("CheckAppInfoAdd", drawn)
        assert hip.world.database.row("SELECT drawing, note FROM exam_order") == ("data:image/png;base64,AAAA", "")


# States of exams


def test_a_ris_registers_starts_and_finishes(hip: Any) -> None:
    number = hip.booked("1001")
    for code, state in (("SC08", "checked_in"), ("SC10", "in_progress"), ("SC11", "fulfilled")):
        hip.taken("CheckStatusInfoUpdate", hip.status("1001", code))
        assert hip.state(number) == state
    assert hip.world.item("1001/1").state == "fulfilled"


def test_what_was_reported_already_or_means_nothing_is_only_noted(hip: Any) -> None:
    number = hip.booked("1001")
    for code in ("SC06", "SC13"):
        assert codes(hip.taken("CheckStatusInfoUpdate", hip.status("1001", code))) == ["noted"]
    hip.taken("CheckStatusInfoUpdate", hip.status("1001", "SC11"))
    assert codes(hip.taken("CheckStatusInfoUpdate", hip.status("1001", "SC10"))) == ["noted"]
    assert hip.state(number) == "fulfilled"


def test_a_report_is_for_the_visits_of_its_department(hip: Any) -> None:
    hip.booked("1001", "US001", "CT001")
    hip.taken("CheckStatusInfoUpdate", hip.status("1001", "SC17", department="31"))
    assert hip.world.item("1001/1").appointment_state == "booked"
    assert hip.world.item("1001/2").appointment_state == "checked_in"


def test_a_report_repeated_changes_nothing(hip: Any) -> None:
    hip.booked("1001")
    message = hip.status("1001", "SC08", message_id=ONCE)
    first = hip.answer("CheckStatusInfoUpdate", message)
    before = rows(hip, "appointment", "appointment_version", "audit")
    assert hip.answer("CheckStatusInfoUpdate", message) == first
    assert rows(hip, "appointment", "appointment_version", "audit") == before


def test_a_report_that_died_between_two_orders_goes_on_where_it_was(hip: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = hip.booked("1001"), hip.booked("1002", patient="P2")
    one, other = hip.status("1001", "SC08", message_id=ONCE), hip.status("1002", "SC08")
    part = other[other.index("<component2>") : other.index("</component2>") + len("</component2>")]
    both = one.replace("</component2>", f"</component2>{part}")
    real = noshow.arrive
    monkeypatch.setattr(noshow, "arrive", lambda *a, **k: real(*a, **k) if a[1] == first else 1 / 0)
    assert hip.post(hip.envelope("CheckStatusInfoUpdate", both)).status_code == 500
    monkeypatch.setattr(noshow, "arrive", real)
    assert hip.taken("CheckStatusInfoUpdate", both)
    assert [hip.state(first), hip.state(second)] == ["checked_in", "checked_in"]
    versions = "SELECT count(*) FROM appointment_version v JOIN appointment a ON a.id = v.appointment_id WHERE a.number = ?"
    assert hip.world.database.value(versions, first) == 2


def test_a_late_arrival_whose_answer_was_never_made_is_not_done_twice(hip: Any) -> None:
    number = hip.booked("1001")
    hip.world.clock.advance(timedelta(hours=3))
    message = hip.status("1001", "SC08", message_id=ONCE, at="20261123110000")
    assert codes(hip.taken("CheckStatusInfoUpdate", message)) == ["no_show"]
    hip.world.database.write(lambda: hip.world.database.rows("DELETE FROM receipt WHERE key = ? RETURNING id", ONCE))
    before = rows(hip, "appointment", "appointment_version", "audit")
    assert codes(hip.taken("CheckStatusInfoUpdate", message)) == ["noted"]
    assert rows(hip, "appointment", "appointment_version", "audit") == before
    assert hip.state(number) == "no_show"


def test_a_report_for_an_order_without_an_appointment_is_refused(hip: Any) -> None:
    hip.taken("CheckAppInfoAdd", hip.order("1001"))
    assert codes(hip.send("CheckStatusInfoUpdate", hip.status("1001", "SC08"))) == ["no_appointment"]


def test_a_report_that_the_state_forbids_is_refused_with_the_reason(hip: Any) -> None:
    number = hip.booked("1001")
    changes.execution(hip.world.hospital, number, "finished", TESTER)
    ack = hip.send("CallInfoAdd", hip.private("CallInfoAdd", f"<call><appointmentNo>{number}</appointmentNo></call>"))
    assert codes(ack) == ["state_conflict"]


# Before their order, and with codes that nobody knows


def test_a_report_before_its_order_waits_for_it(hip: Any) -> None:
    early = hip.taken("CheckStatusInfoUpdate", hip.status("1001", "SC13"))
    assert codes(early) == ["parked"]
    assert hip.count("parked_message") == 1
    hip.taken("CheckAppInfoAdd", hip.order("1001"))
    assert hip.world.database.row("SELECT state, body FROM parked_message") == ("done", "")


def test_a_report_is_done_whichever_channel_brings_its_order(hip: Any) -> None:
    hip.taken("CheckStatusInfoUpdate", hip.status("R1", "SC13"))
    assert service.replay_arrived(hip.world.hospital, {"example": hip.profile}) == 0
    data = OrderData(
        "R1", PatientData((Identifier("card", "C1"),), "李四"), EncounterData("V1", EncounterClass.OUTPATIENT), "CLINIC",
        hip.now, (OrderLine(1, "US-THYROID"),),
    )  # fmt: skip
    reporting.submit_order(hip.world.hospital, data, TESTER)
    assert service.replay_arrived(hip.world.hospital, {"example": hip.profile}) == 1
    assert hip.world.database.value("SELECT state FROM parked_message") == "done"


def test_a_report_whose_order_never_comes_is_given_up_after_a_day(hip: Any) -> None:
    hip.taken("CheckStatusInfoUpdate", hip.status("1001", "SC08"))
    hip.world.later(hours=25)
    assert service.replay_all(hip.world.hospital, hip.profile, ENGINEER) == []
    state, error = hip.world.database.row("SELECT state, error FROM parked_message")
    assert state == "failed"
    assert "24 hours" in error


def test_an_unknown_item_is_parked_whole_and_done_once_it_is_mapped(hip: Any) -> None:
    message = hip.order("1001", "US999", message_id=ONCE)
    ack = hip.taken("CheckAppInfoAdd", message)
    assert codes(ack) == ["parked"]
    assert "检查项目 US999（新项目）" in ack.details[0].text
    assert hip.count("exam_order") == 0
    [row] = inbox.codes(hip.world.database)
    assert (row.peer, row.kind, row.code, row.name, row.seen, row.target) == ("example", "item", "US999", "新项目", 1, "")
    assert hip.send("CheckAppInfoAdd", message).details == ack.details
    assert hip.count("parked_message") == 1
    inbox.assign(hip.world.database, "example", "item", "US999", "US-HEART", ENGINEER, hip.now)
    [(_, outcome)] = service.replay_ready(hip.world.hospital, hip.profile, ENGINEER)
    assert outcome == "done"
    assert hip.world.database.value("SELECT i.code FROM order_item oi JOIN exam_item i ON i.id = oi.item_id") == "US-HEART"
    assert service.replay_ready(hip.world.hospital, hip.profile, ENGINEER) == []
    hip.taken("CheckAppInfoAdd", hip.order("1002", "US999", patient="P2"))
    assert hip.count("exam_order") == 2


def test_a_message_with_two_unknown_codes_waits_for_both(hip: Any) -> None:
    message = hip.order("1001", "US999").replace('extension="11"', 'extension="77"')
    ack = hip.taken("CheckAppInfoAdd", message)
    assert "检查项目 US999" in ack.details[0].text
    assert "科室 77" in ack.details[0].text
    database = hip.world.database
    inbox.assign(database, "example", "item", "US999", "US-HEART", ENGINEER, hip.now)
    assert service.replay_ready(hip.world.hospital, hip.profile, ENGINEER) == []
    inbox.assign(database, "example", "department", "77", "CLINIC", ENGINEER, hip.now)
    assert [outcome for _, outcome in service.replay_ready(hip.world.hospital, hip.profile, ENGINEER)] == ["done"]


def test_an_unknown_status_code_waits_too(hip: Any) -> None:
    number = hip.booked("1001")
    assert codes(hip.taken("CheckStatusInfoUpdate", hip.status("1001", "ZZ1"))) == ["parked"]
    inbox.assign(hip.world.database, "example", "status", "ZZ1", "not_done", ENGINEER, hip.now)
    service.replay_ready(hip.world.hospital, hip.profile, ENGINEER)
    assert hip.state(number) == "not_done"


def test_a_parked_message_that_is_refused_at_last_says_why(hip: Any) -> None:
    hip.taken("CheckAppInfoAdd", hip.order("1001"))
    hip.taken("CheckAppInfoAdd", hip.order("1001", "US999"))
    inbox.assign(hip.world.database, "example", "item", "US999", "US-HEART", ENGINEER, hip.now)
    [(_, outcome)] = service.replay_ready(hip.world.hospital, hip.profile, ENGINEER)
    assert "order_exists" in outcome
    assert hip.world.database.value("SELECT state FROM parked_message") == "failed"


def test_a_profile_may_refuse_unknown_codes_at_once(open_hip: Any, database_url: str, make_profile: Any) -> None:
    with open_hip(database_url, make_profile(park_unknown=False)) as hip:
        ack = hip.send("CheckAppInfoAdd", hip.order("1001", "US999"))
        assert not ack.taken
        assert codes(ack) == ["unknown_code"]
        assert hip.count("parked_message") == 0
        assert hip.count("foreign_code") == 1


# People and dictionaries


def test_a_patient_is_registered_once(hip: Any) -> None:
    message = f"""<PRPA_IN201311UV02 xmlns="urn:hl7-org:v3"><id extension="{ONCE}"/><controlActProcess><subject>
    <registrationRequest><subject1><patient><id><item root="2.16.156.10011.2.5.1.4" extension="P9"/></id><patientPerson>
    <id><item root="2.16.156.10011.1.3" extension="11010519491231002X"/></id><name><item><part value="王五"/></item></name>
    <telecom><item value="13800000000"/></telecom><administrativeGenderCode code="1"/><birthTime value="19491231"/>
    </patientPerson></patient></subject1></registrationRequest></subject></controlActProcess></PRPA_IN201311UV02>"""
    for _ in range(2):
        hip.taken("PatientInfoRegister", message)
    assert hip.world.database.row("SELECT name, sex, birth_date FROM patient") == ("王五", "male", "1949-12-31")
    kinds = hip.world.database.rows("SELECT kind, value FROM patient_identifier ORDER BY id")
    assert kinds == [("patient_id", "P9"), ("citizen_id", "11010519491231002X")]


def test_a_dictionary_fills_the_inbox_with_what_is_not_known(hip: Any) -> None:
    entries = "".join(
        f'<term><code code="{code}"><displayName value="{name}"/></code></term>'
        for code, name in (("US001", "甲状腺彩超"), ("MR001", "头颅磁共振"))
    )
    message = f"""<PRVS_IN000001UV01 xmlns="urn:hl7-org:v3"><id extension="{ONCE}"/><controlActProcess><subject>
    {entries}</subject></controlActProcess></PRVS_IN000001UV01>"""
    ack = hip.taken("TerminologyRegister", message)
    assert "收到 2 条，1 条待对照" in ack.details[0].text
    assert [(row.code, row.name) for row in inbox.codes(hip.world.database)] == [("MR001", "头颅磁共振")]


# Our own actions


def test_an_assessment_a_call_and_a_no_show(hip: Any) -> None:
    number = hip.booked("1001")
    content = """<assessment><patient kind="patient_id">P1</patient>
    <kind>anaesthesia_assessment</kind><outcome>passed</outcome>
    <observedAt>20261123075000</observedAt><data name="asa">2</data></assessment>"""
    hip.taken("AssessmentInfoAdd", hip.private("AssessmentInfoAdd", content))
    assert hip.world.database.row("SELECT kind, outcome, data FROM evidence") == (
        "anaesthesia_assessment", "passed", '{"asa":2}',
    )  # fmt: skip
    hip.taken("CheckStatusInfoUpdate", hip.status("1001", "SC08"))
    called = f"<call><appointmentNo>{number}</appointmentNo><absent>true</absent></call>"
    hip.taken("CallInfoAdd", hip.private("CallInfoAdd", called))
    assert hip.state(number) == "called_absent"
    missed = f"<noShow><appointmentNo>{number}</appointmentNo></noShow>"
    hip.taken("NoShowInfoAdd", hip.private("NoShowInfoAdd", missed))
    assert hip.state(number) == "no_show"


def test_a_payment_before_its_order_is_stored(hip: Any) -> None:
    assert codes(hip.paid("1001")) == ["unknown_order"]
    assert codes(hip.taken("CheckAppInfoAdd", hip.order("1001"))) == ["booked"]


def test_our_own_documents_are_held_against_our_own_schema(hip_on_sqlite: Any) -> None:
    hip = hip_on_sqlite
    wrong = hip.private("PaymentInfoAdd", "<payment><orderNo>1</orderNo><amount>-1</amount><paidAt>x</paidAt></payment>")
    ack = hip.send("PaymentInfoAdd", wrong)
    assert codes(ack) == ["invalid_input"]
    assert "payment/amount" in ack.details[0].text
    assert hip.count("payment") == 0


# The table


def test_every_action_has_a_permission() -> None:
    assert {action.operation for action in ACTIONS.values()} <= set(operations())


def test_an_action_outside_the_clients_scopes_is_refused(hip: Any) -> None:
    hip.world.database.write(
        lambda: hip.world.database.rows("UPDATE api_client SET scopes = ? RETURNING id", '["payment.report"]')
    )
    assert codes(hip.send("CheckAppInfoAdd", hip.order("1001"))) == ["forbidden"]
    assert hip.count("exam_order") == 0
    assert codes(hip.paid("1001")) == ["unknown_order"]


def test_departments_bind_what_a_platform_reports(hip: Any) -> None:
    number = hip.booked("1001")
    hip.world.database.write(lambda: hip.world.database.rows("UPDATE api_client SET departments = ? RETURNING id", '["CT"]'))
    assert codes(hip.send("CheckStatusInfoUpdate", hip.status("1001", "SC08"))) == ["forbidden"]
    assert hip.state(number) == "booked"


def test_another_patients_rows_stay_as_they_are(hip: Any) -> None:
    hip.booked("2001", patient="P2")
    other = hip.world.database.value("SELECT patient_id FROM exam_order WHERE number = '2001'")
    tables = ("exam_order", "order_item", "appointment", "encounter", "patient_identifier")

    def rows_of(patient: int) -> list[Any]:
        return [
            hip.world.database.rows(f"SELECT * FROM {name} WHERE patient_id = ? ORDER BY id", patient) for name in tables
        ]

    before = rows_of(other)
    hip.booked("1001")
    for code in ("SC08", "SC10", "SC11"):
        hip.taken("CheckStatusInfoUpdate", hip.status("1001", code))
    assert rows_of(other) == before


# With the standard's schemas


def test_documents_are_held_against_the_standard_where_it_is_configured(
    open_hip: Any, sqlite_url: str, make_profile: Any, schemas: Any
) -> None:
    with open_hip(sqlite_url, make_profile(schemas=str(schemas))) as hip:
        hip.taken("CheckAppInfoAdd", hip.order("1001"))
        assert hip.paid("1001").taken
        ack = hip.send("CheckAppInfoAdd", hip.order("1002").replace('moodCode="RQO"', "", 1))
        assert codes(ack) == ["invalid_input"]
        assert "moodCode" in ack.details[0].text
        assert codes(hip.send("CheckStatusInfoUpdate", hip.status("1001", "SC08"))) == ["invalid_input"]
        assert hip.count("exam_order") == 1
        other = hip.order("1003").replace("POOR_IN200901UV", "POOR_IN200902UV")
        assert codes(hip.send("CheckAppInfoAdd", other)) == ["invalid_input"]
