"""Forty kinds of bad input and fourteen attacks on XML, each as REST and as SOAP get it; the data of test_bad_input.py."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.api.bad_input import ABSENT, ENVELOPE, NAMESPACE, Json, Xml, enveloped

JSON, XML = (("Content-Type", "application/json"),), (("Content-Type", "text/xml; charset=utf-8"),)
LINE, NAME, WHEN, BORN = "order/items/item/line", "order/patient/name", "order/orderedAt", "order/patient/birthDate"
IDENTIFIER = "order/patient/identifiers/identifier"
CARD = {"kind": "citizen_id", "value": "11010519491231002X"}


def body(raw: bytes, status: int = 400, **more: Any) -> Json:
    return Json("/payments", raw=raw, status=status, headers=JSON, **more)


def message(raw: bytes | str, code: str = "malformed_xml", **more: Any) -> Xml:
    return Xml(raw=raw.encode() if isinstance(raw, str) else raw, code=code, field="-", **more)


def both(place: str, element: str, *values: str) -> Iterator[Json | Xml]:
    """The same text as a JSON value of an order and inside the element."""
    for value in values:
        yield Json("/orders", place, value)
        yield Xml("SubmitOrder", element, value.replace("<", "&lt;"))


def citizen(number: str) -> Iterator[Json | Xml]:
    identifiers = [{"kind": "citizen_id", "value": number}]
    yield Json("/orders", "patient/identifiers", identifiers, pointer="patient/identifiers/0/value")
    yield Xml(
        "SubmitOrder", IDENTIFIER, f"<kind>citizen_id</kind><value>{number}</value>",
        "order/patient/identifiers/identifier[1]/value",
    )  # fmt: skip


def bookings(order: str, code: str, rule: str = "") -> Iterator[Json | Xml]:
    """A time for an item that may not be booked; the code says why, and the rule's name which one."""
    yield Json("/appointments", "items", [f"{order}/1"], 409, "-", code, rule)
    yield Xml("BookAppointment", "booking/items/item/orderNo", order, "-", code, rule)


def holder(number: str) -> Iterator[Json | Xml]:
    """A patient of whom the number is all that tells birth date and sex."""
    identifier = f"<identifier><kind>citizen_id</kind><value>{number}</value></identifier>"
    yield Json("/orders", "patient", {"identifiers": [{"kind": "citizen_id", "value": number}], "name": "甲"})
    patient = f"<identifiers>{identifier}</identifiers><name>甲</name><sex>unknown</sex>"
    yield Xml("SubmitOrder", "order/patient", patient)


def token(more: str) -> str:
    """A header with a UsernameToken of the hospital information system."""
    return (
        f'<w:Security xmlns:w="{SECURITY}"><w:UsernameToken><w:Username>his</w:Username>{more}'
        "</w:UsernameToken></w:Security>"
    )


DEEP_JSON = b'{"a":' * 5000 + b"1" + b"}" * 5000
BOMB = '<!DOCTYPE a [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]>'
SECURITY = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd"
UTILITY = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd"
TOKEN = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-username-token-profile-1.0"
ADDRESSING = "http://www.w3.org/2005/08/addressing"
REQUIRED = ("number", "patient", "patient/name", "patient/identifiers", "encounter", "encounter/number",
            "encounter/encounter_class", "ordering_department", "ordered_at", "items", "items/0/line",
            "items/0/item")  # fmt: skip
ELEMENTS = ("messageId", "orderNo", "patient", "patient/name", "patient/identifiers", "encounter",
            "encounter/encounterNo", "encounter/encounterClass", "orderingDepartment", "priority", "orderedAt", "items",
            "items/item/line", "items/item/itemCode")  # fmt: skip

