"""The envelope as platforms really send it: namespaces, positions, charsets, hostile documents, log-ins, the WSDL."""

from __future__ import annotations

import base64
import hashlib
import io
import threading
from typing import Any

import pytest
import zeep
from lxml import etree
from requests import Session
from requests.auth import HTTPBasicAuth
from werkzeug.serving import make_server

from examlane_api import clients, keyring
from examlane_api.app import create_app
from examlane_api.hip.contract import render
from examlane_api.soap.credentials import WSSE, WSU
from examlane_api.soap.faults import SoapVersion

SOAP_11 = "http://schemas.xmlsoap.org/soap/envelope/"
SOAP_12 = "http://www.w3.org/2003/05/soap-envelope"
DHC = "http://www.dhcc.com.cn"
DIGEST = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-username-token-profile-1.0#PasswordDigest"


def result(response: Any) -> etree._Element:
    """The element that holds the answer's document."""
    assert response.status_code == 200, response.text
    return etree.fromstring(response.data)[-1][0][0]


def kind(response: Any) -> str:
    acknowledgement = etree.fromstring(result(response).text or "").find("{*}acknowledgement")
    assert acknowledgement is not None
    return str(acknowledgement.get("typeCode"))


def reason(response: Any) -> str:
    root = etree.fromstring(result(response).text or "")
    return " ".join(str(each.get("code")) for each in root.iter("{*}code"))


# Names and namespaces


@pytest.mark.parametrize("soap", [SOAP_11, SOAP_12])
@pytest.mark.parametrize("namespace", ["urn:hl7-org:v3", "", DHC, "http://tempuri.org/"])
@pytest.mark.parametrize("operation", ["HIPMessageServer", "PrivateHIPMessageServer"])
@pytest.mark.parametrize("cdata", [True, False])
def test_any_namespace_is_taken_and_answered_in(
    hip_on_sqlite: Any, soap: str, namespace: str, operation: str, cdata: bool
) -> None:
    hip = hip_on_sqlite
    body = hip.envelope("Nonsense", "<x/>", soap=soap, namespace=namespace, operation=operation, cdata=cdata)
    response = hip.post(body)
    root = etree.fromstring(response.data)
    assert root.tag == f"{{{soap}}}Envelope"
    answer = root[-1][0]
    assert etree.QName(answer).localname == f"{operation}Response"
    assert (etree.QName(answer).namespace or "") == namespace
    assert answer[0].tag == "HIPMessageServerResult"
    assert b"<![CDATA[" in response.data


def test_parameters_in_the_namespace_are_answered_in_it(hip_on_sqlite: Any) -> None:
    answered = result(hip_on_sqlite.post(hip_on_sqlite.envelope("Nonsense", "<x/>", namespace=DHC, prefix="urn:")))
    assert answered.tag == f"{{{DHC}}}HIPMessageServerResult"


@pytest.mark.parametrize("names", [("action", "message"), ("input1", "input2"), ("arg0", "arg1")])
def test_parameters_are_found_by_name_else_by_position(hip_on_sqlite: Any, names: tuple[str, str]) -> None:
    hip = hip_on_sqlite
    assert kind(hip.post(hip.envelope("CheckAppInfoAdd", hip.order("1001"), names=names))) == "AA"


def test_named_parameters_may_stand_in_either_order(hip_on_sqlite: Any) -> None:
    hip = hip_on_sqlite
    body = hip.envelope("@", hip.order("1001"), names=("message", "action"))
    inner, outer = body.index("<message>@</message>"), len("<message>@</message>")
    swapped = body[:inner] + body[inner + outer :]
    swapped = swapped.replace("<action>", "<message>").replace("</action>", "</message><action>CheckAppInfoAdd</action>")
    assert kind(hip.post(swapped)) == "AA"


def test_a_document_that_was_not_escaped_is_read_too(hip_on_sqlite: Any) -> None:
    hip = hip_on_sqlite
    body = hip.envelope("CheckAppInfoAdd", hip.order("1001")).replace("<![CDATA[", "").replace("]]>", "")
    assert kind(hip.post(body)) == "AA"


