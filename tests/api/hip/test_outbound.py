"""What platforms are told: valid against the standard's schemas, readable by ourselves, delivered and acknowledged."""

from __future__ import annotations

import gzip
import time
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree

from examlane.appointments import changes, choosing
from examlane.arrival import noshow
from examlane.orders.patients import Identifier
from examlane.records import events
from examlane.storage.exchange import Peer
from examlane.storage.fields import epoch
from examlane.testing.hospital import TESTER
from examlane_api.hip import frame, messages
from examlane_api.hip.outbound import documents, sending
from examlane_api.hip.outbound.reading import Exam, Form, FormItem, Frame, Head, Named, ResourceDay
from examlane_api.hip.outbound.sending import Outgoing, Platform, platform_send
from examlane_api.hip.service import PRIVATE_SCHEMA
from tests.api.hip.platforms import FakePlatform, ack_of, entry

# Any text that the database may hold: also characters that XML cannot carry.
WORDS = st.text(st.characters(exclude_categories=("Cs",)), max_size=40)
NAMED = st.builds(Named, st.text("ABCDEF0123456789-", min_size=1, max_size=16), WORDS)
CLASSES = st.sampled_from(["outpatient", "inpatient", "emergency", "checkup", "another"])
DEPARTMENTS = st.sampled_from([Named("US", "超声科"), Named("CT", "放射科")])
INSTANTS = st.datetimes(datetime(2020, 1, 1), datetime(2090, 1, 1)).map(lambda at: at.replace(tzinfo=UTC))
NUMBERS = st.integers(1, 2**31 - 1).map(str)
KINDS = st.sampled_from(["patient_id", "citizen_id", "outpatient_no", "inpatient_no", "unmapped"])
IDENTIFIERS = st.lists(st.builds(Identifier, KINDS, NUMBERS), max_size=4).map(tuple)
HEADS = st.builds(Head, st.uuids().map(str), INSTANTS)
NUMBER = st.text("23456789ABCDEFGHJKLMNPQRSTUVWXYZ", min_size=8, max_size=8).map(lambda text: f"{text[:4]}-{text[4:]}")
NAMES = st.text(st.characters(categories=("L",)), min_size=1, max_size=40)
EXAMS = st.builds(
    Exam, NUMBER, NUMBERS, st.text("0123456789/-", min_size=1, max_size=40), INSTANTS, DEPARTMENTS, NAMED, NUMBERS, CLASSES,
    WORDS, IDENTIFIERS, NAMES, NAMED, NAMED, st.integers(0, 9999),
)  # fmt: skip
FRAMES = st.builds(Frame, INSTANTS, INSTANTS, st.integers(1, 400), st.integers(-3, 400))
DAY = st.dates(date(2020, 1, 1))
DAYS = st.builds(ResourceDay, NAMED, DEPARTMENTS, DAY, st.lists(FRAMES, min_size=1, max_size=9).map(tuple))
FORMS = st.builds(
    Form, NUMBERS, st.booleans(), INSTANTS, st.booleans(), WORDS, NAMED, st.sampled_from(["routine", "urgent", "stat"]),
    NUMBERS, CLASSES, WORDS, IDENTIFIERS, NAMES, st.sampled_from(["female", "male", "unknown"]),
    st.none() | st.dates(date(1900, 1, 1), date(2030, 1, 1)), st.sampled_from(["", "13800001234", "010-6655"]),
    st.lists(st.builds(FormItem, NUMBERS, st.builds(Named, NUMBERS, NAMES), DEPARTMENTS), min_size=1, max_size=5).map(tuple),
    WORDS, WORDS,
)  # fmt: skip
BOUNDED = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def problems(root: etree._Element, action: str, schemas: Path) -> Any:
    return frame.problems(frame.read(frame.to_text(root), UTC), schemas / f"{action}.xsd")


# Valid, whatever stands in the database


@BOUNDED
@given(HEADS, EXAMS, st.booleans(), st.booleans())
def test_every_appointment_is_valid(schemas: Path, profile: Any, head: Head, exam: Exam, new: bool, active: bool) -> None:
    root = documents.appointment(profile, head, exam, new=new, active=active)
    assert problems(root, f"CheckAppointStatusInfo{'Add' if new else 'Update'}", schemas) == []


