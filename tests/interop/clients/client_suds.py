"""suds-community plays the story of test_foreign_clients.py and prints what it read as JSON."""

import base64
import hashlib
import json
import os
import sys
from datetime import UTC, datetime

import suds
from suds.client import Client
from suds.sax.date import DateTime
from suds.wsse import Security, UsernameToken

WHEN = "2026-11-23T07:55:00+08:00"


def security(user, password, digested):
    """A token for one message: a nonce counts once."""
    token = UsernameToken(user, password)
    if digested:
        nonce, now = os.urandom(16), datetime.now(UTC)
        token.setnonce(base64.b64encode(nonce).decode())
        token.setnonceencoding(True)
        token.setcreated(now)
        digest = hashlib.sha1(nonce + str(DateTime(now)).encode() + password.encode()).digest()
        token.setpassworddigest(base64.b64encode(digest).decode())
    made = Security()
    made.tokens.append(token)
    return made


def connect(wsdl, user, password, authentication):
    if authentication == "basic":
        client = Client(wsdl, username=user, password=password, cache=None)
        return lambda operation, message: getattr(client.service, operation)(message)
    client = Client(wsdl, cache=None)

    def call(operation, message):
        client.set_options(wsse=security(user, password, authentication == "digest"))
        return getattr(client.service, operation)(message)

    return call


def book(call, number):
    """From the order to the arrival."""
    ordered = call("SubmitOrder", {
        "messageId": f"order-{number}", "orderNo": number,
        "patient": {
            "identifiers": {"identifier": [{"kind": "card", "value": f"C-{number}"}]},
            "name": "欧阳·𠮷", "sex": "female", "birthDate": "1990-02-28",
        },
        "encounter": {"encounterNo": f"V-{number}", "encounterClass": "outpatient", "campus": "N"},
        "orderingDepartment": "CLINIC", "priority": "routine", "orderedAt": WHEN,
        "items": {"item": [{"line": 1, "itemCode": "US-THYROID"}]},
        "note": "第一行\n第二行",
    })["items"]["item"][0]  # fmt: skip
    payment = {"messageId": f"pay-{number}", "orderNo": number, "amount": "120.50", "paidAt": WHEN}
    paid = call("ReportPayment", payment)
    booked = paid["items"]["item"][0].appointment
    slots = call("QuerySlots", {"appointmentNo": booked.appointmentNo, "days": 2}).slots.slot
    arrived = call("CheckIn", {"messageId": f"arrived-{number}", "appointmentNo": booked.appointmentNo})
    return {
        "order": [ordered.state, ordered.code, ordered.message],
        "payment": [paid.state, booked.state, booked.place, booked.version],
        "slots": [slots[0].group, len(slots) > 1],
        "check_in": [arrived.state, arrived.version],
    }


def ask(call, number):
    payable = call("QueryPayable", {"orderNo": number})["items"]["item"][0]
    return {"payable": [payable.line, payable.payable, payable.message]}


def refused(call):
    try:
        call("QuerySlots", {"days": 7})
    except suds.WebFault as error:
        fault = error.fault.detail.BookingFault
        return {"fault": [fault.code, fault.message, fault.retryable, list(fault.field)]}
    return {}


wsdl, user, password, authentication, _, story, number = sys.argv[1:]
call = connect(wsdl, user, password, authentication)
told = (book if story == "book" else ask)(call, number) | refused(call)
print(json.dumps(told, default=str))
