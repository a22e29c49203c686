"""Messages with attachments (MTOM): the part that is the message, and the others, which it includes by their id."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from email.message import Message
from email.parser import HeaderParser
from urllib.parse import unquote

from flask import Request
from lxml import etree

from examlane import Text
from examlane_api.soap.faults import SoapRefusal

MOST_PARTS = 21
_INCLUDE = "{http://www.w3.org/2004/08/xop/include}Include"
_END_OF_HEAD = re.compile(rb"\r?\n\r?\n")


@dataclass(frozen=True, slots=True)
class Parts:
    """The message's bytes with their declared charset, and what comes with it by Content-ID."""

    root: bytes
    charset: str
    attachments: Mapping[str, bytes]


def split(body: bytes, request: Request) -> Parts:
    """The message of a request, and its attachments where it is multipart."""
    boundary = request.mimetype_params.get("boundary", "")
    if request.mimetype != "multipart/related" or not boundary:
        return Parts(body, request.mimetype_params.get("charset", ""), {})
    parts = list(_parts(body, boundary.encode("latin-1", "replace")))
    start = request.mimetype_params.get("start", "")
    named = [part for part in parts if start and part[0].get("Content-ID", "").strip() == start]
    root = (named or parts or [(Message(), b"")])[0]
    others = {_id(head): content for head, content in parts if content is not root[1]}
    return Parts(root[1], str(root[0].get_param("charset") or ""), others)


def include(elements: Sequence[etree._Element], attachments: Mapping[str, bytes]) -> None:
    """Put the content of the attachments where the message includes them, as if it had been sent inline; each once."""
    left = dict(attachments)
    for reference in [each for element in elements for each in element.iter(_INCLUDE)]:
        content = left.pop(unquote(reference.get("href", "")).removeprefix("cid:"), None)
        owner = reference.getparent()
        if content is None or owner is None or len(owner) != 1:
            words = Text("引用的附件不在消息中。", "An attachment that is referred to is not in the message.")
            raise SoapRefusal("attachment_missing", words, fields=[_name(owner)])
        owner.remove(reference)
        owner.text = base64.b64encode(content).decode()


def _parts(body: bytes, boundary: bytes) -> Iterator[tuple[Message, bytes]]:
    """Each part's header and content; the line break before a boundary belongs to the boundary."""
    pieces = (b"\r\n" + body).split(b"\n--" + boundary)
    if len(pieces) > MOST_PARTS + 2:
        raise SoapRefusal("too_large", Text("附件过多。", "There are too many attachments."), status=413)
    for piece in pieces[1:]:
        if piece.startswith(b"--"):
            return
        found = _END_OF_HEAD.search(piece)
        head = HeaderParser().parsestr(piece[: found.start()].decode("latin-1").lstrip("\r\n")) if found else Message()
        content = piece[found.end() :] if found else b""
        yield head, _plain(head, content.removesuffix(b"\r"))


def _plain(head: Message, content: bytes) -> bytes:
    if head.get("Content-Transfer-Encoding", "").strip().lower() != "base64":
        return content
    try:
        return base64.b64decode(b"".join(content.split()), validate=True)
    except binascii.Error:
        words = Text("附件的 base64 编码有误。", "The base64 of an attachment is broken.")
        raise SoapRefusal("invalid_attachment", words) from None


def _id(head: Message) -> str:
    return str(head.get("Content-ID", "")).strip().removeprefix("<").removesuffix(">")


def _name(owner: etree._Element | None) -> str:
    return "" if owner is None else etree.QName(owner).localname