@BOUNDED
@given(HEADS, st.lists(EXAMS, min_size=1, max_size=4), st.sampled_from(["booked", "cancelled", "registered"]))
def test_every_state_is_valid(schemas: Path, profile: Any, head: Head, exams: list[Exam], step: str) -> None:
    said = profile.status_code(step, exams[0].department.code)
    assert problems(documents.status(profile, head, exams, said), "CheckStatusInfoUpdate", schemas) == []


@BOUNDED
@given(HEADS, st.lists(DAYS, min_size=1, max_size=3), st.booleans())
def test_every_roster_is_valid(schemas: Path, profile: Any, head: Head, days: list[ResourceDay], new: bool) -> None:
    root = documents.schedule(profile, head, days, new=new)
    assert problems(root, f"SourceAndScheduleInfo{'Add' if new else 'Update'}", schemas) == []


@BOUNDED
@given(HEADS, FORMS, st.booleans())
def test_every_application_is_valid(schemas: Path, profile: Any, head: Head, form: Form, new: bool) -> None:
    root = documents.application(profile, head, form, new=new)
    assert problems(root, f"CheckAppInfo{'Add' if new else 'Update'}", schemas) == []


def test_our_no_show_is_valid_against_our_schema(profile: Any) -> None:
    root = documents.no_show(profile, Head("0" * 32, datetime(2026, 1, 1, tzinfo=UTC)), "ABCD-2345")
    assert frame.problems(frame.read(frame.to_text(root), UTC), PRIVATE_SCHEMA) == []


# What we write, we read


@BOUNDED
@given(HEADS, FORMS)
def test_an_application_that_we_write_we_read(profile: Any, head: Head, form: Form) -> None:
    form = replace(
        form, doctor="李医生", note="左侧", ward="W1", diagnosis="结节", ordering_department=Named("CLINIC", "门诊"),
        patient=(Identifier("patient_id", "P1"), *form.patient),
    )  # fmt: skip
    document = frame.read(frame.to_text(documents.application(profile, head, form, new=True)), profile.timezone)
    read = messages.application(document.root, profile)
    assert document.root.problems == []
    assert (document.message_id, document.sender) == (head.message_id, profile.sender)
    assert (read.number, read.active, read.verified, read.doctor) == (form.number, form.active, form.verified, "李医生")
    assert read.ordered_at == form.ordered_at.replace(microsecond=0)
    assert (read.encounter.number, read.encounter.ward, read.note) == (form.encounter, "W1", "左侧")
    assert [each.placer for each in read.items] == [each.placer for each in form.items]
    assert read.encounter.patient.birth_date == form.birth_date or form.birth_date is None


@BOUNDED
@given(HEADS, EXAMS)
def test_a_state_that_we_write_we_read(profile: Any, head: Head, exam: Exam) -> None:
    said = profile.status_code("registered", exam.department.code)
    document = frame.read(frame.to_text(documents.status(profile, head, [exam], said)), profile.timezone)
    [report] = messages.status_reports(document.root, profile)
    assert document.root.problems == []
    assert (report.order, report.status.code, report.at) == (exam.application, said.code, head.at.replace(microsecond=0))
    assert report.department.code == profile.department_code(exam.department.code)


def test_an_order_goes_round_through_a_query_and_comes_back_as_it_went(hip: Any) -> None:
    hip.taken("CheckAppInfoAdd", hip.order("1001", "US001", "CT001", note="左侧", encounter_class="inpatient"))
    query = f"""<QUMT_IN020030UV01 xmlns="urn:hl7-org:v3"><id extension="{hip.head().message_id}"/><controlActProcess>
    <queryByParameter><queryByParameterPayload><actId><value><item extension="1001"/></value></actId>
    </queryByParameterPayload></queryByParameter></controlActProcess></QUMT_IN020030UV01>"""
    [subject] = hip.found("CheckAppInfoQuery", query)
    again = frame.frame("POOR_IN200901UV", hip.head().message_id, "20261123080000", "HIP0001", "EXAMLANE")
    again.append(frame.make("controlActProcess", subject, classCode="ACTN", moodCode="EVN"))
    read = messages.application(frame.read(frame.to_text(again), hip.profile.timezone).root, hip.profile)
    first = frame.read(hip.order("1001", "US001", "CT001", note="左侧", encounter_class="inpatient"), hip.profile.timezone)
    sent = messages.application(first.root, hip.profile)
    assert replace(read, department=sent.department, items=sent.items) == sent
    assert [each.item.code for each in read.items] == ["US001", "CT001"]


