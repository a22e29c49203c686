"""zeep plays the story of test_foreign_clients.py and prints what it read as JSON."""

import json
import sys
from datetime import date, datetime
from decimal import Decimal

import zeep
from requests import Session
from zeep.wsse.username import UsernameToken

NINE = datetime(2026, 11, 23, 7, 55)


def connect(wsdl, user, password, authentication):
    session = Session()
    if authentication == "basic":
        session.auth = (user, password)
        return zeep.Client(wsdl, transport=zeep.Transport(session=session))
    token = UsernameToken(user, password, use_digest=authentication == "digest")
    return zeep.Client(wsdl, transport=zeep.Transport(session=session), wsse=token)


def order(number):
    return {
        "messageId": f"order-{number}", "orderNo": number,
        "patient": {
            "identifiers": {"identifier": [{"kind": "card", "value": f"C-{number}"}]},
            "name": "欧阳·𠮷", "sex": "female", "birthDate": date(1990, 2, 28),
        },
        "encounter": {"encounterNo": f"V-{number}", "encounterClass": "outpatient", "campus": "N"},
        "orderingDepartment": "CLINIC", "priority": "routine", "orderedAt": NINE,
        "items": {"item": [{"line": 1, "itemCode": "US-THYROID"}]},
        "note": "第一行\n第二行",
    }  # fmt: skip


def book(service, number):
    """From the order to the arrival."""
    ordered = service.SubmitOrder(order(number))["items"]["item"][0]
    paid = service.ReportPayment(
        {"messageId": f"pay-{number}", "orderNo": number, "amount": Decimal("120.50"), "paidAt": NINE}
    )
    booked = paid["items"]["item"][0].appointment
    slots = service.QuerySlots({"appointmentNo": booked.appointmentNo, "days": 2}).slot
    arrived = service.CheckIn({"messageId": f"arrived-{number}", "appointmentNo": booked.appointmentNo})
    return {
        "order": [ordered.state, ordered.code, ordered.message],
        "payment": [paid.state, booked.state, booked.place, booked.version],
        "slots": [slots[0].group, len(slots) > 1],
        "check_in": [arrived.state, arrived.version],
    }


def ask(service, number):
    payable = service.QueryPayable({"orderNo": number})["items"]["item"][0]
    return {"payable": [payable.line, payable.payable, payable.message]}


def refused(client):
    try:
        client.service.QuerySlots({"days": 7})
    except zeep.exceptions.Fault as error:
        fault = client.wsdl.types.deserialize(error.detail[0])
        return {"fault": [fault.code, fault.message, fault.retryable, list(fault.field)]}
    return {}


wsdl, user, password, authentication, _, story, number = sys.argv[1:]
client = connect(wsdl, user, password, authentication)
told = (book if story == "book" else ask)(client.service, number) | refused(client)
print(json.dumps(told))