def test_a_profile_names_its_operation_and_parameters(open_hip: Any, sqlite_url: str, make_profile: Any) -> None:
    named = make_profile(namespace=DHC, operation="Invoke", parameters=("input1", "input2"), result="output", cdata=False)
    with open_hip(sqlite_url, named) as hip:
        names = ("input1", "input2")
        body = hip.envelope("CheckAppInfoAdd", hip.order("1001"), namespace=DHC, operation="Invoke", names=names)
        response = hip.post(body)
        assert kind(response) == "AA"
        assert result(response).tag == "output"
        assert b"&lt;MCCI" in response.data


def test_dispatch_is_by_action_never_by_root(hip_on_sqlite: Any) -> None:
    hip = hip_on_sqlite
    order = hip.order("1001").replace("POOR_IN200901UV", "Whatever")
    assert kind(hip.post(hip.envelope("CheckAppInfoAdd", order))) == "AA"
    assert reason(hip.post(hip.envelope("CheckStatusInfoUpdate", hip.order("1002")))) == "invalid_input"


# What is wrong with an envelope is a fault; what is wrong with a document is an AE


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("", "malformed_xml"),
        ("<x/>", "not_an_envelope"),
        (f'<s:Envelope xmlns:s="{SOAP_12}"><s:Body/></s:Envelope>', "one_message"),
        (f'<s:Envelope xmlns:s="{SOAP_12}"><s:Body><Other/></s:Body></s:Envelope>', "unknown_operation"),
        (f'<s:Envelope xmlns:s="{SOAP_12}"><s:Body><HIPMessageServer><a>1</a></HIPMessageServer></s:Body></s:Envelope>',
         "invalid_message"),
        (f'<!DOCTYPE x><s:Envelope xmlns:s="{SOAP_12}"><s:Body/></s:Envelope>', "doctype"),
    ],
)  # fmt: skip
def test_a_bad_envelope_is_a_fault(hip_on_sqlite: Any, body: str, code: str) -> None:
    response = hip_on_sqlite.post(body)
    assert response.status_code == 500
    assert code in response.text


@pytest.mark.parametrize(
    ("document", "code"),
    [
        ("", "malformed_xml"),
        ("not xml", "malformed_xml"),
        ("<a>&#1;</a>", "malformed_xml"),
        ("<a>&xxe;</a>", "malformed_xml"),
        ('<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>', "doctype"),
        ("<!-- --><!DOCTYPE a [<!ENTITY x 'y'>]><a/>", "doctype"),
        ("<a>" * 100 + "</a>" * 100, "too_deep"),
        ("<a>" + "<b/>" * 50_000 + "</a>", "too_large"),
        ("<a/>", "invalid_input"),
        ('<a><id extension="short"/></a>', "invalid_input"),
    ],
)
def test_a_bad_document_is_an_error_with_its_reason(hip_on_sqlite: Any, document: str, code: str) -> None:
    hip = hip_on_sqlite
    response = hip.post(hip.envelope("CheckAppInfoAdd", document, cdata=False))
    assert kind(response) == "AE"
    assert reason(response) == code
    assert hip.count("receipt") == hip.count("exam_order") == 0


def test_an_unknown_action_is_an_error(hip_on_sqlite: Any) -> None:
    assert reason(hip_on_sqlite.post(hip_on_sqlite.envelope("CheckInfoAdd", hip_on_sqlite.order("1")))) == "unknown_action"


def test_no_file_is_read_and_nothing_is_fetched(hip_on_sqlite: Any) -> None:
    hip = hip_on_sqlite
    hint = 'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:schemaLocation="urn:hl7-org:v3 file:///etc/passwd"'
    order = hip.order("1001").replace('ITSVersion="XML_1.0"', f'ITSVersion="XML_1.0" {hint}')
    assert "passwd" in order
    assert kind(hip.post(hip.envelope("CheckAppInfoAdd", order))) == "AA"