# Queries


def query(hip: Any, root: str, payload: str) -> str:
    return f"""<{root} xmlns="urn:hl7-org:v3"><id extension="{hip.head().message_id}"/><controlActProcess><queryByParameter>
    {payload}</queryByParameter></controlActProcess></{root}>"""


def asked(name: str, value: str, root: str = "") -> str:
    return f'<{name}><value><item root="{root}" extension="{value}"/></value></{name}>'


def framed(root: str, *subjects: etree._Element) -> etree._Element:
    found = frame.frame(root, "0" * 32, "20261123080000", "EXAMLANE", "HIP0001")
    found.append(frame.make("controlActProcess", *subjects, classCode="ACTN", moodCode="EVN"))
    return found


def test_queries_are_answered_with_valid_documents(hip: Any, schemas: Path) -> None:
    number = hip.booked("1001")
    by_order = f"<queryByParameterPayload>{asked('actId', '1001')}</queryByParameterPayload>"
    by_patient = asked("patientId", "P1", "2.16.156.10011.2.5.1.4")
    by_number = f"<queryByParameterPayload>{asked('actId', number)}</queryByParameterPayload>"
    by_actual_order = f"<queryByParameterPayload>{asked('actOrderId', '1001')}</queryByParameterPayload>"
    by_person = f"<queryByParameterPayload>{by_patient}</queryByParameterPayload>"
    for action, payload, add, root in (
        ("CheckAppInfoQuery", by_order, "CheckAppInfoAdd", "POOR_IN200901UV"),
        ("CheckAppInfoQuery", by_person, "CheckAppInfoAdd", "POOR_IN200901UV"),
        ("CheckAppointStatusInfoQuery", by_number, "CheckAppointStatusInfoAdd", "PRSC_IN010101UV01"),
        ("CheckAppointStatusInfoQuery", by_actual_order, "CheckAppointStatusInfoAdd", "PRSC_IN010101UV01"),
        ("CheckAppointStatusInfoQuery", by_person, "CheckAppointStatusInfoAdd", "PRSC_IN010101UV01"),
        ("CheckStatusInfoQuery", by_order, "CheckStatusInfoUpdate", "POOR_IN200902UV"),
    ):
        subjects = hip.found(action, query(hip, "QUMT_IN020030UV01", payload))
        assert len(subjects) == 1, (action, payload)
        assert problems(framed(root, *subjects), add, schemas) == []


def test_a_departments_rosters_are_told_by_day(hip: Any, schemas: Path) -> None:
    hip.booked("1001")
    within = '<effectiveTime><value><low value="20261123000000"/><high value="20261124000000"/></value></effectiveTime>'
    found = hip.found("SourceAndScheduleInfoQuery", query(hip, "PRSC_IN100000UV", within + asked("resourceDept", "32")))
    [subject] = found
    numbers = [each.get("extension") for each in subject.iterfind("{*}schedule/{*}resourceSlot/{*}id/{*}item")]
    assert numbers == [f"{each}:202611{day}" for day in (23, 24) for each in ("US-N-1", "US-N-2", "US-S-1")]
    totals = [each.get("value") for each in subject.iter("{*}totalNumber")]
    assert totals[0] == "24"
    by_id = hip.found("SourceAndScheduleInfoQuery", query(hip, "PRSC_IN100000UV", asked("scheduleId", "US-N-1:20261123")))
    assert len(list(by_id[0].iter("{*}schedule"))) == 1
    root = framed("PRSC_IN030101UV", *by_id)
    enterer = documents.schedule(hip.profile, hip.head(), [], new=True)[-1][0]
    root[-1].insert(0, enterer)
    assert problems(root, "SourceAndScheduleInfoAdd", schemas) == []


