"""Hostile, broken and merely odd messages: refused with a fault that says why, or understood."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import pytest

NAMESPACE = "http://examlane.org/soap/v1"
SOAP_11 = "http://schemas.xmlsoap.org/soap/envelope/"
SOAP_12 = "http://www.w3.org/2003/05/soap-envelope"
WSSE = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd"
PROFILE = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-username-token-profile-1.0"
XSI = 'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'


def wrap(body: str) -> str:
    return f'<s:Envelope xmlns:s="{SOAP_11}"><s:Body>{body}</s:Body></s:Envelope>'


def order(**changes: str) -> str:
    """An order's message; a change replaces one element's XML, an empty one leaves it out."""
    parts = {
        "messageId": "<messageId>m1</messageId>",
        "orderNo": "<orderNo>O1</orderNo>",
        "patient": "<patient><identifiers><identifier><kind>card</kind><value>C7</value></identifier></identifiers>"
        "<name>甲</name><sex>male</sex></patient>",
        "encounter": "<encounter><encounterNo>V1</encounterNo><encounterClass>inpatient</encounterClass></encounter>",
        "orderingDepartment": "<orderingDepartment>GYN</orderingDepartment>",
        "doctor": "",
        "priority": "<priority>routine</priority>",
        "orderedAt": "<orderedAt>2026-05-04T09:00:00</orderedAt>",
        "verified": "",
        "items": "<items><item><line>1</line><itemCode>US</itemCode></item></items>",
        "facts": "",
        "note": "",
    }
    content = "".join((parts | changes).values())
    return f'<SubmitOrder xmlns="{NAMESPACE}" {XSI}><order>{content}</order></SubmitOrder>'


BOMB = '<!DOCTYPE a [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]>'
HOSTILE = {
    "X1 internal entity bomb": BOMB + wrap("<x>&b;</x>"),
    "X3 external entity": '<!DOCTYPE a [<!ENTITY a SYSTEM "file:///etc/passwd">]>' + wrap("<x>&a;</x>"),
    "X4 parameter entity": '<!DOCTYPE a [<!ENTITY % a SYSTEM "http://127.0.0.1:9/"> %a;]>' + wrap(""),
    "DOCTYPE behind comment and instruction": "<!-- > --> <?a ?>\n<!-- --><!DOCTYPE a>" + wrap(""),
    "DOCTYPE never closed, which a parser would call malformed": "<!DOCTYPE a [",
    "DOCTYPE after the declaration": '<?xml version="1.0"?>' + BOMB + wrap(""),
}


@pytest.mark.parametrize("message", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("charset", ["utf-8", "utf-16"])
def test_a_doctype_is_refused_before_parsing(server: Any, message: str, charset: str) -> None:
    answer = server.post(message.encode(charset))
    assert (answer.status, answer.fault_code, answer.code) == (500, "soap:Client", "doctype")


MALFORMED = {
    "empty": b"",
    "blank": b"  \n",
    "not XML": b"hello",
    "cut off": wrap("<a>").encode()[:60],
    "undefined entity": wrap("<a>&b;</a>").encode(),
    "NUL reference": wrap("<a>&#0;</a>").encode(),
    "control character": wrap("<a>\x08</a>").encode(),
    "no byte order mark in UTF-16": wrap("<a/>").encode("utf-16-le"),
    "300 deep, which the parser itself refuses": wrap("<a>" * 300 + "</a>" * 300).encode(),
}


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_message_is_the_senders_fault(server: Any, body: bytes) -> None:
    answer = server.post(body)
    assert (answer.status, answer.fault_code, answer.code) == (500, "soap:Client", "malformed_xml")


NOT_ENVELOPES = {
    "another root": "<a/>",
    "no body": f'<s:Envelope xmlns:s="{SOAP_11}"/>',
    "X9 two bodies": f'<s:Envelope xmlns:s="{SOAP_11}"><s:Body/><s:Body/></s:Envelope>',
    "X9 body in the header": f'<s:Envelope xmlns:s="{SOAP_11}"><s:Header><s:Body/></s:Header></s:Envelope>',
    "two headers": f'<s:Envelope xmlns:s="{SOAP_11}"><s:Header/><s:Header/><s:Body/></s:Envelope>',
    "body of the other version": f'<s:Envelope xmlns:s="{SOAP_11}"><Body xmlns="{SOAP_12}"/></s:Envelope>',
}


@pytest.mark.parametrize("message", NOT_ENVELOPES.values(), ids=NOT_ENVELOPES)
def test_what_is_not_one_envelope_with_one_body_is_refused(server: Any, message: str) -> None:
    assert server.post(message.encode()).code == "not_an_envelope"


def test_another_soap_version_is_a_version_mismatch(server: Any) -> None:
    answer = server.post(b'<s:Envelope xmlns:s="urn:soap-3"><s:Body/></s:Envelope>')
    assert (answer.fault_code, answer.code) == ("soap:VersionMismatch", "soap_version")


def test_64_levels_are_parsed_and_65_are_too_deep(server: Any) -> None:
    assert server.send("<a>" * 62 + "</a>" * 62).code == "unknown_operation"
    assert server.send("<a>" * 63 + "</a>" * 63).code == "too_deep"


TOO_LARGE = {
    "a large text": wrap(f"<a>{'x' * 500_000}</a>"),
    "X7 20,000 levels and more": wrap("<a>" * 45_000),
    "X5 attributes": wrap("<a " + " ".join(f'a{n}="1"' for n in range(20_001)) + "/>"),
    "X2 quadratic blow-up": wrap("<a>" + "&b;" * 150_000 + "</a>"),
}


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("message", TOO_LARGE.values(), ids=TOO_LARGE)
def test_too_large_a_message_is_refused_unparsed(server: Any, message: str, chunked: bool) -> None:
    answer = server.post(message.encode(), chunked=chunked)
    assert (answer.status, answer.code) == (413, "too_large")


def test_15000_namespaces_are_refused_by_the_contract(server: Any) -> None:
    names = " ".join(f'xmlns:n{n}="u{n}"' for n in range(15_000))
    assert server.send(f"<a {names}/>").code == "unknown_operation"


def test_a_chunked_message_within_the_limit_is_served(server: Any) -> None:
    assert server.post(wrap(server.cancel()).encode(), chunked=True).status == 200


@pytest.mark.parametrize("media_type", ["application/json", "text/plain", "application/x-www-form-urlencoded"])
def test_another_content_type_is_unsupported(server: Any, media_type: str) -> None:
    answer = server.send(server.cancel(), Content_Type=media_type)
    assert (answer.status, answer.code) == (415, "unsupported_media_type")


def test_a_compressed_message_is_unsupported(server: Any) -> None:
    assert server.send(server.cancel(), Content_Encoding="gzip").status == 415


@pytest.mark.parametrize("media_type", ["application/xml", "application/soap+xml; charset=utf-8", ""])
def test_the_envelope_decides_the_version_and_not_the_content_type(server: Any, media_type: str) -> None:
    answer = server.send(server.cancel(), Content_Type=media_type)
    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/xml; charset=utf-8")
    answer = server.send(server.cancel(), SOAP_12, Content_Type="text/xml")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/soap+xml; charset=utf-8")


def test_an_unreadable_soap_12_message_is_answered_in_soap_12(server: Any) -> None:
    answer = server.post(b"<", Content_Type="application/soap+xml")
    assert (answer.status, answer.fault_code) == (500, "soap:Sender")
    assert answer.headers["Content-Type"].startswith("application/soap+xml")


def test_the_first_part_of_an_mtom_message_is_the_message(server: Any) -> None:
    part = b'Content-Type: application/xop+xml; charset=gbk; type="text/xml"\r\n\r\n'
    body = b"--b1\r\n" + part + wrap(server.cancel("不舒服")).encode("gbk") + b"\r\n--b1--\r\n"
    assert server.post(body, Content_Type='multipart/related; boundary="b1"').status == 200
    assert server.recorder.payload["reason"] == "不舒服"


READABLE = {
    "UTF-8 declared as GBK": ("text/xml; charset=gbk", "", "utf-8"),
    "UTF-8 with byte order mark": ("text/xml", "", "utf-8-sig"),
    "UTF-16 with byte order mark": ("text/xml", '<?xml version="1.0" encoding="UTF-16"?>', "utf-16"),
    "GBK by header": ("text/xml; charset=GBK", "", "gbk"),
    "GBK by prolog": ("text/xml", '<?xml version="1.0" encoding="gb2312"?>', "gbk"),
    "GBK by prolog, header lies": ("text/xml; charset=utf-8", "<?xml version='1.0' encoding='GB18030'?>", "gbk"),
}


@pytest.mark.parametrize(("media_type", "prolog", "charset"), READABLE.values(), ids=READABLE)
def test_chinese_text_arrives_whole_in_each_charset(server: Any, media_type: str, prolog: str, charset: str) -> None:
    answer = server.post((prolog + wrap(server.cancel("病人改期"))).encode(charset), Content_Type=media_type)
    assert answer.status == 200
    assert server.recorder.payload["reason"] == "病人改期"


@pytest.mark.parametrize("media_type", ["text/xml", "text/xml; charset=iso-8859-1"])
def test_gbk_that_nobody_declared_is_refused(server: Any, media_type: str) -> None:
    assert server.post(wrap(server.cancel("病人改期")).encode("gbk"), Content_Type=media_type).code == "encoding"


def test_a_broken_gbk_message_is_refused(server: Any) -> None:
    assert server.post(b"<a>\xff\xff", Content_Type="text/xml; charset=gbk").code == "encoding"


@pytest.mark.parametrize(("version", "yes"), [(SOAP_11, "1"), (SOAP_12, "true")])
def test_a_header_that_must_be_understood_and_is_not_is_refused(server: Any, version: str, yes: str) -> None:
    header = f'<a:To xmlns:a="http://www.w3.org/2005/08/addressing" s:mustUnderstand="{yes}">x</a:To>'
    assert server.send(server.cancel(), version, header).fault_code == "soap:MustUnderstand"
    assert server.send(server.cancel(), version, header.replace(f'"{yes}"', '"0"')).status == 200


def test_a_reply_address_is_ignored(server: Any) -> None:
    reply_to = "<a:Address>http://127.0.0.1:9/</a:Address>"
    header = f'<a:ReplyTo xmlns:a="http://www.w3.org/2005/08/addressing">{reply_to}</a:ReplyTo>'
    answer = server.send(server.cancel(), header=header)
    assert answer.status == 200
    assert b"addressing" not in answer.content


@pytest.mark.parametrize("message", ["<a/>", "<CancelAppointment/>", f'<CheckOut xmlns="{NAMESPACE}"/>'])
def test_an_unknown_operation_is_the_senders_fault(server: Any, message: str) -> None:
    answer = server.send(message)
    assert (answer.status, answer.fault_code, answer.code) == (500, "soap:Client", "unknown_operation")


@pytest.mark.parametrize("count", [0, 2])
def test_a_body_with_none_or_two_messages_is_refused(server: Any, count: int) -> None:
    assert server.send(server.cancel() * count).code == "one_message"
    assert server.recorder.calls == []


@pytest.mark.parametrize("action", ["", '""', f'"{NAMESPACE}/CheckIn"', "nonsense"])
def test_the_body_decides_the_operation_and_not_the_action(server: Any, action: str) -> None:
    assert server.send(server.cancel(), SOAPAction=action).status == 200
    assert server.recorder.calls[0][0] == "CancelAppointment"


def item(line: str, code: str = "<itemCode>US</itemCode>") -> str:
    return f"<items><item><line>{line}</line>{code}</item></items>"


def fact(observed_at: str) -> str:
    return f"<facts><fact><name>a</name><value>1</value><observedAt>{observed_at}</observedAt></fact></facts>"


BAD_ORDERS = {
    "required text missing": ({"orderNo": ""}, "order/orderNo"),
    "required text empty": ({"orderNo": "<orderNo/>"}, "order/orderNo"),
    "required text blank": ({"orderNo": "<orderNo> \u3000\n </orderNo>"}, "order/orderNo"),
    "required group missing before an optional one": ({"items": "", "note": "<note>a</note>"}, "order/items"),
    "last required missing": ({"items": item("1", "")}, "order/items/item/itemCode"),
    "unknown element": ({"note": "<role>admin</role>"}, "order/role"),
    "element twice": ({"note": "<note>a</note><note>b</note>"}, "order/note[2]"),
    "unknown attribute": ({"note": '<note force="1">a</note>'}, "order/note"),
    "unqualified child": ({"note": '<note xmlns="">a</note>'}, "order/note"),
    "text for an int": ({"items": item("one")}, "order/items/item/line"),
    "fraction for an int": ({"items": item("1.0")}, "order/items/item/line"),
    "python int": ({"items": item("1_0")}, "order/items/item/line"),
    "full-width int": ({"items": item("１")}, "order/items/item/line"),
    "NaN": ({"items": item("NaN")}, "order/items/item/line"),
    "zero": ({"items": item("0")}, "order/items/item/line"),
    "2^31": ({"items": item(str(2**31))}, "order/items/item/line"),
    "5000 digits": ({"items": item("9" * 5000)}, "order/items/item/line"),
    "second item": ({"items": item("1") + item("2")}, "order/items[2]"),
    "wrong enumeration": ({"priority": "<priority>Routine</priority>"}, "order/priority"),
    "boolean yes": ({"verified": "<verified>yes</verified>"}, "order/verified"),
    "too long": ({"orderNo": f"<orderNo>{'1' * 129}</orderNo>"}, "order/orderNo"),
    "no date": ({"orderedAt": "<orderedAt>today</orderedAt>"}, "order/orderedAt"),
    "blank for T": ({"orderedAt": "<orderedAt>2026-05-04 09:00:00</orderedAt>"}, "order/orderedAt"),
    "no leap year": ({"orderedAt": "<orderedAt>2026-02-29T09:00:00</orderedAt>"}, "order/orderedAt"),
    "second 60": ({"orderedAt": "<orderedAt>2026-05-04T23:59:60</orderedAt>"}, "order/orderedAt"),
    "hour 24": ({"orderedAt": "<orderedAt>2026-05-04T24:00:00</orderedAt>"}, "order/orderedAt"),
    "hour 24 where optional": ({"facts": fact("2026-05-04T24:00:00")}, "order/facts/fact/observedAt"),
    "year 10000": ({"orderedAt": "<orderedAt>10000-01-01T09:00:00</orderedAt>"}, "order/orderedAt"),
    "year before one": ({"orderedAt": "<orderedAt>-0001-01-01T09:00:00</orderedAt>"}, "order/orderedAt"),
    "offset of 25 hours": ({"orderedAt": "<orderedAt>2026-05-04T09:00:00+25:00</orderedAt>"}, "order/orderedAt"),
    "a toolkit's zero date": ({"orderedAt": "<orderedAt>0001-01-01T00:00:00</orderedAt>"}, "order/orderedAt"),
    "XInclude": ({"note": '<i:include xmlns:i="http://www.w3.org/2001/XInclude" href="a"/>'}, "order/include"),
}


@pytest.mark.parametrize(("changes", "field"), BAD_ORDERS.values(), ids=BAD_ORDERS)
def test_a_bad_field_is_named_and_nothing_reaches_the_handler(server: Any, changes: dict[str, str], field: str) -> None:
    answer = server.send(order(**changes))
    assert (answer.status, answer.fault_code, answer.code) == (500, "soap:Client", "invalid_message")
    assert field in answer.fields
    assert server.recorder.calls == []


def test_a_bad_field_is_named_whatever_prefixes_a_client_uses(server: Any) -> None:
    items = "<b:items xmlns:b='{0}'><b:item><c:line xmlns:c='{0}'>1</c:line><b:itemCode>A</b:itemCode></b:item>"
    items += "<b:item><c:line xmlns:c='{0}'>0</c:line><b:itemCode>A</b:itemCode></b:item></b:items>"
    answer = server.send(order(items=items.format(NAMESPACE)))
    assert set(answer.fields) == {"order/items/item[2]/line"}


ODD_ORDERS = {
    "empty optional": ({"doctor": "<doctor/>", "verified": "<verified></verified>"}, {}),
    "nil optional": ({"verified": '<verified xsi:nil="true"/>'}, {}),
    "not nil": ({"verified": '<verified xsi:nil="false">1</verified>'}, {"verified": True}),
    "blanks around a boolean": ({"verified": "<verified> true\n</verified>"}, {"verified": True}),
    "padded text": ({"doctor": "<doctor>  乙 </doctor>"}, {"doctor": "乙"}),
    "named type": ({"doctor": '<doctor xsi:type="xs:string">乙</doctor>'}, {"doctor": "乙"}),
    "schema location": ({"doctor": '<doctor xsi:schemaLocation="a file:///etc/passwd">乙</doctor>'}, {"doctor": "乙"}),
    "comment in a text": ({"doctor": "<doctor>乙<!-- -->丙<?a b?>丁</doctor>"}, {"doctor": "乙丙丁"}),
    "markup as text": ({"note": "<note><![CDATA[<script> ' OR 1=1--]]></note>"}, {"note": "<script> ' OR 1=1--"}),
    "a zero date where optional": ({"facts": fact("1899-12-30T00:00:00")}, {"facts": [{"name": "a", "value": "1"}]}),
    "an empty list": ({"facts": "<facts/>"}, {}),
}


@pytest.mark.parametrize(("changes", "expected"), ODD_ORDERS.values(), ids=ODD_ORDERS)
def test_odd_but_harmless_orders_are_understood(server: Any, changes: dict[str, str], expected: dict[str, Any]) -> None:
    assert server.send(order(**changes)).status == 200
    given = {name: server.recorder.payload.get(name) for name in changes if name in server.recorder.payload}
    assert given == expected


@pytest.mark.parametrize("authorization", ["", "Basic " + b64encode(b"his:wrong").decode(), "Basic ???", "Bearer a"])
@pytest.mark.parametrize("version", [SOAP_11, SOAP_12])
def test_who_does_not_prove_who_he_is_gets_a_challenge(server: Any, authorization: str, version: str) -> None:
    answer = server.send(server.cancel(), version, Authorization=authorization)
    assert (answer.status, answer.code) == (401, "unauthenticated")
    assert answer.headers["WWW-Authenticate"].startswith("Basic ")
    assert server.recorder.calls == []


def token(password: str, kind: str = "PasswordText") -> str:
    inner = f'<w:Username>his</w:Username><w:Password Type="{PROFILE}#{kind}">{password}</w:Password>'
    return f"<w:UsernameToken>{inner}</w:UsernameToken>"


def security(content: str) -> str:
    return f'<w:Security xmlns:w="{WSSE}" s:mustUnderstand="1">{content}</w:Security>'


def test_a_token_counts_before_http_basic(server: Any) -> None:
    assert server.send(server.cancel(), header=security(token("wrong"))).status == 401
    assert server.send(server.cancel(), header=security(token("right 口令"))).status == 200


UNSUPPORTED = {
    "an unknown kind of password": token("abc", "PasswordHash"),
    "no password": "<w:UsernameToken><w:Username>his</w:Username></w:UsernameToken>",
    "two tokens": token("right 口令") * 2,
    "a signature nobody verifies": '<Signature xmlns="http://www.w3.org/2000/09/xmldsig#"/>' + token("right 口令"),
}


@pytest.mark.parametrize("content", UNSUPPORTED.values(), ids=UNSUPPORTED)
def test_security_that_is_not_checked_is_refused(server: Any, content: str) -> None:
    assert server.send(server.cancel(), header=security(content)).code == "unsupported_security"


@pytest.mark.parametrize("version", [SOAP_11, SOAP_12])
@pytest.mark.parametrize("reason", ["explode", "break the contract", "say more than the contract"])
def test_our_own_mistake_is_an_internal_fault_without_insides(server: Any, version: str, reason: str) -> None:
    answer = server.send(server.cancel(reason), version)
    assert (answer.status, answer.code) == (500, "internal")
    assert answer.fault_code in {"soap:Server", "soap:Receiver"}
    assert b"secret" not in answer.content
    assert b"Traceback" not in answer.content


def test_a_fault_speaks_the_language_asked_for(server: Any) -> None:
    message = server.cancel(number="gone")
    assert "预约不存在".encode() in server.send(message).content
    assert b"No such appointment" in server.send(message, SOAP_12, Accept_Language="en-GB").content


def test_a_get_without_wsdl_is_not_allowed(server: Any) -> None:
    answer = server.get("")
    assert (answer.status, answer.headers["Allow"]) == (405, "POST")