@pytest.mark.parametrize("declared", ["utf-8", "GBK", ""])
def test_the_prolog_inside_may_lie_about_its_charset(hip_on_sqlite: Any, declared: str) -> None:
    hip = hip_on_sqlite
    prolog = f'<?xml version="1.0" encoding="{declared}"?>' if declared else '<?xml version="1.0"?>'
    assert kind(hip.post(hip.envelope("CheckAppInfoAdd", f"\ufeff{prolog}\n{hip.order('1001')}"))) == "AA"
    assert hip.world.database.value("SELECT name FROM patient") == "张三"


@pytest.mark.parametrize("soap", [SOAP_11, SOAP_12])
def test_gbk_and_a_byte_order_mark_are_understood(hip_on_sqlite: Any, soap: str) -> None:
    hip = hip_on_sqlite
    body = hip.envelope("CheckAppInfoAdd", hip.order("1001"), soap=soap)
    assert kind(hip.post(b"\xef\xbb\xbf" + body.encode())) == "AA"
    prolog = '<?xml version="1.0" encoding="GBK"?>'
    other = hip.envelope("CheckAppInfoAdd", hip.order("1002", patient="P2", patient_name="李四"), soap=soap)
    assert kind(hip.post((prolog + other).encode("gbk"))) == "AA"
    assert hip.world.database.rows("SELECT name FROM patient ORDER BY id") == [("张三",), ("李四",)]


# Who


def test_nobody_and_others_are_not_served(hip_on_sqlite: Any) -> None:
    hip = hip_on_sqlite
    body = hip.envelope("CheckAppInfoAdd", hip.order("1001"))
    unknown = hip.post(body, user="")
    assert unknown.status_code == 401
    assert "Basic" in unknown.headers["WWW-Authenticate"]
    other = clients.add(hip.world.database, "his", "HIS")
    basic = base64.b64encode(f"his:{other}".encode()).decode()
    refused = hip.post(body, user="", Authorization=f"Basic {basic}")
    assert refused.status_code == 500
    assert "forbidden" in refused.text
    assert hip.count("exam_order") == 0


def test_a_password_digest_counts_once(hip_on_sqlite: Any, tmp_path: Any) -> None:
    hip = hip_on_sqlite
    keyring.new_key_file(tmp_path / "key")
    ring = keyring.from_environment({"EXAMLANE_KEY_FILE": str(tmp_path / "key")})
    app = create_app(hip.world.hospital, "for tests only", "", ring, {"example": hip.profile})
    hip.world.database.write(lambda: hip.world.database.rows("DELETE FROM client_secret RETURNING id"))
    hip.world.database.write(lambda: hip.world.database.rows("DELETE FROM api_client RETURNING id"))
    secret = clients.add(hip.world.database, "platform", "平台", method="signed", keyring=ring, now=hip.now)
    nonce, created = b"0123456789abcdef", hip.now.isoformat()
    digest = base64.b64encode(hashlib.sha1(nonce + created.encode() + secret.encode()).digest()).decode()
    security = (
        f'<w:Security xmlns:w="{WSSE}" xmlns:u="{WSU}"><w:UsernameToken><w:Username>platform</w:Username>'
        f'<w:Password Type="{DIGEST}">{digest}</w:Password><w:Nonce>{base64.b64encode(nonce).decode()}</w:Nonce>'
        f"<u:Created>{created}</u:Created></w:UsernameToken></w:Security>"
    )
    body = hip.envelope("CheckAppInfoAdd", hip.order("1001")).replace("<s:Header/>", f"<s:Header>{security}</s:Header>")
    client = app.test_client()
    assert kind(client.post("/soap/hip/example", data=body.encode(), content_type="text/xml")) == "AA"
    assert client.post("/soap/hip/example", data=body.encode(), content_type="text/xml").status_code == 401


def test_there_is_no_endpoint_without_a_profile(hip_on_sqlite: Any) -> None:
    assert hip_on_sqlite.post("<x/>", url="/soap/hip/other").status_code == 404


# The WSDL


