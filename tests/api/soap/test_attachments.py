"""Messages that come with attachments (MTOM): put in their places, or refused with the element at fault."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import pytest

NAMESPACE = "http://examlane.org/soap/v1"
SOAP_11 = "http://schemas.xmlsoap.org/soap/envelope/"
SOAP_12 = "http://www.w3.org/2003/05/soap-envelope"
PNG = b"\x89PNG\r\n\x1a\n\x00\r\n--other\r\n" + bytes(range(256))
KIND = 'multipart/related; type="application/xop+xml"; start-info="text/xml"; boundary="b-1"'


def included(reference: str, version: str = SOAP_11) -> bytes:
    """A change of an order whose drawing is an attachment."""
    xop = f'<x:Include xmlns:x="http://www.w3.org/2004/08/xop/include" href="{reference}"/>'
    change = f"<messageId>m</messageId><orderNo>O1</orderNo><note>左侧</note><drawing>{xop}</drawing>"
    message = f'<ChangeOrder xmlns="{NAMESPACE}"><change>{change}</change></ChangeOrder>'
    return f'<s:Envelope xmlns:s="{version}"><s:Body>{message}</s:Body></s:Envelope>'.encode()


def part(content: bytes, name: str, **headers: str) -> bytes:
    lines = {"Content-ID": f"<{name}>", "Content-Type": "application/octet-stream"}
    lines |= {key.replace("_", "-"): value for key, value in headers.items()}
    return "".join(f"{key}: {value}\r\n" for key, value in lines.items()).encode() + b"\r\n" + content


def body(*parts: bytes) -> bytes:
    return b"preamble" + b"".join(b"\r\n--b-1\r\n" + each for each in parts) + b"\r\n--b-1--\r\n"


def message(reference: str = "cid:drawing@his", version: str = SOAP_11) -> bytes:
    return part(included(reference, version), "root", Content_Type="application/xop+xml; charset=utf-8")


@pytest.mark.parametrize("version", [SOAP_11, SOAP_12])
def test_an_attachment_arrives_byte_for_byte_where_the_message_includes_it(server: Any, version: str) -> None:
    sent = body(message(version=version), part(PNG, "drawing@his", Content_Transfer_Encoding="binary"))
    assert server.post(sent, Content_Type=KIND).status == 200
    assert (server.recorder.payload["drawing"], server.recorder.payload["note"]) == (PNG, "左侧")


def test_an_inline_drawing_is_the_same(server: Any) -> None:
    start, _, rest = included("").partition(b"<x:Include")
    _, _, end = rest.partition(b"/>")
    assert server.post(start + b64encode(PNG) + end).status == 200
    assert server.recorder.payload["drawing"] == PNG


LINES = b64encode(PNG)[:40] + b"\r\n" + b64encode(PNG)[40:]
ODD = {
    "an escaped reference": body(message("cid:drawing%40his"), part(PNG, "drawing@his")),
    "base64 in lines": body(message(), part(LINES, "drawing@his", Content_Transfer_Encoding="BASE64")),
    "the message is not the first part": body(part(PNG, "drawing@his"), message()),
}  # fmt: skip


@pytest.mark.parametrize("sent", ODD.values(), ids=ODD)
def test_odd_but_harmless_attachments_are_understood(server: Any, sent: bytes) -> None:
    answer = server.post(sent, Content_Type=f'{KIND}; start="<root>"')
    assert (answer.status, server.recorder.payload["drawing"]) == (200, PNG)


REFUSED = {
    "no such attachment": (body(message()), "attachment_missing"),
    "a file": (body(message("file:///etc/passwd"), part(PNG, "drawing@his")), "attachment_missing"),
    "an address": (body(message("http://127.0.0.1:9/")), "attachment_missing"),
    "broken base64": (body(message(), part(b"!!", "drawing@his", Content_Transfer_Encoding="base64")), "invalid_attachment"),
    "too many": (body(message(), *(part(b"", f"p{n}") for n in range(25))), "too_large"),
    "too large": (body(message(), part(bytes(500_000), "drawing@his")), "too_large"),
    "no parts": (b"nothing", "malformed_xml"),
    "a part without a head": (body(included("cid:drawing@his")), "malformed_xml"),
}  # fmt: skip


@pytest.mark.parametrize(("sent", "code"), REFUSED.values(), ids=REFUSED)
def test_a_bad_attachment_is_refused_and_nothing_reaches_the_handler(server: Any, sent: bytes, code: str) -> None:
    assert server.post(sent, Content_Type=KIND).code == code
    assert server.recorder.calls == []


def test_an_empty_attachment_means_no_drawing(server: Any) -> None:
    assert server.post(body(message(), part(b"", "drawing@his")), Content_Type=KIND).status == 200
    assert "drawing" not in server.recorder.payload


def test_an_attachment_is_included_only_once(server: Any) -> None:
    start, include, end = included("cid:drawing@his").partition(b"</drawing>")
    twice = start + include + start[start.index(b"<drawing>") :] + include + end
    sent = body(part(twice, "root", Content_Type="text/xml"), part(PNG, "drawing@his"))
    answer = server.post(sent, Content_Type=KIND)
    assert (answer.code, answer.fields) == ("attachment_missing", ["drawing"])


@pytest.mark.parametrize("content", ["!!!!", "iVBORw0KGgo!!!!", "iVBORw0KGg"])
def test_broken_base64_is_named_and_never_repaired(server: Any, content: str) -> None:
    start, _, rest = included("").partition(b"<x:Include")
    _, _, end = rest.partition(b"/>")
    answer = server.post(start + content.encode() + end)
    assert (answer.code, answer.fields) == ("invalid_message", ["change/drawing"])
