"""A platform on the other side of the wire, and what it acknowledges."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC
from typing import Any

from lxml import etree
from werkzeug import Request, Response

from examlane.records import events
from examlane_api.hip import frame


def entry(code: str, address: str) -> events.PeerEntry:
    return events.PeerEntry(1, code, "webhook", address, 3, ())


def ack_of(document: str, kind: str = "AA", target: str = "") -> str:
    sent = frame.read(document, UTC).message_id
    said = frame.Ack(kind == "AA", (frame.Detail("x", "已收到" if kind == "AA" else "科室不存在"),), target or sent)
    return frame.write_ack(said, "1" * 32, "20261123080000", "HIP0001", "EXAMLANE")


@dataclass
class FakePlatform:
    """A platform that answers as it is told to, and remembers what it got."""

    address: str = ""
    behave: Callable[[str, str], str] = field(default=lambda action, document: ack_of(document))
    got: list[tuple[str, str]] = field(default_factory=list)
    envelopes: list[bytes] = field(default_factory=list)
    authorizations: list[str] = field(default_factory=list)
    seconds: float = 0.0
    raw: tuple[int, bytes] | None = None
    drips: int = 0
    claims: int = 0
    encoding: str = ""

    def __call__(self, environ: Any, start: Any) -> Any:
        request = Request(environ)
        self.envelopes.append(request.get_data())
        self.authorizations.append(request.headers.get("Authorization", ""))
        time.sleep(self.seconds)
        if self.drips:
            return Response(self._drip(), content_type="text/xml")(environ, start)
        if self.raw is not None:
            headers = {"Content-Encoding": self.encoding} if self.encoding else {}
            return Response(self.raw[1], self.raw[0], headers, content_type="text/xml")(environ, start)
        root = etree.fromstring(self.envelopes[-1])
        message = root[-1][0]
        action, document = (str(each.text) for each in message)
        self.got.append((action, document))
        namespace, soap = etree.QName(message).namespace, etree.QName(root).namespace
        name = etree.QName(message).localname
        result = f"<HIPMessageServerResult><![CDATA[{self.behave(action, document)}]]></HIPMessageServerResult>"
        body = f'<s:Envelope xmlns:s="{soap}"><s:Body><t:{name}Response xmlns:t="{namespace}">{result}'
        body += f"</t:{name}Response></s:Body></s:Envelope>"
        answer = Response(body, content_type="text/xml; charset=utf-8")
        if self.claims:
            answer.headers["Content-Length"] = str(self.claims)
        return answer(environ, start)

    def _drip(self) -> Iterator[bytes]:
        for _ in range(self.drips):
            time.sleep(0.1)
            yield b" "