@pytest.mark.parametrize(
    ("action", "root", "payload", "code"),
    [
        ("CheckAppInfoQuery", "QUMT_IN020030UV01", "", "invalid_input"),
        ("CheckAppInfoQuery", "QUMT_IN020030UV01", asked("actId", "404"), "not_found"),
        ("CheckAppointStatusInfoQuery", "QUMT_IN020030UV01", asked("actId", "404"), "not_found"),
        ("CheckStatusInfoQuery", "QUMT_IN020030UV01", asked("patientId", "404", "2.16.156.10011.2.5.1.4"), "not_found"),
        ("SourceAndScheduleInfoQuery", "PRSC_IN100000UV", asked("resourceDept", "404"), "not_found"),
        ("SourceAndScheduleInfoQuery", "PRSC_IN100000UV", asked("scheduleId", "US-N-1:20269999"), "not_found"),
        ("SourceAndScheduleInfoQuery", "PRSC_IN100000UV", asked("scheduleId", "US-N-1:20991231"), "nothing_found"),
    ],
)
def test_a_query_that_finds_nothing_says_so(hip_on_sqlite: Any, action: str, root: str, payload: str, code: str) -> None:
    hip = hip_on_sqlite
    if root.startswith("QUMT"):
        payload = f"<queryByParameterPayload>{payload}</queryByParameterPayload>"
    ack = hip.send(action, query(hip, root, payload))
    assert ack.details[0].code == code
    assert ack.taken == (code == "nothing_found")


def test_whether_an_order_may_be_paid_is_answered_by_line(hip: Any) -> None:
    hip.taken("CheckAppInfoAdd", hip.order("1001", "US001", "CT001"))
    subjects = hip.found("PayableInfoQuery", hip.private("PayableInfoQuery", "<orderNo>1001</orderNo>"))
    said = [dict(subject[0].attrib) for subject in subjects]
    assert [(each["line"], each["itemCode"], each["payable"]) for each in said] == [
        ("1", "US-THYROID", "true"), ("2", "CT-HEAD", "true"),
    ]  # fmt: skip


# Events become documents


def told(hip: Any, number: str, kind: str) -> list[Outgoing]:
    version = hip.world.database.value("SELECT version FROM appointment WHERE number = ?", number)
    return sending.of_appointment(hip.world.hospital, hip.profile, number, f"appointment.{kind}", version, "event-1")


def test_a_booking_is_told_once_per_exam_and_as_a_state(hip: Any, schemas: Path) -> None:
    number = hip.booked("1001")
    found = told(hip, number, "booked")
    assert [each.action for each in found] == ["CheckAppointStatusInfoAdd", "CheckStatusInfoUpdate"]
    assert found == told(hip, number, "booked")
    for each in found:
        assert problems(etree.fromstring(each.text), each.action, schemas) == []
    root = etree.fromstring(found[0].text)
    assert root.find(".//{*}actAppointment/{*}id").get("extension") == number  # type: ignore[union-attr]
    assert root.find(".//{*}actAppointment/{*}statusCode").get("code") == "active"  # type: ignore[union-attr]
    orders = [each.get("extension") for each in root.iterfind(".//{*}actOrder/{*}id")]
    assert orders == ["1001", "10011"]
    assert 'any value="20261123083000"' in found[0].text
    assert 'code="SC06"' in found[1].text


def test_a_new_time_and_a_cancellation_are_updates(hip: Any, schemas: Path) -> None:
    number = hip.booked("1001")
    [*_, other] = choosing.times(hip.world.hospital, appointment=number, days=2, limit=50)
    choosing.reschedule(hip.world.hospital, number=number, actor=TESTER, group=other.group, starts_at=other.starts_at)
    [moved] = told(hip, number, "rescheduled")
    assert moved.action == "CheckAppointStatusInfoUpdate"
    assert 'statusCode code="active"' in moved.text
    changes.cancel(hip.world.hospital, number, TESTER, reason="x")
    found = told(hip, number, "cancelled")
    assert [each.action for each in found] == ["CheckAppointStatusInfoUpdate", "CheckStatusInfoUpdate"]
    assert 'statusCode code="inactive"' in found[0].text
    assert 'code="SC07"' in found[1].text
    for each in (moved, *found):
        assert problems(etree.fromstring(each.text), each.action, schemas) == []