@pytest.mark.parametrize(("query", "bindings"), [("wsdl", 1), ("singleWsdl", 1), ("wsdl12", 1), ("wsdlall", 2)])
def test_a_wsdl_is_served_for_each_version(hip_on_sqlite: Any, query: str, bindings: int) -> None:
    response = hip_on_sqlite.app.test_client().get(f"/soap/hip/example?{query}")
    root = etree.fromstring(response.data)
    assert root.get("targetNamespace") == "urn:hl7-org:v3"
    addresses = [each.get("location") for each in root.iter("{*}address")]
    assert addresses == ["https://examlane.example.org/soap/hip/example"] * bindings
    zeep.Client(io.BytesIO(response.data))


def test_a_wsdl_is_safe_against_its_profile(make_profile: Any) -> None:
    text = render(make_profile(namespace="urn:a?b=1&c=2"), frozenset(SoapVersion), "http://x/?a=1&b=2")
    assert etree.fromstring(text).get("targetNamespace") == "urn:a?b=1&c=2"


@pytest.mark.parametrize("port", ["HIPServiceSoap", "HIPServiceSoap12"])
@pytest.mark.parametrize("qualified", [True, False])
def test_a_zeep_client_talks_by_the_served_wsdl(
    open_hip: Any, sqlite_url: str, make_profile: Any, port: str, qualified: bool
) -> None:
    with open_hip(sqlite_url, make_profile(qualified=qualified, namespace=DHC)) as hip:
        server = make_server("127.0.0.1", 0, hip.app)
        thread = threading.Thread(target=lambda: (server.serve_forever(), hip.world.database.close()))
        thread.start()
        try:
            with Session() as session:
                session.auth = HTTPBasicAuth("platform", hip.secret)
                address = f"http://127.0.0.1:{server.server_port}/soap/hip/example"
                client = zeep.Client(f"{address}?wsdlall", transport=zeep.Transport(session=session))
                service = client.create_service(f"{{{DHC}}}{port}", address)
                for operation in ("HIPMessageServer", "PrivateHIPMessageServer"):
                    said = service[operation](action="CheckAppInfoAdd", message=etree.CDATA(hip.order("1001")))
                    assert 'typeCode="A' in said
        finally:
            server.shutdown()
            thread.join()
            server.server_close()
        assert hip.count("exam_order") == 1


def test_documents_of_many_threads_are_not_mixed_up(hip_on_sqlite: Any) -> None:
    hip = hip_on_sqlite
    messages = {f"1{n:03}": hip.order(f"1{n:03}", patient=f"P{n}") for n in range(16)}
    wrong: list[str] = []

    def work(number: str) -> None:
        said = hip.answer("CheckAppInfoAdd", messages[number])
        sent = etree.fromstring(messages[number])[0].get("extension")
        if sent not in said or 'typeCode="AA"' not in said:
            wrong.append(said)
        hip.world.database.close()

    threads = [threading.Thread(target=work, args=(number,)) for number in messages]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert wrong == []
    assert hip.count("exam_order") == 16


def test_the_same_document_sent_at_once_by_many_is_done_once(hip: Any) -> None:
    message = hip.order("1001")
    said: list[str] = []

    def work() -> None:
        response = hip.post(hip.envelope("CheckAppInfoAdd", message))
        said.append(etree.fromstring(response.data)[-1][0][0].text or "" if response.status_code == 200 else "fault")
        hip.world.database.close()

    threads = [threading.Thread(target=work) for _ in range(6)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len({each for each in said if each != "fault"}) == 1
    assert all(each == "fault" or 'typeCode="AA"' in each for each in said)
    assert hip.count("exam_order") == 1


def test_the_endpoint_keeps_its_clients_rate(hip_on_sqlite: Any) -> None:
    hip = hip_on_sqlite
    hip.world.database.write(lambda: hip.world.database.rows("UPDATE api_client SET per_minute = 1 RETURNING id"))
    body = hip.envelope("Nonsense", "<x/>")
    assert [hip.post(body).status_code for _ in range(3)].count(500) == 2
