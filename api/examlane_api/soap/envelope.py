"""The guard before the parser: from the bytes of a request to a harmless envelope, or a refusal."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from flask import Request
from lxml import etree
from werkzeug.exceptions import RequestEntityTooLarge

from examlane import Text
from examlane_api.soap import multipart
from examlane_api.soap.credentials import SECURITY
from examlane_api.soap.faults import FaultKind, SoapRefusal, SoapVersion

_MEDIA_TYPES = {"", "text/xml", "application/soap+xml", "application/xml", "multipart/related"}
_CHINESE_CHARSETS = {"gb2312", "gb_2312-80", "gbk", "cp936", "x-gbk", "gb18030"}
_BYTE_ORDER_MARKS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
_PROLOG_ENCODING = re.compile(rb"""\A\s*<\?xml[^>]{0,200}?encoding\s*=\s*["']([\w.:-]+)""")
_XML_DECLARATION = re.compile(r"\A\s*<\?xml\s[^>]*\?>")
# Atomic and possessive, so that a hostile prolog cannot make it backtrack.
_DOCTYPE_IN_PROLOG = re.compile(r"\A(?>\s+|<!--.*?-->|<\?.*?\?>)*+<!DOCTYPE", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Limits:
    """How large a message may be. Tags and equals signs are counted before the parser sees the text."""

    bytes: int = 4 * 1024 * 1024
    tags: int = 40_000
    equals: int = 20_000
    depth: int = 64


@dataclass(frozen=True, slots=True)
class Envelope:
    """A parsed message: its version, the entries of its header, and its body's children."""

    version: SoapVersion
    headers: tuple[etree._Element, ...]
    body: tuple[etree._Element, ...]


def read_envelope(request: Request, limits: Limits) -> Envelope:
    """The envelope that a request carries, decoded by us, small enough to parse, its attachments put in their places."""
    _check_media_type(request)
    parts = multipart.split(_read_body(request, limits), request)
    envelope = parse_envelope(_small_enough(_decode(parts.root, parts.charset), limits), limits)
    multipart.include(envelope.body, parts.attachments)
    return envelope


def parse_envelope(text: str, limits: Limits) -> Envelope:
    """The envelope in the text: one optional header, then one body, in a version we speak."""
    root = _shallow(text, limits)
    version = _version(root)
    parts = list(root)
    header = parts.pop(0) if parts and parts[0].tag == f"{{{version}}}Header" else ()
    if [part.tag for part in parts] != [f"{{{version}}}Body"]:
        raise _not_an_envelope()
    return Envelope(version, tuple(header), tuple(parts[0]))


def parse_inner(text: str, limits: Limits) -> etree._Element:
    """A document that a message carries as text: as hostile as the message, so under the same guard."""
    if len(text) > limits.bytes:
        raise _too_large()
    return _shallow(_small_enough(text.lstrip("\ufeff"), limits), limits)


def refuse_unknown_headers(envelope: Envelope) -> None:
    """A header entry that must be understood is refused unless it is Security."""
    for entry in envelope.headers:
        demanded = entry.get(f"{{{envelope.version}}}mustUnderstand", "") in {"1", "true"}
        if demanded and entry.tag != SECURITY:
            words = Text(f"不支持的消息头：{entry.tag}", f"This header is not understood: {entry.tag}")
            raise SoapRefusal("header_not_understood", words, kind=FaultKind.MUST_UNDERSTAND)


def _small_enough(text: str, limits: Limits) -> str:
    """The text without its XML declaration, whose encoding is decided already."""
    text = _XML_DECLARATION.sub("", text, count=1)
    if _DOCTYPE_IN_PROLOG.match(text):
        raise SoapRefusal("doctype", Text("消息不得包含 DOCTYPE。", "A message must not have a DOCTYPE."))
    if text.count("<") > limits.tags or text.count("=") > limits.equals:
        raise _too_large()
    return text


def _shallow(text: str, limits: Limits) -> etree._Element:
    root = _parse(text)
    if _too_deep(root, limits.depth):
        raise SoapRefusal("too_deep", Text("消息嵌套过深。", "The message is nested too deeply."))
    return root


def _check_media_type(request: Request) -> None:
    if request.mimetype not in _MEDIA_TYPES:
        words = Text(f"不支持的内容类型：{request.mimetype}", f"This content type is not served: {request.mimetype}")
        raise SoapRefusal("unsupported_media_type", words, status=415)
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        words = Text("不接受压缩的消息。", "Compressed messages are not accepted.")
        raise SoapRefusal("unsupported_encoding", words, status=415)


def _read_body(request: Request, limits: Limits) -> bytes:
    request.max_content_length = limits.bytes
    try:
        body = request.get_data(cache=False)
        request.stream.read(1)  # a chunked body is cut silently at the limit; reading on says so
    except RequestEntityTooLarge:
        raise _too_large() from None
    return body


def _decode(body: bytes, charset: str) -> str:
    """UTF-8 first, whatever is declared; the Chinese national charsets where header or prolog declare one."""
    encoding = next((name for mark, name in _BYTE_ORDER_MARKS if body.startswith(mark)), "utf-8")
    try:
        return body.decode(encoding)
    except UnicodeDecodeError:
        prolog = _PROLOG_ENCODING.match(body[:512])
        declared = {charset.lower(), prolog[1].decode("ascii", "replace").lower() if prolog else ""}
    if declared & _CHINESE_CHARSETS:
        try:
            return body.decode("gb18030")
        except UnicodeDecodeError:
            pass
    words = Text("消息编码无法识别，请用 UTF-8 或声明 GBK。", "The encoding is unreadable: send UTF-8 or declare GBK.")
    raise SoapRefusal("encoding", words)


def _parse(text: str) -> etree._Element:
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, remove_comments=True, remove_pis=True
    )
    try:
        root = etree.fromstring(text.encode(), parser)
    except (etree.XMLSyntaxError, UnicodeEncodeError) as error:
        words = Text(f"消息不是格式良好的 XML：{error}", f"The message is not well-formed XML: {error}")
        raise SoapRefusal("malformed_xml", words) from None
    if root.getroottree().docinfo.internalDTD is not None:
        raise SoapRefusal("doctype", Text("消息不得包含 DOCTYPE。", "A message must not have a DOCTYPE."))
    return root


def _too_deep(root: etree._Element, limit: int) -> bool:
    return any(depth > limit for depth in _depths(root))


def _depths(root: etree._Element) -> Iterator[int]:
    depth = 0
    for event, _ in etree.iterwalk(root, events=("start", "end")):
        depth += 1 if event == "start" else -1
        yield depth


def _version(root: etree._Element) -> SoapVersion:
    name = etree.QName(root)
    if name.localname != "Envelope":
        raise _not_an_envelope()
    try:
        return SoapVersion(name.namespace or "")
    except ValueError:
        words = Text("只支持 SOAP 1.1 和 SOAP 1.2。", "Only SOAP 1.1 and SOAP 1.2 are spoken here.")
        raise SoapRefusal("soap_version", words, kind=FaultKind.VERSION_MISMATCH) from None


def _not_an_envelope() -> SoapRefusal:
    words = Text("消息不是 SOAP 信封：应有一个 Body。", "The message is not a SOAP envelope with one Body.")
    return SoapRefusal("not_an_envelope", words)


def _too_large() -> SoapRefusal:
    return SoapRefusal("too_large", Text("消息过大。", "The message is too large."), status=413)