def test_arrival_and_no_show_are_told(hip: Any) -> None:
    number = hip.booked("1001")
    noshow.mark(hip.world.hospital, number, TESTER)
    [missed] = told(hip, number, "no_show")
    assert missed.action == "NoShowInfoAdd"
    assert number in missed.text
    other = hip.booked("1002", patient="P2")
    changes.check_in(hip.world.hospital, other, TESTER)
    [registered] = told(hip, other, "checked_in")
    assert (registered.action, 'code="SC08"' in registered.text) == ("CheckStatusInfoUpdate", True)


def test_what_was_only_held_is_never_told(hip: Any) -> None:
    changes.cancel(hip.world.hospital, hip.booked("1001"), TESTER, reason="x")
    [time_, *_] = choosing.times(hip.world.hospital, items=["1001/1"], days=2, limit=5)
    held = choosing.book(hip.world.hospital, ["1001/1"], time_.group, time_.starts_at, TESTER, hold=True)
    assert told(hip, held.number, "held") == []
    changes.cancel(hip.world.hospital, held.number, TESTER, reason="x")
    assert told(hip, held.number, "cancelled") == []


def test_a_days_rosters_are_told(hip: Any, schemas: Path) -> None:
    [outgoing] = sending.of_day(hip.world.hospital, hip.profile, date(2026, 11, 23), "US", new=True, event="e-1")
    assert problems(etree.fromstring(outgoing.text), "SourceAndScheduleInfoAdd", schemas) == []
    assert sending.of_day(hip.world.hospital, hip.profile, date(2026, 11, 22), "US", new=False, event="e-1") == []


# Delivery


def platform(hip: Any, fake: FakePlatform, **more: Any) -> Platform:
    outbound = replace(hip.profile.outbound, address=fake.address, connect_seconds=1.0, answer_seconds=0.5, **more)
    return Platform(replace(hip.profile, outbound=outbound))


@pytest.fixture
def outgoing(hip_on_sqlite: Any) -> Outgoing:
    exam = Exam(
        "ABCD-2345", "1001", "10011", hip_on_sqlite.now, Named("US", "超声科"), Named("CLINIC", "门诊"), "V1",
        "outpatient", "", (Identifier("patient_id", "P1"),), "张三", Named("US-N", "超声室"), Named("examlane", "自动"), 3,
    )  # fmt: skip
    root = documents.appointment(hip_on_sqlite.profile, hip_on_sqlite.head(), exam, new=True, active=True)
    return Outgoing("CheckAppointStatusInfoAdd", frame.to_text(root))