ROWS: dict[str, list[Json | Xml]] = {
    "1 empty or blank": [
        body(b""), body(b"  \n"), body(b'""', 422), *both("patient/name", NAME, "", "  "), message(""), message("  \n"),
    ],
    "2 another top level": [
        body(b"[]", 422), body(b"null", 422), body(b'"x"', 422), body(b"1", 422), message("<a/>", "not_an_envelope"),
    ],
    "3 a required field is missing": [
        *(Json("/orders", place, ABSENT) for place in REQUIRED),
        *(Xml("SubmitOrder", f"order/{place}", ABSENT) for place in ELEMENTS),
    ],
    "4 an unknown field": [
        body(b"{" + b",".join(b'"a%d":1' % n for n in range(100_000)) + b"}", 422),
        Json("/orders", "force", True), Json("/orders", "patient/role", "admin"),
        Json("/orders", "items/0/state", "accepted"),
        Xml("SubmitOrder", "order/note", after="<role>admin</role>", field="order/role"),
        Xml("SubmitOrder", NAME, after="<force>1</force>", field="order/patient/force"),
    ],
    "5 another type": [
        *(Json("/orders", "items/0/line", value) for value in ("5", 1.0, 1.9, True, None)),
        Json("/orders", "number", 5), Json("/orders", "patient", []), Json("/orders", "verified", "true"),
        *(Xml("SubmitOrder", LINE, value) for value in ("one", "1.0", "true")),
        Xml("ReportPayment", "payment/amount", "much"),
    ],
    "6 numbers as programs write them": [
        *both("items/0/line", LINE, "1_000", "１２", "0x1"), Json("/orders", "items/0/line", " 5 "),
    ],
    "7 not a number": [
        body(b'{"order": NaN}'), body(b'{"order": -Infinity}'), Json("/payments", "amount", "NaN"),
        body(b'{"order": "O0", "lines": [1e999], "paid_at": "2026-11-23T07:55:00+08:00"}', 422, pointer="lines/0"),
        *(Xml("ReportPayment", "payment/amount", value) for value in ("NaN", "INF", "1e999")),
    ],
    "8 whole numbers out of range": [
        *(Json("/orders", "items/0/line", value) for value in (-1, 0, 2**31, 2**63, 10**30)),
        body(b'{"lines": [' + b"9" * 5000 + b"]}"),
        *(Xml("SubmitOrder", LINE, str(value)) for value in (-1, 0, 2**31, 2**63, 10**30)),
        Xml("SubmitOrder", LINE, "9" * 5000), Xml("QuerySlots", "query/days", "367"),
    ],
    "9 twice": [
        body(b'{"order": "O0", "order": "O9", "paid_at": "2026-11-23T07:55:00+08:00"}'),
        Json("/orders", "items", [{"line": 1, "item": "US-THYROID"}] * 2, pointer="items/1/line"),
        Xml("SubmitOrder", "order/note", after="<note>b</note>", field="order/note[2]"),
        Xml("SubmitOrder", "order/orderNo", after="<orderNo>O2</orderNo>", field="order/orderNo[2]"),
    ],
    "10 deep nesting": [
        body(b"[" * 10_000), body(DEEP_JSON),
        body(b'["' + b"]" * 5000 + b'",' + b"[" * 5000 + b"]" * 5001),
        message(enveloped("<a>" * 20_000 + "</a>" * 20_000), status=0, code=""),
        message(enveloped("<a>" * 100 + "</a>" * 100), "too_deep"),
    ],
    "11 too large": [
        body(b'{"order": "' + b"x" * 5_000_000 + b'"}', 413), body(b'{"lines": [' + b"1," * 999_999 + b"1]}", 422),
        message(enveloped(f"<a>{'x' * 10_000_000}</a>"), "too_large", status=413),
        Xml("SubmitOrder", "order/note", "x" * 4001), Json("/orders", "note", "x" * 2001),
    ],
    "12 bad encoding": [
        body(b'{"order": "\xff"}'), body('{"order": "O0"}'.encode("utf-16")), body('{"order": "单"}'.encode("gbk")),
        body(b'{"order": "\\ud800", "paid_at": "2026-11-23T07:55:00+08:00"}'), body(b"\xef\xbb\xbf{}"),
        body(b'{"\\udc00": 1}'),
        message(enveloped("<a>\xff</a>").encode("latin-1"), "encoding", headers=XML),
        message(enveloped("<a>单</a>").encode("gbk"), "encoding", headers=XML),
        message('<?xml version="1.0" encoding="UTF-7"?><a/>', "not_an_envelope"),
        message(enveloped("<a>&#xD800;</a>")),
    ],
    "13 NUL and control characters": [
        body(b'{"a\\u0000b": 1}', 422), *(Json("/orders", "patient/name", f"a{character}b") for character in "\x00\x08\x7f"),
        *(Xml("SubmitOrder", NAME, value, "-", "malformed_xml") for value in ("a&#0;b", "a&#8;b", "a\x08b")),
        Xml("SubmitOrder", NAME, "a&#x7F;b"),
    ],
    "14 line breaks in one line": [
        *both("patient/name", NAME, "张\r\n三", "张\n三"), Json("/orders", "number", "a\r\nSet-Cookie:x=1"),
        Xml("SubmitOrder", NAME, "张&#13;&#10;三"),
    ],
    "15 characters nobody sees": [*both("patient/name", NAME, "\u202e三张", "\u200b", "张\u2060三")],
    "16 a flood of combining characters": [*both("patient/name", NAME, "a" + "\u0301" * 200, "x" * 65)],
    "19 SQL": [*both("number", "order/orderNo", "' OR 1=1--", "%", "_x")],
    "20 templates": [*both("number", "order/orderNo", "{{7*7}}", "%s", "{0.__class__}")],
    "21 paths": [
        *both("number", "order/orderNo", "../../etc/passwd", "C:\\", "%2e%2e"),
        Json("/orders/..%2f..%2fetc", method="GET", status=404),
        Xml("SubmitOrder", "order/note", '<i:include xmlns:i="http://www.w3.org/2001/XInclude" href="file:///etc/passwd"/>',
            "order/note"),
    ],
    "22 not a date": [
        *both("patient/birth_date", BORN, "2026-02-29", "2026-13-01", "20260101", "today", "１９８６-05-04"),
        *both("ordered_at", WHEN, "2026-11-31T07:55:00+08:00", "now", "2026-11-23", "2026-11-23 07:55:00+08:00"),
    ],
    "24 the ends of time": [
        *both("patient/birth_date", BORN, "9999-12-31", "10000-01-01"), Json("/orders", "patient/birth_date", "0001-01-01"),
        *both("ordered_at", WHEN, "9999-12-31T23:59:59-12:00", "10000-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00"),
    ],
    "25 past, beyond the horizon, closed": [
        *both("ordered_at", WHEN, "2027-11-24T08:00:00+08:00"), *both("patient/birth_date", BORN, "2026-11-25"),
        *(Json("/appointments/BOOKED/reschedule", "starts_at", value, 409) for value in
          ("2026-11-22T09:00:00+08:00", "2027-12-31T09:00:00+08:00", "2026-11-28T09:00:00+08:00")),
        *(Xml("RescheduleAppointment", "reschedule/startAt", value) for value in
          ("2026-11-22T09:00:00+08:00", "2027-12-31T09:00:00+08:00", "2026-11-28T09:00:00+08:00")),
    ],
    "26 no span, no such time of day": [
        Json("/evidence", "valid_until", "2026-11-22T00:00:00+08:00"),
        Xml("ReportAssessment", "assessment/validUntil", "2026-11-22T00:00:00+08:00"),
        *both("ordered_at", WHEN, "2026-11-22T23:59:60+08:00", "2026-11-22T24:00:00+08:00"),
    ],
    "27 no offset there is": [
        Json("/orders", "ordered_at", "2026-11-23T07:55:00"), *both("ordered_at", WHEN, "2026-11-23T07:55:00+25:00"),
    ],
    "28 no number of an identity card": [
        *(case for number in (
            "110105194912310021", "310101198002030017", "110105490231002", "000101198002030018", "110101209901010017",
            "１10105194912310021", "11010519491231", "11010519490229002X",
        ) for case in citizen(number)),
    ],
    "30 an identity card and something else": [
        Json("/orders", "patient/identifiers", [CARD], pointer="patient/birth_date"),
        Xml("SubmitOrder", IDENTIFIER, "<kind>citizen_id</kind><value>11010519491231002x</value>", BORN),
        Json("/orders", "patient", {"identifiers": [CARD], "name": "甲", "sex": "male"}, pointer="patient/sex"),
        Xml("SubmitOrder", "order/patient", "<identifiers><identifier><kind>citizen_id</kind>"
            "<value>11010519491231002X</value></identifier></identifiers><name>甲</name><sex>male</sex>",
            "order/patient/sex"),
    ],
    "31 no telephone number": [
        *both("patient/phone", "order/patient/phone", "1380000123", "+86+8613800001234",
              "１３８００００１２３４", "1.38E+10"),
    ],
    "32 no such code": [
        *both("patient/sex", "order/patient/sex", "F", "Female"), Json("/orders", "patient/sex", "female "),
        *both("encounter/encounter_class", "order/encounter/encounterClass", "OUTPATIENT"),
        *both("priority", "order/priority", "high"),
    ],
    "33 a reference to nothing": [
        Json("/orders", "items/0/item", "NONE"), Xml("SubmitOrder", "order/items/item/itemCode", "NONE",
                                                     "order/items/item[1]/itemCode"),
        *both("ordering_department", "order/orderingDepartment", "NONE"),
        *both("encounter/campus", "order/encounter/campus", "Z"),
        Json("/orders/NONE", method="GET", status=404), Xml("QuerySlots", "query/orderNo", "NONE", "-", "not_found"),
        Json("/evidence", "patient/value", "NOBODY", 404, "-"),
        Xml("ReportAssessment", "assessment/patientIdentifier/value", "NOBODY", "-", "not_found"),
    ],
    "34 done already": [
        Json("/appointments/CANCELLED/cancel", status=409), Xml("CancelAppointment", field="-", code="state_conflict"),
        Json("/appointments/CANCELLED/check-in", status=409), Xml("CheckIn", field="-", code="state_conflict"),
        Json("/appointments/DONE/reschedule", status=409),
        Xml("RescheduleAppointment", "reschedule/appointmentNo", "DONE", "-", "not_bookable"),
    ],
    "35 a version that is not the present one": [
        Json("/appointments/BOOKED/reschedule", "version", 7, 412, "-"),
        Json("/appointments/BOOKED/reschedule", status=412, headers=(("If-Match", '"7"'),)),
        Xml("RescheduleAppointment", "reschedule/version", "7", "-", "version_conflict"),
    ],
    "36 not paid, not assessed, against a rule": [
        *bookings("OG", "awaiting_payment"), *bookings("OH", "awaiting_gate", "rules.assess"),
        *bookings("OX", "time_not_possible", "rules.apart"), *bookings("OC", "rejected", "rules.contrast"),
    ],
    "37 another media type or method": [
        *(Json("/payments", raw=b"{}", status=415, headers=(("Content-Type", media),)) for media in
           ("text/plain", "multipart/form-data; boundary=x", "application/xml", "application/x-www-form-urlencoded", "")),
        Json("/orders", method="DELETE", status=405), Json("/orders", method="TRACE", status=405),
        Json("/payments", method="PUT", status=405), Json("/orders/OG", method="PATCH", status=405),
        message(enveloped("<a/>"), "unsupported_media_type", status=415, headers=(("Content-Type", "text/plain"),)),
        message(enveloped("<a/>"), "unknown_operation", headers=(("Content-Type", "application/soap+xml"),)),
    ],
    "38 framing": [
        Json("/payments", raw=b"\x1f\x8b", status=400, headers=(*JSON, ("Content-Encoding", "gzip"))),
        message(enveloped("<a/>"), "unsupported_encoding", status=415, headers=(*XML, ("Content-Encoding", "gzip"))),
        message(b"--b\r\n", "malformed_xml", headers=(("Content-Type", 'multipart/related; boundary="b"'),)),
    ],
    "39 nobody we know": [
        *(Json("/payments", status=401, headers=(("Authorization", value),)) for value in
          ("Bearer", "Bearer his", "Bearer his.", "Bearer his.wrong", "Basic his.x", "Bearer none.x", "Bearer his.x\x00",
           "Bearer " + "x" * 5000)),
        *(Xml("SubmitOrder", field="-", code="unauthenticated", status=401, headers=(("Authorization", value),)) for value in
          ("", "Basic aGlzOndyb25n", "Basic ???", "Bearer his.x")),
        *(Xml("SubmitOrder", field="-", code="unauthenticated", status=401, headers=(("Authorization", ""),),
              header=token(more)) for more in (
            f'<w:Password Type="{TOKEN}#PasswordDigest">x</w:Password>',
            f'<w:Password Type="{TOKEN}#PasswordDigest">x</w:Password><w:Nonce>bm9uY2U=</w:Nonce>'
            f'<u:Created xmlns:u="{UTILITY}">2026-11-20T00:00:00Z</u:Created>',
            f'<w:Password Type="{TOKEN}#PasswordText">wrong</w:Password>',
        )),
        Xml("SubmitOrder", field="-", code="unsupported_security",
            header=f'<w:Security xmlns:w="{SECURITY}"><w:UsernameToken>'
            "<w:Username>his</w:Username></w:UsernameToken></w:Security>"),
    ],
    "40 no key, or a bad one": [
        *(Json("/payments", status=400, headers=(("Idempotency-Key", key),)) for key in ("", "x" * 300, "a b", "a\tb")),
        Json("/payments", status=422, headers=(("Idempotency-Key", "used"),)),
        *(Xml("SubmitOrder", "order/messageId", key) for key in ("", "x" * 300)),
        Xml("SubmitOrder", "order/messageId", "used", "-", "idempotency_key_reused"),
    ],
    "X1 entities": [message(BOMB + enveloped("<x>&b;</x>"), "doctype")],
    "X2 quadratic blow-up": [message(enveloped("<a>" + "&b;" * 1_500_000 + "</a>"), "too_large", status=413)],
    "X3 an entity from elsewhere": [message(
        '<!DOCTYPE a [<!ENTITY a SYSTEM "file:///etc/passwd">]>' + enveloped("<x>&a;</x>"), "doctype")],
    "X4 a parameter entity": [message('<!DOCTYPE a [<!ENTITY % a SYSTEM "http://127.0.0.1:9/"> %a;]><a/>', "doctype")],
    "X5 attributes": [message(enveloped("<a " + " ".join(f'a{n}="1"' for n in range(20_001)) + "/>"),
                              "too_large", status=413)],
    "X6 namespaces": [message(enveloped("<a " + " ".join(f'xmlns:n{n}="u{n}"' for n in range(20_001)) + "/>"),
                              "too_large", status=413)],
    "X7 depth": [message(enveloped("<a>" * 65 + "</a>" * 65), "too_deep")],
    "X8 the action of another operation": [
        Xml("CheckIn", field="-", code="state_conflict", headers=(*XML, ("SOAPAction", f'"{NAMESPACE}/SubmitOrder"'))),
    ],
    "X9 two bodies": [
        message(f'<s:Envelope xmlns:s="{ENVELOPE}"><s:Body/><s:Body/></s:Envelope>', "not_an_envelope"),
        message(f'<s:Envelope xmlns:s="{ENVELOPE}"><s:Header><s:Body/></s:Header></s:Envelope>', "not_an_envelope"),
        message(enveloped("<a/><a/>"), "one_message"),
    ],
    "X10 a header that must be understood": [
        message(enveloped("<a/>", f'<a:To xmlns:a="{ADDRESSING}" s:mustUnderstand="1">x</a:To>'), "header_not_understood"),
    ],
    "X11 a signature": [
        message(enveloped("<a/>", f'<w:Security xmlns:w="{SECURITY}"><Signature xmlns="http://www.w3.org/2000/09/xmldsig#"/>'
                          "</w:Security>"), "unsupported_security"),
    ],
    "X13 an answer to elsewhere": [
        Xml("CheckIn", field="-", code="state_conflict",
            header=f'<a:ReplyTo xmlns:a="{ADDRESSING}"><a:Address>http://127.0.0.1:9/</a:Address></a:ReplyTo>'),
    ],
    "X14 instructions": [
        message('<?xml-stylesheet href="file:///etc/passwd"?>' + enveloped("<a><?php echo 1?></a>"), "unknown_operation"),
    ],
}  # fmt: skip

# What looks odd and is right.
ACCEPTED: dict[str, list[Json | Xml]] = {
    "16 rare characters": [*both("patient/name", NAME, "𠮷田", "阿卜杜拉·买买提", "王😀")],
    "17 markup in a text": [
        *both("note", "order/note", "<script>alert(1)</script>", "' OR 1=1--"),
        Xml("SubmitOrder", "order/note", "<![CDATA[<script>alert(1)</script>]]>"),
    ],
    "23 a leap day": [*both("patient/birth_date", BORN, "2024-02-29")],
    "28 unusual identity cards": [
        *(case for number in ("810000199003070023", "820000199003070025", "830000199003070027", "911234199003070022",
                              "11010519491231002x", "110105491231002") for case in holder(number)),
    ],
    "29 no identity card": [
        *(Json("/orders", "patient/identifiers", [{"kind": kind, "value": "E1234567"}])
          for kind in ("passport", "mother", "temporary")),
        Xml("SubmitOrder", IDENTIFIER, "<kind>passport</kind><value>E1234567</value>"),
    ],
    "31 telephone numbers": [
        *both("patient/phone", "order/patient/phone", "+86 138 0000 1234", "010-65121234-8001", "+852 9123 4567"),
    ],
}  # fmt: skip
