"""A day of a platform as its zeep client sends it, every document valid against the schemas, on both databases."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import zeep
from lxml import etree
from requests import Session
from requests.auth import HTTPBasicAuth
from werkzeug.serving import make_server

from examlane.insight import invariants
from examlane_api.hip import frame
from examlane_api.hip.frame import Ack, make
from examlane_api.hip.outbound import documents, reading
from examlane_api.hip.outbound.reading import Head
from tests.api.hip.test_corrections import encounter, person

PATIENT_ROOT = "2.16.156.10011.2.5.1.4"
Send = Callable[[str, str], Ack]


@pytest.fixture
def served(open_hip: Any, database_url: str, make_profile: Any, schemas: Path) -> Iterator[Any]:
    with open_hip(database_url, make_profile(schemas=str(schemas))) as hip:
        server = make_server("127.0.0.1", 0, hip.app)
        thread = threading.Thread(target=lambda: (server.serve_forever(), hip.world.database.close()))
        thread.start()
        hip.address = f"http://127.0.0.1:{server.server_port}/soap/hip/{hip.profile.code}"
        try:
            yield hip
        finally:
            server.shutdown()
            thread.join()
            server.server_close()
        assert invariants.check(hip.world.database, clock=hip.world.clock) == []


@pytest.fixture(params=["HIPServiceSoap", "HIPServiceSoap12"])
def send(served: Any, request: pytest.FixtureRequest) -> Iterator[Send]:
    """Sends a document as SOAP 1.1 or 1.2, by the served WSDL, and reads what is answered."""
    with Session() as session:
        session.auth = HTTPBasicAuth("platform", served.secret)
        client = zeep.Client(f"{served.address}?wsdlall", transport=zeep.Transport(session=session))
        service = client.create_service(f"{{{served.profile.namespace}}}{request.param}", served.address)

        def send(action: str, text: str) -> Ack:
            return frame.read_ack(service.HIPMessageServer(action=action, message=etree.CDATA(text)))

        yield send


def step(hip: Any, number: str, step: str) -> str:
    """CheckStatusInfoUpdate, whole, as a department's system would send it of an appointment."""
    hip.world.clock.advance(timedelta(minutes=1))
    exams = reading.exams(hip.world.hospital, number)
    said = hip.profile.status_code(step, exams[0].department.code)
    return frame.to_text(documents.status(hip.profile, Head(str(uuid.uuid4()), hip.now), exams, said))


def merge(hip: Any, keep: str, merged: str, state: str = "active") -> str:
    """PatientInfoMerge, whole."""
    root = frame.frame("PRPA_IN201304UV02", str(uuid.uuid4()), "20261123080000", "HIS0001", "EXAMLANE")

    def identity(name: str, value: str) -> etree._Element:
        return make(name, make("item", root=PATIENT_ROOT, extension=value))

    name = make("name", make("item", make("part", value="张三")))
    kind = make("idCategory", make("displayName", value="居民身份证"), code="01")
    who = make("patientPerson", make("id", make("item", root="2.16.156.10011.1.3", extension="")), kind, name)
    at = make("effectiveTime", make("any", value="20261123080000"))
    stays = make("patient", identity("id", keep), make("statusCode", code="active"), at, who)
    clerk = make("assignedEntity", identity("id", "9"), make("assignedPerson", make("name")))
    role = make("subject1", make("priorRegisteredRole", identity("id", merged)))
    prior = make("replacementOf", make("priorRegistration", make("statusCode", code="obsolete"), role))
    event = make(
        "registrationEvent", make("statusCode", code=state), make("subject1", stays), make("custodian", clerk), prior
    )
    root.append(make("controlActProcess", make("subject", event)))
    return frame.to_text(root)


def test_a_day_of_orders_exams_and_refunds(served: Any, send: Send) -> None:
    hip = served
    pay = "<payment><orderNo>{}</orderNo><paidAt>20261123080000</paidAt></payment>"
    refund = "<refund><orderNo>{}</orderNo><kind>{}</kind><at>2026112309{}</at></refund>"

    def told(action: str, text: str) -> list[str]:
        ack = send(action, text)
        assert ack.taken, ack.details
        return [each.code for each in ack.details]

    assert told("CheckAppInfoAdd", hip.order("1001")) == ["awaiting_payment"]
    assert told("PaymentInfoAdd", hip.private("PaymentInfoAdd", pay.format(1001))) == ["booked"]
    number = hip.world.item("1001/1").appointment
    assert told("CheckStatusInfoUpdate", step(hip, number, "registered")) == ["checked_in"]
    assert told("CheckStatusInfoUpdate", step(hip, number, "unregistered")) == ["booked"]
    late = hip.order("1001", "CT001", new=False)
    hip.world.clock.advance(timedelta(minutes=1))
    assert told("CheckAppInfoUpdate", hip.order("1001", "US001", "CT001", new=False)) == ["booked", "awaiting_payment"]
    assert told("CheckAppInfoUpdate", late) == ["superseded"]
    assert told("RefundableInfoQuery", hip.private("RefundableInfoQuery", "<orderNo>1001</orderNo>")) == ["accepted"]
    hip.world.clock.advance(timedelta(hours=1))
    told("RefundInfoAdd", hip.private("RefundInfoAdd", refund.format(1001, "requested", "0100")))
    assert hip.state(number) == "cancelled"
    told("RefundInfoAdd", hip.private("RefundInfoAdd", refund.format(1001, "withdrawn", "0200")))
    assert hip.world.item("1001/1").appointment_state == "booked"
    assert told("CheckAppInfoUpdate", hip.order("1001", active=False, new=False)) == ["held", "voided"]
    assert told("CheckAppInfoUpdate", hip.order("2001", active=False, new=False, patient="P2")) == ["voided"]
    assert told("CheckAppInfoAdd", hip.order("2001", patient="P2")) == ["voided"]
    assert send("CheckAppInfoUpdate", hip.order("1001", new=False)).details[0].code == "order_closed"


def test_people_and_their_encounters(served: Any, send: Send) -> None:
    hip = served
    for action, text in (
        ("CheckAppInfoAdd", hip.order("1001")),
        ("CheckAppInfoAdd", hip.order("1002", "CT001", patient="P2")),
        ("PatientInfoUpdate", person(hip, name="张三丰")),
        ("PatientInfoMerge", merge(hip, "P1", "P2")),
        ("PatientInfoMerge", merge(hip, "P1", "P2", "nullified")),
        ("OutPatientInfoAdd", encounter("V7", patient="P7")),
        ("InPatientInfoAdd", encounter()),
        ("TransferInfoAdd", encounter(ward="W4")),
        ("DischargeInfoAdd", encounter(ward="W4")),
    ):
        ack = send(action, text)
        assert ack.taken, (action, ack.details)
    names = hip.world.database.rows("SELECT name, merged_into_id FROM patient ORDER BY id")
    assert names == [("张三丰", None), ("张三", None), ("张三", None)]
    row = hip.world.database.row("SELECT encounter_class, ward, state FROM encounter WHERE number = 'VP1'")
    assert row == ("inpatient", "W4", "discharged")