@pytest.mark.parametrize("soap", ["1.1", "1.2"])
def test_a_document_is_delivered_in_cdata_and_acknowledged(
    hip_on_sqlite: Any, fake: FakePlatform, outgoing: Outgoing, soap: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HIP_PASSWORD", "secret")
    with platform(hip_on_sqlite, fake, soap=soap, user="us", password_from="HIP_PASSWORD") as peer:
        ack = peer.send(outgoing)
    assert ack.details[0].text == "已收到"
    assert fake.got == [(outgoing.action, outgoing.text)]
    assert b"<![CDATA[" in fake.envelopes[0]
    assert (b"http://www.w3.org/2003/05/soap-envelope" in fake.envelopes[0]) == (soap == "1.2")
    assert fake.authorizations[0].startswith("Basic ")


def test_a_refusal_is_told_from_silence(hip_on_sqlite: Any, fake: FakePlatform, outgoing: Outgoing) -> None:
    fake.behave = lambda action, document: ack_of(document, "AE")
    with platform(hip_on_sqlite, fake) as peer, pytest.raises(events.Declined, match="科室不存在"):
        peer.send(outgoing)


@pytest.mark.parametrize(
    "said",
    ["", "OK", "<x/>", "<MCCI_IN000002UV01/>", '<MCCI_IN000002UV01><acknowledgement typeCode="ZZ"/></MCCI_IN000002UV01>',
     "<!DOCTYPE a><a/>", "<a>" * 200],
)  # fmt: skip
def test_an_answer_that_is_no_acknowledgement_is_no_answer(
    hip_on_sqlite: Any, fake: FakePlatform, outgoing: Outgoing, said: str
) -> None:
    fake.behave = lambda action, document: said
    with platform(hip_on_sqlite, fake) as peer, pytest.raises(events.Unreachable):
        peer.send(outgoing)


def test_an_acknowledgement_of_another_message_is_no_answer(
    hip_on_sqlite: Any, fake: FakePlatform, outgoing: Outgoing
) -> None:
    fake.behave = lambda action, document: ack_of(document, target="9" * 32)
    with platform(hip_on_sqlite, fake) as peer, pytest.raises(events.Unreachable, match="another message"):
        peer.send(outgoing)


@pytest.mark.parametrize("raw", [(500, b"boom"), (200, b"<html>login</html>"), (200, b""), (404, b""), (200, b"\xff\xfe")])
def test_garbage_is_no_answer(hip_on_sqlite: Any, fake: FakePlatform, outgoing: Outgoing, raw: tuple[int, bytes]) -> None:
    fake.raw = raw
    with platform(hip_on_sqlite, fake) as peer, pytest.raises(events.Unreachable):
        peer.send(outgoing)


def test_an_answer_without_end_is_no_answer(hip_on_sqlite: Any, fake: FakePlatform, outgoing: Outgoing) -> None:
    fake.raw = (200, b"<x>" + b"a" * (2 << 20) + b"</x>")
    with platform(hip_on_sqlite, fake) as peer, pytest.raises(events.Unreachable, match="larger than 1048576"):
        peer.send(outgoing)


def test_an_answer_that_drips_is_no_answer(hip_on_sqlite: Any, fake: FakePlatform, outgoing: Outgoing) -> None:
    fake.drips = 20
    with platform(hip_on_sqlite, fake) as peer, pytest.raises(events.Unreachable, match="took longer"):
        peer.send(outgoing)


def test_an_answer_that_breaks_off_is_no_answer(hip_on_sqlite: Any, fake: FakePlatform, outgoing: Outgoing) -> None:
    fake.claims = 9999
    with platform(hip_on_sqlite, fake) as peer, pytest.raises(events.Unreachable):
        peer.send(outgoing)


def test_an_answer_that_is_zipped_is_read_and_bounded(hip_on_sqlite: Any, fake: FakePlatform, outgoing: Outgoing) -> None:
    fake.raw = (200, gzip.compress(b"<x>" + b"a" * (64 << 20)))
    fake.encoding = "gzip"
    with platform(hip_on_sqlite, fake) as peer, pytest.raises(events.Unreachable, match="larger than 1048576"):
        peer.send(outgoing)


def test_a_slow_platform_is_no_answer_in_time(hip_on_sqlite: Any, fake: FakePlatform, outgoing: Outgoing) -> None:
    fake.seconds = 2.0
    began = time.monotonic()
    with platform(hip_on_sqlite, fake) as peer, pytest.raises(events.Unreachable):
        peer.send(outgoing)
    assert time.monotonic() - began < 1.8


def test_a_platform_that_is_down_is_no_answer(hip_on_sqlite: Any, fake: FakePlatform, outgoing: Outgoing) -> None:
    fake.address = "http://127.0.0.1:9/hip"
    with platform(hip_on_sqlite, fake) as peer, pytest.raises(events.Unreachable):
        peer.send(outgoing)


def test_what_breaks_the_standard_is_not_sent(
    hip_on_sqlite: Any, fake: FakePlatform, outgoing: Outgoing, schemas: Path
) -> None:
    hip_on_sqlite.profile = replace(hip_on_sqlite.profile, schemas=str(schemas))
    with platform(hip_on_sqlite, fake) as peer:
        with pytest.raises(events.Declined, match="breaks its schema") as refused:
            peer.send(replace(outgoing, text=outgoing.text.replace('code="active"', 'code="perhaps"')))
        assert "perhaps" in refused.value.sent.request
        assert fake.got == []
        peer.send(outgoing)


def test_events_reach_the_platform_in_order_and_again_until_it_has_answered(hip: Any, fake: FakePlatform) -> None:
    database = hip.world.database
    database.write(lambda: database.insert(Peer, code="example", address=fake.address, created_at=epoch(hip.now)))
    outbound = replace(hip.profile.outbound, address=fake.address, connect_seconds=1.0, answer_seconds=1.0)
    profiles = {"example": replace(hip.profile, outbound=outbound)}
    with platform_send(hip.world.hospital, profiles, _nobody) as send:
        number = hip.booked("1001")
        changes.cancel(hip.world.hospital, number, TESTER, reason="x")
        fake.raw = (503, b"")
        assert events.deliver_due(database, send, epoch(hip.now)) < database.value("SELECT count(*) FROM event")
        fake.raw = None
        for _ in range(6):
            hip.world.clock.advance(timedelta(hours=1))
            events.deliver_due(database, send, epoch(hip.now))
    assert database.value("SELECT count(*) FROM event WHERE sent_at IS NULL") == 0
    archived = database.rows("SELECT outcome, request, answer FROM delivery WHERE request <> '' ORDER BY id")
    assert (archived[0][0], archived[-1][0]) == ("unreachable", "taken")
    _outcome, request, answer = archived[-1]
    assert request == "\n".join(document for _, document in fake.got[-2:])
    assert answer == "\n".join(ack_of(document) for _, document in fake.got[-2:])
    assert [action for action, _ in fake.got] == [
        "CheckAppointStatusInfoAdd", "CheckStatusInfoUpdate", "CheckAppointStatusInfoUpdate", "CheckStatusInfoUpdate",
    ]  # fmt: skip


def test_an_event_that_is_sent_twice_is_the_same_document(hip: Any, fake: FakePlatform) -> None:
    number = hip.booked("1001")
    row = {"appointment": number, "version": 1, "starts_at": "", "reason": ""}
    to = entry("example", fake.address)
    message = events.Message(1, to, "e-1", "appointment", number, 1, "appointment.booked", row, 1)
    outbound = replace(hip.profile.outbound, address=fake.address)
    with platform_send(hip.world.hospital, {"example": replace(hip.profile, outbound=outbound)}, _nobody) as send:
        send(message)
        hip.world.clock.advance(timedelta(minutes=3))
        send(message)
    assert fake.got[:2] == fake.got[2:]


def test_what_was_taken_before_a_refusal_is_archived_with_it(hip_on_sqlite: Any, fake: FakePlatform) -> None:
    hip = hip_on_sqlite
    number = hip.booked("1001")
    fake.behave = lambda action, document: ack_of(document, "AE" if action == "CheckStatusInfoUpdate" else "AA")
    row = {"appointment": number, "version": 1, "starts_at": "", "reason": ""}
    message = events.Message(
        1, entry("example", fake.address), "e-1", "appointment", number, 1, "appointment.booked", row, 1
    )
    profiles = {"example": replace(hip.profile, outbound=replace(hip.profile.outbound, address=fake.address))}
    with (
        platform_send(hip.world.hospital, profiles, _nobody) as send,
        pytest.raises(events.Declined, match="科室不存在") as refused,
    ):
        send(message)
    assert refused.value.sent.request == "\n".join(document for _, document in fake.got)
    assert refused.value.sent.answer.count("<MCCI_IN000002UV01") == 2


def test_a_request_is_shown_as_it_would_be_sent_and_nothing_is(
    hip_on_sqlite: Any, fake: FakePlatform, outgoing: Outgoing
) -> None:
    with platform(hip_on_sqlite, fake) as peer:
        head, _, envelope = peer.shown(outgoing).partition("\n\n")
        assert fake.got == []
        peer.send(outgoing)
    message = etree.fromstring(envelope).find(".//{*}message")
    assert head == f"POST {fake.address}"
    assert [(outgoing.action, message.text)] == fake.got


def test_an_event_that_names_no_version_tells_a_platform_nothing(hip_on_sqlite: Any) -> None:
    told = events.Message(1, entry("his", "http://x"), "e", "appointment", "A", 1, "ward.answered", {"answer": "ready"}, 1)
    assert sending.of_event(hip_on_sqlite.world.hospital, hip_on_sqlite.profile, told) == []


def test_other_peers_are_told_as_before(hip_on_sqlite: Any) -> None:
    heard: list[str] = []
    with platform_send(hip_on_sqlite.world.hospital, {}, lambda message: heard.append(message.peer)) as send:
        send(events.Message(1, entry("his", "http://x"), "e", "appointment", "A", 1, "appointment.booked", {}, 1))
    assert heard == ["his"]


def _nobody(message: Any) -> None:
    raise AssertionError(f"{message.peer} is a platform")
