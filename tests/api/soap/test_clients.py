"""Real SOAP clients of both versions call every operation through the served WSDL."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import zeep
from lxml import etree
from zeep.wsse.username import UsernameToken

from examlane_api.soap import Contract, SoapService

SHANGHAI = ZoneInfo("Asia/Shanghai")
NINE = datetime(2026, 5, 4, 9, 0)
VERSIONS = [
    ("?wsdl", "BookingSoap11Binding"),
    ("?wsdl12", "BookingSoap12Binding"),
    ("?wsdlall", "BookingSoap12Binding"),
]
ITEM = {"line": 1, "itemCode": "US-ABD", "confirmed": {"code": ["radiology.weight_unknown"]}}
ORDER = {
    "messageId": "m1",
    "orderNo": "O1",
    "patient": {
        "identifiers": {"identifier": [{"kind": "card", "value": "C7"}, {"kind": "national_id", "value": "X"}]},
        "name": "欧阳·𠮷",
        "sex": "female",
        "birthDate": date(1990, 2, 28),
        "outOfTown": False,
    },
    "encounter": {"encounterNo": "V1", "encounterClass": "outpatient", "needs": {"need": ["wheelchair"]}},
    "orderingDepartment": "GYN",
    "priority": "routine",
    "orderedAt": NINE,
    "items": {"item": [ITEM, {"line": 2, "itemCode": "CT-CHEST"}]},
    "facts": {"fact": [{"name": "weight_kg", "value": "61.5", "observedAt": "2026-05-04T01:00:00Z"}]},
    "note": "第一行\n第二行",
}
CHECK_IN = {"messageId": "m", "appointmentNo": "A1"}
PAYMENT = {"messageId": "m", "orderNo": "O1", "lines": {"line": [1, 2]}, "amount": "120.50", "paidAt": NINE}


@pytest.mark.parametrize(("query", "binding"), VERSIONS)
def test_every_element_of_every_message_travels_both_ways(server: Any, connect: Any, query: str, binding: str) -> None:
    _, service = connect(query, binding)
    recorder = server.recorder
    for name in sorted(recorder.contract.operations):
        request = recorder.operation(name).request
        answer = service[name](**{request.name: recorder.samples.sent(request.type)})
        assert recorder.calls[-1] == (name, "his", recorder.samples.of(request.type))
        assert answer is not None
    assert len(recorder.calls) == len(recorder.contract.operations) >= 25


@pytest.mark.parametrize(("query", "binding"), VERSIONS)
def test_an_order_reaches_its_handler_as_plain_python(server: Any, connect: Any, query: str, binding: str) -> None:
    _, service = connect(query, binding)
    service.SubmitOrder(ORDER)
    assert server.recorder.payload == {
        "messageId": "m1",
        "orderNo": "O1",
        "patient": {
            "identifiers": [{"kind": "card", "value": "C7"}, {"kind": "national_id", "value": "X"}],
            "name": "欧阳·𠮷",
            "sex": "female",
            "birthDate": date(1990, 2, 28),
            "outOfTown": False,
        },
        "encounter": {"encounterNo": "V1", "encounterClass": "outpatient", "needs": ["wheelchair"]},
        "orderingDepartment": "GYN",
        "priority": "routine",
        "orderedAt": NINE.replace(tzinfo=SHANGHAI),
        "items": [
            {"line": 1, "itemCode": "US-ABD", "confirmed": ["radiology.weight_unknown"]},
            {"line": 2, "itemCode": "CT-CHEST"},
        ],
        "facts": [{"name": "weight_kg", "value": "61.5", "observedAt": NINE.replace(tzinfo=SHANGHAI)}],
        "note": "第一行\n第二行",
    }
    assert type(server.recorder.payload["patient"]) is dict


def test_an_amount_is_a_decimal_and_lines_are_a_list(server: Any, connect: Any) -> None:
    connect("?wsdl", "BookingSoap11Binding")[1].ReportPayment(PAYMENT)
    assert server.recorder.payload["amount"] == Decimal("120.50")
    assert server.recorder.payload["lines"] == [1, 2]


def test_an_answer_gives_local_time_with_offset_and_no_illegal_characters(connect: Any) -> None:
    _, service = connect("?wsdl", "BookingSoap11Binding")
    appointment = service.CheckIn(CHECK_IN)
    assert appointment.periodStart.isoformat() == "2026-05-04T09:00:00+08:00"
    assert appointment.periodEnd - appointment.periodStart == timedelta(minutes=30)
    assert appointment.place == "超声科 3 号诊室"
    assert appointment.queueNo is None
    assert appointment.preparation.text == ["空腹 8 小时"]


@pytest.mark.parametrize(("query", "binding"), VERSIONS)
def test_a_refusal_is_a_typed_fault_in_both_versions(connect: Any, query: str, binding: str) -> None:
    client, service = connect(query, binding)
    with pytest.raises(zeep.exceptions.Fault) as caught:
        service.CancelAppointment({"messageId": "m", "appointmentNo": "gone", "reason": "改期"})
    assert re.search("(Client|Sender)$", caught.value.code)
    assert caught.value.message == "appointment.unknown: 预约不存在"
    fault = client.wsdl.types.deserialize(caught.value.detail[0])
    assert (fault.code, fault.message, fault.retryable) == ("appointment.unknown", "预约不存在", False)
    assert fault.field == ["cancellation/appointmentNo"]


@pytest.mark.parametrize(("query", "binding"), VERSIONS)
def test_a_username_token_is_enough(server: Any, connect: Any, query: str, binding: str) -> None:
    _, service = connect(query, binding, wsse=UsernameToken("his", "right 口令"))
    service.QueryPayable({"orderNo": "O1"})
    assert server.recorder.calls[0][1] == "his"


def test_a_wrong_token_is_refused_with_401(server: Any, connect: Any) -> None:
    _, service = connect("?wsdl", "BookingSoap11Binding", wsse=UsernameToken("his", "wrong"))
    with pytest.raises(zeep.exceptions.Fault, match="unauthenticated"):
        service.QueryPayable({"orderNo": "O1"})
    assert server.recorder.calls == []


def test_many_clients_at_once_each_get_their_own_answer(server: Any) -> None:
    def ask(n: int) -> list[str | None]:
        answer = server.send(server.cancel(reason="" if n % 2 else "改期", number=f"A{n}"))
        return [answer.code, *answer.fields]

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, range(80)))
    assert answers[0::2] == [[None]] * 40
    assert answers[1::2] == [["invalid_message", "cancellation/reason"]] * 40
    heard = {call[2]["appointmentNo"] for call in server.recorder.calls}
    assert heard == {f"A{n}" for n in range(0, 80, 2)}


@pytest.mark.parametrize(
    ("query", "ports"),
    [
        ("?wsdl", ["BookingSoap11"]),
        ("?WSDL", ["BookingSoap11"]),
        ("?singleWsdl", ["BookingSoap11"]),
        ("?wsdl12", ["BookingSoap12"]),
        ("?wsdlall", ["BookingSoap11", "BookingSoap12"]),
    ],
)
def test_a_wsdl_shows_the_versions_asked_for_and_the_configured_address(server: Any, query: str, ports: list[str]) -> None:
    wsdl = server.get(query).xml
    found = wsdl.findall(".//{*}service/{*}port")
    assert [port.get("name") for port in found] == ports
    assert {port[0].get("location") for port in found} == {"https://booking.example.org/soap"}
    assert len(wsdl.findall("{*}binding")) == len(ports)
    assert ("soap12" in etree.tostring(wsdl.find("{*}binding")[0]).decode().split()[0]) == (ports == ["BookingSoap12"])


def test_every_wrapper_of_the_contract_has_one_child_of_a_named_type(server: Any) -> None:
    schema = server.get("?wsdl").xml.find(".//{*}schema")
    wrappers = [each for each in schema.findall("{*}element") if each.get("name") != "BookingFault"]
    assert len(wrappers) == 2 * len(server.recorder.contract.operations)
    for wrapper in wrappers:
        [child] = wrapper.find(".//{*}sequence")
        assert child.get("type").startswith("tns:")
    assert not list(schema.iter("{*}attribute", "{*}choice", "{*}any", "{*}union", "{*}extension"))
    assert not schema.xpath("//@nillable")


def test_a_service_with_a_missing_or_surplus_handler_does_not_start(server: Any, wsdl: Any) -> None:
    handlers = server.recorder.handlers()
    handlers["PayOrder"] = handlers.pop("CheckIn")
    with pytest.raises(ValueError, match="CheckIn, PayOrder"):
        SoapService(Contract(wsdl, SHANGHAI), handlers, str, lambda _: None)
